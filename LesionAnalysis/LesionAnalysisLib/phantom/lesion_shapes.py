"""Positions and shapes of lesions like those of COVID-19, as continuous functions of RAS position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .noise import ValueNoise, generator

GGO, PARTIAL, CONSOLIDATION = "GGO", "partial consolidation", "consolidation"
_FADE = {GGO: 0.62, PARTIAL: 0.75, CONSOLIDATION: 0.40}  # width of the soft edge, as a share of the radius
_RAGGED = 0.56  # the most by which noise displaces the edge, in the same unit
_TRIALS = 25
_LUNG_AXIS = ((66.0, -12.0), (-66.0, -12.0))  # x, y of a vertical line through the middle of each lung

# Side (0 right, 1 left), range of z in mm, range of the direction in degrees (0 posterior, 90 lateral), type, size;
# both lungs, mainly the lower and posterior parts.
_PLAN = (
    (0, (-125, -95), (0, 50), GGO, 1.05),
    (1, (-130, -100), (-5, 45), GGO, 1.0),
    (0, (-60, -25), (15, 80), PARTIAL, 0.85),
    (1, (-75, -40), (10, 90), GGO, 0.85),
    (1, (-25, 15), (5, 60), CONSOLIDATION, 0.62),
    (0, (0, 35), (0, 80), GGO, 0.80),
    (1, (45, 70), (10, 110), GGO, 0.65),
    (0, (-100, -75), (60, 110), CONSOLIDATION, 0.55),
    (0, (50, 72), (60, 130), GGO, 0.55),
    (1, (-60, -30), (85, 130), GGO, 0.50),
)


@dataclass(frozen=True, eq=False)
class LesionShape:
    """One lesion: a union of ellipsoids with an irregular, soft edge.

    Its opacity ``alpha`` falls from 1 in the core to 0; the boundary is at 0.5.
    """

    type: str
    center: np.ndarray  # (3,) mm RAS
    frame: np.ndarray  # (3, 3): rows are the directions normal to the pleura and two tangential ones
    radii: np.ndarray  # (3,) mm along these directions
    lobes: np.ndarray  # (L, 4): offset and size of each ellipsoid, in units of the radii
    density_hu: float
    paving: float  # added HU of thickened septa ("crazy paving")
    noise: ValueNoise

    def reach(self, margin: float = _RAGGED + 0.4) -> np.ndarray:
        """(3,) half-size of the RAS bounding box, with a margin in units of the radii."""
        extent = self.radii * (np.abs(self.lobes[:, :3]) + self.lobes[:, 3:] + margin).max(axis=0)
        return np.sqrt((self.frame.T**2) @ extent**2)  # of the ellipsoid with these half-axes

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(alpha 0..1, HU of the lesion tissue) at RAS positions, float32."""
        inside = self._lobes_inside(x, y, z)
        alpha, hu = np.zeros(inside.shape, np.float32), np.full(inside.shape, self.density_hu, np.float32)
        near = inside > -(_RAGGED + 0.5 * _FADE[self.type])
        x, y, z = (np.broadcast_to(v, inside.shape)[near] for v in (x, y, z))
        rough, fine = self.noise(x, y, z, 11.0), self.noise(x, y, z, 4.2)
        depth = inside[near] + 0.34 * rough + 0.22 * fine
        t = np.clip(depth / _FADE[self.type] + 0.5, 0.0, 1.0)
        alpha[near] = t * t * (3.0 - 2.0 * t)
        texture = 75.0 * rough + 55.0 * fine + 45.0 * self.noise(x, y, z, 2.1)
        if self.type == CONSOLIDATION:
            texture = texture * 0.35
        if self.type == PARTIAL:  # consolidated patches in ground glass
            texture = texture + 430.0 * np.clip(2.2 * depth + 1.5 * rough - 0.75, 0.0, 1.0)
        if self.paving:
            net = np.abs(self.noise(x, y, z, 5.6))
            texture = texture + self.paving * np.clip(1.0 - 5.0 * net, 0.0, 1.0)
        hu[near] += texture
        return alpha, hu

    def _lobes_inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Depth inside the union of the ellipsoids, in units of the radii, float32."""
        dx, dy, dz = (v - c for v, c in zip((x, y, z), self.center.tolist(), strict=True))
        axes = zip(self.frame.tolist(), self.radii.tolist(), strict=True)
        local = [(dx * a + dy * b + dz * c) / r for (a, b, c), r in axes]
        inside = -9.0
        for *offset, size in self.lobes.tolist():
            u, v, w = (q - o for q, o in zip(local, offset, strict=True))
            inside = np.maximum(inside, size - np.sqrt(u * u + v * v + w * w))
        return inside


def place_lesions(seed: int, lungs: Callable) -> list[LesionShape]:
    """The disjoint lesions of one patient; ``lungs(x, y, z)`` is the distance inside the lungs at RAS positions."""
    rng = generator(seed, 12)
    noise = ValueNoise(rng)
    count = 7 + int(rng.random() * 3.0)
    placed: list[LesionShape] = []
    for plan in _PLAN:
        for _ in range(_TRIALS):
            lesion = _lesion(rng, lungs, noise, *plan)
            if lesion is not None and all(
                (np.abs(lesion.center - other.center) - lesion.reach(0.2) - other.reach(0.2)).max() > 3.0
                for other in placed
            ):
                placed.append(lesion)
                break
        if len(placed) == count:
            break
    return placed


def _lesion(rng: np.random.Generator, lungs: Callable, noise: ValueNoise, side: int, heights: tuple[float, float],
            directions: tuple[float, float], type_: str, size: float) -> LesionShape | None:
    """A lesion at a random position on the pleura, or None if the lung is too thin there.

    A horizontal ray from the middle of the lung leaves it at that position.
    """
    z = heights[0] + (heights[1] - heights[0]) * rng.random()
    angle = np.deg2rad(directions[0] + (directions[1] - directions[0]) * rng.random())
    radii = size * (np.array([15.0, 22.0, 20.0]) + np.array([6.0, 9.0, 9.0]) * rng.random(3))
    depth = radii[0] * (0.45 + 0.55 * rng.random())
    lobes = [[0.0, 0.0, 0.0, 0.78]]
    for _ in range(2 if type_ == CONSOLIDATION else 3):
        lobes.append([*(rng.random(3) - 0.5) * [0.7, 1.5, 1.5], 0.42 + 0.3 * rng.random()])
    density = {GGO: -600.0 + 130.0 * rng.random(), PARTIAL: -520.0 + 60.0 * rng.random(),
               CONSOLIDATION: 30.0 + 30.0 * rng.random()}[type_]
    paving = 150.0 if rng.random() < 0.45 and type_ == GGO else 0.0

    heading = np.array([(1.0, -1.0)[side] * np.sin(angle), -np.cos(angle), 0.0])
    ray = np.array([*_LUNG_AXIS[side], z]) + heading * np.arange(0.0, 130.0, 1.0)[:, None]
    inside = np.flatnonzero(_at(lungs, ray) > 0)
    if not len(inside):
        return None
    surface, step = ray[inside[-1]], 2.0 * np.eye(3)
    inward = (_at(lungs, surface + step) - _at(lungs, surface - step)).astype(np.float64)
    inward /= max(float(np.sqrt((inward**2).sum())), 1e-6)
    center = surface + inward * depth
    if _at(lungs, center[None])[0] < 0.3 * radii[0]:
        return None
    up = np.array([0.0, 0.0, 1.0]) - inward * inward[2]
    up /= np.sqrt((up**2).sum())
    frame = np.stack([inward, up, np.cross(inward, up)])
    return LesionShape(type_, center, frame, radii, np.array(lobes), density, paving, noise)


def _at(lungs: Callable, points: np.ndarray) -> np.ndarray:
    return lungs(*points.T.astype(np.float32))
