"""A slice on the common gray scale with its lungs: what augmentation starts from, and what an analysis would see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from LesionAnalysisLib.lungs import Preprocessing, anchor_gray_levels, kept_slices, segment_image, segment_lungs
from LesionAnalysisLib.lungs.preprocessing import covered_pixels as covered
from LesionAnalysisLib.lungs.preprocessing import crop_box, cut_image, gray_scale, gray_table
from LesionAnalysisLib.lungs.slicing import hu_scale, slab_mean, volume_anchors, window
from LesionAnalysisLib.volume import CtVolume, read_ct

from .data_files import axial_slice

_REACH = 0.3  # of the lungs' box kept on every side: margin, shifts, wider views and corners of turned ones

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The lungs of a slice and some of what surrounds them."""

    gray_levels: np.ndarray  # (H, W) uint8
    lungs: np.ndarray  # (H, W) bool
    box: Box  # around the lungs, without margin, as LungSlice.crop
    found: bool  # False: no lungs were found in a picture, so box and lungs are all of it
    calibrated: bool = False  # of a volume in HU
    scale: tuple[float, float] = (0.0, 255.0)  # gray_levels of air and of soft tissue, as LungSlice.scale


def prepare_file(
    path: str | os.PathLike, slices: Sequence[int | None], preprocessing: Preprocessing
) -> list[Prepared | None]:
    """The wanted slices of a file, None where one shows no lungs to be judged, or nothing at all.

    Each is what an analysis with the same ``preprocessing`` would cut its picture from, before anything is blacked
    out and resampled. ``slices`` are indices of the axial stack; None is the first.

    Raises:
        OSError, ValueError, RuntimeError: the file cannot be read, see ``read_ct``.
    """
    ct = read_ct(path)
    indices = [index or 0 for index in slices]
    if ct.calibrated:
        return _of_volume(ct, indices, preprocessing)
    return [_of_image(axial_slice(ct, index), preprocessing) if index < len(ct.axial().array) else None
            for index in indices]  # fmt: skip


def _of_image(picture: np.ndarray, preprocessing: Preprocessing) -> Prepared | None:
    lungs = segment_image(picture)
    # where the analysis cuts: not always at the lungs, since pictures may have frames or be cropped already
    cut = cut_image(picture, lungs, replace(preprocessing, anchor_gray_levels=False, size=32))
    if cut is None:
        return None
    tight = cut.found and cut.crop == crop_box(lungs, preprocessing.margin)
    part = covered(cut.crop, picture.shape)
    anchors = None
    if preprocessing.anchor_gray_levels:
        anchors = anchor_gray_levels(picture[part], lungs[part] if cut.found else None)
    box = crop_box(lungs) if tight else cut.crop
    kept = covered(_grown(box, preprocessing) if tight else box, picture.shape)
    inside = lungs[kept] if cut.found else np.ones_like(lungs[kept])
    return Prepared(gray_table(anchors)[picture[kept]], inside, _moved(box, kept), cut.found,
                    scale=gray_scale(cut.scale, anchors))  # fmt: skip


def _of_volume(ct: CtVolume, indices: list[int], preprocessing: Preprocessing) -> list[Prepared | None]:
    try:
        mask = segment_lungs(ct)
    except ValueError:  # there are none
        return [None] * len(indices)
    axial, kept = ct.axial(), kept_slices(ct, mask, preprocessing)
    anchors = volume_anchors(axial.array, mask, kept, preprocessing) if preprocessing.anchor_gray_levels else None
    table, scale, judged = gray_table(anchors), hu_scale(preprocessing.window_hu, anchors), set(kept.tolist())

    def cut(index: int) -> Prepared:
        box = crop_box(mask[index])
        rows, columns = part = covered(_grown(box, preprocessing), mask.shape[1:])
        hu = slab_mean(axial.array[:, rows, columns], index, axial.spacing[2], preprocessing.slab_mm)
        gray_levels = table[window(hu, preprocessing.window_hu)]
        return Prepared(gray_levels, mask[index][part].copy(), _moved(box, part), True, True, scale)

    return [cut(index) if index in judged else None for index in indices]


def _grown(box: Box, preprocessing: Preprocessing) -> Box:
    """``box`` with what views around it may show, in whole pixels."""
    r0, c0, r1, c1 = box
    reach = max(_REACH, preprocessing.margin + 0.1)
    rows, columns = (np.ceil(reach * length) for length in (r1 - r0, c1 - c0))
    return r0 - rows, c0 - columns, r1 + rows, c1 + columns


def _moved(box: Box, part: tuple[slice, slice]) -> Box:
    """``box`` in a picture of which only ``part`` is kept."""
    rows, columns = part
    return box[0] - rows.start, box[1] - columns.start, box[2] - rows.start, box[3] - columns.start
