"""Building blocks of the anatomy: approximate signed distances (mm, positive inside), and blending of tissues.

All are continuous, float32 in and out. Arrays have at least one dimension and broadcast together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator

Field = np.ndarray


def curve(levels: list[float], values: list[float]) -> Callable[[Field], Field]:
    """Monotone cubic interpolation of (level, value), constant outside."""
    cubic = PchipInterpolator(levels, values)
    low, high = levels[0], levels[-1]
    return lambda level: cubic(np.clip(level, low, high)).astype(np.float32)


def edge(distance: Field, width: float) -> Field:
    """Share of a voxel inside a surface, 0..1; it rises over ``width`` mm, the blur of the scanner."""
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def blend(hu: Field, inside: Field, value: Field | float, width: float = 3.0) -> Field:
    """``value`` inside, ``hu`` outside."""
    return hu + edge(inside, width) * (value - hu)


def smooth_min(a: Field, b: Field, k: float) -> Field:
    """Intersection: the smaller of two distances, with corners rounded over ``k`` mm."""
    h = np.maximum(k - np.abs(a - b), 0.0)
    return np.minimum(a, b) - h * h * (0.25 / k)


def smooth_max(a: Field, b: Field, k: float) -> Field:
    """Union: the larger of two distances, rounded likewise."""
    return -smooth_min(-a, -b, k)


def bump(v: Field, center: float, half_width: float) -> Field:
    """A smooth bump of height 1."""
    t = np.clip((v - center) / half_width, -1.0, 1.0)
    u = 1.0 - t * t
    return u * u


def ellipsoid(x: Field, y: Field, z: Field, center: tuple, radii: tuple) -> Field:
    """Distance to an ellipsoid, exact to first order at its surface; an infinite radius makes it a cylinder."""
    squares, slopes = 0.0, 0.0
    for v, c, r in zip((x, y, z), center, radii, strict=True):
        if np.isfinite(r):
            t = (v - c) / r
            squares = squares + t * t
            slopes = slopes + t * t / (r * r)
    rho = np.sqrt(squares)
    return rho * (1.0 - rho) / np.maximum(np.sqrt(slopes), 1e-4)


def superellipse(u: Field, v: Field, a: Field, b: Field, power: float) -> Field:
    """Distance inside |u/a|^p + |v/b|^p = 1, measured along the ray from the center."""
    s, t = np.abs(u) / a, np.abs(v) / b
    rho = (s.astype(np.float64) ** power + t.astype(np.float64) ** power) ** (1.0 / power)
    rho = np.maximum(rho, 1e-3).astype(np.float32)
    return np.sqrt(u * u + v * v) * (1.0 / rho - 1.0)
