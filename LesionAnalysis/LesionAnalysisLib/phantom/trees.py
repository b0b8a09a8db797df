"""Branching vessels and airways, grown level by level in both lungs at once.

Each tree must reach points that are uniformly distributed in its lung. A branch runs part of the way towards the
centroid of its points, which are then split along their widest direction between two daughters; its caliber follows
from the number of points that it supplies (Murray's law).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .noise import generator
from .tubes import Tubes

_ARTERY_ROOTS = ((34.0, -14.0, -26.0), (-36.0, -16.0, -20.0))
_VEIN_ROOTS = ((26.0, -6.0, -48.0), (-28.0, -8.0, -46.0))
_POINTS = 1000  # per tree and lung
_MURRAY = 1 / 3.5  # Murray's law: 1/3; a little less keeps small vessels visible
_CARINA = np.array([0.0, -14.0, 0.0])


class Branches(NamedTuple):
    """Branches of several trees: ``start``, ``end`` (N, 3) mm and the ``share`` (N,) of points that each supplies."""

    start: np.ndarray
    end: np.ndarray
    share: np.ndarray


def grow(rng: np.random.Generator, points: np.ndarray, roots: np.ndarray) -> Branches:
    """Trees from ``roots`` (T, 3) to all of their ``points`` (T, N, 3)."""
    trees, n, _ = points.shape
    points = points.reshape(-1, 3)
    first, size, at = np.arange(trees) * n, np.full(trees, n), roots.astype(np.float64)
    branches: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(first):
        group = np.repeat(np.arange(len(first)), size)
        middle = np.add.reduceat(points, first) / size[:, None]
        length = np.select([size == 1, size > n / 20, size > n / 80], [1.0, 0.19, 0.33], 0.5)
        end = at + (middle - at) * length[:, None]
        branches.append((at, end, size / n))

        across = _widest_direction(rng, points - middle[group], middle - at, group, first)
        order = np.lexsort(((points * across[group]).sum(1), group))
        points = points[order]
        left = np.clip((size * (0.3 + 0.4 * rng.random(len(size)))).round().astype(int), 1, np.maximum(size - 1, 1))
        first, size = np.stack([first, first + left], 1).ravel(), np.stack([left, size - left], 1).ravel()
        at = np.repeat(end, 2, axis=0)
        # branches that reached their only point are done, and so are their empty halves
        done = np.repeat(size[::2] + size[1::2] == 1, 2) | (size == 0)
        keep = np.repeat(~done, size)
        points, size, at = points[keep], size[~done], at[~done]
        first = np.cumsum(size) - size
    return Branches(*(np.concatenate(a) for a in zip(*branches, strict=True)))


def _widest_direction(rng: np.random.Generator, offsets: np.ndarray, heading: np.ndarray, group: np.ndarray,
                      first: np.ndarray, trials: int = 5) -> np.ndarray:
    """For each group, the one of a few random directions normal to its heading along which its points vary most."""
    heading = heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    best, best_spread = np.zeros_like(heading), np.full(len(heading), -1.0)
    for _ in range(trials):
        v = rng.random((len(heading), 3)) - 0.5
        v -= heading * (v * heading).sum(1, keepdims=True)
        v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
        spread = np.add.reduceat(((offsets * v[group]).sum(1)) ** 2, first)
        better = spread > best_spread
        best[better], best_spread[better] = v[better], spread[better]
    return best


def _random_points(rng: np.random.Generator, lungs: Callable, side: float, margin_mm: float) -> np.ndarray:
    """Random points in one lung, at least ``margin_mm`` below its surface: (_POINTS, 3)."""
    points = np.empty((0, 3))
    while len(points) < _POINTS:
        p = rng.random((4 * _POINTS, 3)) * [140.0, 190.0, 300.0] + [0.0, -105.0, -195.0]
        p[:, 0] *= side
        points = np.concatenate([points, p[lungs(*p.T.astype(np.float32)) > margin_mm]])
    return points[:_POINTS]


def _calibers(branches: Branches, trunk_mm: float) -> np.ndarray:
    r = trunk_mm * branches.share**_MURRAY
    leaf = branches.share < 1.5 * branches.share.min()
    return np.stack([r, r * np.where(leaf, 0.65, 0.92)], axis=1)


def _bent(rng: np.random.Generator, tubes: Tubes, amount: float = 0.10) -> Tubes:
    length = np.linalg.norm(tubes.end - tubes.start, axis=1, keepdims=True)
    return tubes.bent((rng.random(tubes.start.shape) - 0.5) * amount * length)


class Airways(NamedTuple):
    """Vessels, airway walls (by their outer surface) and airway lumina."""

    vessels: Tubes
    walls: Tubes
    lumina: Tubes


def airways_and_vessels(seed: int, lungs: Callable) -> Airways:
    """The trees of both lungs, in patient coordinates; arteries and airways share a tree and run side by side.

    ``lungs(x, y, z)`` is the distance inside the lungs.
    """
    rng = generator(seed, 11)
    sides = (1.0, -1.0)
    targets = np.stack([_random_points(rng, lungs, side, margin) for margin in (4.5, 5.5) for side in sides])
    tree = grow(rng, targets[:2], np.array(_ARTERY_ROOTS))
    veins = grow(rng, targets[2:], np.array(_VEIN_ROOTS))
    artery_mm, vein_mm = _calibers(tree, 6.4), _calibers(veins, 6.0)
    air_mm = 5.6 * np.stack([tree.share, 0.8 * tree.share], axis=1) ** 0.42

    beside = np.array([0.15, 0.55, 0.8]) * (artery_mm[:, :1] + air_mm[:, :1])
    middle = 0.5 * (tree.start + tree.end) + beside
    visible = (air_mm[:, 0] > 0.95) & (lungs(*middle.T.astype(np.float32)) > -9.0)  # in CT
    air = Tubes((tree.start + beside)[visible], (tree.end + beside)[visible], air_mm[visible])
    air = _bent(rng, air, 0.06)
    roots = np.array(_ARTERY_ROOTS) + beside[:2]
    mains = [Tubes.path(np.array([_CARINA, 0.5 * (_CARINA + r) + [0, -1, -2], r]), np.array([7.4, 7.0, 6.6]))
             for r in roots]
    trachea = np.array([_CARINA, [1.0, -11.0, 30.0], [2.0, -4.0, 70.0], [1.0, 4.0, 140.0]])
    trunk = Tubes.join([*mains, Tubes.path(trachea, np.array([8.4, 8.6, 8.6, 8.6]))]).bent(np.zeros((7, 3)))
    lumina = Tubes.join([air, trunk])
    thickness = np.maximum(0.4, 0.14 * lumina.radii)
    walls = Tubes(lumina.start, lumina.end, lumina.radii + thickness)
    vessels = Tubes.join([_bent(rng, Tubes(tree.start, tree.end, artery_mm)),
                          _bent(rng, Tubes(veins.start, veins.end, vein_mm))])
    return Airways(vessels, walls, lumina)
