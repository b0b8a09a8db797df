"""Folders of slices -> samples with class and patient.

Each folder is a source. It holds a ``manifest.csv``, or a folder for each class, in these a folder for each patient.
Volumes may have labels for their slices in ``slice_labels.csv``.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from LesionAnalysisLib.text import utf8_safe
from LesionAnalysisLib.volume.dicom import is_dicom, read_header
from LesionAnalysisLib.volume.images import IMAGE_SUFFIXES

from .checks import refuse_mixed_patients, refuse_patients_across_splits, refuse_same_names
from .class_names import NUMBERS, name_numbers, order_classes
from .data_files import data_files, is_hidden, is_volume, listed
from .manifest import MANIFEST, SLICE_LABELS, Entry, read_manifest, read_slice_labels
from .samples import Sample

_HOW = f"put the slices into a folder for each class, or list them in {MANIFEST}"


@dataclass(frozen=True)
class Layout:
    """The samples of folders. ``positive`` is the index of the disease, the last class; ``notes`` are for the user."""

    classes: tuple[str, ...]
    positive: int
    samples: list[Sample]
    notes: list[str]


@dataclass
class _Found:
    """The entries of one folder, before the classes have indices."""

    entries: list[Entry]
    bare_folders: set[str] = field(default_factory=set)  # that hold only volumes with slice labels
    notes: list[str] = field(default_factory=list)


def read_layout(folders: Sequence[str | os.PathLike], disease: str | None = None,
                mixed_patients: bool = False) -> Layout:  # fmt: skip
    """The samples of all ``folders``; no file is decoded.

    ``disease`` names the class whose lesions are mapped; None: the one named like COVID-19.
    ``mixed_patients`` allows patients with slices in several classes. Raises ValueError if something is missing,
    ambiguous or contradictory, in one sentence with the names.
    """
    found = [_read_folder(folder, source) for folder, source in _sources(folders)]
    entries = [entry for part in found for entry in part.entries]
    notes = [note for part in found for note in part.notes]
    bare = set().union(*(part.bare_folders for part in found))
    by_number = {e.label for e in entries if e.by_slice and e.label in NUMBERS}
    named = {e.label for e in entries if not (e.by_slice and e.label in NUMBERS)}
    named, meaning = name_numbers(named, bare, by_number, disease)
    classes = order_classes(named, disease)
    entries = [replace(e, label=meaning.get(e.label, e.label)) if e.by_slice else e for e in entries]
    refuse_patients_across_splits(entries)
    if not mixed_patients:
        refuse_mixed_patients(entries)
    samples = [Sample(str(e.path), classes.index(e.label), f"{e.source}/{e.patient}", e.source, e.split, e.slice,
                      e.patient_known) for e in entries]  # fmt: skip
    whole = [s for s in samples if s.slice is None and is_volume(s.path)]
    return Layout(classes, len(classes) - 1, samples, notes + whole_volume_notes(whole, classes))


def whole_volume_notes(samples: Sequence[Sample], classes: Sequence[str]) -> list[str]:
    """Notes on files of several slices with one label for all; ``samples`` are of such files."""
    notes = []
    for label, count in sorted(Counter(label for _, label in {(s.path, s.label) for s in samples}).items()):
        name = classes[label]
        effect = (f"slices without lesions are trained as {name} too, which {SLICE_LABELS} would avoid"
                  if label == len(classes) - 1 else f"all of their slices count as {name}")  # fmt: skip
        notes.append(f"{count} volume{'s' if count > 1 else ''} of the class {name} without slice labels: {effect}.")
    return notes


def _sources(folders: Sequence[str | os.PathLike]) -> list[tuple[Path, str]]:
    """Each folder with the name of its source; folders of equal name get a number."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    missing = [path for path in paths if not path.is_dir()]
    if not paths or missing:
        raise ValueError(f"There is no folder {listed(missing)}: check the path." if missing
                         else "No folder with slices is given.")  # fmt: skip
    real = [path.resolve() for path in paths]
    twice = [p for p, r in zip(paths, real, strict=True) if real.count(r) > 1 or set(r.parents) & set(real)]
    if twice:
        raise ValueError(f"The slices of {listed(twice)} are given twice: give each folder once, and none of its "
                         "subfolders.")  # fmt: skip
    numbers = [[p.name for p in paths[: i + 1]].count(path.name) for i, path in enumerate(paths)]
    return [(path, utf8_safe(path.name or "data") + (f" ({number})" if number > 1 else ""))
            for path, number in zip(paths, numbers, strict=True)]  # fmt: skip


def _read_folder(folder: Path, source: str) -> _Found:
    files, others = data_files(folder)
    labels = read_slice_labels(folder, [path for path in files if is_volume(path)])
    if (folder / MANIFEST).is_file():
        found, others = _Found(read_manifest(folder, source)), 0
    else:
        found = _read_class_folders(folder, source, files, labels)
        others -= (folder / SLICE_LABELS).is_file()
    found.entries = _with_slice_labels(folder, source, found.entries, labels)
    if others > 0:
        found.notes.append(f"Ignored in {source}: {others} other file{'s' if others > 1 else ''} without slices.")
    if not found.entries:
        raise ValueError(f"The folder {source} holds no labeled slices: {_HOW}.")
    return found


def _read_class_folders(folder: Path, source: str, files: list[Path], labels: dict) -> _Found:
    """Each file of the class folders as an entry, volumes with slice labels included."""
    parts = {path: path.relative_to(folder).parts for path in files}
    held: dict[str, list[Path]] = {}
    for path in files:
        held.setdefault(parts[path][0] if len(parts[path]) > 1 else "", []).append(path)
    loose = [path for path in held.pop("", []) if path not in labels]
    tops = sorted(e.name for e in os.scandir(folder) if e.is_dir() and not is_hidden(e.name))
    bare = {top for top in held if all(path in labels for path in held[top])}
    if not held and not labels:
        raise ValueError(f"The folder {source} holds no slices in folders of their classes: {_HOW}.")
    empty = [top for top in tops if top not in held]
    if empty:
        raise ValueError(f"There are no slices in {listed(f'{source}/{top}' for top in empty)}: each folder is a "
                         "class, so fill or remove it.")  # fmt: skip
    entries = [_entry(path, parts[path], source) for top in sorted(set(held) - bare) for path in held[top]]
    refuse_same_names(folder, entries)
    found = _Found(entries, bare)
    if loose:
        found.notes.append(f"Ignored in {source}: files outside of the class folders "
                           f"({listed(p.name for p in loose)}).")  # fmt: skip
    unknown = sum(not e.patient_known for e in entries)
    if unknown:
        found.notes.append(f"{unknown} files in {source} are directly in class folders: their patients are unknown, so "
                           "each counts as a patient, and similar ones count as one.")  # fmt: skip
    return found


def _entry(path: Path, parts: tuple[str, ...], source: str) -> Entry:
    """A file of a class folder: ``parts`` are class, patient and so on, or class and file."""
    if len(parts) > 2:
        return Entry(path, parts[0], parts[1], source)
    patient = None if path.name.lower().endswith(IMAGE_SUFFIXES) or is_volume(path) else _dicom_patient(path)
    return Entry(path, parts[0], patient or "/".join(parts), source, patient_known=patient is not None)


def _dicom_patient(path: Path) -> str | None:
    """A pseudonym that is the same for all files of a patient."""
    header = read_header(path) if is_dicom(path) else None
    identity = header.tags.get("0010|0020", "") if header else ""
    return "id-" + hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:10] if identity else None


def _with_slice_labels(folder: Path, source: str, entries: list[Entry], labels: dict) -> list[Entry]:
    """Replace the label of each volume with slice labels by these, wherever the volume is."""
    twice = sorted({e.path.relative_to(folder) for e in entries if e.slice is not None and e.path in labels})
    if twice:
        raise ValueError(f"Both {MANIFEST} and {SLICE_LABELS} label slices of {listed(twice)}: keep one of them.")
    known = {e.path: e for e in entries}
    kept = [e for e in entries if e.path not in labels]
    for path, rows in labels.items():
        parts = path.relative_to(folder).parts
        whole = known.get(path) or Entry(path, "", parts[1] if len(parts) > 2 else "/".join(parts), source,
                                         patient_known=len(parts) > 2)  # fmt: skip
        kept += [replace(whole, slice=index, label=label, by_slice=True) for index, label in rows if label]
    return kept
