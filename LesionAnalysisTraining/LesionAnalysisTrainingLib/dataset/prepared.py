"""The lung regions of a file's slices: what augmentation starts from, and what an analysis would show."""

from __future__ import annotations

import os
from collections.abc import Sequence

from LesionAnalysisLib.lungs import LungRegion, NoLungsError, Preprocessing, lung_regions, segment_lungs
from LesionAnalysisLib.lungs.image_lungs import segment_image
from LesionAnalysisLib.lungs.slicing import image_region
from LesionAnalysisLib.text import error_message
from LesionAnalysisLib.volume import CtVolume, read_ct

from .data_files import axial_slice

_REACH = 0.3  # of the lungs' box kept on each side: margin, shifts, wider views and corners of rotated ones
TOO_LITTLE_LUNG = "It shows too little lung to analyze."
NO_CONTENT = "It is a blank image."
NO_SLICE = "The file has no such slice."


def prepare_readable(item: tuple[str, list[int | None]], preprocessing: Preprocessing) -> list[LungRegion | str]:
    """``prepare_file`` of a path and its slices, with the reason for each slice where the file cannot be read."""
    path, slices = item
    try:
        return prepare_file(path, slices, preprocessing)
    except (OSError, ValueError, RuntimeError) as error:
        return [f"It cannot be read: {error_message(error)}"] * len(slices)


def prepare_file(path: str | os.PathLike, slices: Sequence[int | None],
                 preprocessing: Preprocessing) -> list[LungRegion | str]:  # fmt: skip
    """The wanted slices of a file, or for each that cannot be used, the reason.

    Each is the region from which an analysis with the same ``preprocessing`` would make the network's input, with more
    of its surroundings. ``slices`` are indices of the axial stack; None is the first. Raises as ``read_ct``.
    """
    ct = read_ct(path)
    indices = [index or 0 for index in slices]
    reach = max(_REACH, preprocessing.margin + 0.1)
    if not ct.calibrated:
        return [_of_image(ct, index, preprocessing, reach) for index in indices]
    try:
        mask = segment_lungs(ct)
    except NoLungsError as error:
        return [str(error)] * len(indices)
    regions = {region.index: region.at_origin() for region in lung_regions(ct, mask, preprocessing, indices, reach)}
    return [regions.get(index, TOO_LITTLE_LUNG) for index in indices]


def _of_image(ct: CtVolume, index: int, preprocessing: Preprocessing, reach: float) -> LungRegion | str:
    if index >= len(ct.axial().array):
        return NO_SLICE
    image = axial_slice(ct, index)
    region = image_region(image, segment_image(image), preprocessing, index, reach)
    return NO_CONTENT if region is None else region.at_origin()
