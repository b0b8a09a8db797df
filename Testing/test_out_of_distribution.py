"""The out-of-distribution check, on channel means that vary along known directions."""

import numpy as np
import pytest
import torch
from LesionAnalysisLib.model.out_of_distribution import (
    channel_means,
    distances,
    input_statistics,
    is_out_of_distribution,
)

CHANNELS = 64


@pytest.fixture(scope="module")
def directions():
    return np.linalg.qr(np.random.default_rng(1).normal(size=(CHANNELS, 4)))[0].T


def slices(directions, seed, count=400, strange=0.0):
    """Channel means that vary along four directions, and by a little noise; ``strange`` adds to the noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (count, 4)) @ directions + rng.normal(0, 0.1 + strange, (count, CHANNELS))


def test_variation_like_that_of_the_training_data_is_in_distribution(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    assert not is_out_of_distribution(slices(directions, 3, 30), statistics)
    far = 5 * slices(directions, 4, 30)[:, :] @ directions.T @ directions  # farther out, but along the same directions
    assert not is_out_of_distribution(far, statistics)


def test_other_variation_is_out_of_distribution(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    assert is_out_of_distribution(slices(directions, 3, 30, strange=0.5), statistics)


def test_the_median_slice_decides(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    known, odd = slices(directions, 3, 6), slices(directions, 5, 5, strange=2.0)
    assert not is_out_of_distribution(np.concatenate([known, odd]), statistics)
    assert is_out_of_distribution(np.concatenate([known[:4], odd]), statistics)


def test_the_limit_is_a_quantile_of_the_validation_slices(directions):
    held_out = slices(directions, 2)
    statistics = input_statistics(slices(directions, 0), held_out, quantile=0.9)
    assert (distances(held_out, statistics) > statistics["limit"]).mean() == pytest.approx(0.1, abs=0.005)


def test_a_distance_by_hand():
    statistics = {"mean": [1.0, 0.0], "deviation": [2.0, 1.0], "components": [[1.0, 0.0]]}
    assert distances([[5.0, 3.0]], statistics) == pytest.approx([3 / np.sqrt(2)])
    statistics["components"] = []
    assert distances([[5.0, 3.0]], statistics) == pytest.approx([np.sqrt((4 + 9) / 2)])


def test_few_slices_have_few_components(directions):
    statistics = input_statistics(slices(directions, 0, 40), slices(directions, 2))
    assert len(statistics["components"]) == 5


def test_channel_means_are_those_of_c3():
    maps = [torch.full((1, k, 2, 2), float(k), dtype=torch.bfloat16) for k in (2, 4, 8)]
    assert channel_means(maps).tolist() == [[2.0, 2.0]]


def test_without_statistics_nothing_is_out_of_distribution():
    assert not is_out_of_distribution([np.full(3, 1e9)], None)
