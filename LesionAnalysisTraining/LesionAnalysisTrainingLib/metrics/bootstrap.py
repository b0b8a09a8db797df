"""Patient-level bootstrap: patients are resampled with all their slices, because slices of one patient are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of all confidence intervals
_BLOCK = 2_000_000  # weights in memory at a time
_NEED_POSITIVES = {"sensitivity", "precision", "f1", "auc", "ap"}  # figures that several positive patients must support
_NEED_NEGATIVES = {"specificity", "precision", "auc", "ap"}


class Estimate(NamedTuple):
    """A figure and the ends of its confidence interval; NaN where it has none."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, None instead of NaN."""
        return {name: None if np.isnan(x) else float(x) for name, x in self._asdict().items()}


def patient_resamples(patients: np.ndarray, rounds: int = 400, seed: int = 0) -> Iterator[np.ndarray]:
    """Blocks (r, n) of weights, ``rounds`` rows in all: how often each slice counts in a resample of the patients."""
    names, codes = np.unique(patients, return_inverse=True)
    if not len(names):
        return
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // len(codes))
    for start in range(0, rounds, step):
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(step, rounds - start))
        yield draws[:, codes].astype(float)


def estimates(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]], patients: np.ndarray, rounds: int = 400, seed: int = 0
) -> dict[str, Estimate]:
    """Figures with their intervals, from ``statistics``, which takes weights (R, n) and returns (R,) for each name."""
    values = statistics(np.ones((1, len(patients))))
    blocks = [statistics(weights) for weights in patient_resamples(patients, rounds, seed)]
    resampled = {name: np.concatenate([np.zeros(0), *(block[name] for block in blocks)]) for name in values}
    return {name: Estimate(float(v[0]), *interval(resampled[name]).tolist()) for name, v in values.items()}


def interval(values: np.ndarray) -> np.ndarray:
    """Both ends of the percentile interval: (R, ...) -> (2, ...); undefined resamples (NaN) do not count."""
    tail = (1 - LEVEL) / 2
    result = np.full((2, *values.shape[1:]), np.nan)
    defined = ~np.isnan(values).all(axis=0)  # numpy warns of columns without any number
    if defined.any():
        result[:, defined] = np.nanquantile(values[:, defined], [tail, 1 - tail], axis=0)
    return result


def patients_by_class(truth: np.ndarray, patients: np.ndarray) -> tuple[int, int]:
    """How many patients have positive slices, and how many negative ones.

    Resampling a single patient always yields the same slices: its interval would have no width, as if nothing were
    in doubt.
    """
    positive = np.asarray(truth) > 0
    return len(np.unique(patients[positive])), len(np.unique(patients[~positive]))


def supported(found: dict[str, Estimate], truth: np.ndarray, patients: np.ndarray) -> dict[str, Estimate]:
    """``found`` without the intervals that rest on a single patient."""
    positives, negatives = patients_by_class(truth, patients)
    lost = set(found) if len(np.unique(patients)) < 2 else set()
    lost |= _NEED_POSITIVES if positives < 2 else set()
    lost |= _NEED_NEGATIVES if negatives < 2 else set()
    return {name: Estimate(one.value, np.nan, np.nan) if name in lost else one for name, one in found.items()}
