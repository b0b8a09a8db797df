"""The voxel grid on which the phantom is sampled, in RAS millimeters, and a coarser one for smooth fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# RAS directions of columns (right to left), rows (anterior to posterior) and slices (inferior to superior), as with an
# identity direction matrix in ITK.
LPS_AXES = np.diag([-1.0, -1.0, 1.0])
_NODE_MM = 2.4  # the largest distance of nodes of the coarse grid, unless voxels are larger
_PATIENT_CENTER = np.array([0.0, -10.0, -35.0])  # center of every scan, mm RAS


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel grid of a scan: ``shape`` (S, R, C), ``spacing`` mm and unit ``axes`` of (column, row, slice)."""

    shape: tuple[int, int, int]
    spacing: np.ndarray  # (3,): along columns, rows, slices
    axes: np.ndarray  # (3, 3): columns are the RAS directions of those three
    origin: np.ndarray  # RAS of voxel (0, 0, 0)

    @classmethod
    def centered(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], axes: np.ndarray,
                 center: np.ndarray = _PATIENT_CENTER) -> Grid:
        """The grid of (S, R, C) voxels, of the given size along (column, row, slice), around ``center``."""
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        half = 0.5 * (np.asarray(shape[::-1]) - 1) * spacing
        return cls(shape, spacing, axes, center - axes @ half)

    @property
    def index_to_ras(self) -> np.ndarray:
        """(4, 4): (column, row, slice, 1) to RAS millimeters."""
        return np.vstack([np.column_stack([self.axes * self.spacing, self.origin]), (0, 0, 0, 1)])

    def points(self, s, r, c) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RAS x, y, z (float32) of index arrays that broadcast together.

        Each is broadcast only over the axes that it depends on: (C,), (R, 1) and (S, 1, 1) for an axial grid.
        """
        xyz = []
        for ras in range(3):
            total = np.float64(self.origin[ras])
            for axis, index in enumerate((c, r, s)):
                slope = self.axes[ras, axis] * self.spacing[axis]
                if abs(slope) > 1e-9:
                    total = total + slope * np.asarray(index, dtype=np.float64)
            xyz.append(np.asarray(total).astype(np.float32))
        return tuple(xyz)

    def to_local(self, points_ras: np.ndarray) -> np.ndarray:
        """(N, 3) RAS positions in millimeters along (column, row, slice) from voxel (0, 0, 0)."""
        return (points_ras - self.origin) @ self.axes

    def box(self, low_ras: np.ndarray, high_ras: np.ndarray) -> tuple[slice, slice, slice]:
        """Slices (S, R, C) of the grid that contain a box in RAS; may be empty."""
        corners = np.array([[(low_ras, high_ras)[b >> a & 1][a] for a in range(3)] for b in range(8)])
        index = self.to_local(corners) / self.spacing
        size = np.array(self.shape[::-1])
        low = np.clip(np.floor(index.min(0)).astype(int), 0, size)
        high = np.clip(np.ceil(index.max(0)).astype(int) + 1, low, size)
        return slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0])


@dataclass(frozen=True, eq=False)
class Coarse:
    """A subsampled grid, on whose nodes smooth fields are computed; they are linearly interpolated in between."""

    grid: Grid

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """Voxels from node to node along (slice, row, column)."""
        return tuple(max(1, int(_NODE_MM / d + 1e-6)) for d in self.grid.spacing[::-1])

    @cached_property
    def nodes(self) -> tuple[int, int, int]:
        """Number of nodes along (slice, row, column); the last lies on or beyond the last voxel."""
        return tuple(-(-(n - 1) // k) + 1 for n, k in zip(self.grid.shape, self.steps, strict=True))

    def points(self, planes: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RAS x, y, z of the nodes in ``planes``, a slice of the first node axis."""
        ks, kr, kc = self.steps
        s, r, c = (np.arange(n) for n in self.nodes)
        return self.grid.points((s[planes] * ks)[:, None, None], (r * kr)[:, None], c * kc)

    def slice_fields(self, fields: np.ndarray, s: int) -> np.ndarray:
        """Fields (F, S', R', C') at the nodes, interpolated to slice ``s``: (F, R, C)."""
        ks, kr, kc = self.steps
        _, rows, columns = self.grid.shape
        plane, rest = divmod(s, ks)
        values = fields[:, plane]
        if rest:
            values = values + (fields[:, plane + 1] - values) * np.float32(rest / ks)
        return _interpolate(_interpolate(values, kc, columns, axis=2), kr, rows, axis=1)


def _interpolate(a: np.ndarray, step: int, size: int, axis: int) -> np.ndarray:
    """Linear interpolation of (F, R, C) along an axis with ``step`` voxels from node to node, to ``size`` voxels."""
    if step == 1:
        return a
    shape = list(a.shape)
    shape[axis] = (shape[axis] - 1) * step + 1
    out = np.empty(shape, np.float32)
    nodes, target = np.moveaxis(a, axis, 0), np.moveaxis(out, axis, 0)
    target[::step] = nodes
    rise = (nodes[1:] - nodes[:-1]) * np.float32(1.0 / step)
    for m in range(1, step):
        np.add(nodes[:-1], rise * np.float32(m), out=target[m::step])
    return np.moveaxis(target[:size], 0, axis)
