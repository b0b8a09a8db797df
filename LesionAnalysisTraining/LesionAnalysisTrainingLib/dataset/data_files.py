"""Which files hold slices, and how messages name them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from LesionAnalysisLib.text import utf8_safe
from LesionAnalysisLib.volume import CtVolume
from LesionAnalysisLib.volume.dicom import SKIPPED, is_dicom
from LesionAnalysisLib.volume.images import IMAGE_SUFFIXES
from LesionAnalysisLib.volume.readers import VOLUME_SUFFIXES

_COMPANIONS = (".raw", ".zraw", ".raw.gz")  # the voxels of a .mhd or .nhdr file
_SHOWN, _LONGEST = 5, 100  # names in one message, characters of each


def data_files(folder: Path) -> tuple[list[Path], int]:
    """The files with slices below ``folder``, sorted, and the number of other files. Hidden ones are skipped.

    Images and volumes are recognized by name, DICOM by content.
    """
    found, others, seen = [], 0, set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link to a folder above
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not is_hidden(f))
        for name in sorted(n for n in names if not is_hidden(n)):
            path = Path(root, name)
            if name.lower().endswith(IMAGE_SUFFIXES + VOLUME_SUFFIXES) or is_dicom(path):
                found.append(path)
            elif not name.lower().endswith(_COMPANIONS):
                others += 1
    return found, others


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the operating system."""
    return name.startswith(".") or name.upper() in SKIPPED


def is_volume(path: str | os.PathLike) -> bool:
    """Whether the name is that of a volume. Multi-frame DICOM is recognized only when read."""
    return os.fspath(path).lower().endswith(VOLUME_SUFFIXES)


def listed(names: Iterable[object]) -> str:
    """``a, b, c, d, e and 3 more``."""
    names = [utf8_safe(str(name)) for name in names]
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..." for name in names]
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def axial_slice(ct: CtVolume, index: int) -> np.ndarray:
    """Slice ``index`` of a CT as (R, C): int16 HU, or uint8 gray levels of an image without padding."""
    rows, columns = ct.slice_shapes[index] if ct.slice_shapes else ct.axial().array.shape[1:]
    return np.ascontiguousarray(ct.axial().array[index, :rows, :columns])
