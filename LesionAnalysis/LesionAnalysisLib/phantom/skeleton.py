"""Thin, curved bones as tubes: ribs, scapulae, clavicles and vertebral arches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .chest import CAGE_POWER, cage_back, cage_front, cage_half_width, spine_y
from .torso import T1_CENTER_Z, VERTEBRA_PITCH_MM
from .tubes import Tubes


def bones() -> Tubes:
    """All of them, in patient coordinates."""
    return Tubes.join([*_ribs(), *_vertebral_arches(), *_scapulae(), *_clavicles()])


def _on_cage(angle: np.ndarray, z: np.ndarray, outside: float) -> np.ndarray:
    """(N, 3) points outside the right half of the rib cage; angle -pi/2 is posterior, pi/2 anterior."""
    front, back, half = (f(z).astype(np.float64) for f in (cage_front, cage_back, cage_half_width))
    c, s = np.cos(angle), np.sin(angle)
    x = (half + outside) * np.abs(c) ** (2 / CAGE_POWER)
    y = 0.5 * (front + back) + (0.5 * (front - back) + outside) * np.sign(s) * np.abs(s) ** (2 / CAGE_POWER)
    return np.stack([x, y, z], axis=1)


def _ribs() -> Iterator[Tubes]:
    for number in range(1, 13):
        top = T1_CENTER_Z + 4.0 - VERTEBRA_PITCH_MM * (number - 1)
        drop = (30.0, 38.0, 46.0, 52.0, 56.0, 60.0, 64.0, 66.0, 66.0, 62.0, 48.0, 30.0)[number - 1]
        end = (0.34, 0.34, 0.34, 0.33, 0.32, 0.30, 0.25, 0.18, 0.10, 0.0, -0.18, -0.3)[number - 1] * np.pi
        t = np.linspace(0.0, 1.0, 44)
        angle = -0.37 * np.pi + (end + 0.37 * np.pi) * t
        z = top - drop * (0.25 * t + 0.75 * t**1.3)
        path = _on_cage(angle, z, 5.0)
        head = np.array([[15.0, float(spine_y(top)) - 10.0, top], [27.0, path[0, 1] + 13.0, top + 1.0]])
        path = np.concatenate([head, path])
        tangent = np.gradient(path, axis=0)
        up = np.array([0.0, 0.0, 1.0]) - tangent * (tangent[:, 2:] / (tangent**2).sum(1, keepdims=True))
        up /= np.linalg.norm(up, axis=1, keepdims=True)
        for mirror in (1.0, -1.0):
            for lift in (-4.6, -2.3, 0.0, 2.3, 4.6):  # ribs are taller than they are thick
                yield Tubes.path((path + up * lift) * [mirror, 1, 1], radius=3.6 - 0.025 * lift**2)


def _vertebral_arches() -> Iterator[Tubes]:
    for number in range(-1, 14):
        z = T1_CENTER_Z - VERTEBRA_PITCH_MM * (number - 1)
        y = float(spine_y(z))
        spinous = [[0.0, y - 31.0, z - 2.0], [0.0, y - 42.0, z - 12.0], [0.0, y - 52.0, z - 24.0]]
        for lift in (-4.0, 0.0, 4.0):
            yield Tubes.path(np.array(spinous) + [0, 0, lift], radius=3.0)
        for mirror in (1.0, -1.0):
            side = np.array([mirror, 1.0, 1.0])
            for lift in (-3.5, 0.0, 3.5):
                pedicle = np.array([[11.5, y - 11.0, z + 4], [13.0, y - 18.0, z + 4], [13.5, y - 25.0, z + 2]])
                lamina = np.array([[13.5, y - 25.0, z], [8.0, y - 30.0, z - 2], [0.0, y - 34.0, z - 4]])
                yield Tubes.path((pedicle + [0, 0, lift]) * side, radius=3.3)
                yield Tubes.path((lamina + [0, 0, 1.6 * lift]) * side, radius=2.6)
            transverse = np.array([[14.0, y - 24.0, z + 4], [24.0, y - 30.0, z + 5], [33.0, y - 36.0, z + 5]])
            yield Tubes.path(transverse * side, radius=4.2)


def _scapulae() -> Iterator[Tubes]:
    """Thin plates behind the ribs, as stacks of curved strips."""
    levels = np.arange(-48.0, 90.0, 2.0)
    for z in levels:
        share = (z - levels[0]) / (levels[-1] - levels[0])
        width = 18.0 + 74.0 * min(1.0, share * 1.35)
        inner = np.array([72.0 + 4.0 * share, -112.0 + 8.0 * share])
        outward = np.array([0.86, 0.50])
        t = np.linspace(0.0, 1.0, 9)
        strip = inner + outward * (t * width)[:, None]
        strip += np.array([0.45, -0.9]) * (9.0 * t * (1 - t))[:, None]  # concave towards the ribs
        path = np.column_stack([strip, np.full(len(t), z)])
        radius = 2.3 + 2.0 * np.maximum(0.0, t - 0.75) / 0.25 * (0.4 + 0.6 * share) + 0.8 * (t < 0.1)
        for mirror in (1.0, -1.0):
            yield Tubes.path(path * [mirror, 1, 1], radius=radius)
    for mirror in (1.0, -1.0):  # scapular spine
        ridge = np.array([[78.0, -112.0, 62.0], [105.0, -109.0, 70.0], [135.0, -92.0, 80.0], [158.0, -72.0, 90.0]])
        yield Tubes.path(_resampled(ridge) * [mirror, 1, 1], radius=4.0)


def _clavicles() -> Iterator[Tubes]:
    bend = np.array([[24.0, 48.0, 78.0], [55.0, 44.0, 88.0], [95.0, 22.0, 98.0], [130.0, -8.0, 106.0]])
    for mirror in (1.0, -1.0):
        yield Tubes.path(_resampled(bend) * [mirror, 1, 1], radius=6.0)


def _resampled(path: np.ndarray) -> np.ndarray:
    """A polyline (N, 3) with each segment divided into eight."""
    t = np.arange(len(path), dtype=np.float64)
    fine = np.linspace(0, len(path) - 1, 8 * (len(path) - 1) + 1)
    return np.stack([np.interp(fine, t, path[:, i]) for i in range(3)], axis=1)
