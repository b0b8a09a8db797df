"""Is one model better than another on the same slices? McNemar's exact test and DeLong's test of two AUCs.

Both take slices as independent, which slices of one patient are not: their p-values are too small where patients
have many slices. The bootstrap over patients, ``paired.auc_difference``, does not take them so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, rankdata


@dataclass(frozen=True)
class McNemar:
    """Slices that only one of two models judges rightly."""

    first_only: int
    second_only: int
    p: float  # two-sided, exact; 1 where the models err on the same slices


@dataclass(frozen=True)
class DeLong:
    """Two correlated AUCs; NaN where only one class is present."""

    first: float
    second: float
    difference: float  # first - second
    low: float  # ends of the 95 % interval of the difference
    high: float
    p: float  # two-sided


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """McNemar's test in its exact form: a fair coin for every slice on which one model alone is right.

    Args:
        first_right, second_right: (n,) bool, whether each model judged a slice rightly.

    Raises:
        ValueError: arrays of different lengths.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    _same_slices(first, second)
    b, c = int(np.count_nonzero(first & ~second)), int(np.count_nonzero(~first & second))
    return McNemar(b, c, float(binomtest(b, b + c).pvalue) if b + c else 1.0)


def delong(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLong:
    """DeLong's test of two AUCs on the same slices (DeLong 1988), with midranks (Sun 2014).

    Args:
        truth: (n,) above 0 for the positive class.
        first, second: (n,) scores of the two models.

    Raises:
        ValueError: arrays of different lengths.
    """
    truth = np.asarray(truth) > 0
    scores = np.array([np.asarray(first, float), np.asarray(second, float)])
    _same_slices(truth, scores[0])
    m, n = int(truth.sum()), int((~truth).sum())
    if not m or not n:
        return DeLong(*[float("nan")] * 6)
    of_positives, of_negatives = zip(*(_placements(truth, score) for score in scores), strict=True)
    areas = np.mean(of_positives, axis=1)
    difference = float(areas[0] - areas[1])
    variance = sum(
        float(np.var(values[0] - values[1], ddof=1)) / count if count > 1 else np.nan
        for values, count in ((of_positives, m), (of_negatives, n))
    )
    if np.isnan(variance):
        return DeLong(float(areas[0]), float(areas[1]), difference, np.nan, np.nan, np.nan)
    spread = float(np.sqrt(variance))
    reach = float(norm.ppf(0.975)) * spread
    p = 2 * float(norm.sf(abs(difference) / spread)) if spread > 1e-12 else float(difference == 0)
    return DeLong(float(areas[0]), float(areas[1]), difference, difference - reach, difference + reach, p)


def _placements(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every positive (m,) the share of negatives below it, for every negative (n,) that of positives above it."""
    positive, negative = score[truth], score[~truth]
    ranks = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def _same_slices(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(f"Two models are compared on the same slices, not on {len(first)} and {len(second)}.")
