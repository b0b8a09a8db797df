"""From a CT and its lungs to the slices that the network sees (section 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..volume import CtVolume
from .gray_scale import gray_anchors, gray_table, hu_scale, image_scale, volume_anchors, window
from .image_lungs import segment_image, trim_frame
from .lung_region import Box2D, LungRegion, LungSlice, covered_pixels, crop_box, grown
from .preprocessing import Preprocessing
from .volume_lungs import NoLungsError, segment_volume

_CELL_MM = 1.6  # side of a cell of a lesion's contour
_IMAGE_CELLS = 224  # the same for images without spacing: cells along the longer side
_MIN_IMAGE = 16  # pixels a side; a smaller image shows nothing


def segment_lungs(ct: CtVolume) -> np.ndarray:
    """Lungs in ``ct`` as a mask (S, R, C) bool on its axial view: in 3D for a volume, else image by image.

    An image without lungs among others has an empty mask. Raises NoLungsError if there are no lungs at all.
    """
    axial = ct.axial()
    if ct.calibrated:
        return segment_volume(axial.array, axial.spacing, ct.name)
    mask = np.zeros(axial.array.shape, dtype=bool)
    for lungs, image in zip(mask, _images(ct), strict=True):
        lungs[:image.shape[0], :image.shape[1]] = segment_image(image)
    if not mask.any():
        raise NoLungsError(ct.name)
    return mask


def kept_slices(ct: CtVolume, mask: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Indices of the slices of ``ct`` that show enough lung to analyze, in stored order.

    ``mask`` is (S, R, C) on the axial view. Of a volume, slices are dropped with less lung than ``min_area_share`` of
    the largest, and with a mean below ``min_mean`` of the windowed, masked, tight crop in [0, 1]. Of images, whose
    windows and sizes differ, only those without lungs are dropped.
    """
    array = ct.axial().array
    if mask.shape != array.shape:
        raise ValueError(f"The lung mask {mask.shape} does not fit the axial view of the CT {array.shape}.")
    areas = np.count_nonzero(mask, axis=(1, 2))
    if not ct.calibrated:
        return np.flatnonzero(areas)
    kept = np.flatnonzero(areas > preprocessing.min_area_share * areas.max(initial=0))
    means = []
    for s in kept:
        rows, columns = covered_pixels(crop_box(mask[s]), mask.shape[1:])
        part = np.s_[s, rows.start:rows.stop:2, columns.start:columns.stop:2]  # every second pixel is enough
        means.append((window(array[part], preprocessing.window_hu) * mask[part]).mean() / 255)
    return kept[np.array(means, dtype=float) >= preprocessing.min_mean]


def lung_slices(
    ct: CtVolume, mask: np.ndarray, preprocessing: Preprocessing, indices: Iterable[int] | None = None
) -> Iterator[LungSlice]:
    """The slices of ``ct`` as the network sees them, made one by one as they are asked for.

    ``mask`` (S, R, C) bool is as from ``segment_lungs``. Slices that ``kept_slices`` drops are left out; ``indices``
    restricts the rest. The gray anchors of a volume are measured once, over all kept slices.
    """
    for region in lung_regions(ct, mask, preprocessing, indices):
        yield region.network_input(preprocessing)


def lung_regions(
    ct: CtVolume, mask: np.ndarray, preprocessing: Preprocessing, indices: Iterable[int] | None = None,
    reach: float | None = None,
) -> Iterator[LungRegion]:  # fmt: skip
    """The regions from which ``lung_slices`` are made.

    ``reach`` is what is kept around the lungs' box on each side, as a share of its size; None: the margin.
    """
    kept = kept_slices(ct, mask, preprocessing)
    wanted = kept if indices is None else np.intersect1d(kept, np.asarray(list(indices), dtype=int))
    reach = preprocessing.margin if reach is None else reach
    if ct.calibrated:
        yield from _volume_regions(ct, mask, preprocessing, kept, wanted, reach)
        return
    for index, image in enumerate(_images(ct)):
        lungs = mask[index, :image.shape[0], :image.shape[1]]
        if index in wanted and (region := image_region(image, lungs, preprocessing, index, reach)) is not None:
            yield region


def image_region(
    image: np.ndarray, lungs: np.ndarray, preprocessing: Preprocessing, index: int, reach: float
) -> LungRegion | None:
    """The region of an image (H, W) uint8 with the mask ``lungs`` (all False: none found).

    None for an image without content: smaller than 16 pixels a side, or of one gray level.
    """
    r0, r1, c0, c1 = trim_frame(image)
    if min(r1 - r0, c1 - c0) < _MIN_IMAGE or np.ptp(image) == 0:
        return None
    box = whole = (r0 - 0.5, c0 - 0.5, r1 - 0.5, c1 - 0.5)
    found = bool(lungs.any())
    crop = crop_box(lungs, preprocessing.margin) if found else whole
    if not preprocessing.mask_images and _fills(crop, whole):
        crop = whole
    elif found:
        box = crop_box(lungs)
    seen = covered_pixels(crop, image.shape)
    part = image[seen]
    anchors = gray_anchors(part, lungs[seen] if found else None) if preprocessing.anchor_gray_levels else None
    area = covered_pixels(grown(box, reach) if box is not whole else whole, image.shape)
    inside = lungs[area] if found else np.ones_like(lungs[area])
    return LungRegion(
        gray_table(anchors)[image[area]], inside, box, found, False, image_scale(part, anchors),
        (max(image.shape) / _IMAGE_CELLS,) * 2, (area[0].start, area[1].start), index,
    )  # fmt: skip


def _volume_regions(ct, mask, preprocessing, kept, wanted, reach) -> Iterator[LungRegion]:
    axial = ct.axial()
    anchors = volume_anchors(axial.array, mask, kept, preprocessing) if preprocessing.anchor_gray_levels else None
    table, scale = gray_table(anchors), hu_scale(preprocessing.window_hu, anchors)
    cell = (_CELL_MM / axial.spacing[1], _CELL_MM / axial.spacing[0])
    for index in wanted:
        box = crop_box(mask[index])
        rows, columns = covered_pixels(grown(box, reach), mask.shape[1:])
        hu = slab_mean(axial.array[:, rows, columns], index, axial.spacing[2], preprocessing.slab_mm)
        yield LungRegion(
            table[window(hu, preprocessing.window_hu)], mask[index, rows, columns], box, True, True, scale, cell,
            (rows.start, columns.start), int(index),
        )  # fmt: skip


def _fills(crop: Box2D, whole: Box2D) -> bool:
    """Whether the image was cropped to the lungs before: ``crop`` comes near to three of its sides.

    What is left at the fourth is then more likely a consolidated part of the lungs, which no threshold finds.
    """
    height, width = whole[2] - whole[0], whole[3] - whole[1]
    gaps = np.abs(np.subtract(crop, whole)) / (height, width, height, width)
    return np.count_nonzero(gaps < 0.02) >= 3


def _images(ct: CtVolume) -> Iterator[np.ndarray]:
    """Each image of ``ct`` (R, C) uint8 without the canvas on which smaller ones were placed."""
    array = ct.axial().array
    shapes = ct.slice_shapes or [array.shape[1:]] * len(array)
    for image, (rows, columns) in zip(array, shapes, strict=True):
        yield image[:rows, :columns]


def slab_mean(hu: np.ndarray, index: int, spacing_mm: float, slab_mm: float) -> np.ndarray:
    """Mean of the slices of ``hu`` (S, r, c) over ``slab_mm`` around slice ``index``, (r, c).

    A slice that the slab covers in part is weighted by that part; at the ends of the volume the slab is cut off.
    Slices at least as thick as the slab are returned alone.
    """
    reach = 0.5 * (slab_mm / spacing_mm - 1)  # slices to either side of the middle one
    if reach <= 0:
        return hu[index]
    steps = int(np.ceil(reach - 1e-6))
    total, weights = np.zeros(hu.shape[1:], dtype=np.float32), 0.0
    for k in range(max(0, index - steps), min(len(hu), index + steps + 1)):
        weight = 1.0 if abs(k - index) <= reach else reach - int(reach)
        total += hu[k] * np.float32(weight)
        weights += weight
    return total / np.float32(weights)
