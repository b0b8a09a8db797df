"""Splits that keep the slices of one patient on one side (METHOD, "Training")."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .dataset import TRAIN, VALIDATION, Sample


def split_by_patient(samples: list[Sample], validation_share: float = 0.1, seed: int = 0) -> list[Sample]:
    """Give every sample without a split to ``train`` or ``val``, patient by patient, stratified by source.

    Patients are drawn in random order until ``validation_share`` of a source's slices is reached; a patient
    with more than twice that share stays in training, so that no single patient is the validation.

    Raises:
        ValueError: a patient has slices in two splits already.
    """
    sides: dict[str, set[str]] = {}
    for s in samples:
        if s.split:
            sides.setdefault(s.patient, set()).add(s.split)
    torn = sorted(p for p, splits in sides.items() if len(splits) > 1)
    if torn:
        raise ValueError(f"The slices of patient {torn[0]} lie in two splits: keep each patient on one side.")
    rng = np.random.default_rng(seed)
    chosen: dict[str, str] = {p: next(iter(splits)) for p, splits in sides.items()}
    groups = sorted({(s.source, s.label) for s in samples if not s.split})
    for source, label in groups:
        members = [s for s in samples if (s.source, s.label) == (source, label) and not s.split]
        patients = sorted({s.patient for s in members} - set(chosen))
        rng.shuffle(patients)
        wanted, taken = validation_share * len(members), 0
        for patient in patients:
            count = sum(s.patient == patient for s in members)
            take = taken + count <= 1.5 * wanted and taken < wanted and count <= 2 * wanted
            chosen[patient] = VALIDATION if take else TRAIN
            taken += count if take else 0
    return [replace(s, split=chosen[s.patient]) for s in samples]
