"""Writes volumes to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..atomic_io import atomic_file
from ..text import utf8_safe
from .files import quiet
from .geometry import LPS_TO_RAS


def write_volume(array: np.ndarray, ijk_to_ras: np.ndarray, path: str | Path) -> None:
    """Write an array (K, J, I) and its IJK-to-RAS matrix, compressed, in the format that the suffix names.

    The axes may be oblique, flipped or, after a gantry tilt, sheared. Raises OSError if the file cannot be written.
    """
    lps = LPS_TO_RAS @ np.asarray(ijk_to_ras, dtype=np.float64)  # RAS to LPS is the same flip
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    path = Path(path)
    if utf8_safe(str(path)) != str(path):  # ITK would abort the process
        raise OSError(f"The path of {path.name} is not valid Unicode: choose another output folder.")
    try:
        with atomic_file(path) as partial, quiet():
            sitk.WriteImage(image, str(partial), useCompression=True)
            if path.suffix != ".nrrd":  # on a full disk, ITK leaves an empty NIfTI file without an error
                written = sitk.GetArrayFromImage(sitk.ReadImage(str(partial)))
                if not np.array_equal(written, array, equal_nan=True):
                    raise RuntimeError("the file is incomplete")
    except RuntimeError as error:
        raise OSError(f"{path.name} could not be written: is the disk full or read-only?") from error
