"""The warning of inputs that the model does not know, on channel means with known directions."""

import numpy as np
import pytest
import torch
from LesionAnalysisLib.model.out_of_distribution import (
    channel_means,
    distances,
    input_statistics,
    unlike_training,
)

CHANNELS = 64


@pytest.fixture(scope="module")
def directions():
    return np.linalg.qr(np.random.default_rng(1).normal(size=(CHANNELS, 4)))[0].T


def slices(directions, seed, count=400, strange=0.0):
    """Channel means that vary along four directions and a little besides; ``strange`` besides those."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (count, 4)) @ directions + rng.normal(0, 0.1 + strange, (count, CHANNELS))


def test_what_varies_as_the_training_data_do_is_known(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    assert not unlike_training(slices(directions, 3, 30), statistics)
    far = 5 * slices(directions, 4, 30)[:, :] @ directions.T @ directions  # farther out, but along the same ways
    assert not unlike_training(far, statistics)


def test_what_varies_otherwise_is_not(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    assert unlike_training(slices(directions, 3, 30, strange=0.5), statistics)


def test_the_median_slice_decides(directions):
    statistics = input_statistics(slices(directions, 0), slices(directions, 2))
    known, odd = slices(directions, 3, 6), slices(directions, 5, 5, strange=2.0)
    assert not unlike_training(np.concatenate([known, odd]), statistics)
    assert unlike_training(np.concatenate([known[:4], odd]), statistics)


def test_the_limit_is_what_nearly_all_validation_slices_lie_below(directions):
    held_out = slices(directions, 2)
    statistics = input_statistics(slices(directions, 0), held_out, quantile=0.9)
    assert (distances(held_out, statistics) > statistics["limit"]).mean() == pytest.approx(0.1, abs=0.005)


def test_a_distance_by_hand():
    statistics = {"mean": [1.0, 0.0], "deviation": [2.0, 1.0], "components": [[1.0, 0.0]]}
    assert distances([[5.0, 3.0]], statistics) == pytest.approx([3 / np.sqrt(2)])
    del statistics["components"]
    assert distances([[5.0, 3.0]], statistics) == pytest.approx([np.sqrt((4 + 9) / 2)])


def test_few_slices_are_not_explained_away(directions):
    statistics = input_statistics(slices(directions, 0, 40), slices(directions, 2))
    assert len(statistics["components"]) == 5


def test_models_of_before_are_asked_at_the_level_that_they_know():
    maps = [torch.full((1, k, 2, 2), float(k), dtype=torch.bfloat16) for k in (2, 4, 8)]
    assert channel_means(maps).tolist() == [[2.0, 2.0]]
    assert channel_means(maps, {"level": "c3"}).shape == (1, 2)
    assert channel_means(maps, {"mean": [0.0] * 8}).shape == (1, 8)


def test_a_model_without_statistics_warns_of_nothing():
    assert not unlike_training([np.full(3, 1e9)], None)
