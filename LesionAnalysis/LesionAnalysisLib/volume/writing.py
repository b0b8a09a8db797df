"""Volumes as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..atomic_io import whole_file
from ..text import printable
from .files import quiet


def write_volume(array: np.ndarray, ijk_to_ras: np.ndarray, path: str | Path) -> None:
    """Write a (K, J, I) array with its whole IJK-to-RAS matrix, compressed; the format is the suffix's.

    ITK counts in LPS: the first two rows change sign. Directions may be oblique, flipped or, after a gantry
    tilt, sheared. Raises OSError.
    """
    import SimpleITK as sitk

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(ijk_to_ras, dtype=np.float64)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    path = Path(path)
    if printable(str(path)) != str(path):  # ITK would end the whole process
        raise OSError(f"The path of {path.name} is not valid Unicode: choose another output folder.")
    try:
        with whole_file(path) as partial, quiet():
            sitk.WriteImage(image, str(partial), useCompression=True)
            if path.suffix != ".nrrd":  # ITK leaves an empty NIfTI file on a full disk, and says nothing
                written = sitk.GetArrayFromImage(sitk.ReadImage(str(partial)))
                if not np.array_equal(written, array, equal_nan=True):
                    raise RuntimeError("not what was to be written")
    except RuntimeError as error:
        raise OSError(f"{path.name} could not be written: is the disk full or read-only?") from error
