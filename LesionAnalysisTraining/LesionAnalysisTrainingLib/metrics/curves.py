"""ROC and precision-recall curves (figure 6) on a fixed grid, each with a bootstrap band over patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import weighted
from .bootstrap import Estimate, bounds, estimates, patients_by_class, redraws


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over ``x`` from 0 to 1; ``y``, ``low`` and ``high`` are NaN where only one class is present."""

    x: np.ndarray  # (G,) false positive rate of a ROC, recall of a PR curve
    y: np.ndarray  # (G,) true positive rate, precision
    low: np.ndarray  # (G,) pointwise ends of the band; NaN where one of the classes has a single patient
    high: np.ndarray  # (G,)
    area: Estimate  # AUC, AP
    positives: int  # slices
    negatives: int
    patients: int


def roc_curve(truth: np.ndarray, score: np.ndarray, patients: np.ndarray, rounds: int = 400, seed: int = 0,
              level: float = 0.95, points: int = 201) -> Curve:  # fmt: skip
    """Sensitivity over 1 - specificity; straight between neighboring thresholds, as the area counts it."""
    return _curve(_roc, weighted.auc, truth, score, patients, (rounds, seed, level), points)


def pr_curve(truth: np.ndarray, score: np.ndarray, patients: np.ndarray, rounds: int = 400, seed: int = 0,
             level: float = 0.95, points: int = 201) -> Curve:  # fmt: skip
    """Precision over recall in steps, as average precision counts it: that of the first threshold to reach a recall."""
    return _curve(_pr, weighted.average_precision, truth, score, patients, (rounds, seed, level), points)


def _curve(line: Callable, area: Callable, truth: np.ndarray, score: np.ndarray, patients: np.ndarray,
           rule: tuple[int, int, float], points: int) -> Curve:  # fmt: skip
    truth, score, patients = np.asarray(truth) > 0, np.asarray(score, float), np.asarray(patients)
    rounds, seed, level = rule
    x = np.linspace(0, 1, points)

    def lines(weights: np.ndarray) -> np.ndarray:
        return np.array([line(x, *pair) for pair in zip(*weighted.cumulative(truth, score, weights), strict=True)])

    bands = [np.zeros((0, points)), *map(lines, redraws(patients, rounds, seed))]
    low, high = bounds(np.concatenate(bands), level)
    whole = estimates(lambda w: {"area": area(*weighted.cumulative(truth, score, w))}, patients, *rule)["area"]
    if min(patients_by_class(truth, patients)) < 2:
        low, high, whole = x * np.nan, x * np.nan, Estimate(whole.value, np.nan, np.nan)
    y = lines(np.ones((1, len(truth))))[0]
    return Curve(x, y, low, high, whole, int(truth.sum()), int((~truth).sum()), len(np.unique(patients)))


def _roc(x: np.ndarray, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """(G,) from cumulative counts (u + 1,); where the curve rises upright, its upper end."""
    if not tp[-1] * fp[-1]:
        return x * np.nan
    wanted = _counts(x * fp[-1])
    after = np.clip(np.searchsorted(fp, wanted, side="right"), 1, len(fp) - 1)
    before = after - 1
    share = np.clip(weighted.divide(wanted - fp[before], fp[after] - fp[before]), 0, 1)
    inner = tp[before] + share * (tp[after] - tp[before])
    return np.where(wanted >= fp[-1], tp[-1], inner) / tp[-1]


def _pr(x: np.ndarray, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """(G,) from cumulative counts (u + 1,); at recall 0 the precision of the first positives found."""
    if not tp[-1] * fp[-1]:
        return x * np.nan
    wanted = np.maximum(_counts(x * tp[-1]), 1e-9)
    at = np.searchsorted(tp, wanted, side="left")
    return tp[at] / (tp[at] + fp[at])


def _counts(places: np.ndarray) -> np.ndarray:
    """Numbers of slices on the grid; whole ones exactly, since 0.1 * 30 is a little more than 3."""
    whole = np.round(places)
    return np.where(np.abs(places - whole) < 1e-9, whole, places)
