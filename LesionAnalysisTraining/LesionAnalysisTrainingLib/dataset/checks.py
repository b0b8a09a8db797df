"""Refusal of data that must not be trained on: patients in two classes or splits, files that may be equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from LesionAnalysisLib.volume.readers import case_name

from .data_files import listed
from .manifest import Entry


def refuse_same_names(folder: Path, entries: Sequence[Entry]) -> None:
    """Raise ValueError for ``a.png`` beside ``a.jpg``, and for equal names in two classes without patient folders."""
    groups = defaultdict(list)
    for entry in entries:
        relative = entry.path.relative_to(folder)
        place = None if len(relative.parts) == 2 else relative.parent
        stem = case_name(entry.path).casefold().removesuffix(".dcm")  # the same for a.png and A.nii.gz
        groups[place, stem].append(relative.as_posix())
    same = [names for names in groups.values() if len(names) > 1]
    if same:
        pairs = (" and ".join(names[:2]) for names in same)
        raise ValueError(f"Two files have the same name and may be the same slice ({listed(pairs)}): remove or rename "
                         "one, or put the files into a folder for each patient.")  # fmt: skip


def refuse_mixed_patients(entries: Sequence[Entry]) -> None:
    """Raise ValueError if a patient has slices in two classes; volumes with slice labels are exempt."""
    examples = _in_two_groups((e.source, e.patient, e.label, e.path.name) for e in entries if not e.by_slice)
    if examples:
        raise ValueError(f"Slices of one patient are in two classes ({listed(examples)}): give different patients "
                         "different names, or allow it with --mixed-patients.")  # fmt: skip


def refuse_patients_across_splits(entries: Sequence[Entry]) -> None:
    """Raise ValueError if a patient has slices in two splits."""
    examples = _in_two_groups((e.source, e.patient, e.split, e.path.name) for e in entries if e.split)
    if examples:
        raise ValueError(f"Slices of one patient are in two splits ({listed(examples)}): give each patient a single "
                         "split.")  # fmt: skip


def _in_two_groups(rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Each patient in two groups, with a file of each, from (source, patient, group, file)."""
    files: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for source, patient, group, name in rows:
        files[source, patient].setdefault(group, name)
    return [
        f"{source}/{patient} with " + " and ".join(f"{name} in {group}" for group, name in list(groups.items())[:2])
        for (source, patient), groups in files.items()
        if len(groups) > 1
    ]
