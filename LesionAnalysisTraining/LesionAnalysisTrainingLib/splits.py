"""Splits that keep the slices of one patient on one side (METHOD, "Training"), and the paper's, which does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .dataset.data_files import listed
from .dataset.samples import TEST, TRAIN, VALIDATION, Sample

_NEEDED = (TRAIN, VALIDATION)  # where every class must have a slice
_NAMES = {TRAIN: "training", VALIDATION: "validation"}


@dataclass
class _Patients:
    """Slices of every patient by class, and on which side each patient stands."""

    counts: dict[str, Counter]
    side: dict[str, str]
    free: set[str]  # patients without a given split

    def on(self, side: str, label: int) -> list[str]:
        return [p for p, where in self.side.items() if where == side and self.counts[p][label]]


def split_by_patient(
    samples: Sequence[Sample], validation_share: float = 0.15, test_share: float = 0.0, seed: int = 0,
    classes: Sequence[str] | None = None,
) -> list[Sample]:  # fmt: skip
    """Give every sample without a split to ``train``, ``val`` or ``test``, patient by patient.

    Patients are drawn in random order until the shares of the slices of a source and class are reached; a patient
    with more than twice a share stays in training, so that no single patient is the validation. Where that leaves a
    class without a patient, the one with its fewest slices moves. ``classes`` are the names for messages.

    Raises:
        ValueError: a patient has slices in two splits already, or a class cannot be both trained and validated.
    """
    given: dict[str, str] = {}
    torn = {s.patient for s in samples if s.split and given.setdefault(s.patient, s.split) != s.split}
    if torn:
        raise ValueError(f"The slices of {listed(sorted(torn))} lie in two splits: keep each patient on one side.")
    strata, counts = defaultdict(Counter), defaultdict(Counter)
    for s in samples:
        counts[s.patient][s.label] += 1
        strata[s.patient][s.source, s.label] += 1
    members = defaultdict(list)  # patients to be split, by the source and class of most of their slices
    for patient in sorted(set(counts) - set(given)):
        members[min(strata[patient], key=lambda k, c=strata[patient]: (-c[k], k))].append(patient)
    rng = np.random.default_rng(seed)
    side = dict(given)
    for stratum in sorted(members):
        side |= _draw(members[stratum], counts, {VALIDATION: validation_share, TEST: test_share}, rng)
    patients = _Patients(counts, side, set(counts) - set(given))
    _complete(patients, _named(samples, classes))
    return [replace(s, split=side[s.patient]) for s in samples]


def split_at_random(
    samples: Sequence[Sample], validation_share: float = 0.15, test_share: float = 0.0, seed: int = 0,
    classes: Sequence[str] | None = None,
) -> list[Sample]:  # fmt: skip
    """The paper's split, slice by slice within each class: slices of one patient lie on several sides.

    Given splits are kept.

    Raises:
        ValueError: a class has too few slices for both training and validation.
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
        missing = [side for side in _NEEDED if not any(s.label == label and s.split == side for s in done)]
        if missing:
            raise ValueError(f"The class {name} has no slice for {_NAMES[missing[0]]}: add slices of it, or give it "
                             "some in the column split.")  # fmt: skip
    return done


def _named(samples: Sequence[Sample], classes: Sequence[str] | None) -> dict[int, str]:
    labels = sorted({s.label for s in samples})
    return {label: classes[label] if classes else str(label) for label in labels}


def _draw(patients: list[str], counts: dict[str, Counter], shares: dict[str, float], rng) -> dict[str, str]:
    """Sides of the ``patients`` of one source and class."""
    sizes = {p: sum(counts[p].values()) for p in patients}
    total = sum(sizes.values())
    wanted = {side: share * total for side, share in shares.items()}
    taken, sides = Counter(), {}
    for k in rng.permutation(len(patients)):
        patient = patients[k]
        size = sizes[patient]
        sides[patient] = next(
            (side for side, want in wanted.items()
             if taken[side] < want and taken[side] + size <= 1.5 * want and size <= 2 * want), TRAIN,
        )  # fmt: skip
        taken[sides[patient]] += size
    return sides


def _complete(patients: _Patients, names: dict[int, str]) -> None:
    """Move patients until every class is both in training and in validation."""
    for label, name in names.items():
        owners = [p for p in patients.side if patients.counts[p][label]]
        if len(owners) < 2:
            raise ValueError(f"The class {name} has slices of one patient only ({listed(owners)}): training and "
                             "validation need one each, so add slices of another patient.")  # fmt: skip
    for _ in range(2 * len(names)):  # a move may undo an earlier one
        gaps = [(label, side) for label in names for side in _NEEDED if not patients.on(side, label)]
        if not gaps:
            return
        for label, side in gaps:
            _fill(patients, label, side, names)
    if any(not patients.on(side, label) for label in names for side in _NEEDED):
        raise ValueError("The classes share so few patients that no split has all classes in training and in "
                         "validation: add patients.")  # fmt: skip


def _fill(patients: _Patients, label: int, side: str, names: dict[int, str]) -> None:
    """Bring the patient with the fewest slices of a class to a side that has none, if possible at no other's cost."""
    if patients.on(side, label):
        return  # an earlier move brought one
    movable = [p for p in patients.free if patients.counts[p][label]]
    if not movable:
        owners = [p for p in patients.side if patients.counts[p][label]]
        raise ValueError(f"The given splits leave the class {names[label]} without a patient in {_NAMES[side]} (it has "
                         f"{listed(owners)}): change the column split.")  # fmt: skip
    alone = {(c, where): held[0] for c in names for where in _NEEDED if len(held := patients.on(where, c)) == 1}

    def cost(p: str) -> tuple:
        breaks = sum(patient == p for patient in alone.values())
        return breaks, patients.counts[p][label], p

    patients.side[min(movable, key=cost)] = side
