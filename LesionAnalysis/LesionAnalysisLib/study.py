"""From slices to the study: one probability for a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_UPPER_SHARE, _FEWEST = 0.1, 3


def sigmoid(log_odds):
    """Probability from log-odds, a number or an array; without overflow for extreme ones."""
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -60.0, 60.0)))


def study_probability(log_odds: Sequence[float], calibration: Mapping[str, Any]) -> float | None:
    """Probability of the study: sigmoid(scale * mean of the upper tenth of the slices' log-odds + offset).

    COVID-19 need not be seen in every slice, and one odd slice must not decide; so the tenth of the lung
    slices with the highest log-odds speak (at least three of them, or all where there are fewer).

    The highest of many slices is high by chance, too: in a long scan without disease, the upper tenth holds its few
    false alarms. ``chance`` is what they reach there; of n slices (more than three), chance (1 - 3 / n) is taken
    away, so that a single picture keeps its own probability and 20 and 600 slices are judged alike.

    Args:
        log_odds: of the lung slices.
        calibration: ``scale`` (1 if missing), ``offset`` and ``chance`` (0 if missing) of the model.

    Returns:
        None where there is no lung slice.
    """
    if not len(log_odds):
        return None
    count = max(_FEWEST, round(_UPPER_SHARE * len(log_odds)))
    mean = float(np.mean(np.sort(log_odds)[::-1][:count]))
    chance = calibration.get("chance", 0.0) * (1 - min(1.0, _FEWEST / len(log_odds)))
    logit = calibration.get("scale", 1.0) * (mean - chance) + calibration.get("offset", 0.0)
    return float(sigmoid(logit))
