"""The slices of one DICOM series, sorted and placed -> array and geometry."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from .dicom import DicomFile, DicomSeries
from .files import itk_name, matrix_of, quiet
from .geometry import LPS_TO_RAS
from .hounsfield import to_int16


def read_series(series: DicomSeries, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(K, J, I) int16 HU, IJK-to-RAS matrix in mm, and warnings.

    Slices are ordered along the normal of their plane, whatever the files' names and numbers say. The
    matrix follows the true positions of the first and last slice, so a gantry tilt is kept as shear.
    """
    if series.files[0].shape[0] > 1:
        return _read_multiframe(series.files[0], label)
    files, warnings = _ordered(series.files)
    matrix, more = _geometry(files)
    shape = (len(files), series.rows, series.columns)
    return to_int16(_pixels(files, label), shape, label), matrix, warnings + more


def _read_multiframe(file: DicomFile, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    image = _read(file, label)
    values = sitk.GetArrayViewFromImage(image)
    return to_int16([values], values.shape, label), matrix_of(image), []


def _pixels(files: list[DicomFile], label: str) -> Iterator[np.ndarray]:
    for file in files:
        image = _read(file, label)
        yield sitk.GetArrayViewFromImage(image).reshape(file.shape)


def _read(file: DicomFile, label: str) -> sitk.Image:
    with quiet(), itk_name(file.path) as file_name:
        try:
            return sitk.ReadImage(file_name, imageIO="GDCMImageIO")
        except RuntimeError:
            raise OSError(
                f"{label} cannot be read: a DICOM file in it is damaged, incomplete or compressed in an "
                "unknown way."
            ) from None


def _ordered(files: tuple[DicomFile, ...]) -> tuple[list[DicomFile], list[str]]:
    """Files along the normal of the slices, each place once."""
    order = sorted(files, key=lambda f: (f.instance, f.path.name))
    if not _places_differ(order):
        if len(order) == 1:
            return order, [] if order[0].placed else ["The DICOM file does not state where its slice lies."]
        return order, [
            "The DICOM files do not state where they lie: slices are in the order of their numbers."
        ]
    normal = _normal(order[0])
    order.sort(key=lambda f: round(float(normal @ f.position), 3))  # a stable sort: equals stay by number
    kept = order[:1]
    for file in order[1:]:
        if normal @ np.subtract(file.position, kept[-1].position) > 1e-2:
            kept.append(file)
    left = len(order) - len(kept)
    if left:
        return kept, [f"{left} DICOM file(s) lie at the place of another slice and were left out."]
    return kept, []


def _places_differ(files: list[DicomFile]) -> bool:
    """Whether positions can order the files. Some anonymizers set them all alike: then only numbers help."""
    if not files[0].placed:
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
    if not first.placed:
        return LPS_TO_RAS @ lps, []
    lps[:3, 0] = np.multiply(first.orientation[:3], column_mm)
    lps[:3, 1] = np.multiply(first.orientation[3:], row_mm)
    lps[:3, 3] = first.position
    normal = _normal(first)
    positions = np.array([f.position for f in files])
    if np.ptp(positions @ normal) < 1e-2:  # all alike
        lps[:3, 2] = normal * abs(thickness)
        return LPS_TO_RAS @ lps, []
    lps[:3, 2] = (positions[-1] - positions[0]) / (len(files) - 1)
    return LPS_TO_RAS @ lps, _spacing_warnings(positions, normal) + _tilt_warnings(lps[:3, 2], normal)


def _spacing_warnings(positions: np.ndarray, normal: np.ndarray) -> list[str]:
    """What a radiologist should know where the slices do not lie at equal distances."""
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    even = np.linspace(along[0], along[-1], len(along))
    error = float(np.abs(along - even).max())
    if error <= max(0.05 * usual, 0.05):  # positions are rounded in the header
        return []
    missing = int(np.sum(np.maximum(np.rint(steps / usual) - 1, 0)))
    cause = f"{missing} slice(s) seem to be missing" if missing else "Slices do not lie at equal distances"
    return [f"{cause}: positions along the patient are off by up to {error:.1f} mm."]


def _tilt_warnings(step: np.ndarray, normal: np.ndarray) -> list[str]:
    cosine = abs(float(step @ normal)) / float(np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    if tilt <= 0.5:
        return []
    return [f"The scanner's gantry was tilted by {tilt:.0f} degrees: the slices form a sheared stack."]
