"""A disk that is really full: a file system of a few megabytes in memory, filled except for so many KiB."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BALLAST = "ballast"


class SmallDisk:
    """``folder`` is on the disk; ``leave`` sets its free space."""

    def __init__(self, root: Path) -> None:
        self._root, self.folder = root, root / "output"
        self.folder.mkdir()

    def leave(self, kib: int | None) -> None:
        """Fill the disk except for ``kib`` KiB; None removes the ballast."""
        ballast = self._root / _BALLAST
        ballast.unlink(missing_ok=True)
        if kib is None:
            return
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
            full = file.tell() if file.tell() else ballast.stat().st_size
            file.truncate(max(0, full // 4096 * 4096 - kib * 1024))


@contextmanager
def small_disk(folder: Path, mib: int = 16) -> Iterator[SmallDisk]:
    """Mount it. Raises OSError with the reason if that is not possible."""
    folder.mkdir(parents=True)
    if not sys.platform.startswith("linux"):
        raise OSError("small file systems in memory are mounted on Linux only")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)],
                             capture_output=True, text=True)  # fmt: skip
    if mounted.returncode:
        raise OSError(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
