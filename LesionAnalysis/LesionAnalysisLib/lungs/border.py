"""Refines the border of lungs that were segmented on a coarse grid to the resolution of the CT."""

import numpy as np
from scipy import ndimage

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[None]  # neighbors within a slice


def refine_border(hu, grid, lungs, airways, air_hu):
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
