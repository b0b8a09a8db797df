"""Do two systems differ in AUC? A bootstrap over patients, paired: both see the same redraws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import weighted
from .bootstrap import bounds, patients_by_class, redraws


@dataclass(frozen=True)
class Difference:
    """AUC of one system minus that of another; NaN where it is undefined, or its interval rests on one patient."""

    value: float
    low: float
    high: float
    p: float  # two-sided, of no difference

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, None instead of NaN."""
        return {name: None if np.isnan(x) else float(x) for name, x in vars(self).items()}


def auc_difference(truth: np.ndarray, score: np.ndarray, other: np.ndarray, patients: np.ndarray, rounds: int = 2000,
                   seed: int = 0, level: float = 0.95) -> Difference:  # fmt: skip
    """AUC of ``score`` minus that of ``other`` on the same slices.

    Patients are redrawn with all their slices, since slices of one patient are alike and DeLong's test, which takes
    slices as independent, would be too sure. p is twice the smaller share of redraws on either side of 0, the slices
    as they are counted as one of the redraws, so that it is never 0 (Davison and Hinkley 1997, equation 4.11); redraws
    with one class alone do not count.

    Args:
        truth: (n,) above 0 for the positive class.
        score, other: (n,) higher for likelier positives.
        patients: (n,) names, unique over all sources.
        rounds: redraws of the patients.
        seed: of the redraws: equal seeds give equal redraws.
        level: of the interval.
    """
    truth, patients = np.asarray(truth) > 0, np.asarray(patients)

    def difference(weights: np.ndarray) -> np.ndarray:
        one, two = (weighted.auc(*weighted.cumulative(truth, s, weights)) for s in (score, other))
        return one - two

    value = float(difference(np.ones((1, len(truth))))[0])
    if min(patients_by_class(truth, patients)) < 2:
        return Difference(value, np.nan, np.nan, np.nan)
    redrawn = np.concatenate([difference(weights) for weights in redraws(patients, rounds, seed)])
    low, high = bounds(redrawn, level).tolist()
    return Difference(value, low, high, p_value(redrawn))


def p_value(redrawn: np.ndarray) -> float:
    """Two-sided p of "0" from redrawn differences (R,); 1 without any that is defined."""
    defined = redrawn[~np.isnan(redrawn)]
    tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1.0, 2 * (tail + 1) / (len(defined) + 1)))
