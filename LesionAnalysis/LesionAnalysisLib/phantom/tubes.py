"""Tubes (vessels, airways, ribs) as short straight segments, and their rasterization on a grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .grid import Grid

_BATCH_VOXELS = 1_500_000
_SEGMENT_MM = 5.0


class Tubes(NamedTuple):
    """N straight segments with round ends: ``start``, ``end`` (N, 3) mm, ``radii`` (N, 2) mm at both ends."""

    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray

    @classmethod
    def path(cls, points: np.ndarray, radius: float | np.ndarray) -> Tubes:
        """The segments of a polyline (N, 3) with one radius, or one for each point."""
        r = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(points),))
        return cls(points[:-1], points[1:], np.stack([r[:-1], r[1:]], axis=1))

    @classmethod
    def join(cls, parts: Iterable[Tubes]) -> Tubes:
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def scaled(self, factors: np.ndarray) -> Tubes:
        """The tubes scaled by ``factors`` (3,) along RAS."""
        return Tubes(self.start * factors, self.end * factors, self.radii * np.cbrt(np.prod(factors)))

    def bent(self, sideways: np.ndarray) -> Tubes:
        """Each segment as an arc, of segments of about 5 mm, that deviates from it by up to ``sideways`` (N, 3) mm."""
        length = np.linalg.norm(self.end - self.start, axis=1)
        parts = np.maximum(1, np.ceil(length / _SEGMENT_MM)).astype(int)
        which = np.repeat(np.arange(len(parts)), parts)
        step = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)

        def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            p = self.start[which] + (self.end - self.start)[which] * t[:, None]
            p = p + sideways[which] * (4.0 * t * (1.0 - t))[:, None]
            return p, self.radii[which, 0] + (self.radii[which, 1] - self.radii[which, 0]) * t

        (a, ra), (b, rb) = at(step / parts[which]), at((step + 1) / parts[which])
        return Tubes(a, b, np.stack([ra, rb], axis=1))


def paint(volume: np.ndarray, grid: Grid, tubes: Tubes, blur_mm: float, scale: float,
          peak: np.ndarray | None = None) -> None:
    """Raise ``volume`` (S, R, C) uint8, contiguous, to at least ``scale`` * depth inside the tubes.

    Depth is measured in millimeters from ``blur_mm`` / 2 outside the surface of a tube. ``peak`` (N,) multiplies the
    value of each segment (partial volume of tubes thinner than the blur).
    """
    reach = tubes.radii.max(axis=1) + 0.5 * blur_mm
    a, b = grid.to_local(tubes.start), grid.to_local(tubes.end)
    size = np.array(grid.shape[::-1])
    low = np.maximum(np.ceil((np.minimum(a, b) - reach[:, None]) / grid.spacing).astype(int), 0)
    high = np.minimum(np.floor((np.maximum(a, b) + reach[:, None]) / grid.spacing).astype(int), size - 1)
    extent = high - low + 1
    peak = np.ones(len(reach)) if peak is None else peak
    use = np.flatnonzero((extent > 0).all(axis=1) & (peak > 0.02))
    padded = np.where(extent > 8, -(-extent // 4) * 4, -(-extent // 2) * 2)
    keys = (padded[use, 2] * 4096 + padded[use, 1]) * 4096 + padded[use, 0]
    order = np.argsort(keys, kind="stable")
    use, keys = use[order], keys[order]
    for group in np.split(use, np.flatnonzero(np.diff(keys)) + 1):
        if not len(group):
            continue
        shape = padded[group[0]]
        count = max(1, _BATCH_VOXELS // int(np.prod(shape)))
        for i in range(0, len(group), count):
            g = group[i:i + count]
            _paint_boxes(volume, grid, a[g], b[g], tubes.radii[g], low[g], shape, (blur_mm, scale), peak[g])


def _paint_boxes(volume: np.ndarray, grid: Grid, a: np.ndarray, b: np.ndarray, radii: np.ndarray, low: np.ndarray,
                 shape: np.ndarray, levels: tuple[float, float], peak: np.ndarray) -> None:
    """Rasterize segments whose bounding boxes have the same shape."""
    blur_mm, scale = levels
    n = len(a)
    length = np.maximum(np.linalg.norm(b - a, axis=1), 1e-6)
    along = (b - a) / length[:, None]
    form = lambda v, axis: v.reshape(n, *[-1 if k == axis else 1 for k in (2, 1, 0)])  # noqa: E731
    flat, inside, t, squares = 0, True, np.float32(0), np.float32(0)
    stride = 1
    for axis in range(3):  # columns, rows, slices
        index = low[:, axis, None] + np.arange(shape[axis])
        d = index * grid.spacing[axis] - a[:, axis, None]
        t = t + form((d * along[:, axis, None]).astype(np.float32), axis)
        squares = squares + form((d * d).astype(np.float32), axis)
        flat = flat + form(index * stride, axis)
        inside = inside & form(index < grid.shape[2 - axis], axis)
        stride *= grid.shape[2 - axis]
    column = lambda v: v.astype(np.float32).reshape(n, 1, 1, 1)  # noqa: E731
    on = np.clip(t, np.float32(0), column(length))
    distance = np.sqrt(np.maximum(squares - on * (t + t - on), np.float32(0)))
    radius = column(radii[:, 0]) + on * column((radii[:, 1] - radii[:, 0]) / length)
    depth = radius + np.float32(0.5 * blur_mm) - distance
    keep = (depth > 0) & inside
    value = np.minimum(depth * np.float32(scale), np.float32(255)) * column(peak)
    np.maximum.at(volume.reshape(-1), np.broadcast_to(flat, keep.shape)[keep], value[keep].astype(np.uint8))
