"""Computes the voxels of a scan slice by slice from the smooth fields, tubes and lesions of a patient, and noise."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import torso
from .grid import Coarse, Grid
from .lesion_shapes import LesionShape
from .noise import generator, scanner_noise
from .patient import Patient
from .shapes import edge
from .tubes import paint

THREADS = 2
_BLUR_MM = 1.8  # width of edges in the scan, unless voxels are larger
_BONE_UNIT = 16.0  # stored depth in bones: units per millimeter
_PLANES = 4  # node planes computed at once, few enough for the CPU cache
_AIRWAY_HU, _FAT_HU, _BLOOD_HU = -985.0, -104.0, 42.0
_FIELDS = ("skin", "muscle", "lung", "soft", "bone", "table")


@dataclass(frozen=True, eq=False)
class Scan:
    """``hu`` (S, R, C) int16, ``lungs`` bool and ``labels`` uint8 (1, 2, ... in the order of the lesions)."""

    hu: np.ndarray
    lungs: np.ndarray
    labels: np.ndarray


def render(patient: Patient, grid: Grid, diseased: bool, noise_hu: float, threads: int = THREADS) -> Scan:
    """Sample a patient on a grid; the result does not depend on the number of threads."""
    with ThreadPoolExecutor(threads) as pool:
        renderer = _SliceRenderer(patient, grid, diseased, noise_hu, pool)
        list(pool.map(renderer.render, range(grid.shape[0])))
    return renderer.scan


class _SliceRenderer:
    """Samples a patient on a grid, and computes the slices of the scan in any order.

    ``bones`` (S, R, C) uint8 is the depth in thin bones, from half the blur outside their surface; ``solid`` and
    ``air`` are the shares of vessels and airway walls, and of airway lumina, in each voxel; 255 is all of it.
    """

    def __init__(self, patient: Patient, grid: Grid, diseased: bool, noise_hu: float, pool: Executor) -> None:
        self.patient, self.grid, self.noise_hu, self.coarse = patient, grid, noise_hu, Coarse(grid)
        self.blur = max(_BLUR_MM, float(grid.spacing.min()))
        self.fields = np.empty((len(_FIELDS), *self.coarse.nodes), np.float32)
        self.scan = Scan(*(np.zeros(grid.shape, dtype) for dtype in (np.int16, bool, np.uint8)))
        self.bones, self.solid, self.air = (np.zeros(grid.shape, np.uint8) for _ in range(3))
        bones = pool.submit(paint, self.bones, grid, patient.bones, self.blur, _BONE_UNIT)
        airways = pool.submit(self._paint_airways_and_vessels)
        list(pool.map(self._compute_fields, range(0, self.coarse.nodes[0], _PLANES)))
        self.lesions = [self._sampled(lesion) for lesion in patient.lesions] if diseased else []
        bones.result()
        airways.result()

    def _compute_fields(self, first: int) -> None:
        part = slice(first, first + _PLANES)
        values = self.patient.fields(*self.coarse.points(part))
        for i, name in enumerate(_FIELDS):
            self.fields[i, part] = values[name]

    def _paint_airways_and_vessels(self) -> None:
        for tubes in (self.patient.airways.vessels, self.patient.airways.walls):
            radius = tubes.radii.mean(axis=1)
            # value at the center of a disc under a Gaussian blur, relative to that of the linear edge
            center = 1.0 - np.exp(-0.5 * (radius / (0.42 * self.blur)) ** 2)
            peak = center / np.minimum(radius / self.blur + 0.5, 1.0)
            paint(self.solid, self.grid, tubes, self.blur, 255.0 / self.blur, peak)
        paint(self.air, self.grid, self.patient.airways.lumina, self.blur, 255.0 / self.blur)

    def _sampled(self, lesion: LesionShape) -> tuple[tuple[slice, slice, slice], np.ndarray, np.ndarray]:
        """Bounding box (S, R, C) of a lesion on the grid, maybe empty; its opacity and HU in the box."""
        box = self.grid.box(lesion.center - lesion.reach(), lesion.center + lesion.reach())
        s, r, c = (np.arange(side.start, side.stop) for side in box)
        return box, *lesion(*self.grid.points(s[:, None, None], r[:, None], c))

    def render(self, s: int) -> None:
        """Compute slice ``s`` of the scan, one tissue over the other."""
        field = dict(zip(_FIELDS, self.coarse.slice_fields(self.fields, s), strict=True))
        body = edge(field["skin"], self.blur)
        hu = edge(field["muscle"], 2.0)
        hu *= field["soft"] - _FAT_HU
        hu += _FAT_HU
        self._add_bones(hu, field["bone"], s)
        outside = np.flatnonzero(body < 1)
        _cover(hu, outside, 1 - body.ravel()[outside], torso.table_hu(field["table"].ravel()[outside]))
        self._add_lungs(hu, field["lung"], s)
        at = np.flatnonzero(self.solid[s])
        _cover(hu, at, self.solid[s].ravel()[at] / 255.0, np.maximum(hu.ravel()[at], _BLOOD_HU))
        at = np.flatnonzero(self.air[s])
        _cover(hu, at, self.air[s].ravel()[at] / 255.0, _AIRWAY_HU)
        if self.noise_hu:
            grain = scanner_noise(generator(self.patient.seed, 1000 + s), *hu.shape)
            hu += grain * (body * (0.3 * self.noise_hu) + 0.7 * self.noise_hu)
        np.rint(np.clip(hu, -1024, 3071, out=hu), out=hu)
        self.scan.hu[s] = hu

    def _add_bones(self, hu: np.ndarray, smooth: np.ndarray, s: int) -> None:
        depth = np.maximum(smooth, self.bones[s] / _BONE_UNIT - 0.5 * self.blur)
        at = np.flatnonzero(depth > -0.5 * self.blur)
        d = depth.ravel()[at]
        cortex = np.clip(1.5 - np.abs(d - 0.5) * 0.8, 0.0, 1.0)
        _cover(hu, at, edge(d, self.blur), 190.0 + 600.0 * cortex)

    def _add_lungs(self, hu: np.ndarray, depth: np.ndarray, s: int) -> None:
        at = np.flatnonzero(depth > -0.5 * self.blur)
        if not len(at):
            return
        r, c = np.divmod(at, hu.shape[1])
        x, y, z = (np.broadcast_to(v, at.shape) for v in self.grid.points(np.full(1, s), r, c))
        tissue = np.zeros_like(hu)
        tissue.ravel()[at] = self.patient.parenchyma_hu(x, y, z)
        self.scan.lungs[s] = depth > 0
        for label, ((slices, *box), alphas, own) in enumerate(self.lesions, 1):
            if slices.start <= s < slices.stop:
                part, alpha = tissue[tuple(box)], alphas[s - slices.start]
                part += alpha * (own[s - slices.start] - part)
                inside = (alpha >= 0.5) & self.scan.lungs[s][tuple(box)]
                self.scan.labels[s][tuple(box)][inside] = label
        _cover(hu, at, edge(depth.ravel()[at], self.blur), tissue.ravel()[at])


def _cover(hu: np.ndarray, at: np.ndarray, share: np.ndarray, value: np.ndarray | np.float32) -> None:
    """Blend ``value`` into the flat indices ``at`` of a contiguous slice, in place."""
    flat = hu.reshape(-1)
    below = flat[at]
    flat[at] = below + share * (value - below)
