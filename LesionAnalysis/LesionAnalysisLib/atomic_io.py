"""Atomic writes: a file or folder appears under its name when it is complete, or not at all.

Unfinished data lies beside its target under a hidden name that holds the host and the process id. What a killed
process left is removed by the next one that writes to the same folder.
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
_BACKUP = ".lesion-analysis-replaced-"  # the previous folder, while the new one is moved into place
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_STALE_S = 86_400.0  # older partial data is removed even if another host wrote it


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new hidden folder beside ``folder`` that replaces it on success and is removed on failure."""
    # mkdir rather than tempfile.mkdtemp, so that the folder gets the permissions of the user's umask
    folder.parent.mkdir(parents=True, exist_ok=True)
    backup = _backup(folder)
    if backup.is_dir():  # a process was killed while it replaced the folder
        remove_atomically(backup) if folder.exists() else backup.rename(folder)
    with _partial(folder.parent) as partial:
        partial.mkdir()
        yield partial
        if not os.path.lexists(folder):
            partial.rename(folder)
            return
        folder.rename(backup)
        try:
            partial.rename(folder)
        except BaseException:
            backup.rename(folder)
            raise
        remove_atomically(backup)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A hidden path beside ``path``, with the same suffix, for a file that replaces it on success."""
    with _partial(path.parent, "".join(path.suffixes[-2:])) as partial:
        yield partial
        os.replace(partial, path)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files. Unlike ``tempfile``'s, one left by a killed process is removed by the next call."""
    with _partial(Path(tempfile.gettempdir())) as folder:
        folder.mkdir(mode=0o700)
        yield folder


def remove_atomically(path: Path) -> None:
    """Remove a file or folder, which is renamed first so that it is never left incomplete under its name."""
    garbage = path.with_name(_partial_name())
    try:
        path.rename(garbage)
    except FileNotFoundError:
        return
    except OSError:  # on Windows, if one of its files is open
        garbage = path
    _remove(garbage)


@contextmanager
def _partial(parent: Path, suffix: str = "") -> Iterator[Path]:
    """An unused hidden path in ``parent``; what it holds at the end is removed, also after Ctrl-C."""
    with os.scandir(parent) as entries:
        partial = [Path(entry.path) for entry in entries if entry.name.startswith(_PARTIAL)]
    for path in partial:
        with suppress(OSError):
            if _writer_is_gone(path.name) or time.time() - path.stat().st_mtime > _STALE_S:
                _remove(path)
    path = parent / f"{_partial_name()}{suffix}"
    try:
        yield path
    finally:
        _remove(path)


def _partial_name() -> str:
    return f"{_PARTIAL}{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _writer_is_gone(name: str) -> bool:
    """Whether the process that wrote ``name`` is known to have ended."""
    host, _, rest = name.removeprefix(_PARTIAL).partition("-")
    pid = rest.partition("-")[0]
    if host != _HOST or not pid.isdigit() or os.name != "posix":  # os.kill(pid, 0) ends the process on Windows
        return False
    try:
        os.kill(int(pid), 0)
    except (OSError, OverflowError) as error:  # PermissionError: it runs under another user
        return isinstance(error, ProcessLookupError)
    return False


def _backup(folder: Path) -> Path:
    return folder.with_name(f"{_BACKUP}{zlib.crc32(folder.name.encode(errors='surrogateescape')):08x}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
