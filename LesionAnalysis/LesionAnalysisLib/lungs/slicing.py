"""A CT and its lungs -> the slices that the network sees (paper, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..volume import CtVolume
from .image_lungs import segment_image
from .preprocessing import (
    LungSlice,
    Preprocessing,
    anchor_gray_levels,
    covered_pixels,
    crop_box,
    cut_image,
    gray_scale,
    gray_table,
    resample,
)
from .volume_lungs import NO_LUNGS, segment_volume

_ANCHOR_SLICES = 24  # enough of a volume to measure its gray levels
_AIR_HU, _TISSUE_HU = -1000, 40


def segment_lungs(ct: CtVolume) -> np.ndarray:
    """Lungs in `ct` as a mask (S, R, C) bool on its axial view: in 3D for a volume, else picture by picture.

    Among pictures, one without lungs has an empty mask. Raises ValueError where there are no lungs at all.
    """
    axial = ct.axial()
    if ct.calibrated:
        return segment_volume(axial.array, axial.spacing, ct.name)
    mask = np.zeros(axial.array.shape, dtype=bool)
    for index, picture in enumerate(_pictures(ct)):
        rows, columns = picture.shape
        mask[index, :rows, :columns] = segment_image(picture)
    if not mask.any():
        raise ValueError(NO_LUNGS.format(ct.name))
    return mask


def kept_slices(ct: CtVolume, mask: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Indices of the slices of `ct` that show enough lung to be judged, in stored order.

    `mask` is (S, R, C) on the axial view. Of a volume, slices are dropped with less lung than
    `min_area_share` of the largest, and with a mean below `min_mean` of the windowed, masked, tight crop in
    [0, 1]. Of pictures, whose windows and sizes differ, only those without lungs are dropped.
    """
    array = ct.axial().array
    if mask.shape != array.shape:
        raise ValueError(f"The lung mask {mask.shape} does not fit the axial view of the CT {array.shape}.")
    areas = np.array([np.count_nonzero(part) for part in mask])
    if not ct.calibrated:
        return np.flatnonzero(areas)
    kept = np.flatnonzero(areas > preprocessing.min_area_share * areas.max(initial=0))
    means = [_masked_mean(array[s], mask[s], preprocessing.window_hu) for s in kept]
    return kept[np.array(means, dtype=float) >= preprocessing.min_mean]


def lung_slices(
    ct: CtVolume, mask: np.ndarray, preprocessing: Preprocessing, indices: Iterable[int] | None = None
) -> Iterator[LungSlice]:
    """The slices of `ct` as the network sees them, made one by one as they are asked for.

    `mask` (S, R, C) bool comes from `segment_lungs`. Slices that `kept_slices` drops are left out; `indices`
    restricts the rest. The gray anchors of a volume are measured once, over all kept slices.
    """
    kept = kept_slices(ct, mask, preprocessing)
    wanted = kept if indices is None else np.intersect1d(kept, np.asarray(list(indices), dtype=int))
    return _cut_volume(ct, mask, preprocessing, kept, wanted) if ct.calibrated else (
        _cut_images(ct, mask, preprocessing, wanted))


def _cut_volume(ct, mask, preprocessing, kept, wanted):
    axial = ct.axial()
    anchors = volume_anchors(axial.array, mask, kept, preprocessing) if preprocessing.anchor_gray_levels else None
    table, scale = gray_table(anchors), hu_scale(preprocessing.window_hu, anchors)
    for index in wanted:
        crop = crop_box(mask[index], preprocessing.margin)
        rows, columns = covered_pixels(crop, mask.shape[1:])
        hu = slab_mean(axial.array[:, rows, columns], index, axial.spacing[2], preprocessing.slab_mm)
        gray_levels = table[window(hu, preprocessing.window_hu)]
        if preprocessing.mask_lungs:
            gray_levels *= mask[index, rows, columns]
        moved = (crop[0] - rows.start, crop[1] - columns.start, crop[2] - rows.start, crop[3] - columns.start)
        yield LungSlice(int(index), resample(gray_levels, moved, preprocessing.size), crop, scale=scale)


def _cut_images(ct, mask, preprocessing, wanted):
    pictures = list(_pictures(ct))
    for index in wanted:
        rows, columns = pictures[index].shape
        picture = np.ascontiguousarray(pictures[index])
        cut = cut_image(picture, mask[index, :rows, :columns], preprocessing, int(index))
        if cut is not None:
            yield cut


def _pictures(ct):
    """Each picture of `ct` (R, C) uint8 without the canvas that smaller ones were put on."""
    array = ct.axial().array
    shapes = ct.slice_shapes or [array.shape[1:]] * len(array)
    for picture, (rows, columns) in zip(array, shapes, strict=True):
        yield picture[:rows, :columns]


def window(hu, window_hu):
    """`hu` (any shape) as gray levels uint8: the window's ends become 0 and 255."""
    gray_levels = _windowed(np.asarray(hu, dtype=np.float32), window_hu)
    return np.clip(np.rint(gray_levels, out=gray_levels), 0, 255, out=gray_levels).astype(np.uint8)


def hu_scale(window_hu, anchors):
    """`LungSlice.scale` of a volume: the gray_levels of air (-1000 HU) and of soft tissue (40 HU)."""
    return gray_scale(_windowed(np.array([_AIR_HU, _TISSUE_HU], dtype=float), window_hu), anchors)


def _windowed(hu, window_hu):
    """`window` before it rounds and clips."""
    low, high = window_hu
    return (hu - low) * (255.0 / (high - low))


def slab_mean(hu, index, spacing_mm, slab_mm):
    """Mean of the slices of `hu` (S, r, c) over `slab_mm` around slice `index`, (r, c).

    A slice that the slab covers in part counts in part; at the ends of the volume the slab is cut off. Slices
    that are at least as thick as the slab stay alone.
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


def volume_anchors(hu, mask, kept, preprocessing):
    """Gray anchors (dark, bright) of a volume (S, R, C), over the lungs' boxes of up to 24 of its slices."""
    if len(kept) == 0:
        return None
    gray_levels, lungs = [], []
    for index in np.unique(kept[np.linspace(0, len(kept) - 1, _ANCHOR_SLICES).astype(int)]):
        rows, columns = covered_pixels(crop_box(mask[index], preprocessing.margin), mask.shape[1:])
        part = np.s_[index, rows.start:rows.stop:2, columns.start:columns.stop:2]
        gray_levels.append(window(hu[part], preprocessing.window_hu).ravel())
        lungs.append(mask[part].ravel())
    return anchor_gray_levels(np.concatenate(gray_levels), np.concatenate(lungs))


def _masked_mean(hu, lungs, window_hu):
    """Mean in [0, 1] of the tight crop of a slice `hu` (R, C), black outside of `lungs`."""
    rows, columns = covered_pixels(crop_box(lungs), lungs.shape)
    part = np.s_[rows.start:rows.stop:2, columns.start:columns.stop:2]  # every second pixel will do
    return float((window(hu[part], window_hu) * lungs[part]).mean() / 255)
