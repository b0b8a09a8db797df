"""Files and folders that appear under their names as a whole, or not at all, whenever the process is killed.

What is unfinished lies beside its place under a hidden name, with the computer and the process that writes it. What a
killed process left is swept away by the next one that writes there.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARTIAL = ".lesion-analysis-partial-"
_REPLACED = ".lesion-analysis-replaced-"  # an earlier folder, for the moment in which the new one takes its place
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_STALE_S = 86_400.0  # after a day, also what another computer left


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new hidden folder beside ``folder`` that takes its place at the end; gone if anything went wrong before."""
    # mkdir rather than tempfile.mkdtemp: the folder keeps the permissions that the user's umask gives
    folder.parent.mkdir(parents=True, exist_ok=True)
    _restore(folder)
    with _partial(folder.parent) as fresh:
        fresh.mkdir()
        yield fresh
        _move_into_place(fresh, folder)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path``, with the same ending, for a file that takes its place at the end."""
    with _partial(path.parent, "".join(path.suffixes[-2:])) as fresh:
        yield fresh
        os.replace(fresh, path)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files. Unlike ``tempfile``'s, what a killed process left there goes with the next one."""
    with _partial(Path(tempfile.gettempdir())) as folder:
        folder.mkdir(mode=0o700)
        yield folder


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty, but for what is unfinished."""
    return all(entry.name.startswith(_PARTIAL) for entry in folder.iterdir())


def discard(path: Path) -> None:
    """Remove a file or folder at one stroke: killed on the way, only what is swept away later is left."""
    garbage = path.with_name(_partial_name())
    try:
        path.rename(garbage)
    except FileNotFoundError:
        return
    except OSError:  # Windows, where something in it is open
        garbage = path
    _remove(garbage)


@contextmanager
def _partial(parent: Path, ending: str = "") -> Iterator[Path]:
    """A free hidden name in ``parent``; whatever has it afterwards is removed, also on Ctrl-C."""
    _sweep(parent)
    path = parent / f"{_partial_name()}{ending}"
    try:
        yield path
    finally:
        _remove(path)


def _partial_name() -> str:
    return f"{_PARTIAL}{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _sweep(parent: Path) -> None:
    """Remove what nobody writes any more."""
    with os.scandir(parent) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(_PARTIAL)]
    for path in left:
        with suppress(OSError):
            if _left_by_dead(path.name) or time.time() - path.stat().st_mtime > _STALE_S:
                _remove(path)


def _left_by_dead(name: str) -> bool:
    """Whether the process that wrote ``name`` is known to be gone."""
    host, _, rest = name.removeprefix(_PARTIAL).partition("-")
    number = rest.partition("-")[0]
    if host != _HOST or not number.isdigit() or os.name != "posix":  # elsewhere, asking for a process ends it
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it runs, as another user
        return False
    return False


def _move_into_place(fresh: Path, folder: Path) -> None:
    """Rename ``fresh`` to ``folder``; an earlier one steps aside first and comes back if that fails."""
    if not os.path.lexists(folder):
        fresh.rename(folder)
        return
    aside = _aside(folder)
    folder.rename(aside)
    try:
        fresh.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    discard(aside)


def _restore(folder: Path) -> None:
    """Bring back what a process that was killed while replacing ``folder`` had put aside."""
    aside = _aside(folder)
    if aside.is_dir():
        discard(aside) if folder.exists() else aside.rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{_REPLACED}{zlib.crc32(folder.name.encode(errors='surrogateescape')):08x}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
