"""What detection found in one slice."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..metrics.detection_metrics import SliceCounts


@dataclass(eq=False)
class Found:
    """What was counted so far; lists run over the slices with lesions."""

    counts: dict[tuple[str, str], list[SliceCounts]]  # by method and step
    ceilings: dict[str, list[SliceCounts]] = field(default_factory=dict)  # by name; the grid in use comes first
    missed: list[SliceCounts] = field(default_factory=list)  # as if nothing were shown
    positive: list[bool] = field(default_factory=list)  # whether the model calls the slice positive
    patients: list[str] = field(default_factory=list)
    judged: list[tuple[str, float, bool]] = field(default_factory=list)  # every slice: patient, probability, lesions
