"""The tables that a user may add to slices: ``manifest.csv`` and ``slice_labels.csv``."""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from LesionAnalysisLib.text import utf8_safe

from .data_files import listed
from .samples import TEST, TRAIN, VALIDATION

MANIFEST, SLICE_LABELS = "manifest.csv", "slice_labels.csv"
_SPLITS = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Entry:
    """A labeled file, or one slice of it, before the classes have indices."""

    path: Path
    label: str
    patient: str  # without its source
    source: str
    split: str | None = None
    slice: int | None = None
    patient_known: bool = True
    by_slice: bool = False  # the label comes from slice_labels.csv


def read_manifest(folder: Path, source: str) -> list[Entry]:
    """The rows of ``folder``/manifest.csv; files are relative to ``folder``; ``source`` is the default source.

    Raises ValueError if it cannot be read, lacks a column, or a row is incomplete, wrong or repeated.
    """
    rows = _read(folder / MANIFEST, {"file", "label", "patient"})
    for column, what in (("file", "file"), ("label", "class"), ("patient", "patient")):
        empty = [f"row {number}" for number, row in rows if not row[column]]
        if empty:
            raise ValueError(f"{MANIFEST} names no {what} in {listed(empty)}: fill the column '{column}'.")
    paths = _locate(folder, MANIFEST, [row["file"] for _, row in rows])
    splits = [(row.get("split") or row.get("official_split") or "").casefold() for _, row in rows]
    unknown = sorted(set(splits) - {*_SPLITS, ""})
    if unknown:
        raise ValueError(f"{MANIFEST} has the unknown splits {listed(unknown)}: write train, val or test, or nothing.")
    entries = [Entry(path, row["label"], row["patient"], row.get("source") or row.get("dataset") or source,
                     _SPLITS.get(split), _index(MANIFEST, number, row.get("slice", "")))
               for (number, row), path, split in zip(rows, paths, splits, strict=True)]  # fmt: skip
    _refuse_repeats(MANIFEST, folder, [(e.path, e.slice) for e in entries])
    return entries


def read_slice_labels(folder: Path, volumes: list[Path]) -> dict[Path, list[tuple[int, str]]]:
    """The slice labels (index, class or "") of volumes; none without a slice_labels.csv.

    A file is named relative to ``folder``, or by its name alone if only one of ``volumes`` has it. Raises ValueError as
    ``read_manifest``, or if a name alone belongs to several volumes.
    """
    if not (folder / SLICE_LABELS).is_file():
        return {}
    rows = _read(folder / SLICE_LABELS, {"file", "slice", "label"})
    names: dict[str, list[Path]] = {}
    for path in volumes:
        names.setdefault(path.name, []).append(path)
    texts = [row["file"].replace("\\", "/") for _, row in rows]
    vague = sorted({t for t in texts if len(names.get(t, ())) > 1 and not (folder / t).is_file()})
    if vague:
        raise ValueError(f"{SLICE_LABELS} names {listed(vague)}, of which there are several: "
                         "give each file with its folder.")  # fmt: skip
    texts = [str(names[t][0].relative_to(folder)) if len(names.get(t, ())) == 1 else t for t in texts]
    paths = _locate(folder, SLICE_LABELS, texts)
    labels: dict[Path, list[tuple[int, str]]] = {}
    for (number, row), path in zip(rows, paths, strict=True):
        index = _index(SLICE_LABELS, number, row["slice"])
        if index is None:
            raise ValueError(f"{SLICE_LABELS} names no slice in row {number}: fill the column 'slice'.")
        labels.setdefault(path, []).append((index, row["label"]))
    _refuse_repeats(SLICE_LABELS, folder, [(path, index) for path, rows in labels.items() for index, _ in rows])
    return labels


def _read(path: Path, required: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows with their numbers in a spreadsheet; column names in lower case, all cells stripped of spaces.

    Spreadsheets of some locales separate by semicolons; some start with a byte order mark.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter)] or [[]]
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not in UTF-8: save it as CSV in UTF-8.") from None
    except csv.Error:
        raise ValueError(f"{path.name} cannot be read as a table: save it as CSV.") from None
    head = [name.lower() for name in head]
    missing = sorted(required - set(head))
    if missing:
        raise ValueError(f"{path.name} lacks the columns {listed(missing)}: its first row must name "
                         f"{', '.join(sorted(required))}.")  # fmt: skip
    # missing cells at the end of a row are empty
    filled = [(n, {**dict.fromkeys(head, ""), **dict(zip(head, row, strict=False))})
              for n, row in enumerate(rows, 2) if any(row)]  # fmt: skip
    if not filled:
        raise ValueError(f"{path.name} has no rows: list the slices in it, or remove it.")
    return filled


def _locate(folder: Path, table: str, texts: list[str]) -> list[Path]:
    """The files that a table names; they must exist inside ``folder``."""
    outside = [text for text in texts if _leads_out(text)]
    if outside:
        raise ValueError(f"{table} names files outside its folder ({listed(outside)}): "
                         "give paths relative to the folder, without '..'.")  # fmt: skip
    paths = [folder / text.replace("\\", "/") for text in texts]
    there = {path: os.path.isfile(path) for path in set(paths)}  # also False for impossible file names
    missing = [text for text, path in zip(texts, paths, strict=True) if not there[path]]
    if missing:
        raise ValueError(f"{table} names files that do not exist ({listed(dict.fromkeys(missing))}): "
                         f"correct them, they are relative to the folder {utf8_safe(folder.name)}.")  # fmt: skip
    return paths


def _leads_out(text: str) -> bool:
    path, windows = PurePosixPath(text.replace("\\", "/")), PureWindowsPath(text)
    return path.is_absolute() or bool(windows.drive) or ".." in path.parts


def _index(table: str, number: int, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        shown = utf8_safe(text[:40])
        raise ValueError(f"{table} has the slice '{shown}' in row {number}: slices are numbered 0, 1, 2.")
    return int(text)


def _refuse_repeats(table: str, folder: Path, places: list[tuple[Path, int | None]]) -> None:
    """Each slice has one label; a file without slice number stands for all of its slices."""
    counts = Counter(places)
    whole = {path for path, index in counts if index is None}
    both = {path for path, index in counts if index is not None and path in whole}
    repeated = [("" if index is None else f"slice {index} of ") + path.relative_to(folder).as_posix()
                for (path, index), n in counts.items() if n > 1 or path in both]  # fmt: skip
    if repeated:
        raise ValueError(f"{table} lists {listed(repeated)} twice: keep one row for each.")
