"""Reads one DICOM series: the voxels of its sorted slices, and their geometry."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .dicom import DicomFile, DicomSeries
from .files import itk_path, matrix_of, quiet
from .geometry import LPS_TO_RAS
from .hounsfield import to_int16


def read_series(series: DicomSeries, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(K, J, I) int16 HU, IJK-to-RAS matrix in mm, and warnings.

    Slices are sorted along the normal of their plane, regardless of file names and instance numbers. The matrix
    follows the positions of the first and last slice, so that a gantry tilt is kept as shear.
    """
    if series.files[0].shape[0] > 1:
        image = _read(series.files[0], label)
        values = sitk.GetArrayViewFromImage(image)
        return to_int16([values], values.shape, label), matrix_of(image), []
    files, warnings = _ordered(series.files)
    matrix, more = _geometry(files)
    shape = (len(files), series.rows, series.columns)
    pixels = (sitk.GetArrayFromImage(_read(file, label)).reshape(file.shape) for file in files)
    return to_int16(pixels, shape, label), matrix, warnings + more


def _read(file: DicomFile, label: str) -> sitk.Image:
    with quiet(), itk_path(file.path) as readable:
        try:
            return sitk.ReadImage(readable, imageIO="GDCMImageIO")
        except RuntimeError:
            raise OSError(f"{label} cannot be read: one of its DICOM files is damaged, incomplete or in an unknown "
                          "compression; export the series again.") from None  # fmt: skip


def _ordered(files: tuple[DicomFile, ...]) -> tuple[list[DicomFile], list[str]]:
    """The files along the normal of the slices, one for each position; and warnings."""
    order = sorted(files, key=lambda f: (f.instance, f.path.name))
    if not _has_positions(order):
        if len(order) == 1:
            return order, [] if order[0].has_position else ["The DICOM file does not give the position of its slice."]
        return order, ["The DICOM files do not give slice positions: slices are sorted by instance number."]
    normal = _normal(order[0])
    order.sort(key=lambda f: round(float(normal @ f.position), 3))  # stable: ties stay sorted by number
    kept = order[:1]
    for file in order[1:]:
        if normal @ np.subtract(file.position, kept[-1].position) > 1e-2:
            kept.append(file)
    dropped = len(order) - len(kept)
    return kept, [f"{dropped} DICOM file(s) repeat the position of another slice and were ignored."] if dropped else []


def _has_positions(files: list[DicomFile]) -> bool:
    """Whether positions can sort the files; some anonymizers set them all to the same value."""
    if not files[0].has_position:
        return False
    along = [float(_normal(files[0]) @ f.position) for f in files]
    numbered = len({f.instance for f in files}) == len(files)
    return max(along) - min(along) > 1e-2 or not numbered


def _normal(file: DicomFile) -> np.ndarray:
    normal = np.cross(file.orientation[:3], file.orientation[3:])
    return normal / np.linalg.norm(normal)


def _geometry(files: list[DicomFile]) -> tuple[np.ndarray, list[str]]:
    first = files[0]
    column_mm, row_mm = first.spacing
    thickness = (*first.numbers("0018|0050"), *first.numbers("0018|0088"), 1.0)[0] or 1.0
    lps = np.diag([column_mm, row_mm, abs(thickness), 1.0])
    warnings = []
    if first.has_position:
        lps[:3, 0] = np.multiply(first.orientation[:3], column_mm)
        lps[:3, 1] = np.multiply(first.orientation[3:], row_mm)
        lps[:3, 3] = first.position
        normal = _normal(first)
        positions = np.array([f.position for f in files])
        along = positions @ normal
        if np.ptp(along) < 1e-2:  # all the same
            lps[:3, 2] = normal * abs(thickness)
        else:
            lps[:3, 2] = (positions[-1] - positions[0]) / (len(files) - 1)
            warnings = _spacing_warnings(along) + _tilt_warnings(lps[:3, 2], normal)
    return LPS_TO_RAS @ lps, warnings


def _spacing_warnings(along: np.ndarray) -> list[str]:
    """A warning if the slices, at the positions ``along`` their normal in mm, are not equally spaced."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    error = float(np.abs(along - np.linspace(along[0], along[-1], len(along))).max())
    if error <= max(0.05 * usual, 0.05):  # headers round positions
        return []
    missing = int(np.sum(np.maximum(np.rint(steps / usual) - 1, 0)))
    cause = f"{missing} slice(s) seem to be missing" if missing else "The slices are not equally spaced"
    return [f"{cause}: positions along the patient are off by up to {error:.1f} mm."]


def _tilt_warnings(step: np.ndarray, normal: np.ndarray) -> list[str]:
    tilt = np.degrees(np.arccos(min(1.0, abs(step @ normal) / np.linalg.norm(step))))
    return [f"The gantry was tilted by {tilt:.0f} degrees: the slices form a sheared stack."] if tilt > 0.5 else []
