"""Lung regions of slices in one memory-mapped file, so that the data may be larger than memory."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.atomic_io import atomic_file
from LesionAnalysisLib.lungs import LungRegion, Preprocessing
from LesionAnalysisLib.text import utf8_safe

from .parallel import Progress, in_order
from .prepared import prepare_readable
from .samples import Sample, by_file

_VERSION = 4  # to be raised when slices are prepared in another way
_IRRELEVANT = {"size", "mask_lungs"}  # settings on which a prepared slice does not depend


class SliceStore:
    """The ``LungRegion`` of each sample, prepared once and found again by a hash of all that it depends on.

    Several processes may open the same store: whichever finds the index uses it, and it is written last, atomically.
    Raises OSError if ``folder`` has no space or permission, in one sentence.
    """

    def __init__(self, samples: Sequence[Sample], folder: str | os.PathLike, preprocessing: Preprocessing,
                 workers: int = 1, progress: Progress | None = None) -> None:  # fmt: skip
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        key = _key(samples, preprocessing)
        self._pixels, self._index = folder / f"{key}.bin", folder / f"{key}.json"
        if not self._index.exists():
            self._fill(samples, preprocessing, workers, progress)
        self._entries: list[list | str] = json.loads(self._index.read_text(encoding="ascii"))
        self._data = None

    @property
    def reasons(self) -> list[str | None]:
        """For each slice None, or the sentence that says why it was left out."""
        return [entry if isinstance(entry, str) else None for entry in self._entries]

    @property
    def kept(self) -> list[bool]:
        """Which slices are in the store."""
        return [reason is None for reason in self.reasons]

    def only(self, indices: Sequence[int]) -> SliceStore:
        """The same store with the slices at ``indices`` only, in that order."""
        part = copy.copy(self)
        part._entries = [self._entries[i] for i in indices]
        return part

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: int) -> LungRegion:
        entry = self._entries[i]
        if isinstance(entry, str):
            raise ValueError(f"Slice {i} was left out: {entry}")
        if self._data is None:
            self._data = np.memmap(self._pixels, np.uint8, mode="r")
        offset, rows, columns, box, found, calibrated, scale, cell = entry
        both = np.array(self._data[offset : offset + rows * columns]).reshape(rows, columns)
        return LungRegion(both & 0xFE, (both & 1).astype(bool), tuple(box), found, calibrated, tuple(scale),
                          tuple(cell))  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}  # another process opens the file itself

    def _fill(self, samples, preprocessing: Preprocessing, workers: int, progress: Progress | None) -> None:
        """Write pixels, then index, each under its final name only when complete."""
        places, items = by_file(samples)
        entries: list[list | str] = [""] * len(samples)
        work = partial(_prepare, preprocessing=preprocessing)
        try:
            with (atomic_file(self._pixels) as unfinished, open(unfinished, "wb") as file,
                  closing(in_order(work, items, workers)) as results):  # fmt: skip
                for done, (indices, result) in enumerate(zip(places, results, strict=True), 1):
                    for i, packed in zip(indices, result, strict=True):
                        if isinstance(packed, str):
                            entries[i] = packed
                            continue
                        both, rest = packed
                        entries[i] = [file.tell(), *both.shape, *rest]
                        file.write(both)
                    if progress:
                        progress(done / len(items), f"Preparing slices: {done} of {len(items)} files")
            with atomic_file(self._index) as unfinished:
                unfinished.write_text(json.dumps(entries), encoding="ascii")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(f"The disk is full while slices are prepared in '{utf8_safe(str(self._pixels.parent))}': "
                          "free some space, or choose a folder on another disk.") from error  # fmt: skip


def _prepare(item: tuple[str, list[int | None]], preprocessing: Preprocessing) -> list[tuple | str]:
    return [one if isinstance(one, str) else _pack(one) for one in prepare_readable(item, preprocessing)]


def _pack(one: LungRegion) -> tuple[np.ndarray, tuple]:
    """Gray levels with the lungs in the lowest bit, which halves the size and is not visible; then the other fields."""
    both = np.ascontiguousarray((one.gray_levels & 0xFE) | one.lungs, dtype=np.uint8)
    return both, (list(map(float, one.box)), one.found, one.calibrated, list(one.scale), list(one.cell))


def _key(samples: Sequence[Sample], preprocessing: Preprocessing) -> str:
    files = {path: _state(path) for path in dict.fromkeys(s.path for s in samples)}
    settings = {name: value for name, value in asdict(preprocessing).items() if name not in _IRRELEVANT}
    parts = [_VERSION, settings, [(s.path, s.slice, *files[s.path]) for s in samples]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _state(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError:  # gone since it was listed
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
