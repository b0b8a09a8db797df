"""Calibration on validation slices: temperature (Guo 2017), threshold, and the study rule's correction for chance."""

from __future__ import annotations

import numpy as np
from LesionAnalysisLib.study import study_probability
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logit

MIN_PATIENTS = 20  # without the disease, for ``chance_log_odds``: as many as a short study has slices
_LOWEST, _HIGHEST = 0.25, 10.0  # temperature
_STUDY_SLICES = (20, 200)
_STUDIES, _QUANTILE = 2000, 0.95


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature T at which softmax(logits / T) has the least weighted cross-entropy.

    T stays within 0.25 to 10. Where every slice is classified correctly, a lower T is always better, and a small
    validation set would make the network overconfident: T is at least 1 there. It is 1 where there is nothing to fit:
    no slices, or all of one class.

    Args:
        logits: (n, C) of validation slices. For log-odds of two classes, stack zeros and the log-odds.
        labels: (n,) class indices.
        weights: (n,) of the slices; None weighs all equally, and 0 leaves a slice out.

    Raises:
        ValueError: logits that are not finite or not of shape (n, C).
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels, int)
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"Logits must have the shape (slices, classes) for {len(labels)} labels, not {logits.shape}.")
    if not np.isfinite(logits).all():
        raise ValueError("Logits must be finite: the network returned NaN or infinity.")
    weights = _weights(weights, labels)
    if len(np.unique(labels[weights > 0])) < 2:
        return 1.0

    def loss(log_t: float) -> float:
        likelihood = np.take_along_axis(log_softmax(logits / np.exp(log_t), axis=1), labels[:, None], axis=1)[:, 0]
        return -float(np.average(likelihood, weights=weights))

    best = minimize_scalar(loss, bounds=np.log([_LOWEST, _HIGHEST]), method="bounded", options={"xatol": 1e-6})
    if loss(0.0) <= best.fun:  # equally good everywhere: uninformative logits
        return 1.0
    perfect = (logits.argmax(axis=1) == labels)[weights > 0].all()
    return float(np.clip(np.exp(best.x), 1.0 if perfect else _LOWEST, _HIGHEST))


def choose_threshold(probability: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The probability that maximizes the sum of sensitivity and specificity (Youden's index).

    It lies midway between two neighboring probabilities; of equally good ones the nearest to 0.5 is taken. It stays
    within 0.05 to 0.95, and is 0.5 where only one class is present or no threshold beats chance.

    Args:
        probability: (n,) of the positive class on validation slices.
        truth: (n,) above 0 for the positive class.
        weights: (n,) of the slices; None weighs all equally.
    """
    probability, positive = np.asarray(probability, float), np.asarray(truth) > 0
    weights = _weights(weights, positive)
    values, place = np.unique(probability, return_inverse=True)
    positives, negatives = (np.bincount(place, weights * here, len(values)) for here in (positive, ~positive))
    if len(values) < 2 or not positives.sum() or not negatives.sum():
        return 0.5
    # entry i: with the threshold between values i and i + 1
    sensitivity = 1 - np.cumsum(positives)[:-1] / positives.sum()
    specificity = np.cumsum(negatives)[:-1] / negatives.sum()
    index = sensitivity + specificity - 1
    if index.max() <= 1e-9:
        return 0.5
    midpoints = (values[:-1] + values[1:]) / 2
    best = midpoints[index >= index.max() - 1e-9]
    return float(np.clip(best[np.argmin(np.abs(best - 0.5))], 0.05, 0.95))


def chance_log_odds(log_odds: np.ndarray, patients: np.ndarray, seed: int = 0) -> float:
    """The log-odds that studies without the disease reach by chance: ``chance`` of ``study_probability``.

    95 % of random studies of 20 to 200 slices stay below it with the mean of their upper tenth. Each slice is of a
    patient drawn with replacement, so that patients count equally however many slices they have. It is 0 with fewer
    than ``MIN_PATIENTS`` patients, and never negative.

    Args:
        log_odds: (n,) of validation slices without the disease, divided by the temperature.
        patients: (n,) names, unique over all sources.
    """
    names, codes = np.unique(patients, return_inverse=True)
    if len(names) < MIN_PATIENTS:
        return 0.0
    rng = np.random.default_rng(seed)
    order = np.argsort(codes, kind="stable")
    log_odds, counts = np.asarray(log_odds, float)[order], np.bincount(codes)
    first = np.cumsum(counts) - counts
    probabilities = []
    for _ in range(_STUDIES):
        drawn = rng.integers(len(names), size=rng.integers(_STUDY_SLICES[0], _STUDY_SLICES[1] + 1))
        probabilities.append(study_probability(log_odds[first[drawn] + rng.integers(counts[drawn])], {}))
    return max(0.0, float(np.quantile(logit(np.clip(probabilities, 1e-12, 1 - 1e-12)), _QUANTILE)))


def _weights(weights: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.ones(len(like)) if weights is None else np.asarray(weights, float)
