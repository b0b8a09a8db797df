"""Bootstrap over patients: they are redrawn with all their slices, because slices of one patient are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

_BLOCK = 2_000_000  # weights held at a time


class Estimate(NamedTuple):
    """A figure and the ends of its interval; NaN where it has none."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, None instead of NaN."""
        return {name: None if np.isnan(x) else float(x) for name, x in self._asdict().items()}


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float], truth: np.ndarray, score: np.ndarray,
    patients: np.ndarray, rounds: int = 400, seed: int = 0, level: float = 0.95,
) -> tuple[float, float, float]:  # fmt: skip
    """Any metric and its interval (value, low, high), by calling it once a round."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(codes == i) for i in range(len(names))]
    values = []
    for _ in range(rounds):
        rows = np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        values.append(metric(truth[rows], score[rows]))
    return Estimate(metric(truth, score), *bounds(np.array(values, float), level).tolist())


def redraws(patients: np.ndarray, rounds: int = 400, seed: int = 0) -> Iterator[np.ndarray]:
    """Blocks (r, n) of weights, ``rounds`` rows in all: how often each slice counts when patients are redrawn."""
    names, codes = np.unique(patients, return_inverse=True)
    if not len(names):
        return
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // len(codes))
    for start in range(0, rounds, step):
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(step, rounds - start))
        yield draws[:, codes].astype(float)


def estimates(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]], patients: np.ndarray,
    rounds: int = 400, seed: int = 0, level: float = 0.95,
) -> dict[str, Estimate]:  # fmt: skip
    """Figures with their intervals, from ``statistics``, which takes weights (R, n) and gives (R,) for each name."""
    values = statistics(np.ones((1, len(patients))))
    blocks = [statistics(weights) for weights in redraws(patients, rounds, seed)]
    redrawn = {name: np.concatenate([np.zeros(0), *(block[name] for block in blocks)]) for name in values}
    return {name: Estimate(float(v[0]), *bounds(redrawn[name], level).tolist()) for name, v in values.items()}


def bounds(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The two quantiles between which ``level`` of the rounds lie: (R, ...) -> (2, ...); rounds of NaN do not count."""
    tail = (1 - level) / 2
    result = np.full((2, *values.shape[1:]), np.nan)
    defined = ~np.isnan(values).all(axis=0)  # numpy warns of columns without any number
    if defined.any():
        result[:, defined] = np.nanquantile(values[:, defined], [tail, 1 - tail], axis=0)
    return result


def patients_by_class(truth: np.ndarray, patients: np.ndarray) -> tuple[int, int]:
    """How many patients have positive slices, and how many negative ones.

    Redrawing a single patient always gives the same slices: its interval would have no width, as if nothing were
    in doubt.
    """
    positive = np.asarray(truth) > 0
    return len(np.unique(patients[positive])), len(np.unique(patients[~positive]))
