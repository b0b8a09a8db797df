"""The study's probability, by hand."""

import pytest
from LesionAnalysisLib.study import study_probability
from scipy.special import expit


def test_the_probability_is_corrected_for_the_number_of_slices():
    chance = {"chance": 2.0}
    assert study_probability([1.0], chance) == pytest.approx(expit(1.0))
    assert study_probability([1.0] * 3, chance) == pytest.approx(expit(1.0))
    assert study_probability([1.0] * 6, chance) == pytest.approx(expit(0.0))
    assert study_probability([1.0] * 600, chance) == pytest.approx(expit(1.0 - 2.0 * 0.995))


def test_the_upper_tenth_decides():
    odds = [-9.0] * 36 + [1.0, 2.0, 3.0, 4.0]
    assert study_probability(odds, {}) == pytest.approx(expit(2.5))


def test_at_least_three_slices_decide():
    assert study_probability([-5.0] * 9 + [4.0], {}) == pytest.approx(expit(-2.0))


def test_fewer_slices_than_three_all_decide():
    assert study_probability([2.0, 0.0], {}) == pytest.approx(expit(1.0))


def test_calibration_scales_and_shifts_the_log_odds():
    assert study_probability([2.0, 2.0, 2.0], {"scale": 0.5, "offset": -3.0}) == pytest.approx(expit(-2.0))


def test_no_slice_has_no_probability():
    assert study_probability([], {}) is None


def test_extreme_log_odds_stay_finite():
    assert study_probability([1e6] * 3, {}) == pytest.approx(1.0)
    assert study_probability([-1e6] * 3, {}) == pytest.approx(0.0)
