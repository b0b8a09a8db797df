"""One door for every kind of input: file, DICOM folder, folder of pictures, array of an MRML node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..text import printable
from . import dicom
from .files import READERS, read_itk
from .geometry import CtVolume, check_matrix
from .hounsfield import check_hounsfield, to_int16
from .images import IMAGE_SUFFIXES, natural_order, read_images
from .nifti import read_nifti
from .stack import read_series

VOLUME_SUFFIXES = (".nii.gz", ".nii", *READERS)
FORMATS = "NIfTI, NRRD, MHA, DICOM, PNG, JPEG, TIFF or BMP"


def read_ct(path: str | os.PathLike, series: int | str | None = None) -> CtVolume:
    """Read one case: a volume file, a DICOM file or folder, a picture, or a folder of pictures.

    In a DICOM folder (searched with its subfolders) the largest CT series is read, unless ``series``
    gives the number, UID or description of another; pictures are taken in the natural order of their
    names as the slices of one study.

    Raises OSError where something is missing or damaged, ValueError where it is not a chest CT, and
    RuntimeError where memory runs out, each with one sentence for the user.
    """
    try:
        return _read(path, series)
    except MemoryError:
        raise RuntimeError(
            f"'{printable(Path(path).name)}' needs more memory than is free: "
            "close other programs and try again."
        ) from None


def _read(path: str | os.PathLike, series: int | str | None) -> CtVolume:
    location = Path(os.path.abspath(path))
    name, source = case_name(location), printable(os.fspath(path))
    if location.is_dir() and os.access(location, os.R_OK | os.X_OK):
        return _read_folder(location, name, source, series)
    if not location.exists():
        raise FileNotFoundError(f"'{printable(location.name)}' does not exist: check the path.")
    if not (location.is_file() and os.access(location, os.R_OK)):
        raise OSError(f"'{printable(location.name)}' cannot be opened for reading.")
    if location.name.upper() == "DICOMDIR":
        return _read_folder(location.parent, case_name(location.parent), source, series)
    if location.stat().st_size == 0:
        raise OSError(f"'{printable(location.name)}' is empty: copy or export it again.")
    return _read_file(location, name, source)


def ct_from_array(
    array_kji: np.ndarray, ijk_to_ras: np.ndarray, name: str, calibrated: bool = True
) -> CtVolume:
    """A CT that lives in memory, such as the array and the IJK-to-RAS matrix of an MRML volume node.

    ``array_kji`` is (K, J, I) in HU (or (J, I) for one slice), or with ``calibrated=False`` gray values
    from 0 to 255. It is copied. Raises ValueError where it cannot be a chest CT.
    """
    label = f"The volume '{name}'"
    array = _three_dimensional(np.asarray(array_kji), label)
    if calibrated:
        return _checked(to_int16([array], array.shape, label), ijk_to_ras, name, "MRML node", label)
    ct = CtVolume(_gray(array, label), check_matrix(ijk_to_ras, label), name, "MRML node", False)
    return _with_whole_slices(ct, label)


def case_name(path: Path) -> str:
    """Name of the file without its ending, or of the folder, with only what can be printed."""
    name = printable(path.name)
    suffix = next((s for s in VOLUME_SUFFIXES + IMAGE_SUFFIXES if name.lower().endswith(s)), "")
    if path.is_dir():
        return name or "case"
    return name[: len(name) - len(suffix)] or "case"


def _read_file(path: Path, name: str, source: str) -> CtVolume:
    lower = path.name.lower()
    label = f"'{printable(path.name)}'"
    if dicom.is_dicom(path):
        return _read_dicom_file(path, source)
    if lower.endswith(VOLUME_SUFFIXES):
        read = read_itk if lower.endswith(tuple(READERS)) else read_nifti
        array, matrix, warnings = read(path, label)
        return _checked(array, matrix, name, source, label, warnings)
    if lower.endswith(IMAGE_SUFFIXES):
        return read_images([path], name, source)
    raise ValueError(f"{label} is of a type that cannot be read: give {FORMATS}.")


def _read_dicom_file(path: Path, source: str) -> CtVolume:
    """One DICOM file, usually multi-frame. Its folder names the case: the file's name may be a patient's."""
    label = "The DICOM file"
    header = dicom.read_header(path)
    if header is None:
        raise OSError(f"{label} cannot be read: it is damaged, incomplete or holds no image.")
    if header.color:
        raise ValueError(f"{label} is a color picture, not a CT.")
    return _read_series(dicom.describe([header]), case_name(path.parent), source, label, [])


def _read_series(
    series: dicom.DicomSeries, name: str, source: str, label: str, warnings: list[str]
) -> CtVolume:
    array, matrix, more = read_series(series, label)
    if series.modality != "CT":
        more.append(f"The DICOM header names {series.modality or 'no modality'}, not CT.")
    return _checked(
        array, matrix, name, source, label, warnings + more, may_have_offset=series.modality == "CT"
    )


def _read_folder(folder: Path, name: str, source: str, wanted: int | str | None) -> CtVolume:
    label = f"The folder '{name}'"
    series, broken = dicom.scan(folder)
    if series:
        chosen, warnings = dicom.choose_series(series, wanted, label)
        if broken:
            warnings.append(f"{broken} DICOM file(s) hold no readable image and were left out.")
        return _read_series(chosen, name, source, f"{label}, {chosen.label},", warnings)
    if broken:
        raise OSError(f"{label} holds DICOM files, but none with an image that can be read.")
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    pictures = sorted((p for p in files if p.name.lower().endswith(IMAGE_SUFFIXES)), key=natural_order)
    if pictures:
        return read_images(pictures, name, source)
    volumes = [p for p in files if p.name.lower().endswith(VOLUME_SUFFIXES)]
    if volumes:
        raise ValueError(f"{label} holds volume files: give each file as an input of its own.")
    raise ValueError(f"{label} holds no images: give a folder with DICOM files or pictures of CT slices.")


def _checked(
    array: np.ndarray,
    ijk_to_ras: np.ndarray,
    name: str,
    source: str,
    label: str,
    warnings: Sequence[str] = (),
    may_have_offset: bool = True,
) -> CtVolume:
    """What every volume in HU must fulfil, wherever its (K, J, I) int16 values come from."""
    matrix = check_matrix(ijk_to_ras, label)
    found = check_hounsfield(array, label, may_have_offset)
    ct = CtVolume(array, matrix, name, source, True, (*warnings, *found))
    return _with_whole_slices(ct, label)


def _with_whole_slices(ct: CtVolume, label: str) -> CtVolume:
    _, rows, columns = ct.axial().array.shape
    if min(rows, columns) < 2:
        raise ValueError(
            f"{label} has axial slices of {columns} x {rows} voxels: give a CT with whole axial slices."
        )
    return ct


def _three_dimensional(array: np.ndarray, label: str) -> np.ndarray:
    shape = " x ".join(map(str, array.shape))
    if array.size == 0:
        raise ValueError(f"{label} is empty ({shape or 'no'} voxels).")
    if array.ndim == 2:
        return array[None]
    if array.ndim == 4 and 1 in (array.shape[0], array.shape[-1]):
        return array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 3:
        raise ValueError(
            f"{label} must have three dimensions, not {array.ndim} ({shape}): give a single CT volume."
        )
    return array


def _gray(array: np.ndarray, label: str) -> np.ndarray:
    if array.dtype.kind not in "iuf" or not (array.min() >= 0 and array.max() <= 255):
        raise ValueError(f"{label} has no Hounsfield units and must hold gray values from 0 to 255.")
    return np.rint(array).astype(np.uint8)
