"""Does one model judge the same slices better than another? McNemar, DeLong, and a paired patient-level bootstrap.

McNemar's and DeLong's tests take slices as independent, which slices of one patient are not: their p-values are too
small where patients have many slices. ``auc_difference`` resamples patients instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, norm, rankdata

from .bootstrap import interval, patient_resamples, patients_by_class
from .weighted_metrics import areas


class Difference(NamedTuple):
    """AUC of one model minus that of another; NaN where it is undefined, or its interval rests on one patient."""

    value: float
    low: float
    high: float
    p: float  # two-sided, of no difference

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, None instead of NaN."""
        return {name: None if np.isnan(x) else float(x) for name, x in self._asdict().items()}


@dataclass(frozen=True)
class McNemar:
    """Slices that only one of two models classifies correctly."""

    first_only: int
    second_only: int
    p: float  # two-sided, exact; 1 where the models err on the same slices


@dataclass(frozen=True)
class DeLong:
    """Two correlated AUCs; NaN where only one class is present."""

    first: float
    second: float
    difference: float  # first - second
    low: float  # ends of the 95 % CI of the difference
    high: float
    p: float  # two-sided


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """McNemar's exact test: a fair coin for every slice that one model alone classifies correctly.

    ``first_right`` and ``second_right`` are (n,) bool. Raises ValueError if their lengths differ.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    _same_slices(first, second)
    b, c = int(np.count_nonzero(first & ~second)), int(np.count_nonzero(~first & second))
    return McNemar(b, c, float(binomtest(b, b + c).pvalue) if b + c else 1.0)


def delong(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLong:
    """DeLong's test of two AUCs on the same slices (DeLong 1988), with midranks (Sun 2014).

    ``first`` and ``second`` are the scores (n,) of two models. Raises ValueError if lengths differ.
    """
    truth, scores = np.asarray(truth) > 0, np.array([first, second], float)
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
    spread = float(np.sqrt(variance))  # NaN if a class has a single slice
    reach = float(norm.ppf(0.975)) * spread
    p = float(difference == 0) if spread <= 1e-12 else 2 * float(norm.sf(abs(difference) / spread))
    return DeLong(float(areas[0]), float(areas[1]), difference, difference - reach, difference + reach, p)


def auc_difference(truth: np.ndarray, score: np.ndarray, other: np.ndarray, patients: np.ndarray, rounds: int = 2000,
                   seed: int = 0) -> Difference:  # fmt: skip
    """AUC of ``score`` minus that of ``other`` on the same slices, by a paired patient-level bootstrap.

    p is twice the smaller fraction of resamples on either side of 0, the slices as they are counted as one of the
    resamples, so that it is never 0 (Davison and Hinkley 1997, equation 4.11); resamples of a single class do not
    count. ``patients`` are names (n,), unique over all sources; equal seeds give equal resamples.
    """
    truth, patients = np.asarray(truth) > 0, np.asarray(patients)

    def difference(weights: np.ndarray) -> np.ndarray:
        return areas(truth, score, weights)["auc"] - areas(truth, other, weights)["auc"]

    value = float(difference(np.ones((1, len(truth))))[0])
    if min(patients_by_class(truth, patients)) < 2:
        return Difference(value, np.nan, np.nan, np.nan)
    resampled = np.concatenate([difference(weights) for weights in patient_resamples(patients, rounds, seed)])
    return Difference(value, *interval(resampled).tolist(), p_value(resampled))


def p_value(resampled: np.ndarray) -> float:
    """Two-sided p of "no difference" from resampled differences (R,); 1 without any that is defined."""
    defined = resampled[~np.isnan(resampled)]
    tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1.0, 2 * (tail + 1) / (len(defined) + 1)))


def _placements(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every positive (m,) the fraction of negatives below, for every negative (n,) that of positives above it."""
    positive, negative = score[truth], score[~truth]
    ranks = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def _same_slices(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(f"Two models are compared on the same slices, not on {len(first)} and {len(second)}.")
