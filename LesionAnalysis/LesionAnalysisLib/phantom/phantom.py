"""make_phantom: a chest CT of a patient who does not exist, with the truth about lungs and lesions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..volume import CtVolume, ct_from_array
from .grid import LPS_AXES, Grid, Orientation, orientations
from .lesion_shapes import LesionShape
from .patient import Patient
from .render import THREADS, render

_REFERENCE_MM = 1.25  # the truth about a lesion is measured on a grid of its own, so that it is the same for all scans


@dataclass(frozen=True)
class PhantomLesion:
    """One known lesion. Nothing here depends on the grid that the scan was sampled on."""

    label: int  # its value in Phantom.lesion_labels
    type: str  # "GGO", "partial consolidation" or "consolidation"
    center_ras_mm: tuple[float, float, float]  # center of gravity
    radii_mm: tuple[float, float, float]  # along R, A, S: of the ellipsoid with the same second moments
    mean_hu: float  # vessels and airways inside it included
    volume_ml: float

    @property
    def radius_mm(self) -> float:
        """Radius of the sphere of the same volume."""
        return float(np.cbrt(self.volume_ml * 1000.0 * 3.0 / (4.0 * np.pi)))


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic chest CT and its truth; the arrays are (K, J, I) on the CT's own grid."""

    ct: CtVolume
    lung_mask: np.ndarray  # bool, lesions included, trachea and main bronchi not
    lesion_labels: np.ndarray  # uint8: PhantomLesion.label, 0 elsewhere
    lesions: tuple[PhantomLesion, ...]
    seed: int

    def save(self, path: str | os.PathLike, part: str = "ct") -> Path:
        """Write the CT (``part="ct"``), the "lungs" or the "lesions" to a .nii.gz, .nrrd, .mha ... file.

        Raises ValueError for an unknown part, OSError where the file cannot be written.
        """
        import SimpleITK as sitk

        parts = {"ct": self.ct.array, "lungs": self.lung_mask.astype(np.uint8), "lesions": self.lesion_labels}
        if part not in parts:
            raise ValueError(f"A phantom has no part '{part}': choose one of {', '.join(parts)}.")
        image = sitk.GetImageFromArray(parts[part])
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.ct.ijk_to_ras
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        try:
            sitk.WriteImage(image, os.fspath(path), True)
        except RuntimeError as error:
            raise OSError(f"The phantom cannot be written to '{path}': give a writable .nii.gz or .nrrd.") from error
        return Path(path)


def make_phantom(
    shape: tuple[int, int, int] = (120, 512, 512),
    spacing_mm: tuple[float, float, float] = (0.7, 0.7, 2.5),
    diseased: bool = True,
    orientation: str | Orientation | np.ndarray = "axial",
    seed: int = 0,
    noise_hu: float = 20.0,
) -> Phantom:
    """A synthetic chest CT in HU, the same for the same arguments.

    ``shape`` (slices, rows, columns) and ``spacing_mm`` along (columns, rows, slices) describe an axial scan;
    ``orientation``, one of ``orientations()`` by name, or an own matrix, says how the scan lies in the patient
    and in which order its voxels are stored. A sagittal or coronal phantom thus shows the same patient through
    the same field of view, and its array has ``shape`` in another order. ``seed`` chooses the patient; healthy
    and diseased phantoms of one seed differ in nothing but the lesions. ``noise_hu`` is the standard deviation
    of the noise in the body.

        phantom = make_phantom((60, 256, 256), (1.4, 1.4, 5.0), orientation="coronal")
        phantom.lesions[0].center_ras_mm, phantom.ct.array[phantom.lesion_labels == 1].mean()

    Raises ValueError for a shape, spacing, noise, seed or orientation that makes no scan.
    """
    scan_orientation = _orientation(orientation)
    grid = _grid(shape, spacing_mm, scan_orientation)
    if noise_hu < 0 or seed < 0:
        raise ValueError("Noise and seed of a phantom cannot be negative.")
    patient = _patient(int(seed))
    scan = render(patient, grid, diseased, noise_hu)
    matrix = _stored_matrix(grid, scan_orientation)
    name = f"phantom-{seed}" if diseased else f"phantom-{seed}-healthy"
    ct = ct_from_array(_stored(scan.hu, scan_orientation), matrix, name)
    return Phantom(
        ct=replace(ct, source="phantom"),
        lung_mask=_stored(scan.lungs, scan_orientation),
        lesion_labels=_stored(scan.labels, scan_orientation),
        lesions=_truth(int(seed)) if diseased else (),
        seed=int(seed),
    )


def _orientation(orientation: str | Orientation | np.ndarray) -> Orientation:
    if isinstance(orientation, Orientation):
        return orientation
    if not isinstance(orientation, str):
        return Orientation(orientation)
    known = orientations()
    if orientation not in known:
        raise ValueError(f"There is no orientation '{orientation}': choose one of {', '.join(known)}.")
    return known[orientation]


def _grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], orientation: Orientation) -> Grid:
    """The scan's grid (slices, rows, columns), before it is stored."""
    size, spacing = np.asarray(shape), np.asarray(spacing_mm, dtype=np.float64)
    if size.shape != (3,) or size.min() < 1 or spacing.shape != (3,) or not (spacing > 0).all():
        raise ValueError("A phantom needs three positive whole numbers as its shape and three lengths (mm) as spacing.")
    stretch = np.asarray(orientation.stretch)
    size = np.maximum(1, np.round(size / stretch[::-1])).astype(int)
    order, signs = orientation.storage
    return Grid.centered(tuple(size.tolist()), spacing * stretch, orientation.direction[:, order] * signs)


def _stored(scan: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A scan (slices, rows, columns) as it is stored: (K, J, I), contiguous."""
    order, signs = orientation.storage
    flipped = scan[tuple(slice(None, None, sign) for sign in signs[::-1])]
    source = [2 - order.index(2 - dimension) for dimension in range(3)]
    return np.ascontiguousarray(flipped.transpose(source))


def _stored_matrix(grid: Grid, orientation: Orientation) -> np.ndarray:
    """(4, 4): (i, j, k, 1) of the stored array to RAS millimeters."""
    order, signs = orientation.storage
    to_scan = np.zeros((4, 4))  # (i, j, k, 1) -> (column, row, slice, 1)
    to_scan[3, 3] = 1.0
    for axis in range(3):
        to_scan[axis, order[axis]] = signs[axis]
        to_scan[axis, 3] = 0.0 if signs[axis] > 0 else grid.shape[2 - axis] - 1
    return grid.index_to_ras @ to_scan


@lru_cache(maxsize=4)
def _patient(seed: int) -> Patient:
    """The patient of a seed, kept: one patient is often scanned several times."""
    return Patient(seed)


@lru_cache(maxsize=16)
def _truth(seed: int) -> tuple[PhantomLesion, ...]:
    patient = _patient(seed)
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(lambda item: _measured(patient, *item), enumerate(patient.lesions, 1)))


def _measured(patient: Patient, label: int, lesion: LesionShape) -> PhantomLesion:
    """Place, size and density of one lesion, measured on a fine grid around it, without noise."""
    size = tuple(np.ceil(2.0 * lesion.reach()[::-1] / _REFERENCE_MM).astype(int).tolist())
    grid = Grid.centered(size, (_REFERENCE_MM,) * 3, LPS_AXES, center=lesion.center)
    scan = render(patient, grid, True, noise_hu=0.0, threads=1)
    inside = scan.labels == label
    index = np.argwhere(inside)[:, ::-1]
    points = index @ grid.index_to_ras[:3, :3].T + grid.index_to_ras[:3, 3]
    center = points.mean(axis=0)
    radii = np.sqrt(5.0 * ((points - center) ** 2).mean(axis=0))
    return PhantomLesion(
        label=label,
        type=lesion.type,
        center_ras_mm=(float(center[0]), float(center[1]), float(center[2])),
        radii_mm=(float(radii[0]), float(radii[1]), float(radii[2])),
        mean_hu=float(scan.hu[inside].mean(dtype=np.float64)),
        volume_ml=len(index) * _REFERENCE_MM**3 / 1000.0,
    )
