"""Temperature scaling: probabilities that mean what they say (Guo 2017)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar


def fit_temperature(log_odds: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature T at which sigmoid(log_odds / T) has the least weighted cross-entropy.

    Args:
        log_odds: (n,) of the positive class on validation slices.
        truth: (n,) 1 for the positive class.
        weights: (n,) importance of each slice; None counts all alike.
    """
    sign = np.where(truth > 0, 1.0, -1.0)
    weights = np.ones(len(sign)) if weights is None else weights

    def loss(log_t: float) -> float:
        return float(np.average(np.logaddexp(0.0, -sign * log_odds / np.exp(log_t)), weights=weights))

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
