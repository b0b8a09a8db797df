"""A labeled slice, and how many there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass(frozen=True)
class Sample:
    """One labeled slice."""

    path: str
    label: int  # index of the class
    patient: str  # "source/patient", unique over all sources
    source: str
    split: str | None = None
    slice: int | None = None  # along the axial stack in stored order, as in analysis.json; None: the file's only one
    patient_known: bool = True  # False: the file stands for a patient, because nothing says whose it is


def describe(samples: Sequence[Sample], classes: Sequence[str]) -> str:
    """Counts of slices and patients by split, source and class, one line each, for people to read."""
    counts, patients = defaultdict(Counter), defaultdict(set)
    for s in samples:
        counts[s.split or "", s.source][s.label] += 1
        patients[s.split or "", s.source].add(s.patient)
    width = max([18, *(len(source) for _, source in counts)])
    lines = []
    for (split, source), count in sorted(counts.items()):
        words = ", ".join(f"{count[c]} {name}" for c, name in enumerate(classes))
        lines.append(f"{split:6} {source:{width}} {len(patients[split, source]):4} patients: {words}")
    return "\n".join(lines)
