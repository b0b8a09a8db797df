"""What a report needs of the lungs after a scene was saved: their bounding box on each slice.

The lung mask itself is not stored: it is as large as the CT, and Slicer does not show it. Images in the report are
cropped to the bounding box of the lungs, which is stored slice by slice as an attribute of the label map.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import Analysis
from ..volume import AxialView
from .mrml import ijk_to_ras, read_attribute, write_attribute

FRAME = "LesionAnalysis.Frame"


def store_frame(labels: Any, analysis: Analysis) -> None:
    """Store the bounding boxes of the lungs with the label map, and the image sizes where they differ."""
    shapes = analysis.ct.slice_shapes if analysis.ct is not None else None
    lungs = AxialView(analysis.lung_mask, ijk_to_ras(labels)).array  # (S, R, C)
    rows, columns = lungs.any(axis=2), lungs.any(axis=1)
    boxes = [_ends(row) + _ends(column) for row, column in zip(rows, columns, strict=True)]
    write_attribute(labels, FRAME, {"lungs": boxes, "slice_shapes": shapes})


def read_frame(
    labels: Any, shape: tuple[int, int, int], matrix: np.ndarray
) -> tuple[np.ndarray, tuple[tuple[int, int], ...] | None]:
    """The bounding box of the lungs on every slice as (K, J, I) bool, and (rows, columns) of each image.

    The mask is all False if unknown; the image sizes are None unless they differ.
    shape, matrix: of the grid on which the CT was analyzed.
    """
    stored = read_attribute(labels, FRAME) or {}
    view = AxialView(np.zeros(shape, bool), matrix)
    boxes, shapes = stored.get("lungs"), stored.get("slice_shapes")
    if boxes and len(boxes) == len(view.array):
        for plane, box in zip(view.array, boxes, strict=True):
            if box:
                plane[box[0] : box[1] + 1, box[2] : box[3] + 1] = True
    slice_shapes = tuple((int(rows), int(columns)) for rows, columns in shapes) if shapes else None
    return view.to_volume(view.array), slice_shapes


def _ends(flags: np.ndarray) -> list[int]:
    """First and last index that is True; empty if none is."""
    return np.flatnonzero(flags)[[0, -1]].tolist() if flags.any() else []
