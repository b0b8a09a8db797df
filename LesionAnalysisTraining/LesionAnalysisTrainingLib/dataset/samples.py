"""A labeled slice, and counts of them."""

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
    slice: int | None = None  # along the axial stack as stored, as in analysis.json; None: the only one of its file
    patient_known: bool = True  # False: the file counts as a patient, because its patient is unknown


def by_file(samples: Sequence[Sample]) -> tuple[list[list[int]], list[tuple[str, list[int | None]]]]:
    """Work by file, each read once: the positions of its samples, and its path with their slice numbers."""
    places: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        places[sample.path].append(i)
    return list(places.values()), [(path, [samples[i].slice for i in rows]) for path, rows in places.items()]


def describe(samples: Sequence[Sample], classes: Sequence[str]) -> str:
    """Counts of slices and patients by class, one line for each split and source, for the log."""
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
