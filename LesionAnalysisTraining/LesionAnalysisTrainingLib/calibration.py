"""Probabilities that mean what they say (temperature scaling, Guo 2017), and the probability at which to decide."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

COLDEST, HOTTEST = 0.25, 10.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature T at which softmax(logits / T) has the least weighted cross-entropy.

    T stays within 0.25 to 10. Where every slice is classified correctly, colder is always better, and a small
    validation set would make the network surer than it has shown to be: T is at least 1 there. It is 1 where there
    is nothing to learn from: no slices, or all of one class.

    Args:
        logits: (n, C) on validation slices. For log-odds of two classes, stack zeros and the log-odds.
        labels: (n,) class indices.
        weights: (n,) importance of each slice; None counts all alike, and 0 leaves a slice out.

    Raises:
        ValueError: logits that are no table, not finite, or of another length than the labels.
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels, int)
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"Logits are a table (slices, classes) for {len(labels)} labels, not of shape {logits.shape}.")
    if not np.isfinite(logits).all():
        raise ValueError("Logits must be finite numbers: the network gave NaN or infinity.")
    weights = _weights(weights, labels)
    if len(np.unique(labels[weights > 0])) < 2:
        return 1.0

    def loss(log_t: float) -> float:
        right = np.take_along_axis(log_softmax(logits / np.exp(log_t), axis=1), labels[:, None], axis=1)[:, 0]
        return -float(np.average(right, weights=weights))

    best = minimize_scalar(loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded", options={"xatol": 1e-6})
    if loss(0.0) <= best.fun:  # equally good everywhere: logits that say nothing
        return 1.0
    perfect = (logits.argmax(axis=1) == labels)[weights > 0].all()
    return float(np.clip(np.exp(best.x), 1.0 if perfect else COLDEST, HOTTEST))


def choose_threshold(probability: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The probability at which sensitivity and specificity have the largest sum (Youden's index).

    It lies in the middle between two neighboring probabilities; of equally good ones the nearest to one half is
    taken. It stays within 0.05 to 0.95, and is one half where only one class is present or no threshold beats chance.

    Args:
        probability: (n,) of the positive class on validation slices.
        truth: (n,) above 0 for the positive class.
        weights: (n,) importance of each slice; None counts all alike.
    """
    probability, positive = np.asarray(probability, float), np.asarray(truth) > 0
    weights = _weights(weights, positive)
    values, place = np.unique(probability, return_inverse=True)
    found, alarms = (np.bincount(place, weights * here, len(values)) for here in (positive, ~positive))
    if len(values) < 2 or not found.sum() or not alarms.sum():
        return 0.5
    # entry i: what lies above the gap between values i and i + 1
    sensitivity = 1 - np.cumsum(found)[:-1] / found.sum()
    specificity = np.cumsum(alarms)[:-1] / alarms.sum()
    index = sensitivity + specificity - 1
    if index.max() <= 1e-9:
        return 0.5
    middles = (values[:-1] + values[1:]) / 2
    best = middles[index >= index.max() - 1e-9]
    return float(np.clip(best[np.argmin(np.abs(best - 0.5))], 0.05, 0.95))


def _weights(weights: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.ones(len(like)) if weights is None else np.asarray(weights, float)
