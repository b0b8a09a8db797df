"""Figures of each class against the rest (table 3), and of three classes by threshold (table 8)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import weighted
from .bootstrap import Estimate, estimates, patients_by_class
from .detection_metrics import THRESHOLDS

_NEED_POSITIVES = ("sensitivity", "precision", "f1", "auc", "ap")  # no interval from a single patient of the class
_NEED_NEGATIVES = ("specificity", "precision", "auc", "ap")


def decide(probabilities: np.ndarray, positive: int, threshold: float) -> np.ndarray:
    """The class given to each slice, (n,): of two the threshold on the positive one decides, of more the largest."""
    table = np.asarray(probabilities, float)
    if table.shape[1] == 2:
        return np.where(table[:, positive] >= threshold, positive, 1 - positive)
    return table.argmax(axis=1)


def class_figures(truth_labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, positive: int,
                  threshold: float, rounds: int = 400, seed: int = 0) -> list[dict[str, Any]]:  # fmt: skip
    """For every class its ``slices`` and ``metrics`` (value, low, high), others being the negatives.

    accuracy, sensitivity, specificity, precision and f1 are those of the class that ``decide`` gives, auc and ap
    those of the probability.

    Args:
        truth_labels: (n,) class indices.
        probabilities: (n, C).
        patients: (n,) names.
        positive, threshold: as in ``decide``.
        rounds, seed: of the bootstrap over patients.
    """
    truth, table, patients = np.asarray(truth_labels, int), np.asarray(probabilities, float), np.asarray(patients)
    given = decide(table, positive, threshold)
    rows = []
    for c in range(table.shape[1]):
        here, called, score = truth == c, (given == c).astype(float), table[:, c]

        def statistics(w: np.ndarray, here=here, called=called, score=score) -> dict[str, np.ndarray]:
            counts = weighted.cumulative(here, score, w)
            return {**weighted.rates(here, called, w, 0.5), "auc": weighted.auc(*counts),
                    "ap": weighted.average_precision(*counts)}  # fmt: skip

        found = estimates(statistics, patients, rounds, seed)
        rows.append({"class": c, "slices": int(here.sum()), "metrics": _supported(found, here, patients)})
    return rows


def threshold_table(truth_labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Table 8: how many slices of each class are still recognized when that takes a probability of 0.1 to 0.9.

    The paper does not say what its accuracy of one type is. Its figures stay the same up to 0.4 and then fall, as the
    share of a type's slices does whose largest probability is the type's and reaches the threshold: ``recognized``,
    (C,). ``accuracy`` (C,) is that of the type against the rest by the same rule. NaN for a class without slices.
    """
    truth, table = np.asarray(truth_labels, int), np.asarray(probabilities, float)
    likeliest, classes = table.argmax(axis=1), range(table.shape[1])
    rows = []
    for threshold in THRESHOLDS:
        recognized, accuracy = [], []
        for c in classes:
            here, called = truth == c, (likeliest == c) & (table[:, c] >= threshold)
            recognized.append(float(weighted.divide(np.sum(called & here), np.sum(here))))
            accuracy.append(float(weighted.divide(np.sum(called == here), len(truth))))
        rows.append({"threshold": threshold, "recognized": recognized, "accuracy": accuracy})
    return rows


def _supported(found: dict[str, Estimate], here: np.ndarray, patients: np.ndarray) -> dict[str, dict]:
    """As plain values; without the intervals that rest on a single patient."""
    positives, negatives = patients_by_class(here, patients)
    lost = set(found) if len(np.unique(patients)) < 2 else set()
    lost |= set(_NEED_POSITIVES) if positives < 2 else set()
    lost |= set(_NEED_NEGATIVES) if negatives < 2 else set()
    return {name: (Estimate(one.value, np.nan, np.nan) if name in lost else one).to_dict()
            for name, one in found.items()}  # fmt: skip
