"""NRRD and MetaImage files through SimpleITK, without its messages."""

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
    """Keep ITK's warnings, and those that the C libraries below it print, off the user's terminal.

    The libraries write to the process's standard error directly, so that is where it has to be
    switched; a program without one (Slicer started from the Windows desktop) needs nothing.
    """
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
    """File descriptor of the real standard error, or None where there is none."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError):
        return None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return saved






@contextmanager
def itk_name(path: Path) -> Iterator[str]:
    """The name of a file as ITK takes it: valid Unicode. Files with another name are copied for the moment.

    Names in an old 8-bit encoding are common on hospital CDs; given one of them, ITK ends the process.
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
    size = image.GetDimension()
    used = min(size, 3)
    lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (size, size))[:used, :used]
    lps[:used, :used] = direction * np.asarray(image.GetSpacing()[:used])
    lps[:used, 3] = image.GetOrigin()[:used]
    return LPS_TO_RAS @ lps


def read_itk(path: Path, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(K, J, I) int16 values, rounded, IJK-to-RAS matrix in mm, and warnings.

    Raises ValueError for what is no single CT volume (4D, color), OSError for what cannot be read.
    """
    _check_dimensions(path, label)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[path.suffix.lower()])
    with quiet(), itk_name(path) as file_name:
        reader.SetFileName(file_name)
        try:
            reader.ReadImageInformation()
            size = _volume_size(reader, label)
            image = reader.Execute()
        except RuntimeError as error:
            raise _sentence(str(error), label) from None
    matrix = matrix_of(image)
    values = sitk.GetArrayViewFromImage(image).reshape(size[::-1])
    return to_int16([values], size[::-1], label), matrix, []


def _check_dimensions(path: Path, label: str) -> None:
    """From a MetaImage header with a negative number of dimensions ITK never comes back."""
    with open(path, "rb") as file:
        found = re.findall(rb"NDims\s*=\s*(\S*)", file.read(65536))
    if READERS[path.suffix.lower()] == "MetaImageIO" and not all(re.fullmatch(rb"[1-9]", n) for n in found):
        raise _sentence("", label)


def _volume_size(reader: sitk.ImageFileReader, label: str) -> tuple[int, int, int]:
    """(I, J, K); a missing third axis and a fourth of one element are no obstacle."""
    size = list(reader.GetSize())
    if reader.GetNumberOfComponents() > 1:
        raise ValueError(
            f"{label} holds {reader.GetNumberOfComponents()} values per voxel (color or vectors), "
            "so it is not a CT: give a volume with one value per voxel."
        )
    if any(n > 1 for n in size[3:]):
        raise ValueError(
            f"{label} has four dimensions ({' x '.join(map(str, size))}): "
            "save the one volume that is to be analyzed as its own file."
        )
    return tuple((size + [1])[:3])


def _sentence(message: str, label: str) -> Exception:
    """One sentence in place of ITK's many lines."""
    message = message.lower()
    if "determinant" in message or "zero-valued spacing" in message or "negative spacing" in message:
        return ValueError(
            f"{label} has no usable geometry: its spacing or the directions of its axes are zero."
        )
    return OSError(
        f"{label} cannot be read: it is damaged, incomplete or of another type than its name says."
    )
