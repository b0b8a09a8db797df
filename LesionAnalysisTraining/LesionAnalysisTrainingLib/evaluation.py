"""Figures of section 4.3.1 with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one class is present."""
    return float(roc_auc_score(truth, score)) if len(np.unique(truth)) == 2 else float("nan")


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; NaN where only one class is present."""
    return float(average_precision_score(truth, score)) if len(np.unique(truth)) == 2 else float("nan")


def accuracy(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Share of slices on the right side of ``threshold``."""
    return float(np.mean((score > threshold) == truth))


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float], truth: np.ndarray, score: np.ndarray,
    patients: np.ndarray, rounds: int = 400, seed: int = 0, level: float = 0.95,
) -> tuple[float, float, float]:  # fmt: skip
    """The metric and its interval (value, low, high): patients are redrawn with all their slices."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(codes == i) for i in range(len(names))]
    values = []
    for _ in range(rounds):
        rows = np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        values.append(metric(truth[rows], score[rows]))
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return metric(truth, score), float(low), float(high)
