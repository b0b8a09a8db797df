"""What must not be trained on: patients on both sides of something, files that may be the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .data_files import listed, stem
from .manifest import Entry


def refuse_same_names(folder: Path, entries: Sequence[Entry]) -> None:
    """Refuse ``a.png`` beside ``a.jpg``, and in two classes where no folder says whose they are.

    Raises:
        ValueError: two files of one name.
    """
    groups = defaultdict(list)
    for entry in entries:
        relative = entry.path.relative_to(folder)
        place = None if len(relative.parts) == 2 else relative.parent
        groups[place, stem(entry.path)].append(relative.as_posix())
    same = [names for names in groups.values() if len(names) > 1]
    if same:
        pairs = (" and ".join(names[:2]) for names in same)
        raise ValueError(f"There are two files of one name, which may be the same slice ({listed(pairs)}): remove or "
                         "rename one, or put the files into a folder for every patient.")  # fmt: skip


def refuse_mixed_patients(entries: Sequence[Entry]) -> None:
    """Refuse patients in several classes; those of volumes with slice labels are exempt.

    Raises:
        ValueError: a patient has slices in two classes.
    """
    examples = _sides((e.source, e.patient, e.label, e.path.name) for e in entries if not e.by_slice)
    if examples:
        raise ValueError(f"Slices of one patient lie in two classes ({listed(examples)}): give different patients "
                         "different names, or allow it with --mixed-patients.")  # fmt: skip


def refuse_torn_patients(entries: Sequence[Entry]) -> None:
    """Refuse patients whose slices are to be trained on and tested with.

    Raises:
        ValueError: a patient has slices in two splits.
    """
    examples = _sides((e.source, e.patient, e.split, e.path.name) for e in entries if e.split)
    if examples:
        raise ValueError(f"Slices of one patient lie in two splits ({listed(examples)}): keep each patient on one "
                         "side.")  # fmt: skip


def _sides(rows) -> list[str]:
    """For every patient on two sides its name and a file on each, from (source, patient, side, file)."""
    files: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for source, patient, side, name in rows:
        files[source, patient].setdefault(side, name)
    return [
        f"{source}/{patient} with " + " and ".join(f"{name} in {side}" for side, name in list(sides.items())[:2])
        for (source, patient), sides in files.items()
        if len(sides) > 1
    ]
