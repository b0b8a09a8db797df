"""``make_phantom``: a synthetic chest CT with its true lung mask and lesions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..volume import CtVolume, ct_from_array
from .grid import LPS_AXES, Grid
from .lesion_shapes import LesionShape
from .patient import Patient
from .render import THREADS, render

_REFERENCE_MM = 1.25  # voxel size of the grid on which lesions are measured, the same for all scans


@dataclass(frozen=True)
class PhantomLesion:
    """One known lesion, measured independently of the grid of the scan."""

    label: int  # in Phantom.lesion_labels
    type: str  # "GGO", "partial consolidation" or "consolidation"
    center_ras_mm: tuple[float, float, float]  # centroid
    radii_mm: tuple[float, float, float]  # along R, A, S, of the ellipsoid with the same second moments
    mean_hu: float  # including vessels and airways
    volume_ml: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic chest CT and its ground truth; arrays are (K, J, I) on the grid of the CT."""

    ct: CtVolume
    lung_mask: np.ndarray  # bool, with lesions, without trachea and main bronchi
    lesion_labels: np.ndarray  # uint8: PhantomLesion.label, or 0
    seed: int
    diseased: bool

    @property
    def lesions(self) -> tuple[PhantomLesion, ...]:
        """Measured, which takes seconds, on first use."""
        return _truth(self.seed) if self.diseased else ()


def make_phantom(
    shape: tuple[int, int, int] = (120, 512, 512),
    spacing_mm: tuple[float, float, float] = (0.7, 0.7, 2.5),
    diseased: bool = True,
    seed: int = 0,
    noise_hu: float = 20.0,
    axes: np.ndarray = LPS_AXES,
) -> Phantom:
    """A synthetic chest CT in HU, the same for the same arguments.

    ``shape`` is (slices, rows, columns), ``spacing_mm`` along (columns, rows, slices), and the columns of ``axes``
    (3, 3) are their orthonormal RAS directions in the same order. ``seed`` selects the patient; healthy and diseased
    phantoms of one seed differ only in the lesions. ``noise_hu`` is the standard deviation of the noise in the body.

        phantom = make_phantom((60, 256, 256), (1.4, 1.4, 5.0))
        phantom.lesions[0].center_ras_mm, phantom.ct.array[phantom.lesion_labels == 1].mean()

    Raises ValueError for an impossible shape, spacing, noise, seed or axes.
    """
    size, spacing = np.asarray(shape), np.asarray(spacing_mm, dtype=np.float64)
    if size.shape != (3,) or size.min() < 1 or spacing.shape != (3,) or not (spacing > 0).all():
        raise ValueError("The shape of a phantom is three positive integers, its spacing three positive lengths in mm.")
    if noise_hu < 0 or seed < 0:
        raise ValueError("Noise and seed of a phantom cannot be negative.")
    axes = np.asarray(axes, dtype=np.float64)
    if axes.shape != (3, 3) or not np.allclose(axes.T @ axes, np.eye(3), atol=1e-6):
        raise ValueError("The axes of a phantom are the orthonormal columns of a 3 x 3 matrix, in RAS.")
    grid = Grid.centered(tuple(size.tolist()), spacing, axes)
    scan = render(_patient(int(seed)), grid, diseased, noise_hu)
    name = f"phantom-{seed}" if diseased else f"phantom-{seed}-healthy"
    ct = replace(ct_from_array(scan.hu, grid.index_to_ras, name), source="phantom")
    return Phantom(ct, scan.lungs, scan.labels, int(seed), diseased)


_patient = lru_cache(maxsize=4)(Patient)  # a patient is often scanned several times


@lru_cache(maxsize=16)
def _truth(seed: int) -> tuple[PhantomLesion, ...]:
    patient = _patient(seed)
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(lambda item: _measured(patient, *item), enumerate(patient.lesions, 1)))


def _measured(patient: Patient, label: int, lesion: LesionShape) -> PhantomLesion:
    """Position, size and density of one lesion, measured on a fine grid around it, without noise."""
    size = tuple(np.ceil(2.0 * lesion.reach()[::-1] / _REFERENCE_MM).astype(int).tolist())
    grid = Grid.centered(size, (_REFERENCE_MM,) * 3, LPS_AXES, center=lesion.center)
    scan = render(patient, grid, True, noise_hu=0.0, threads=1)
    inside = scan.labels == label
    index = np.argwhere(inside)[:, ::-1]
    points = index @ grid.index_to_ras[:3, :3].T + grid.index_to_ras[:3, 3]
    center = points.mean(axis=0)
    radii = np.sqrt(5.0 * ((points - center) ** 2).mean(axis=0))
    mean_hu, volume_ml = float(scan.hu[inside].mean(dtype=np.float64)), len(index) * _REFERENCE_MM**3 / 1000.0
    return PhantomLesion(label, lesion.type, tuple(center.tolist()), tuple(radii.tolist()), mean_hu, volume_ml)
