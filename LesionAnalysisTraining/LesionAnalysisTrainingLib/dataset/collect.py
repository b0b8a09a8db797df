"""From folders to samples for training, with a report of what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LesionAnalysisLib.text import utf8_safe

from ..training_config import TrainingConfig
from . import splits
from .data_files import is_volume, listed
from .duplicates import Repeats, across_splits, find_repeats, group_unknown
from .inspection import Inspection, inspect
from .layout import read_layout, whole_volume_notes
from .parallel import Progress
from .samples import Sample, describe

_LINES = 20  # omitted slices in the log; to_dict has all


@dataclass(frozen=True)
class Report:
    """What was collected, for the log and for programs."""

    counts: dict[str, Any]
    table: list[str]
    notes: list[str]
    alike: list[str]  # the most similar pairs across splits
    warnings: list[str]  # without names of files: they go into the model card
    left_out: list[dict[str, Any]]  # file, slice (None: the whole file or its only one), reason

    def lines(self) -> list[str]:
        """For the log: counts by split and source, notes, warnings, and what was left out."""
        lines = [*self.table, *self.notes, *(f"Warning: {text}" for text in self.warnings)]
        lines += [f"  {pair}" for pair in self.alike]
        if self.left_out:
            lines.append(f"Left out: {self.counts['left_out']}.")
            for one in self.left_out[:_LINES]:
                place = "" if one["slice"] is None else f", slice {one['slice']}"
                lines.append(f"  {one['file']}{place}: {one['reason']}")
            if len(self.left_out) > _LINES:
                lines.append(f"  and {len(self.left_out) - _LINES} more")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Collected:
    """Samples with their splits. ``positive`` is the index of the disease among ``classes``."""

    classes: tuple[str, ...]
    positive: int
    samples: list[Sample]
    report: Report


def collect(
    folders: Sequence[str | os.PathLike], config: TrainingConfig, workers: int = 1, progress: Progress | None = None
) -> Collected:
    """Read, check and split the slices of ``folders`` as ``config`` says; ``workers`` processes decode the files.

    ``progress(fraction, message)`` may raise to cancel. Raises ValueError if the data are not fit for training, in one
    sentence that says what to do.
    """
    layout = read_layout(folders, config.disease, config.mixed_patients)
    shown = _namer(folders)
    found = inspect(layout.samples, workers, progress)
    _check_readable(found, config.max_unreadable, shown)
    repeats = find_repeats(found.samples, found.digests)
    samples = [found.samples[i] for i in repeats.kept]
    thumbnails = found.thumbnails[repeats.kept]
    _check_classes(samples, layout.classes)
    samples, joined = group_unknown(samples, thumbnails)
    split = splits.split_by_patient if config.split == "patients" else splits.split_at_random
    samples = split(samples, config.validation_share, config.test_share, config.seed, layout.classes)

    notes, warnings = list(layout.notes), []
    multi_frame = [s for s in found.expanded if not is_volume(s.path)]
    notes += whole_volume_notes(multi_frame, layout.classes)
    if joined:
        notes.append(f"{joined} files of unknown patients are so similar that they count as fewer patients.")
    unknown = len({s.path for s in samples if not s.patient_known})
    if unknown and config.split == "patients":
        warnings.append(f"The patients of {unknown} files are unknown: slices of one patient may be in several splits, "
                        "so validation may be optimistically biased: give each patient a folder.")  # fmt: skip
    if config.split == "random":
        warnings.append("The split is random: slices of one patient are in several splits, so the figures of "
                        "validation and test are optimistically biased.")  # fmt: skip
    count, pairs = across_splits(samples, thumbnails)
    if count:
        warnings.append(f"{count} pairs of slices are nearly identical although they are in different splits and "
                        "belong to different patients.")  # fmt: skip
    left_out = [{"file": shown(s.path), "slice": s.slice, "reason": why}
                for s, why in found.unreadable + _repeated(found.samples, repeats, layout.classes, shown)]  # fmt: skip
    counts = _counts(samples, layout.classes, found, repeats, joined, count)
    alike = [f"{_name(a, shown)} and {_name(b, shown)}" for a, b in pairs]
    report = Report(counts, describe(samples, layout.classes).splitlines(), notes, alike, warnings, left_out)
    return Collected(layout.classes, layout.positive, samples, report)


def _namer(folders: Sequence[str | os.PathLike]) -> Callable[[str], str]:
    """How to display a path: relative to its folder, preceded by the folder's name if there are several."""
    roots = [Path(os.path.abspath(folder)) for folder in folders]

    def shown(path: str) -> str:
        root = next(root for root in roots if Path(path).is_relative_to(root))
        name = Path(path).relative_to(root).as_posix()
        return utf8_safe(f"{root.name}/{name}" if len(roots) > 1 else name)

    return shown


def _name(sample: Sample, shown: Callable[[str], str]) -> str:
    name = shown(sample.path)
    return name if sample.slice is None else f"{name} slice {sample.slice}"


def _check_readable(found: Inspection, most: float, shown: Callable[[str], str]) -> None:
    """Raise ValueError if the unreadable files are more than the fraction ``most`` of all."""
    files = {sample.path for sample, _ in found.unreadable}
    if len(files) > most * found.files or not found.samples:
        names = listed(dict.fromkeys(f"{_name(s, shown)} ({why.rstrip('.')})" for s, why in found.unreadable))
        raise ValueError(f"{len(files)} of {found.files} files cannot be read, more than {100 * most:g} %: {names}; "
                         "export them again or remove them.")  # fmt: skip


def _check_classes(samples: Sequence[Sample], classes: Sequence[str]) -> None:
    empty = sorted(set(range(len(classes))) - {s.label for s in samples})
    if empty:
        raise ValueError(f"No slices of the class {listed(classes[c] for c in empty)} are left after removal of "
                         "unreadable, repeated and contradictory ones: add slices of it.")  # fmt: skip


def _repeated(samples: Sequence[Sample], repeats: Repeats, classes: Sequence[str],
              shown: Callable[[str], str]) -> list[tuple[Sample, str]]:  # fmt: skip
    rows = [(samples[i], f"It has the same pixels as {_name(samples[j], shown)}.") for i, j in repeats.repeated]
    for group in repeats.contradictory:
        for i in group:
            other = next(samples[j] for j in group if samples[j].label != samples[i].label)
            rows.append((samples[i], f"It is {classes[samples[i].label]}, but {_name(other, shown)} with the same "
                                     f"pixels is {classes[other.label]}."))  # fmt: skip
    return rows


def _counts(samples, classes, found: Inspection, repeats: Repeats, joined: int, alike: int) -> dict[str, Any]:
    slices = Counter((s.split, classes[s.label]) for s in samples)
    splits = list(dict.fromkeys(s.split for s in samples))
    patients = Counter(split for split, _ in {(s.split, s.patient) for s in samples})
    contradictory = sum(map(len, repeats.contradictory))
    return {
        "files": found.files, "slices": len(samples), "patients": len({s.patient for s in samples}),
        "splits": {split: {"patients": patients[split], **{name: slices[split, name] for name in classes}}
                   for split in splits},
        "unreadable": len(found.unreadable), "repeated": len(repeats.repeated), "contradictory": contradictory,
        "joined_files": joined, "alike_across_splits": alike,
        "left_out": f"{len(found.unreadable)} unreadable, {len(repeats.repeated)} repeated and {contradictory} "
                    "contradictory slices",
    }  # fmt: skip
