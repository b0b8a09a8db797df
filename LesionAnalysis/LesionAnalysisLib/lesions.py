"""From heatmap to lesions (sections 3.2.1 and 3.2.2): regions, peaks, features, boxes, LAM, links.

A heatmap (LAHm) is a small grid of cells, 16 x 16 for a slice of 512 x 512. Three frames occur:

* cells: (row, col) of the map; cell i covers [i, i + 1), so boxes are half-open edges in whole cells;
* the crop: (r0, c0, r1, c1), the edges of the lung box in axial pixel coordinates. The map covers it
  evenly: cell row i covers r0 + i (r1 - r0) / h to r0 + (i + 1) (r1 - r0) / h;
* axial pixels: centers are integers, so the edges of an image of R rows are -0.5 and R - 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.filters import threshold_otsu
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

Box2D = tuple[float, float, float, float]  # r0, c0, r1, c1: edges

FOUR_NEIGHBORS = ndimage.generate_binary_structure(2, 1)  # regions that touch by a corner are two (3.2.1)
DENSE_HU = -300  # above it, lung is consolidated rather than ground glass (section 5.3)


@dataclass(frozen=True)
class Region:
    """One connected region of a heatmap: a candidate lesion."""

    number: int  # its value in ``Regions.labels``: 1, 2, ... in raster order of the first cell
    peak: tuple[int, int]  # cell (row, col) of the most heat (equation 8), first in raster order
    heat: float  # normalized heat at the peak, 0..1
    cells: int
    box: tuple[int, int, int, int]  # r0, c0, r1, c1 in cells, half-open


@dataclass(frozen=True, eq=False)
class Regions:
    """The candidate lesions of one slice."""

    labels: np.ndarray  # (h, w) int32: number of the region, 0 outside
    heat: np.ndarray  # (h, w) float32, normalized to 0..1, not masked
    items: tuple[Region, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(_measure(self.labels, self.heat)))

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
        heat = np.where(inside, regions.heat[window], 0).astype(np.float64)
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
    return Regions(keep_regions(parted, 1), regions.heat)


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


def place_heat(regions: Regions, crop: Box2D, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The lesion activation map (LAM, section 3.2.1) and the regions on the axial slice's own pixels.

    Map times mask, bilinear (half-pixel centers, edges held: torch's ``align_corners=False``), times the
    mask again without interpolation, so that regions which the first step blurs together stay apart.

    Args:
        regions: of the slice.
        crop: edges (r0, c0, r1, c1) of what the map covers, in axial pixels; may reach beyond the image.
        shape: (R, C) of the axial slice.

    Returns:
        lam: (R, C) float32 in 0..1; zero where a pixel's center is outside the crop or any region.
        labels: (R, C) int32, the regions' numbers.

    Raises:
        ValueError: a crop without area.
    """
    r0, c0, r1, c1 = _checked(crop)
    h, w = regions.labels.shape
    lam = np.zeros(shape, dtype=np.float32)
    labels = np.zeros(shape, dtype=np.int32)
    if len(regions) == 0:
        return lam, labels
    rows, row_cells, row_weights = _axis(r0, r1, h, shape[0])
    columns, column_cells, column_weights = _axis(c0, c1, w, shape[1])
    coupled = np.where(regions.labels > 0, regions.heat, np.float32(0))
    nearest = regions.labels[row_cells][:, column_cells]  # (n, m): pixels inside the crop
    smooth = (row_weights @ coupled) @ column_weights.T
    labels[rows, columns] = nearest
    lam[rows, columns] = np.minimum(smooth, 1) * (nearest > 0)  # rounding may reach 1.0000001
    return lam, labels


def cell_to_axial(row: float, col: float, crop: Box2D, map_shape: tuple[int, int]) -> tuple[float, float]:
    """The axial (row, col) of a cell's center: pixel coordinates, pixel centers are integers."""
    r0, c0, r1, c1 = _checked(crop)
    h, w = map_shape
    return r0 + (row + 0.5) * (r1 - r0) / h, c0 + (col + 0.5) * (c1 - c0) / w


def box_to_axial(
    box: Box2D, crop: Box2D, map_shape: tuple[int, int], shape: tuple[int, int] | None = None
) -> Box2D:
    """A box of cells as edges (r0, c0, r1, c1) in axial pixels, cut to the image where ``shape`` is given."""
    r0, c0, r1, c1 = _checked(crop)
    h, w = map_shape
    high, wide = (r1 - r0) / h, (c1 - c0) / w
    edges = (r0 + box[0] * high, c0 + box[1] * wide, r0 + box[2] * high, c0 + box[3] * wide)
    if shape is None:
        return edges
    last = (shape[0] - 0.5, shape[1] - 0.5) * 2
    return tuple(float(min(max(edge, -0.5), end)) for edge, end in zip(edges, last, strict=True))


def link_slices(
    boxes_by_slice: Sequence[Sequence[Box2D]],
    positions_mm: Sequence[float] | None = None,
    max_gap_mm: float = np.inf,
) -> list[list[tuple[int, int]]]:
    """Group slice lesions into 3D lesions: those whose boxes overlap in neighboring kept slices.

    Neighboring are two slices that follow each other in the list and lie at most ``max_gap_mm`` apart.
    Boxes that only share an edge do not overlap. Groups may fork and join again.

    Args:
        boxes_by_slice: for each kept slice, in the order of the patient's axis, the boxes of its lesions
            (r0, c0, r1, c1), all in axial pixels; an empty list for a slice without lesions.
        positions_mm: of the slices' centers; None where there are none (pictures): only the order counts.
        max_gap_mm: largest distance between the centers of neighboring slices.

    Returns:
        groups of (position in ``boxes_by_slice``, position in that slice's boxes), each in order; the group
        whose first member comes first stands first.

    Raises:
        ValueError: not one position for every slice.
    """
    if positions_mm is not None and len(positions_mm) != len(boxes_by_slice):
        raise ValueError(f"{len(boxes_by_slice)} slices need as many positions, not {len(positions_mm)}.")
    members = [(k, i) for k, boxes in enumerate(boxes_by_slice) for i in range(len(boxes))]
    starts = np.cumsum([0] + [len(boxes) for boxes in boxes_by_slice])
    links = [np.zeros((2, 0), dtype=np.intp)]
    for k in range(len(boxes_by_slice) - 1):
        # A hair of tolerance: positions come from a matrix, and 2.5 mm spacing may read 2.5000001.
        if positions_mm is not None and abs(positions_mm[k + 1] - positions_mm[k]) > max_gap_mm * (1 + 1e-6):
            continue
        pairs = np.argwhere(_overlaps(boxes_by_slice[k], boxes_by_slice[k + 1]))
        links.append(pairs.T + starts[k : k + 2, None])
    first, second = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(first.size, dtype=bool), (first, second)), shape=(len(members),) * 2)
    if not members:
        return []
    _, group_of = connected_components(graph, directed=False)
    groups: dict[int, list[tuple[int, int]]] = {}
    for member, group in zip(members, group_of.tolist(), strict=True):
        groups.setdefault(group, []).append(member)
    return list(groups.values())


def hu_kind(hu_values: np.ndarray) -> str | None:
    """Name a lesion by the share of its lung voxels above -300 HU (section 5.3).

    Returns:
        "GGO" under 10 %, "partial consolidation" for 10 to 80 %, "consolidation" over 80 %;
        None where there is no voxel to judge.
    """
    hu_values = np.asarray(hu_values)
    total, dense = hu_values.size, int(np.count_nonzero(hu_values > DENSE_HU))
    if total == 0:
        return None
    if 10 * dense < total:  # in whole numbers: exactly 10 % is exactly 10 %
        return "GGO"
    return "consolidation" if 10 * dense > 8 * total else "partial consolidation"


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
            heat=float(heat[window][row, column]),
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


def _axis(start: float, stop: float, cells: int, size: int) -> tuple[slice, np.ndarray, np.ndarray]:
    """How one axis of the map falls on the pixels of the image.

    Returns:
        the range of pixels whose centers lie in [start, stop) and in the image (n of them),
        the cell each lies in (n,), and the weights of all cells at each (n, cells), bilinear.
    """
    first = min(max(int(np.ceil(start)), 0), size)
    pixels = np.arange(first, max(first, min(int(np.ceil(stop)), size)))
    position = (pixels - start) * cells / (stop - start)  # in cells, counted from the crop's edge
    nearest = np.clip(np.floor(position).astype(np.intp), 0, cells - 1)
    center = np.clip(position - 0.5, 0, cells - 1)  # cell centers are at 0.5, 1.5, ...; edges are held
    weights = np.maximum(0, 1 - np.abs(center[:, None] - np.arange(cells))).astype(np.float32)
    return slice(first, first + pixels.size), nearest, weights


def _overlaps(boxes: Sequence[Box2D], others: Sequence[Box2D]) -> np.ndarray:
    """(n, m) bool: do the boxes share some area?"""
    a = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (n, m, 2)
    return (shared > 0).all(axis=-1)


def _checked(crop: Box2D) -> Box2D:
    r0, c0, r1, c1 = (float(edge) for edge in crop)
    if not (r1 > r0 and c1 > c0):
        raise ValueError(f"The crop {tuple(crop)} has no area: give its edges as (r0, c0, r1, c1).")
    return r0, c0, r1, c1
