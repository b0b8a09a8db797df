"""A CT with its geometry, and its voxels in axial order.

MRML uses RAS (x to the patient's right, y anterior, z superior), ITK and DICOM use LPS. Arrays are indexed
(K, J, I), as by ``slicer.util.arrayFromVolume``; matrices apply to (i, j, k, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

Box = tuple[tuple[float, float, float], tuple[float, float, float]]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class CtVolume:
    """A CT, or uncalibrated images of CT slices, on the stored grid.

    ``array`` is (K, J, I): int16 HU, with padding below -1024 set to -1024, or uint8 gray levels of images.
    ``ijk_to_ras`` is (4, 4) in mm; for images, which have no HU and no voxel spacing, ``calibrated`` is False and the
    unit is the pixel.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    name: str  # of the case: file name without suffix, or folder name
    source: str  # the path as given, or "MRML node"
    calibrated: bool
    warnings: tuple[str, ...] = ()
    slice_shapes: tuple[tuple[int, int], ...] | None = None  # (rows, columns) of images that differ in size

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centers along I, J, K in mm (1 pixel for images)."""
        return _column_lengths(self.ijk_to_ras)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters, also for sheared grids."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000.0

    def axial(self) -> AxialView:
        """The voxels as axial slices (a view, not a copy)."""
        return AxialView(self.array, self.ijk_to_ras)


class AxialView:
    """Stored voxels as a stack of axial slices, by transposing and flipping only.

    ``array`` is (S, R, C): slices in stored order along the axis nearest to the superior direction, rows from anterior
    to posterior, columns from the patient's right to left. ``index_to_ras`` maps (c, r, s, 1) to RAS. Oblique grids are
    not resampled: the three axes are jointly assigned to the nearest anatomical directions.
    """

    def __init__(self, array: np.ndarray, ijk_to_ras: np.ndarray):
        ijk_to_ras = np.asarray(ijk_to_ras, dtype=np.float64)
        axes = _anatomical_axes(ijk_to_ras)  # stored axis (0 = I) of the columns, rows, slices
        self._order = tuple(2 - axis for axis in reversed(axes))  # as numpy axes of (K, J, I)
        # RAS increases to the right and anteriorly; columns and rows of an axial image run the other way.
        signs = [-1 if ijk_to_ras[axis, axes[axis]] > 0 else 1 for axis in (0, 1)] + [1]
        self._flips = tuple(slice(None, None, sign) for sign in reversed(signs))
        self.array = self.from_volume(array)
        self._index_to_ijk = np.zeros((4, 4))  # a signed permutation and an offset
        self._index_to_ijk[3, 3] = 1.0
        for axis, (stored, sign, size) in enumerate(zip(axes, signs, self.array.shape[::-1], strict=True)):
            self._index_to_ijk[stored, axis] = sign
            self._index_to_ijk[stored, 3] = size - 1 if sign < 0 else 0
        self.index_to_ras = ijk_to_ras @ self._index_to_ijk

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of voxel centers along columns, rows and slices in mm."""
        return _column_lengths(self.index_to_ras)

    def from_volume(self, volume: np.ndarray) -> np.ndarray:
        """(K, J, I) on the stored grid -> (S, R, C), as a view."""
        return volume.transpose(self._order)[self._flips]

    def to_volume(self, axial: np.ndarray) -> np.ndarray:
        """(S, R, C) -> (K, J, I) on the stored grid, contiguous: the exact inverse of ``from_volume``."""
        return np.ascontiguousarray(axial[self._flips].transpose(np.argsort(self._order)))

    def to_ras(self, column: float, row: float, slice_: float) -> tuple[float, float, float]:
        """RAS position in mm of a continuous index; voxel centers have integer indices."""
        return tuple((self.index_to_ras @ (column, row, slice_, 1.0))[:3].tolist())

    def position_mm(self, slice_: float) -> float:
        """Superior coordinate of the center of a slice, in mm."""
        _, rows, columns = self.array.shape
        return self.to_ras((columns - 1) / 2, (rows - 1) / 2, slice_)[2]

    def box_to_ijk(self, box: Sequence[Sequence[float]]) -> Box:
        """A box ((c0, r0, s0), (c1, r1, s1)) of this view as (minimum, maximum) in stored (I, J, K)."""
        corners = np.column_stack([np.asarray(box, dtype=np.float64), np.ones(2)]) @ self._index_to_ijk.T
        low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
        return tuple(low.tolist()), tuple(high.tolist())

    def box_to_ras(self, box: Sequence[Sequence[float]]) -> Box:
        """Bounding box in RAS, in mm, of a box of this view, whose axes may be oblique."""
        corners = np.array([self.to_ras(*corner) for corner in product(*zip(*box, strict=True))])
        return tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist())


def _column_lengths(matrix: np.ndarray) -> tuple[float, float, float]:
    return tuple(np.linalg.norm(matrix[:3, :3], axis=0).tolist())


def _anatomical_axes(ijk_to_ras: np.ndarray) -> tuple[int, int, int]:
    """Stored axes (0 = I, 1 = J, 2 = K) that run right-left, anterior-posterior and inferior-superior.

    The assignment with the largest sum of |cosine|; of equal ones the first in the order I, J, K, so that rounding does
    not decide for a grid at exactly 45 degrees.
    """
    cosine = np.abs(ijk_to_ras[:3, :3]) / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    sums = {axes: sum(cosine[i, axis] for i, axis in enumerate(axes)) for axes in permutations(range(3))}
    largest = max(sums.values())
    return next(axes for axes, value in sums.items() if value >= largest - 1e-6)


def check_matrix(ijk_to_ras: np.ndarray, label: str) -> np.ndarray:
    """The matrix as (4, 4) float64; raises ValueError if it cannot be the geometry of a volume."""
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"{label} has no usable geometry: its IJK-to-RAS matrix must be 4 x 4 and finite.")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() < 1e-6 or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise ValueError(f"{label} has no usable geometry: the voxel spacing must be larger than 0 along every axis.")
    if abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-3:
        raise ValueError(f"{label} has no usable geometry: the directions of its axes coincide.")
    return matrix
