"""The border of lung masks: closing it, and refining it from a coarse grid to the resolution of the CT."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .coarse import CoarseGrid

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[None]  # neighbors within a slice


def close_gaps(mask: np.ndarray, radius: float, spacing: Sequence[float], pad_mode: str) -> np.ndarray:
    """Closing of ``mask`` with a ball of ``radius``, in the unit of ``spacing``; ``pad_mode`` is that of ``np.pad``."""
    pad = [(int(np.ceil(radius / mm)) + 1,) * 2 for mm in spacing]
    padded = np.pad(mask, pad, mode=pad_mode)
    near = ndimage.distance_transform_edt(~padded, sampling=spacing) <= radius
    if near.all():  # no voxel to measure a distance to
        return np.ones_like(mask)
    closed = ndimage.distance_transform_edt(near, sampling=spacing) > radius
    return closed[tuple(slice(n, -n) for n, _ in pad)]


def refine_border(
    hu: np.ndarray, grid: CoarseGrid, lungs: np.ndarray, airways: np.ndarray, air_hu: float
) -> np.ndarray:
    """``lungs`` (s, r, c), on the coarse ``grid``, as a mask (S, R, C) bool on the grid of ``hu`` (S, R, C).

    Within one coarse voxel of the border, voxels below ``air_hu`` are lung, except in ``airways``. Computed slice by
    slice, so that only the mask is as large as the CT.
    """
    mask = np.zeros(hu.shape, dtype=bool)
    box = grid.box(lungs, margin_mm=2 * max(grid.spacing[1:]))
    rows, columns = grid.fine_box(box)
    near = ndimage.binary_dilation(lungs, _CROSS) & ~airways
    # consolidated lung has no border in HU and keeps the coarse one
    core = ndimage.binary_erosion(lungs, _CROSS, border_value=1) | (lungs & (grid.hu >= air_hu))
    level = (near.astype(np.float32) + core)[(slice(None), *box[1:])]  # 0 outside, 1 at the border, 2 inside
    fs = grid.factors[0]
    for index in range(box[0].start * fs, min(len(hu), box[0].stop * fs)):
        fine = grid.enlarge(grid.blend(level, index), rows, columns)
        air = hu[index, rows, columns] < air_hu
        mask[index, rows, columns] = (fine > 1.5) | (air & (fine > 0.5))
    return mask
