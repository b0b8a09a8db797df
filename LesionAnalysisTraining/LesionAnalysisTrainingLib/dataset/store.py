"""Prepared slices in one memory-mapped file, so that the data may be larger than memory."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.text import printable

from .parallel import Progress, in_order
from .prepared import Prepared, prepare_file
from .samples import Sample

_VERSION = 2  # to be raised when slices are prepared in another way
_UNSEEN = {"size", "mask_lungs"}  # settings that a prepared slice does not depend on
_ABANDONED_S = 24 * 3600.0  # unfinished files of other machines are left alone for so long


class SliceStore:
    """Prepared slices of some samples, made once and found again by a hash of all that they depend on.

    Several processes may ask for the same store: who finds the index uses it, and it appears last and at once.
    Files that can no longer be read, and slices without lungs, are not ``kept``.

    Raises:
        OSError: there is no room or no permission in ``folder``, in one sentence.
    """

    def __init__(
        self, samples: Sequence[Sample], folder: str | os.PathLike, preprocessing: Preprocessing, workers: int = 1,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        key = _key(samples, preprocessing)
        self._pixels, self._index = folder / f"{key}.bin", folder / f"{key}.json"
        if not self._index.exists():
            _remove_leftovers(folder)
            self._fill(samples, preprocessing, workers, progress)
        self._entries: list[list | None] = json.loads(self._index.read_text(encoding="ascii"))
        self._data = None

    @property
    def kept(self) -> list[bool]:
        """Which slices can be shown."""
        return [entry is not None for entry in self._entries]

    def only(self, indices: Sequence[int]) -> SliceStore:
        """The same store with the slices at ``indices`` alone, in that order."""
        part = copy.copy(self)
        part._entries = [self._entries[i] for i in indices]
        return part

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: int) -> Prepared:
        entry = self._entries[i]
        if entry is None:
            raise ValueError(f"Slice {i} was left out: it cannot be read or shows no lungs.")
        if self._data is None:
            self._data = np.memmap(self._pixels, np.uint8, mode="r")
        offset, rows, columns, box, found, calibrated, scale = entry
        both = np.array(self._data[offset : offset + rows * columns]).reshape(rows, columns)
        return Prepared(both & 0xFE, (both & 1).astype(bool), tuple(box), found, calibrated, tuple(scale))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}  # another process opens the file itself

    def _fill(self, samples, preprocessing: Preprocessing, workers: int, progress: Progress | None) -> None:
        """Write pixels, then index, each under its name only when it is complete."""
        unfinished = self._pixels.with_name(f"{self._pixels.stem}.{_owner()}.tmp")
        places: dict[str, list[int]] = {}  # of the samples of each file, which is read once
        for i, sample in enumerate(samples):
            places.setdefault(sample.path, []).append(i)
        items = [(path, [samples[i].slice for i in indices]) for path, indices in places.items()]
        entries: list[list | None] = [None] * len(samples)
        work = partial(_prepare, preprocessing=preprocessing)
        try:
            with open(unfinished, "wb") as file, closing(in_order(work, items, workers)) as results:
                for done, (indices, result) in enumerate(zip(places.values(), results, strict=True), 1):
                    for i, packed in zip(indices, result, strict=True):
                        if packed is not None:
                            both, rest = packed
                            entries[i] = [file.tell(), *both.shape, *rest]
                            file.write(both)
                    if progress:
                        progress(done / len(items), f"Preparing slices: {done} of {len(items)} files")
            self._publish(unfinished, self._pixels)
            unfinished.write_text(json.dumps(entries), encoding="ascii")
            self._publish(unfinished, self._index)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(f"The disk is full while slices are prepared in '{printable(str(self._pixels.parent))}': "
                          "free some space, or choose a folder on another disk.") from error  # fmt: skip
        finally:
            with suppress(OSError):
                unfinished.unlink()

    def _publish(self, unfinished: Path, target: Path) -> None:
        try:
            if not self._index.exists():  # else another process was faster, with the same content
                os.replace(unfinished, target)
        except PermissionError:  # Windows, where the other process has it open
            if not target.exists():
                raise


def _prepare(item: tuple[str, list[int | None]], preprocessing: Preprocessing) -> list[tuple | None]:
    path, slices = item
    try:
        prepared = prepare_file(path, slices, preprocessing)
    except (OSError, ValueError):
        return [None] * len(slices)
    return [_pack(one) if one else None for one in prepared]


def _pack(one: Prepared) -> tuple[np.ndarray, tuple]:
    """The lungs travel in the lowest bit of the gray level: half the room, nothing visible lost."""
    both = np.ascontiguousarray((one.gray_levels & 0xFE) | one.lungs, dtype=np.uint8)
    return both, (list(map(float, one.box)), one.found, one.calibrated, list(one.scale))


def _key(samples: Sequence[Sample], preprocessing: Preprocessing) -> str:
    files = {path: _state(path) for path in dict.fromkeys(s.path for s in samples)}
    settings = {name: value for name, value in asdict(preprocessing).items() if name not in _UNSEEN}
    parts = [_VERSION, settings, [(s.path, s.slice, *files[s.path]) for s in samples]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _state(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError:  # gone since it was listed
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _owner() -> str:
    host = "".join(c for c in socket.gethostname() if c.isalnum() or c == "-") or "host"
    return f"{host}.{os.getpid()}"


def _remove_leftovers(folder: Path) -> None:
    """Unfinished files of processes that were killed."""
    for path, host, pid in _unfinished(folder):
        with suppress(OSError):
            old = time.time() - path.stat().st_mtime > _ABANDONED_S
            if old or (host == _owner().split(".")[0] and not _runs(pid)):
                path.unlink()


def _unfinished(folder: Path) -> Iterator[tuple[Path, str, int]]:
    for path in folder.glob("*.*.*.tmp"):
        _, host, pid, _ = path.name.split(".")[-4:]
        if pid.isdigit():
            yield path, host, int(pid)


def _runs(pid: int) -> bool:
    """Whether a process of this machine may still be writing; where that cannot be asked, it may."""
    if pid == os.getpid():
        return False  # this one has not begun
    if os.name != "posix":
        return True  # there, a signal of 0 is no question
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
