"""A CT with its geometry, and the same voxels in axial order.

MRML is RAS (x to the patient's right, y to the front, z to the head), ITK and DICOM are LPS. Arrays are
indexed (K, J, I), as ``slicer.util.arrayFromVolume`` gives them; matrices take (i, j, k, 1).
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
    """A CT, or pictures of CT slices, on the grid on which they were stored.

    ``array`` is (K, J, I): int16 HU, where padding below -1024 counts as -1024, or uint8 gray values
    of pictures. ``ijk_to_ras`` is (4, 4) in mm; pictures have pixels instead of millimeters, HU
    values are unknown for them, and ``calibrated`` is False.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    name: str  # of the case: stem of the file, or name of the folder
    source: str  # the path as given, or "MRML node"
    calibrated: bool
    warnings: tuple[str, ...] = ()
    slice_shapes: tuple[tuple[int, int], ...] | None = None  # (rows, columns) of pictures of different size

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centers along I, J, K in mm (1 pixel for pictures)."""
        lengths = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters; right for sheared grids, too."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000.0

    def axial(self) -> AxialView:
        """The same voxels as axial slices (a view, nothing is copied)."""
        return AxialView(self.array, self.ijk_to_ras)


class AxialView:
    """Stored voxels as a stack of axial slices, by transposing and flipping only.

    ``array`` is (S, R, C): slices in stored order along the stored axis that is nearest to the
    patient's long axis, rows from front to back, columns from the patient's right to the left.
    ``index_to_ras`` takes (c, r, s, 1) to RAS. Oblique grids keep their own axes: each is shown
    as the anatomical direction to which it belongs when all three are assigned together.
    """

    def __init__(self, array: np.ndarray, ijk_to_ras: np.ndarray):
        ijk_to_ras = np.asarray(ijk_to_ras, dtype=np.float64)
        self._axes = _anatomical_axes(ijk_to_ras)  # stored axis (0 = I) that serves as columns, rows, slices
        columns, rows, slices = self._axes
        self._order = (2 - slices, 2 - rows, 2 - columns)  # the same as numpy axes of (K, J, I)
        # RAS grows to the right and to the front; a picture's columns and rows go the other way.
        self._flip = (False, ijk_to_ras[1, rows] > 0, ijk_to_ras[0, columns] > 0)
        self.array = self.from_volume(array)
        self._index_to_ijk = self._index_matrix()
        self.index_to_ras = ijk_to_ras @ self._index_to_ijk

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of voxel centers along columns, rows and slices in mm."""
        lengths = np.linalg.norm(self.index_to_ras[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    def from_volume(self, volume: np.ndarray) -> np.ndarray:
        """(K, J, I) on the CT's own grid -> (S, R, C), as a view."""
        return volume.transpose(self._order)[self._flips]

    def to_volume(self, axial: np.ndarray) -> np.ndarray:
        """(S, R, C) -> (K, J, I) on the CT's own grid, contiguous: the exact inverse of from_volume."""
        return np.ascontiguousarray(axial[self._flips].transpose(np.argsort(self._order)))

    def to_ras(self, column: float, row: float, slice_: float) -> tuple[float, float, float]:
        """RAS position in mm of a continuous index; centers of voxels are integers."""
        x, y, z = (self.index_to_ras @ (column, row, slice_, 1.0))[:3]
        return float(x), float(y), float(z)

    def position_mm(self, slice_: float) -> float:
        """Superior coordinate of the center of a slice, in mm."""
        _, rows, columns = self.array.shape
        return self.to_ras((columns - 1) / 2, (rows - 1) / 2, slice_)[2]

    def box_to_ijk(self, box: Sequence[Sequence[float]]) -> Box:
        """A box ((c0, r0, s0), (c1, r1, s1)) of this view as (minimum, maximum) on the CT's (I, J, K)."""
        corners = np.column_stack([np.asarray(box, dtype=np.float64), np.ones(2)]) @ self._index_to_ijk.T
        low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
        return tuple(map(float, low)), tuple(map(float, high))

    def box_to_ras(self, box: Sequence[Sequence[float]]) -> Box:
        """Smallest box along the axes of RAS, in mm, around a box of this view, whose axes may be oblique."""
        corners = np.array([self.to_ras(*corner) for corner in product(*zip(*box, strict=True))])
        return tuple(map(float, corners.min(axis=0))), tuple(map(float, corners.max(axis=0)))

    @property
    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self._flip)

    def _index_matrix(self) -> np.ndarray:
        """(4, 4) matrix from (c, r, s, 1) to (i, j, k, 1): a signed permutation and an offset."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1.0
        for axis, stored, flip, size in zip(
            range(3), self._axes, self._flip[::-1], self.array.shape[::-1], strict=True
        ):
            matrix[stored, axis] = -1.0 if flip else 1.0
            matrix[stored, 3] = size - 1 if flip else 0.0
        return matrix


def _anatomical_axes(ijk_to_ras: np.ndarray) -> tuple[int, int, int]:
    """Stored axes (0 = I, 1 = J, 2 = K) that run right-left, front-back and along the patient.

    The assignment with the largest sum of |cosine|; among equals the one nearest to I, J, K, so that
    a grid at exactly 45 degrees does not hang on rounding.
    """
    cosine = np.abs(ijk_to_ras[:3, :3]) / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    sums = {axes: sum(cosine[i, axis] for i, axis in enumerate(axes)) for axes in permutations(range(3))}
    largest = max(sums.values())
    return next(axes for axes, value in sums.items() if value >= largest - 1e-6)


def check_matrix(ijk_to_ras: np.ndarray, label: str) -> np.ndarray:
    """The matrix as (4, 4) float64; ValueError where it cannot be the geometry of a volume."""
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"{label} has no usable geometry: its IJK-to-RAS matrix must be 4 x 4 and finite.")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() < 1e-6 or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise ValueError(
            f"{label} has no usable geometry: the voxel spacing must be larger than 0 along every axis."
        )
    if abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-3:
        raise ValueError(f"{label} has no usable geometry: the directions of its axes coincide.")
    return matrix
