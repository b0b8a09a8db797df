"""Placing the cells of a heatmap on the pixels of an axial slice (section 3.2.1).

A heatmap is a small grid of cells, 16 x 16 for an input of 512 x 512. Three coordinate frames occur:

* cells: (row, col) of the heatmap; cell i covers [i, i + 1), so boxes are half-open edges in whole cells;
* the crop: (r0, c0, r1, c1), the edges of the lung box in axial pixel coordinates. The heatmap covers it evenly: cell
  row i of h covers r0 + i (r1 - r0) / h to r0 + (i + 1) (r1 - r0) / h;
* axial pixels: centers are integers, so the edges of an image of R rows are -0.5 and R - 0.5.
"""

from __future__ import annotations

import numpy as np

from ..lungs.lung_region import Box2D
from .regions import Regions


def place_heatmap(regions: Regions, crop: Box2D, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The lesion activation map (LAM, section 3.2.1) and the regions on the pixels of the axial slice.

    Heatmap times mask, bilinear (half-pixel centers, edges clamped: torch's ``align_corners=False``), times the mask
    again without interpolation, so that regions that the interpolation blurs together stay apart.

    Args:
        regions: of the slice.
        crop: edges (r0, c0, r1, c1) of what the heatmap covers, in axial pixels; may reach beyond the image.
        shape: (R, C) of the axial slice.

    Returns:
        lam: (R, C) float32 in 0..1; zero where a pixel's center is outside the crop or any region.
        labels: (R, C) int32, the regions' numbers.
    """
    lam, labels = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.int32)
    if len(regions) == 0:
        return lam, labels
    (rows, row_cells, row_weights), (columns, column_cells, column_weights) = map(
        _axis, crop[:2], crop[2:], regions.labels.shape, shape
    )
    masked = np.where(regions.labels > 0, regions.heatmap, np.float32(0))
    nearest = regions.labels[row_cells][:, column_cells]  # (n, m): pixels inside the crop
    smooth = (row_weights @ masked) @ column_weights.T
    labels[rows, columns] = nearest
    lam[rows, columns] = np.minimum(smooth, 1) * (nearest > 0)  # rounding may reach 1.0000001
    return lam, labels


def cell_to_axial(row: float, col: float, crop: Box2D, map_shape: tuple[int, int]) -> tuple[float, float]:
    """The axial (row, col) of a cell's center: pixel coordinates, pixel centers are integers."""
    (r0, c0, r1, c1), (h, w) = crop, map_shape
    return r0 + (row + 0.5) * (r1 - r0) / h, c0 + (col + 0.5) * (c1 - c0) / w


def box_to_axial(box: Box2D, crop: Box2D, map_shape: tuple[int, int], shape: tuple[int, int]) -> Box2D:
    """A box of cells as edges (r0, c0, r1, c1) in axial pixels, clipped to an image of ``shape`` (R, C)."""
    r0, c0, r1, c1 = crop
    height, width = (r1 - r0) / map_shape[0], (c1 - c0) / map_shape[1]
    edges = (r0 + box[0] * height, c0 + box[1] * width, r0 + box[2] * height, c0 + box[3] * width)
    last = (shape[0] - 0.5, shape[1] - 0.5) * 2
    return tuple(float(min(max(edge, -0.5), end)) for edge, end in zip(edges, last, strict=True))


def _axis(start: float, stop: float, cells: int, size: int) -> tuple[slice, np.ndarray, np.ndarray]:
    """How one axis of the heatmap falls on the pixels of the image.

    Returns:
        the range of pixels whose centers lie in [start, stop) and in the image (n of them),
        the cell each lies in (n,), and the weights of all cells at each (n, cells), bilinear.
    """
    first = min(max(int(np.ceil(start)), 0), size)
    pixels = np.arange(first, max(first, min(int(np.ceil(stop)), size)))
    position = (pixels - start) * cells / (stop - start)  # in cells, from the crop's edge
    nearest = np.clip(np.floor(position).astype(np.intp), 0, cells - 1)
    center = np.clip(position - 0.5, 0, cells - 1)  # cell centers are at 0.5, 1.5, ...; edges are clamped
    weights = np.maximum(0, 1 - np.abs(center[:, None] - np.arange(cells))).astype(np.float32)
    return slice(first, first + pixels.size), nearest, weights
