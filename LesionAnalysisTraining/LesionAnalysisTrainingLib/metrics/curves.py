"""ROC and precision-recall curves (figure 6) with bootstrap bands over patients, and reliability curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import weighted_metrics as weighted
from .bootstrap import Estimate, estimates, interval, patient_resamples, patients_by_class


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over ``x`` from 0 to 1; ``y``, ``low`` and ``high`` are NaN where only one class is present."""

    x: np.ndarray  # (G,) false positive rate of a ROC, recall of a PR curve
    y: np.ndarray  # (G,) true positive rate, precision
    low: np.ndarray  # (G,) pointwise ends of the band; NaN where a class has a single patient
    high: np.ndarray  # (G,)
    area: Estimate  # AUC, AP
    positives: int  # slices
    negatives: int
    patients: int


@dataclass(frozen=True, eq=False)
class Reliability:
    """B bins of equal width over the probability; NaN in bins without slices."""

    edges: np.ndarray  # (B + 1,) 0..1
    counts: np.ndarray  # (B,) slices
    predicted: np.ndarray  # (B,) mean probability
    observed: np.ndarray  # (B,) fraction of positives
    error: float  # expected calibration error: mean |predicted - observed|, weighted by counts; NaN without slices


def roc_curve(truth: np.ndarray, score: np.ndarray, patients: np.ndarray, rounds: int = 400, seed: int = 0,
              points: int = 201) -> Curve:  # fmt: skip
    """Sensitivity over 1 - specificity; linear between neighboring thresholds, as the area counts it."""
    return _curve(_roc, "auc", truth, score, patients, rounds, seed, points)


def pr_curve(truth: np.ndarray, score: np.ndarray, patients: np.ndarray, rounds: int = 400, seed: int = 0,
             points: int = 201) -> Curve:  # fmt: skip
    """Precision over recall in steps, as average precision counts it: that of the first threshold to reach a recall."""
    return _curve(_pr, "ap", truth, score, patients, rounds, seed, points)


def reliability(truth: np.ndarray, probability: np.ndarray, bins: int = 10) -> Reliability:
    """Predicted probability of the positive class (n,) against its observed frequency (Guo 2017).

    For several classes, give the probability of the likeliest class and whether that class was right.
    """
    truth, probability = np.asarray(truth) > 0, np.asarray(probability, float)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    predicted, observed = (
        weighted.divide(np.bincount(place, weights=values.astype(float), minlength=bins), counts)
        for values in (probability, truth)
    )
    gaps = np.nan_to_num(np.abs(predicted - observed))
    error = float(weighted.divide(np.sum(gaps * counts), counts.sum()))
    return Reliability(edges, counts, predicted, observed, error)


def _curve(line: Callable, area: str, truth: np.ndarray, score: np.ndarray, patients: np.ndarray, rounds: int,
           seed: int, points: int) -> Curve:  # fmt: skip
    truth, score, patients = np.asarray(truth) > 0, np.asarray(score, float), np.asarray(patients)
    x = np.linspace(0, 1, points)

    def lines(weights: np.ndarray) -> np.ndarray:
        return np.array([line(x, *pair) for pair in zip(*weighted.cumulative(truth, score, weights), strict=True)])

    bands = [np.zeros((0, points)), *map(lines, patient_resamples(patients, rounds, seed))]
    low, high = interval(np.concatenate(bands))
    whole = estimates(lambda w: weighted.areas(truth, score, w), patients, rounds, seed)[area]
    if min(patients_by_class(truth, patients)) < 2:
        low, high, whole = x * np.nan, x * np.nan, Estimate(whole.value, np.nan, np.nan)
    y = lines(np.ones((1, len(truth))))[0]
    return Curve(x, y, low, high, whole, int(truth.sum()), int((~truth).sum()), len(np.unique(patients)))


def _roc(x: np.ndarray, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """(G,) from cumulative counts (u + 1,); where the curve is vertical, its upper end."""
    if not tp[-1] * fp[-1]:
        return x * np.nan
    wanted = _counts(x * fp[-1])
    after = np.clip(np.searchsorted(fp, wanted, side="right"), 1, len(fp) - 1)
    before = after - 1
    fraction = np.clip(weighted.divide(wanted - fp[before], fp[after] - fp[before]), 0, 1)
    inner = tp[before] + fraction * (tp[after] - tp[before])
    return np.where(wanted >= fp[-1], tp[-1], inner) / tp[-1]


def _pr(x: np.ndarray, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """(G,) from cumulative counts (u + 1,); at recall 0 the precision of the first true positives."""
    if not tp[-1] * fp[-1]:
        return x * np.nan
    at = np.searchsorted(tp, np.maximum(_counts(x * tp[-1]), 1e-9), side="left")
    return tp[at] / (tp[at] + fp[at])


def _counts(places: np.ndarray) -> np.ndarray:
    """Numbers of slices on the grid; integers exactly, since 0.1 * 30 is a little more than 3."""
    whole = np.round(places)
    return np.where(np.abs(places - whole) < 1e-9, whole, places)
