"""Figures of section 4.3.1, one number each."""

from __future__ import annotations

import numpy as np

from . import weighted


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one class is present."""
    return float(weighted.auc(*weighted.cumulative(truth, score, _once(truth)))[0])


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; NaN where only one class is present."""
    return float(weighted.average_precision(*weighted.cumulative(truth, score, _once(truth)))[0])


def accuracy(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Share of slices on the right side of ``threshold``; NaN where there are none."""
    return _rate("accuracy", truth, score, threshold)


def sensitivity(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Share of the positives that are found, also called recall; NaN where there are none."""
    return _rate("sensitivity", truth, score, threshold)


def specificity(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Share of the negatives that are called so; NaN where there are none."""
    return _rate("specificity", truth, score, threshold)


def precision(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Share of right ones among the slices called positive; NaN where none is."""
    return _rate("precision", truth, score, threshold)


def f1(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> float:
    """Harmonic mean of precision and sensitivity; NaN where nothing is positive nor called so."""
    return _rate("f1", truth, score, threshold)


def brier(truth: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared error of the probability, 0 at best; 0.25 for always saying one half."""
    return float(weighted.brier(truth, probability, _once(truth))[0])


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Numbers of slices, (C, C): rows are the true class, columns the predicted one.

    Args:
        truth: (n,) class indices.
        predicted: (n,) class indices.
        classes: C.
    """
    flat = np.asarray(truth, int) * classes + np.asarray(predicted, int)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def _once(truth: np.ndarray) -> np.ndarray:
    return np.ones((1, len(truth)))


def _rate(name: str, truth: np.ndarray, score: np.ndarray, threshold: float) -> float:
    return float(weighted.rates(truth, score, _once(truth), threshold)[name][0])
