"""Do probabilities mean what they say? Reliability bins and the expected calibration error (Guo 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .weighted import divide


@dataclass(frozen=True, eq=False)
class Reliability:
    """B bins of equal width over the probability; NaN in bins without slices."""

    edges: np.ndarray  # (B + 1,) 0..1
    counts: np.ndarray  # (B,) slices
    predicted: np.ndarray  # (B,) mean probability
    observed: np.ndarray  # (B,) share of positives
    error: float  # expected calibration error: mean |predicted - observed|, weighted by counts; NaN without slices


def reliability(truth: np.ndarray, probability: np.ndarray, bins: int = 10) -> Reliability:
    """Compare the probability of the positive class (n,) with how often it is true (n,).

    For several classes, give the probability of the likeliest class and whether that class was right.
    """
    truth, probability = np.asarray(truth) > 0, np.asarray(probability, float)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    predicted, observed = (
        divide(np.bincount(place, weights=values.astype(float), minlength=bins), counts)
        for values in (probability, truth)
    )
    gaps = np.nan_to_num(np.abs(predicted - observed))
    return Reliability(edges, counts, predicted, observed, float(divide(np.sum(gaps * counts), counts.sum())))
