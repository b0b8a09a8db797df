"""From heatmap to lesions (sections 3.2.1 and 3.2.2): regions, peaks, features, boxes, LAM, links.

A heatmap (LAHm) is a small grid of cells, 16 x 16 for a slice of 512 x 512. Three frames occur:

* cells: (row, col) of the map; cell i covers [i, i + 1), so boxes are half-open edges in whole cells;
* the crop: (r0, c0, r1, c1), the edges of the lung box in axial pixel coordinates. The map covers it
  evenly: cell row i covers r0 + i (r1 - r0) / h to r0 + (i + 1) (r1 - r0) / h;
* axial pixels: centers are integers, so the edges of an image of R rows are -0.5 and R - 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

FOUR_NEIGHBORS = ndimage.generate_binary_structure(2, 1)  # regions that touch by a corner are two (3.2.1)


@dataclass(frozen=True)
class Region:
    """One connected region of a heatmap: a candidate lesion."""

    number: int  # its value in ``Regions.labels``: 1, 2, ... in raster order of the first cell
    peak: tuple[int, int]  # cell (row, col) of the most heat (equation 8), first in raster order
    activation: float  # normalized heat at the peak, 0..1
    cells: int
    box: tuple[int, int, int, int]  # r0, c0, r1, c1 in cells, half-open


@dataclass(frozen=True, eq=False)
class Regions:
    """The candidate lesions of one slice."""

    labels: np.ndarray  # (h, w) int32: number of the region, 0 outside
    heatmap: np.ndarray  # (h, w) float32, normalized to 0..1, not masked
    items: tuple[Region, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(_measure(self.labels, self.heatmap)))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.items)

    @property
    def peaks(self) -> np.ndarray:
        """(n, 2) integer cells (row, col) of the regions' peaks, in their order."""
        return np.array([region.peak for region in self.items], dtype=np.intp).reshape(-1, 2)


def normalize_heat(heat: np.ndarray) -> np.ndarray:
    """Stretch a heatmap to 0..1 by its own minimum and maximum.

    A map that says nothing (zero, constant up to the rounding of float32, NaN or infinite anywhere)
    becomes all zeros rather than an error or amplified noise.

    Args:
        heat: (h, w), any real type.

    Returns:
        (h, w) float32.

    Raises:
        ValueError: not a two-dimensional map.
    """
    heat = np.asarray(heat, dtype=np.float64)
    if heat.ndim != 2:
        raise ValueError(f"A heatmap is a grid of rows and columns, not an array of shape {heat.shape}.")
    flat = np.zeros(heat.shape, dtype=np.float32)
    if heat.size == 0 or not np.isfinite(heat).all():
        return flat
    heat = heat / max(np.abs(heat).max(), np.finfo(np.float64).tiny)  # the span of huge values would overflow
    low, high = heat.min(), heat.max()
    if high - low <= 8 * np.finfo(np.float32).eps:
        return flat
    return ((heat - low) / (high - low)).astype(np.float32)


def split_regions(heat: np.ndarray, min_cells: int = 2) -> Regions:
    """Split a heatmap into candidate lesions: Otsu's threshold, then 4-connected regions (3.2.1).

    Args:
        heat: (h, w) as a saliency rule gives it; it is normalized here.
        min_cells: regions of fewer cells are dropped; the paper wants more than one cell.

    Returns:
        Regions; none for a map that says nothing (see ``normalize_heat``) and for one of a single hot cell.
    """
    heat = normalize_heat(heat)
    if not heat.any():
        return Regions(np.zeros(heat.shape, dtype=np.int32), heat)
    labels, _ = ndimage.label(heat > threshold_otsu(heat), structure=FOUR_NEIGHBORS)
    return Regions(keep_regions(labels, min_cells), heat)


def split_merged(regions: Regions, height: float = 0.1, min_cells: int = 2) -> Regions:
    """Part regions that hold several lesions (section 5.2's first limitation); not in the paper.

    A region is parted along its valleys (watershed) where two of its maxima rise by at least ``height``
    of normalized heat above the pass between them. A part of fewer than ``min_cells`` cells is not made.
    """
    parted = np.zeros_like(regions.labels)
    for region in regions:
        window = np.s_[region.box[0] : region.box[2], region.box[1] : region.box[3]]
        inside = regions.labels[window] == region.number
        heat = np.where(inside, regions.heatmap[window], 0).astype(np.float64)
        # The h-maxima: what is a maximum still after all were lowered by `height`. (scikit-image's h_maxima
        # also counts each of two equal peaks whose valley is not as deep as that.)
        lowered = reconstruction(heat - height, heat, footprint=FOUR_NEIGHBORS)
        markers, count = ndimage.label(local_maxima(lowered, connectivity=1) & inside, FOUR_NEIGHBORS)
        parts = inside.astype(np.int32)
        while count > 1:
            parts = watershed(-heat, markers, mask=inside, connectivity=FOUR_NEIGHBORS)
            cells = np.bincount(parts.ravel(), minlength=markers.max() + 1)
            seeds = np.unique(markers[markers > 0])
            smallest = seeds[np.argmin(cells[seeds])]
            if cells[smallest] >= min_cells:
                break
            markers[markers == smallest] = 0  # too small to stand alone: its cells go to a neighbor
            count -= 1
            parts = inside.astype(np.int32)
        parted[window][inside] = parts[inside] + parted.max()
    return Regions(keep_regions(parted, 1), regions.heatmap)


def peak_features(activations: np.ndarray, regions: Regions) -> np.ndarray:
    """The lesions' features: the activations at their peaks (equation 9).

    Args:
        activations: (K, h, w) of the backbone's last block, on the regions' grid or another one over the same
            crop, whose cells hold the peaks; an array, or a torch tensor, which gives a tensor.

    Returns:
        (n, K), a row per region.
    """
    (h, w), (rows, columns) = activations.shape[1:], regions.labels.shape
    row, column = regions.peaks.T
    # the center of cell i of n lies at (2 i + 1) / 2 n of the crop
    return activations[:, (2 * row + 1) * h // (2 * rows), (2 * column + 1) * w // (2 * columns)].T












def _measure(labels: np.ndarray, heat: np.ndarray) -> Iterator[Region]:
    if not labels.any():
        return
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = window
        inside = labels[window] == number
        # argmax takes the first of equals in raster order; outside counts less than any heat
        flat = int(np.argmax(np.where(inside, heat[window], -1)))
        row, column = (int(i) for i in np.unravel_index(flat, inside.shape))
        yield Region(
            number=number,
            peak=(rows.start + row, columns.start + column),
            activation=float(heat[window][row, column]),
            cells=int(np.count_nonzero(inside)),
            box=(rows.start, columns.start, rows.stop, columns.stop),
        )


def keep_regions(labels: np.ndarray, min_cells: int) -> np.ndarray:
    """Drop small regions; number the others 1, 2, ... in raster order of their first cells."""
    numbers, first, cells = np.unique(labels, return_index=True, return_counts=True)
    kept = (numbers > 0) & (cells >= min_cells)
    new = np.zeros(numbers.max(initial=0) + 1, dtype=np.int32)
    new[numbers[kept][np.argsort(first[kept])]] = np.arange(1, np.count_nonzero(kept) + 1)
    return new[labels]






