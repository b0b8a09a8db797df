"""Reads a CT of any supported type: a volume file, DICOM, images, or the array of an MRML node."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..text import utf8_safe
from . import dicom
from .files import READERS, read_itk
from .geometry import CtVolume, check_matrix
from .hounsfield import check_hounsfield, to_int16
from .images import IMAGE_SUFFIXES, natural_order, read_images
from .nifti import read_nifti
from .stack import read_series

VOLUME_SUFFIXES = (".nii.gz", ".nii", *READERS)


def read_ct(path: str | os.PathLike, series: int | str | None = None) -> CtVolume:
    """Read one case: a volume file, a DICOM file or folder, an image, or a folder of images.

    Of a DICOM folder, including its subfolders, the largest CT series is read, unless ``series`` gives the number, UID
    or description of another. Images are the slices of one study, in the natural order of their names.

    Raises OSError if the input is missing or damaged, ValueError if it is not a chest CT or ``series`` does not
    identify one series, and RuntimeError if memory does not suffice.
    """
    try:
        return _read(path, series)
    except MemoryError:
        raise RuntimeError(f"'{utf8_safe(Path(path).name)}' needs more memory than is available: close other programs "
                           "and try again.") from None  # fmt: skip


def _read(path: str | os.PathLike, series: int | str | None) -> CtVolume:
    location = Path(os.path.abspath(path))
    name, source = case_name(location), utf8_safe(os.fspath(path))
    if location.is_dir() and os.access(location, os.R_OK | os.X_OK):
        return _read_folder(location, name, source, series)
    if not location.exists():
        raise FileNotFoundError(f"'{utf8_safe(location.name)}' does not exist: check the path.")
    if not (location.is_file() and os.access(location, os.R_OK)):
        raise OSError(f"'{utf8_safe(location.name)}' cannot be opened for reading: check its permissions.")
    if location.name.upper() == "DICOMDIR":
        return _read_folder(location.parent, case_name(location.parent), source, series)
    if location.stat().st_size == 0:
        raise OSError(f"'{utf8_safe(location.name)}' is empty: copy or export it again.")
    return _read_file(location, name, source)


def ct_from_array(array_kji: np.ndarray, ijk_to_ras: np.ndarray, name: str, calibrated: bool = True) -> CtVolume:
    """A CT from the array and the IJK-to-RAS matrix (4, 4), in mm, of an MRML volume node.

    ``array_kji`` is (K, J, I) in HU (or (J, I) for one slice), or gray levels from 0 to 255 if not ``calibrated``. It
    is copied. Raises ValueError if it cannot be a chest CT.
    """
    label, array = f"The volume '{name}'", np.asarray(array_kji)
    shape = " x ".join(map(str, array.shape))
    if array.size == 0:
        raise ValueError(f"{label} is empty ({shape or 'no'} voxels).")
    if array.ndim == 4 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise ValueError(f"{label} must have three dimensions, not {array.ndim} ({shape}): provide a single CT volume.")
    if calibrated:
        array = to_int16([array], array.shape, label)
    elif array.dtype.kind not in "iuf" or not (array.min() >= 0 and array.max() <= 255):
        raise ValueError(f"{label} is not in Hounsfield units: its gray levels must lie between 0 and 255.")
    else:
        array = np.rint(array).astype(np.uint8)
    return _checked(CtVolume(array, ijk_to_ras, name, "MRML node", calibrated), label)


def case_name(path: Path) -> str:
    """Name of the file without its suffix, or of the folder, as valid UTF-8."""
    name = utf8_safe(path.name)
    if not path.is_dir():
        suffix = next((s for s in VOLUME_SUFFIXES + IMAGE_SUFFIXES if name.lower().endswith(s)), "")
        name = name[:len(name) - len(suffix)]
    return name or "case"


def _read_file(path: Path, name: str, source: str) -> CtVolume:
    lower = path.name.lower()
    label = f"'{utf8_safe(path.name)}'"
    if dicom.is_dicom(path):  # usually multi-frame; named after its folder, since its own name may be the patient's
        label, header = "The DICOM file", dicom.read_header(path)
        if header is None:
            raise OSError(f"{label} cannot be read: it is damaged or incomplete, or holds no image.")
        if header.color:
            raise ValueError(f"{label} is a color image, not a CT.")
        return _read_series(dicom.describe([header]), case_name(path.parent), source, label, [])
    if lower.endswith(VOLUME_SUFFIXES):
        read = read_itk if lower.endswith(tuple(READERS)) else read_nifti
        array, matrix, warnings = read(path, label)
        return _checked(CtVolume(array, matrix, name, source, True, tuple(warnings)), label)
    if lower.endswith(IMAGE_SUFFIXES):
        return read_images([path], name, source)
    raise ValueError(f"{label} has an unsupported file type: provide NIfTI, NRRD, MHA, DICOM, PNG, JPEG, TIFF or BMP.")


def _read_series(series: dicom.DicomSeries, name: str, source: str, label: str, warnings: list[str]) -> CtVolume:
    array, matrix, more = read_series(series, label)
    is_ct = series.modality == "CT"
    if not is_ct:
        more.append(f"The modality in the DICOM header is {series.modality or 'missing'}, not CT.")
    return _checked(CtVolume(array, matrix, name, source, True, (*warnings, *more)), label, may_have_offset=is_ct)


def _read_folder(folder: Path, name: str, source: str, wanted: int | str | None) -> CtVolume:
    label = f"The folder '{name}'"
    series, unreadable = dicom.scan(folder)
    if series:
        chosen, warnings = dicom.choose_series(series, wanted, label)
        if unreadable:
            warnings.append(f"{unreadable} DICOM file(s) hold no readable image and were ignored.")
        return _read_series(chosen, name, source, f"{label}, {chosen.label},", warnings)
    if unreadable:
        raise OSError(f"{label} holds DICOM files, but none with a readable image: export them again.")
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    images = sorted((p for p in files if p.name.lower().endswith(IMAGE_SUFFIXES)), key=natural_order)
    if images:
        return read_images(images, name, source)
    if any(p.name.lower().endswith(VOLUME_SUFFIXES) for p in files):
        raise ValueError(f"{label} holds volume files: provide each file as a separate input.")
    raise ValueError(f"{label} holds no images: provide a folder of DICOM files or of images of CT slices.")


def _checked(ct: CtVolume, label: str, may_have_offset: bool = True) -> CtVolume:
    """``ct`` with more warnings, if its values and its matrix are those of a CT."""
    ct = replace(ct, ijk_to_ras=check_matrix(ct.ijk_to_ras, label))
    if ct.calibrated:
        ct = replace(ct, warnings=(*ct.warnings, *check_hounsfield(ct.array, label, may_have_offset)))
    _, rows, columns = ct.axial().array.shape
    if min(rows, columns) < 2:
        raise ValueError(f"{label} has axial slices of {columns} x {rows} voxels: provide a CT of whole slices.")
    return ct
