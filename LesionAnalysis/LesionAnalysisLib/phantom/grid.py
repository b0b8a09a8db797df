"""Where the phantom is sampled: a slice-by-slice grid in RAS millimeters, and how the result is stored.

The patient is a set of continuous functions of RAS position. A scan is made of slices that are axial, or
tilted by a rotation; how its voxels are then stored (which array axis is which, and in which direction) is
a matter of transposing and flipping, so that those versions of a scan agree voxel for voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Columns run from the patient's right to the left, rows from front to back, slices from feet to head:
# the order of ITK's identity direction, written in RAS.
LPS_AXES = np.diag([-1.0, -1.0, 1.0])
_PATIENT_CENTER = np.array([0.0, -10.0, -35.0])  # what every scan is centered on, mm RAS


@dataclass(frozen=True, eq=False)
class Orientation:
    """How a scan is acquired and stored.

    ``direction`` (3, 3): columns are the RAS directions of the stored I, J and K axes (orthonormal; a mirror
    image is allowed). ``stretch``: factors on the voxel size along (left-right, front-back, up-down), with
    correspondingly fewer voxels.
    """

    direction: np.ndarray
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        d = np.asarray(self.direction, dtype=np.float64)
        if d.shape != (3, 3) or not np.allclose(d.T @ d, np.eye(3), atol=1e-6):
            raise ValueError("An orientation is a 3x3 matrix with orthonormal columns: I, J and K in RAS.")
        object.__setattr__(self, "direction", d)

    @property
    def storage(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """For each of the scan's (column, row, slice) axes: the stored axis (I, J, K = 0, 1, 2) and its sign."""
        order, signs = [0, 0, 0], [1, 1, 1]
        weight = np.abs(self.direction)
        for _ in range(3):  # the best match first, so that an oblique matrix cannot claim one axis twice
            ras, ijk = np.unravel_index(np.argmax(weight), (3, 3))
            weight[ras, :] = weight[:, ijk] = -1.0
            order[ras] = int(ijk)
            signs[ras] = 1 if self.direction[ras, ijk] * LPS_AXES[ras, ras] >= 0 else -1
        return (order[0], order[1], order[2]), (signs[0], signs[1], signs[2])


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation (3, 3) about one RAS axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = [i for i in range(3) if i != axis]
    m = np.eye(3)
    m[a, a], m[a, b], m[b, a], m[b, b] = c, -s, s, c
    return m


def orientations() -> dict[str, Orientation]:
    """Ways in which one and the same patient may be stored, by name; every geometry test runs over all of them."""
    right, anterior, superior = np.eye(3)

    def stored(i: np.ndarray, j: np.ndarray, k: np.ndarray) -> Orientation:
        return Orientation(np.stack([i, j, k], axis=1))

    tilt = _turn(0, 18.0) @ LPS_AXES
    return {
        "axial": stored(-right, -anterior, superior),  # ITK's LPS
        "axial_reversed": stored(-right, -anterior, -superior),  # slices from head to feet
        "axial_ras": stored(right, anterior, superior),  # as many NIfTI files are stored
        "axial_mirrored": stored(right, -anterior, superior),  # a left-handed frame
        "axial_prone_rows": stored(-right, anterior, superior),  # rows from back to front
        "axial_rotated_rows": stored(-anterior, right, superior),  # rows and columns exchanged
        "sagittal": stored(-anterior, -superior, -right),
        "coronal": stored(-right, -superior, anterior),
        "coronal_flipped": stored(right, superior, -anterior),
        "oblique_tilted": Orientation(tilt),  # as with a tilted gantry, 18 degrees
        "oblique_double": Orientation(_turn(2, -22.0) @ _turn(0, 15.0) @ LPS_AXES),
        "oblique_coronal": Orientation((tilt @ _turn(2, 16.0))[:, [0, 2, 1]] * [1.0, -1.0, 1.0]),
        "anisotropic": Orientation(LPS_AXES, stretch=(2.0, 1.0, 1.5)),
    }


@dataclass(frozen=True, eq=False)
class Grid:
    """Sampling positions of a scan: ``shape`` (S, R, C), ``spacing`` mm and unit ``axes`` of (column, row, slice)."""

    shape: tuple[int, int, int]
    spacing: np.ndarray  # (3,): along columns, rows, slices
    axes: np.ndarray  # (3, 3): columns are the RAS directions of those three
    origin: np.ndarray  # RAS of voxel (0, 0, 0)

    @classmethod
    def centered(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], axes: np.ndarray,
                 center: np.ndarray = _PATIENT_CENTER) -> Grid:
        """The grid whose middle is ``center``: (S, R, C) voxels of the given size along (column, row, slice)."""
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        half = 0.5 * (np.asarray(shape[::-1]) - 1) * spacing
        return cls(shape, spacing, axes, center - axes @ half)

    @property
    def index_to_ras(self) -> np.ndarray:
        """(4, 4): (column, row, slice, 1) to RAS millimeters."""
        m = np.eye(4)
        m[:3, :3] = self.axes * self.spacing
        m[:3, 3] = self.origin
        return m

    def points(self, s, r, c) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RAS x, y, z (float32) of index arrays that broadcast together.

        Where an axis does not move along a direction, it is left out, so that an axial grid gets thin arrays
        (C,), (R, 1), (S, 1, 1) and everything that depends on few axes stays cheap.
        """
        xyz = []
        for ras in range(3):
            total = np.float64(self.origin[ras])
            for axis, index in enumerate((c, r, s)):
                slope = self.axes[ras, axis] * self.spacing[axis]
                if abs(slope) > 1e-9:
                    total = total + slope * np.asarray(index, dtype=np.float64)
            xyz.append(np.asarray(total).astype(np.float32))
        return xyz[0], xyz[1], xyz[2]

    def to_local(self, points_ras: np.ndarray) -> np.ndarray:
        """(N, 3) RAS positions as millimeters along (column, row, slice) from voxel (0, 0, 0)."""
        return (points_ras - self.origin) @ self.axes

    def box(self, low_ras: np.ndarray, high_ras: np.ndarray) -> tuple[slice, slice, slice]:
        """Slices (S, R, C) of the part of the grid that holds an axis-aligned box in RAS; may be empty."""
        corners = np.array([[(low_ras, high_ras)[b >> a & 1][a] for a in range(3)] for b in range(8)])
        index = self.to_local(corners) / self.spacing
        size = np.array(self.shape[::-1])
        low = np.clip(np.floor(index.min(0)).astype(int), 0, size)
        high = np.clip(np.ceil(index.max(0)).astype(int) + 1, low, size)
        return slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0])


@dataclass(frozen=True, eq=False)
class Coarse:
    """Every few voxels of a grid: smooth fields are computed there and interpolated linearly in between."""

    grid: Grid
    target_mm: float = 2.4

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """Whole voxels between two nodes along (slice, row, column)."""
        s, r, c = (max(1, int(self.target_mm / d + 1e-6)) for d in self.grid.spacing[::-1])
        return s, r, c

    @cached_property
    def nodes(self) -> tuple[int, int, int]:
        """Number of nodes along (slice, row, column); the last lies on or beyond the last voxel."""
        s, r, c = (-(-(n - 1) // k) + 1 for n, k in zip(self.grid.shape, self.steps, strict=True))
        return s, r, c

    def points(self, planes: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RAS of the nodes of some node planes."""
        ks, kr, kc = self.steps
        s, r, c = (np.arange(n) for n in self.nodes)
        return self.grid.points((s[planes] * ks)[:, None, None], (r * kr)[:, None], c * kc)

    def slice_fields(self, fields: np.ndarray, s: int) -> np.ndarray:
        """Fields (F, S', R', C') at the nodes, interpolated to slice ``s``: (F, R, C)."""
        ks, kr, kc = self.steps
        _, rows, columns = self.grid.shape
        plane, rest = divmod(s, ks)
        at = fields[:, plane]
        if rest:
            at = at + (fields[:, plane + 1] - at) * np.float32(rest / ks)
        return _fill(_fill(at, kc, columns, axis=2), kr, rows, axis=1)


def _fill(a: np.ndarray, step: int, size: int, axis: int) -> np.ndarray:
    """Linear interpolation of (F, R, C) along an axis whose nodes are ``step`` voxels apart, cut to ``size`` voxels."""
    if step == 1:
        return a
    shape = list(a.shape)
    shape[axis] = (shape[axis] - 1) * step + 1
    out = np.empty(shape, np.float32)
    at = (slice(None),) * axis
    out[(*at, slice(None, None, step))] = a
    low = a[(*at, slice(None, -1))]
    rise = (a[(*at, slice(1, None))] - low) * np.float32(1.0 / step)
    for m in range(1, step):
        np.add(low, rise * np.float32(m), out=out[(*at, slice(m, None, step))])
    return out[(*at, slice(size))]
