"""Words for the result of a study, true to the threshold that decided and claiming no more than a network can know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..results import Analysis

CLOSE = 0.05  # a study probability this near to the threshold is called close to it


def positive_class(analysis: Analysis) -> str:
    """Name of the class that the probabilities are about."""
    return str(analysis.model.get("positive", "COVID-19"))


def study_words(analysis: Analysis) -> str:
    """The study in a phrase without a full stop: positive or negative at the threshold, and whether it is close."""
    summary = analysis.summary
    if summary.probability is None:
        return "Not assessed: no slice shows enough lung to analyze"
    side = "Positive" if summary.positive else "Negative"
    words = f"{side} for opacities like those of {positive_class(analysis)}"
    # The tolerance is for decimal fractions: 0.55 - 0.5 is a little more than 0.05.
    if abs(summary.probability - threshold_of(analysis.config)) <= CLOSE + 1e-6:
        words += f", but close to the threshold (within {CLOSE})"
    return words


def threshold_of(config: Mapping[str, Any]) -> float:
    """The probability from which a slice and a study count as positive."""
    value = config.get("threshold", 0.5)
    return float(value) if isinstance(value, (int, float)) else 0.5
