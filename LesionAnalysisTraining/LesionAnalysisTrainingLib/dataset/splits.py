"""Splits by patient (docs/method.md, "Training"), and the paper's split by slice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .data_files import listed
from .samples import TEST, TRAIN, VALIDATION, Sample

_NEEDED = (TRAIN, VALIDATION)  # splits in which every class must have a slice
_NAMES = {TRAIN: "training", VALIDATION: "validation"}


@dataclass
class _Patients:
    """Every patient's slices by class, and split."""

    counts: dict[str, Counter]
    split: dict[str, str]
    free: set[str]  # patients without a given split

    def of(self, label: int, split: str | None = None) -> list[str]:
        """Patients with slices of a class, of one split or of all."""
        return [p for p, own in self.split.items() if split in (None, own) and self.counts[p][label]]


def split_by_patient(samples: Sequence[Sample], validation_share: float = 0.15, test_share: float = 0.0,
                     seed: int = 0, classes: Sequence[str] | None = None) -> list[Sample]:  # fmt: skip
    """Assign every sample without a split to ``train``, ``val`` or ``test``, patient by patient.

    Patients are drawn in random order until the shares of the slices of a source and class are reached; a patient
    with more than twice a share stays in training, so that validation never consists of a single patient. Where that
    leaves a class without a patient, the one with its fewest slices moves. ``classes`` are the names for messages.
    Raises ValueError if a patient has slices in two splits already, or a class cannot be in both training and
    validation.
    """
    given: dict[str, str] = {}
    divided = {s.patient for s in samples if s.split and given.setdefault(s.patient, s.split) != s.split}
    if divided:
        raise ValueError(f"Slices of {listed(sorted(divided))} are in two splits: keep each patient in one split.")
    strata, counts = defaultdict(Counter), defaultdict(Counter)
    for s in samples:
        counts[s.patient][s.label] += 1
        strata[s.patient][s.source, s.label] += 1
    members = defaultdict(list)  # patients to be split, by the source and class of most of their slices
    for patient in sorted(set(counts) - set(given)):
        members[min(strata[patient], key=lambda k, c=strata[patient]: (-c[k], k))].append(patient)
    rng = np.random.default_rng(seed)
    split = dict(given)
    for stratum in sorted(members):
        split |= _draw(members[stratum], counts, {VALIDATION: validation_share, TEST: test_share}, rng)
    _complete(_Patients(counts, split, set(counts) - set(given)), _named(samples, classes))
    return [replace(s, split=split[s.patient]) for s in samples]


def split_at_random(samples: Sequence[Sample], validation_share: float = 0.15, test_share: float = 0.0,
                    seed: int = 0, classes: Sequence[str] | None = None) -> list[Sample]:  # fmt: skip
    """The paper's split, slice by slice within each class, so that patients leak between splits; given ones are kept.

    Raises ValueError if a class has too few slices for both training and validation.
    """
    rng = np.random.default_rng(seed)
    done = list(samples)
    for label, name in _named(samples, classes).items():
        free = np.array([i for i, s in enumerate(samples) if s.label == label and not s.split], int)
        rng.shuffle(free)
        given = {s.split for s in samples if s.label == label and s.split}
        tests = round(test_share * len(free))
        validations = round(validation_share * len(free))
        if VALIDATION not in given and len(free) > 1:
            validations = max(1, validations)
        if TRAIN not in given:
            tests = max(0, min(tests, len(free) - validations - 1))
        for k, i in enumerate(free):
            split = VALIDATION if k < validations else TEST if k < validations + tests else TRAIN
            done[i] = replace(samples[i], split=split)
        missing = [split for split in _NEEDED if not any(s.label == label and s.split == split for s in done)]
        if missing:
            raise ValueError(f"The class {name} has no slice for {_NAMES[missing[0]]}: add slices of it, or "
                             "change the column split.")  # fmt: skip
    return done


def _named(samples: Sequence[Sample], classes: Sequence[str] | None) -> dict[int, str]:
    labels = sorted({s.label for s in samples})
    return {label: classes[label] if classes else str(label) for label in labels}


def _draw(patients: list[str], counts: dict[str, Counter], shares: dict[str, float], rng) -> dict[str, str]:
    """Splits of the ``patients`` of one source and class."""
    sizes = {p: counts[p].total() for p in patients}
    wanted = {split: share * sum(sizes.values()) for split, share in shares.items()}
    taken, splits = Counter(), {}
    for k in rng.permutation(len(patients)):
        patient = patients[k]
        size = sizes[patient]
        splits[patient] = next((split for split, want in wanted.items() if taken[split] < want
                                and taken[split] + size <= 1.5 * want and size <= 2 * want), TRAIN)  # fmt: skip
        taken[splits[patient]] += size
    return splits


def _complete(patients: _Patients, names: dict[int, str]) -> None:
    """Move patients until every class is in both training and validation."""
    for label, name in names.items():
        if len(owners := patients.of(label)) < 2:
            raise ValueError(f"The class {name} has slices of one patient only ({listed(owners)}): training and "
                             "validation need one each, so add slices of another patient.")  # fmt: skip
    for _ in range(2 * len(names) + 1):  # a move may undo an earlier one
        gaps = [(label, split) for label in names for split in _NEEDED if not patients.of(label, split)]
        if not gaps:
            return
        for label, split in gaps:
            if not patients.of(label, split):  # an earlier move may have brought one
                _move(patients, label, split, names)
    raise ValueError("The classes share so few patients that no split has all classes in both training and validation: "
                     "add patients.")  # fmt: skip


def _move(patients: _Patients, label: int, split: str, names: dict[int, str]) -> None:
    """Move the patient with the fewest slices of a class to ``split``, preferably one that leaves no new gap."""
    movable = patients.free.intersection(patients.of(label))
    if not movable:
        raise ValueError(f"The given splits leave the class {names[label]} without a patient in {_NAMES[split]} (it "
                         f"has {listed(patients.of(label))}): change the column split.")  # fmt: skip
    only = Counter(found[0] for c in names for s in _NEEDED if len(found := patients.of(c, s)) == 1)
    patients.split[min(movable, key=lambda p: (only[p], patients.counts[p][label], p))] = split
