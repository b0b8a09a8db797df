"""What studies without the disease reach by chance, which the study rule subtracts."""

import numpy as np
import pytest
from LesionAnalysisLib.study import study_probability
from LesionAnalysisTrainingLib.calibration import MIN_PATIENTS, chance_log_odds


def validation(patients=200, slices=3, seed=0):
    """Log-odds and patients of slices without the disease, as a network gives them."""
    rng = np.random.default_rng(seed)
    return rng.normal(-1.5, 2.0, patients * slices), np.repeat([f"p{i}" for i in range(patients)], slices)


def test_95_percent_of_new_studies_without_the_disease_stay_below_it():
    chance = chance_log_odds(*validation(5000, 1))
    rng = np.random.default_rng(7)
    studies = [rng.normal(-1.5, 2.0, rng.integers(20, 201)) for _ in range(1000)]
    below = np.mean([study_probability(odds, {}) < 1 / (1 + np.exp(-chance)) for odds in studies])
    assert below == pytest.approx(0.95, abs=0.02)


def test_it_repeats_and_does_not_depend_on_the_order_of_the_slices():
    odds, patients = validation()
    chance = chance_log_odds(odds, patients)
    assert chance_log_odds(odds, patients) == chance
    order = np.random.default_rng(1).permutation(len(odds))
    assert chance_log_odds(odds[order], patients[order]) == pytest.approx(chance, abs=0.3)


def test_patients_count_equally_however_many_slices_they_have():
    odds, patients = validation(100, 1)
    many = np.concatenate([odds, np.full(5000, 4.0)]), np.concatenate([patients, np.full(5000, "false alarms")])
    assert chance_log_odds(*many) < chance_log_odds(odds, patients) + 0.5
    assert chance_log_odds(many[0], np.arange(len(many[0]))) == pytest.approx(4.0)


def test_it_is_0_with_too_few_patients_and_never_negative():
    assert chance_log_odds(*validation(MIN_PATIENTS - 1)) == 0.0
    assert chance_log_odds(np.zeros(0), np.zeros(0)) == 0.0
    assert chance_log_odds(*validation(MIN_PATIENTS)) > 0.0
    odds, patients = validation()
    assert chance_log_odds(odds - 50, patients) == 0.0
    assert np.isfinite(chance_log_odds(odds + 500, patients))
