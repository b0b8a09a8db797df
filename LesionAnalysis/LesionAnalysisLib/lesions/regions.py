"""From a heatmap to candidate lesions: connected regions and their peaks (sections 3.2.1 and 3.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

FOUR_NEIGHBORS = ndimage.generate_binary_structure(2, 1)  # regions that touch at a corner are two (3.2.1)


@dataclass(frozen=True)
class Region:
    """One connected region of a heatmap: a candidate lesion."""

    number: int  # its value in ``Regions.labels``: 1, 2, ... in raster order of the first cell
    peak: tuple[int, int]  # cell (row, col) of the highest activation (equation 8), first in raster order
    activation: float  # normalized, at the peak, 0..1
    cells: int
    box: tuple[int, int, int, int]  # r0, c0, r1, c1 in cells, half-open


@dataclass(frozen=True, eq=False)
class Regions:
    """The candidate lesions of one slice."""

    labels: np.ndarray  # (h, w) int32: number of the region, 0 outside
    heatmap: np.ndarray  # (h, w) float32, normalized to 0..1, not masked

    @cached_property
    def items(self) -> tuple[Region, ...]:
        """The regions in the order of their numbers."""
        regions = []
        for number, window in enumerate(ndimage.find_objects(self.labels) if self.labels.size else (), start=1):
            (rows, columns), heatmap = window, self.heatmap[window]
            inside = self.labels[window] == number
            # argmax takes the first of equals in raster order; outside counts less than any activation
            row, column = np.unravel_index(np.argmax(np.where(inside, heatmap, -1)), inside.shape)
            peak = (int(rows.start + row), int(columns.start + column))
            box = (rows.start, columns.start, rows.stop, columns.stop)
            regions.append(Region(number, peak, float(heatmap[row, column]), int(np.count_nonzero(inside)), box))
        return tuple(regions)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.items)


def normalize_heatmap(heatmap: np.ndarray) -> np.ndarray:
    """Scale a heatmap to 0..1 by its own minimum and maximum.

    A map without information (constant up to the rounding of float32, NaN or infinite anywhere) becomes all zeros
    rather than an error or amplified noise. (h, w) of any real type -> (h, w) float32; ValueError for another shape.
    """
    heatmap = np.asarray(heatmap, dtype=np.float64)
    if heatmap.ndim != 2:
        raise ValueError(f"A heatmap is a grid of rows and columns, not an array of shape {heatmap.shape}.")
    if heatmap.size and np.isfinite(heatmap).all():
        heatmap = heatmap / max(np.abs(heatmap).max(), np.finfo(np.float64).tiny)  # else the span might overflow
        low, high = heatmap.min(), heatmap.max()
        if high - low > 8 * np.finfo(np.float32).eps:
            return ((heatmap - low) / (high - low)).astype(np.float32)
    return np.zeros(heatmap.shape, dtype=np.float32)


def find_regions(heatmap: np.ndarray, min_cells: int = 2) -> Regions:
    """The candidate lesions of a heatmap: Otsu's threshold, then 4-connected regions (3.2.1).

    Args:
        heatmap: (h, w) of a saliency rule; it is normalized here.
        min_cells: regions of fewer cells are dropped; the paper wants more than one cell.

    Returns:
        Regions; none for a map without information (see ``normalize_heatmap``).
    """
    heatmap = normalize_heatmap(heatmap)
    if not heatmap.any():
        return Regions(np.zeros(heatmap.shape, dtype=np.int32), heatmap)
    labels, _ = ndimage.label(heatmap > threshold_otsu(heatmap), structure=FOUR_NEIGHBORS)
    return Regions(keep_regions(labels, min_cells), heatmap)


def split_merged(regions: Regions, height: float = 0.1, min_cells: int = 2) -> Regions:
    """Split regions that hold several lesions (section 5.2's first limitation); not in the paper.

    A region is split along its valleys (watershed) where two of its maxima rise by at least ``height`` of the
    normalized activation above the saddle between them, unless a part would have fewer than ``min_cells`` cells.
    """
    split = np.zeros_like(regions.labels)
    for region in regions:
        window = np.s_[region.box[0] : region.box[2], region.box[1] : region.box[3]]
        inside = regions.labels[window] == region.number
        heatmap = np.where(inside, regions.heatmap[window], 0).astype(np.float64)
        # The h-maxima: maxima that remain when all are lowered by `height`. (scikit-image's h_maxima also counts
        # each of two equal peaks whose valley is not as deep as that.)
        lowered = reconstruction(heatmap - height, heatmap, footprint=FOUR_NEIGHBORS)
        markers, count = ndimage.label(local_maxima(lowered, connectivity=1) & inside, FOUR_NEIGHBORS)
        while count > 1:
            parts = watershed(-heatmap, markers, mask=inside, connectivity=FOUR_NEIGHBORS)
            cells = np.bincount(parts.ravel(), minlength=markers.max() + 1)
            seeds = np.unique(markers[markers > 0])
            smallest = seeds[np.argmin(cells[seeds])]
            if cells[smallest] >= min_cells:
                break
            markers[markers == smallest] = 0  # too small a part: its cells go to a neighbor
            count -= 1
        else:
            parts = inside.astype(np.int32)
        split[window][inside] = parts[inside] + split.max()
    return Regions(keep_regions(split, 1), regions.heatmap)


def keep_regions(labels: np.ndarray, min_cells: int) -> np.ndarray:
    """Drop small regions; number the others 1, 2, ... in raster order of their first cells."""
    numbers, first, cells = np.unique(labels, return_index=True, return_counts=True)
    kept = (numbers > 0) & (cells >= min_cells)
    new = np.zeros(numbers.max(initial=0) + 1, dtype=np.int32)
    new[numbers[kept][np.argsort(first[kept])]] = np.arange(1, np.count_nonzero(kept) + 1)
    return new[labels]
