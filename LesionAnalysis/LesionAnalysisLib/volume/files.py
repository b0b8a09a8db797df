"""Reads NRRD and MetaImage files through SimpleITK, without its console output."""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..atomic_io import temporary_folder
from .geometry import LPS_TO_RAS
from .hounsfield import to_int16

READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}

_quiet_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings of ITK and of its C libraries, which write to the file descriptor of standard error."""
    with _quiet_lock:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        saved = _redirect_stderr()
        try:
            yield
        finally:
            if saved is not None:
                os.dup2(saved, 2)
                os.close(saved)
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _redirect_stderr() -> int | None:
    """Copy of the redirected descriptor; None if there is no standard error, as in Slicer on Windows."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError):
        return None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    return saved


@contextmanager
def itk_path(path: Path) -> Iterator[str]:
    """A path to the file that is valid Unicode, if need be to a temporary copy.

    Names in an 8-bit encoding are common on CDs from hospitals, and ITK aborts the process on them.
    """
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        with temporary_folder() as folder:
            yield shutil.copyfile(path, os.path.join(folder, "input" + path.suffix))
    else:
        yield os.fspath(path)


def matrix_of(image: sitk.Image) -> np.ndarray:
    """(4, 4) IJK-to-RAS matrix of the first three axes of an image."""
    dimensions = image.GetDimension()
    n = min(dimensions, 3)
    lps = np.eye(4)
    lps[:n, :n] = (np.reshape(image.GetDirection(), (dimensions, dimensions)) * image.GetSpacing())[:n, :n]
    lps[:n, 3] = image.GetOrigin()[:n]
    return LPS_TO_RAS @ lps


def read_itk(path: Path, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(K, J, I) int16 values, rounded, IJK-to-RAS matrix in mm, and warnings.

    Raises ValueError if it is not a single CT volume (4D, color), OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        dimensions = re.findall(rb"NDims\s*=\s*(\S*)", file.read(65536))
    if READERS[path.suffix.lower()] == "MetaImageIO" and not all(re.fullmatch(rb"[1-9]", n) for n in dimensions):
        raise _translated("", label)  # ITK hangs on a negative number of dimensions
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[path.suffix.lower()])
    with quiet(), itk_path(path) as readable:
        reader.SetFileName(readable)
        try:
            reader.ReadImageInformation()
            size = _volume_size(reader, label)
            image = reader.Execute()
        except RuntimeError as error:
            raise _translated(str(error), label) from None
    values = sitk.GetArrayViewFromImage(image).reshape(size[::-1])
    return to_int16([values], size[::-1], label), matrix_of(image), []


def _volume_size(reader: sitk.ImageFileReader, label: str) -> tuple[int, int, int]:
    """(I, J, K); the third axis may be missing, and a fourth may have length one."""
    size = list(reader.GetSize())
    if reader.GetNumberOfComponents() > 1:
        raise ValueError(f"{label} has {reader.GetNumberOfComponents()} values per voxel (color or vectors), so it is "
                         "not a CT: provide a volume with one value per voxel.")  # fmt: skip
    if any(n > 1 for n in size[3:]):
        raise ValueError(f"{label} has four dimensions ({' x '.join(map(str, size))}): save the volume to analyze as a "
                         "separate file.")  # fmt: skip
    return tuple((size + [1])[:3])


def _translated(message: str, label: str) -> Exception:
    """An exception with one sentence in place of ITK's many lines."""
    message = message.lower()
    if "determinant" in message or "zero-valued spacing" in message or "negative spacing" in message:
        return ValueError(f"{label} has no usable geometry: its spacing or axis directions are zero or coincide.")
    return OSError(f"{label} cannot be read: it is damaged, incomplete or of another type than its name says.")
