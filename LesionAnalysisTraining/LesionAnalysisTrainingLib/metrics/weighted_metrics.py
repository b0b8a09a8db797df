"""The formulas of section 4.3.1 for many weightings of the same slices at once.

A patient-level bootstrap only changes how often each slice counts. So every formula takes weights (R, n), one row for
each of R resamples, and returns (R,); NaN where undefined. scikit-learn's functions, equal for one row (the tests
compare them), would sort the slices anew for every resample: some hundred times slower.
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
    """True and false positives, (R, u + 1) each, as the threshold falls through the u distinct scores.

    Both begin with 0; tied slices enter together.
    """
    score = np.asarray(score, float)
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1) if len(order) else np.zeros(0, int)
    positive, sorted_weights = (np.asarray(truth) > 0)[order], weights[:, order]
    start = np.zeros((len(weights), 1))
    tp, fp = (
        np.concatenate([start, np.cumsum(sorted_weights * here, axis=1)[:, ends]], axis=1)
        for here in (positive, ~positive)
    )
    return tp, fp


def areas(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """``auc``, the area under the ROC curve, and ``ap``, average precision: (R,) each, NaN of a single class."""
    tp, fp = cumulative(truth, score, weights)
    steps, positives, negatives = np.diff(tp, axis=1), tp[:, -1], fp[:, -1]
    doubled = np.sum(np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]), axis=1)
    precision = np.nan_to_num(divide(tp[:, 1:], tp[:, 1:] + fp[:, 1:]))  # where nothing counts there is no step either
    ap = np.where(negatives > 0, divide(np.sum(steps * precision, axis=1), positives), np.nan)
    return {"auc": divide(doubled, 2 * positives * negatives), "ap": ap}


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of slices that count once; NaN of a single class, where scikit-learn warns."""
    return float(areas(truth, score, np.ones((1, len(truth))))["auc"][0])


def brier(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared error of the probability: (R,), 0 at best."""
    error = (np.asarray(probability, float) - (np.asarray(truth) > 0)) ** 2
    return divide(weights @ error, weights.sum(axis=1))
