"""The probability of the study, from those of its slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

_UPPER_SHARE, _FEWEST = 0.1, 3


def study_probability(log_odds: Sequence[float], calibration: Mapping[str, Any]) -> float | None:
    """Probability of the study: expit(scale * mean of the upper tenth of the slices' log-odds + offset).

    COVID-19 need not show in every slice, and a single slice must not decide; hence the tenth of the lung slices with
    the highest log-odds (at least three, or all where there are fewer).

    The maximum of many slices is high by chance, too: in a long scan without disease, the upper tenth consists of its
    few false positives. ``chance`` is the mean that they reach. To correct for the number n of slices (more than
    three), chance (1 - 3 / n) is subtracted; a single slice keeps its own probability, and scans of 20 and of 600
    slices are comparable.

    Args:
        log_odds: of the lung slices.
        calibration: the model's ``scale`` (default 1), ``offset`` and ``chance`` (default 0).

    Returns:
        None without lung slices.
    """
    if not len(log_odds):
        return None
    count = max(_FEWEST, round(_UPPER_SHARE * len(log_odds)))
    mean = float(np.mean(np.sort(log_odds)[::-1][:count]))
    chance = calibration.get("chance", 0.0) * (1 - min(1.0, _FEWEST / len(log_odds)))
    logit = calibration.get("scale", 1.0) * (mean - chance) + calibration.get("offset", 0.0)
    return float(expit(logit))
