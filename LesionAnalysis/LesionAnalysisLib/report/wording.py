"""What the numbers mean, in words that claim no more than a network can know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..results import Analysis

# Upper limits of each phrase; the words speak of likeness to training examples, never of the patient.
_PHRASES = (
    (0.10, "Slices do not resemble {name} training examples"),
    (0.35, "Slices hardly resemble {name} training examples"),
    (0.65, "Undecided: slices resemble {name} training examples no more than others"),
    (0.90, "Slices resemble {name} training examples"),
    (1.01, "Slices strongly resemble {name} training examples"),
)
_NEGATIVE_WORDS = ("normal", "negative", "healthy", "other", "non", "no ")


def positive_class(analysis: Analysis) -> str:
    """Name of the class that the probabilities are about."""
    model = analysis.model
    classes = [str(name) for name in model.get("classes", ())]
    positive = model.get("positive")
    if isinstance(positive, str):
        return positive
    if isinstance(positive, int) and not isinstance(positive, bool) and 0 <= positive < len(classes):
        return classes[positive]
    if analysis.summary.positive and analysis.summary.diagnosis:
        return analysis.summary.diagnosis
    named = [name for name in classes if not name.casefold().startswith(_NEGATIVE_WORDS)]
    return named[-1] if named else "COVID-19"


def probability_words(probability: float | None, name: str = "COVID-19") -> str:
    """A probability (0..1, or None where nothing could be assessed) as a sentence without a full stop."""
    if probability is None:
        return "Not assessed: no slice shows enough lung"
    return next(text for limit, text in _PHRASES if probability < limit).format(name=name)


def threshold_of(config: Mapping[str, Any]) -> float:
    """The probability from which a slice counts as positive."""
    value = config.get("threshold", 0.5)
    return float(value) if isinstance(value, (int, float)) else 0.5
