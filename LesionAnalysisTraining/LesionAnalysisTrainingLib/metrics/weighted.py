"""The figures of section 4.3.1 for many weightings of the same slices at once.

A bootstrap over patients only changes how often each slice counts. So every formula takes weights (R, n), one row
for each of R redraws, and gives (R,); the slices are sorted once for all of them. NaN where a figure is undefined.
"""

from __future__ import annotations

import numpy as np


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def rates(truth: np.ndarray, score: np.ndarray, weights: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Accuracy, sensitivity, specificity, precision and F1 at ``threshold``: each (R,)."""
    positive, called = np.asarray(truth) > 0, np.asarray(score) >= threshold
    tp, fp, fn, tn = (
        weights @ cell.astype(float)
        for cell in (positive & called, ~positive & called, positive & ~called, ~positive & ~called)
    )
    return {
        "accuracy": divide(tp + tn, tp + fp + fn + tn),
        "sensitivity": divide(tp, tp + fn),
        "specificity": divide(tn, tn + fp),
        "precision": divide(tp, tp + fp),
        "f1": divide(2 * tp, 2 * tp + fp + fn),
    }


def cumulative(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives as the threshold falls below one value of the score after the other.

    Returns:
        Two (R, u + 1) for u different values, both beginning with 0; slices of equal score come in together.
    """
    score = np.asarray(score, float)
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1) if len(order) else np.zeros(0, int)
    positive = (np.asarray(truth) > 0)[order]
    sorted_weights = weights[:, order]
    start = np.zeros((len(weights), 1))
    tp, fp = (
        np.concatenate([start, np.cumsum(sorted_weights * here, axis=1)[:, ends]], axis=1)
        for here in (positive, ~positive)
    )
    return tp, fp


def auc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Area under the ROC curve from ``cumulative``: (R,), NaN where only one class has weight."""
    doubled = np.sum(np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]), axis=1)
    return divide(doubled, 2 * tp[:, -1] * fp[:, -1])


def average_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Area under the PR curve as a sum of steps from ``cumulative``: (R,), NaN where only one class has weight."""
    steps = np.diff(tp, axis=1)
    precision = np.nan_to_num(divide(tp[:, 1:], tp[:, 1:] + fp[:, 1:]))  # without weight there is no step either
    area = divide(np.sum(steps * precision, axis=1), tp[:, -1])
    return np.where(fp[:, -1] > 0, area, np.nan)


def brier(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared error of the probability: (R,)."""
    error = (np.asarray(probability, float) - (np.asarray(truth) > 0)) ** 2
    return divide(weights @ error, weights.sum(axis=1))
