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


def read_lungs(labels: Any, shape: tuple[int, int, int], matrix: np.ndarray) -> np.ndarray:
    """(K, J, I) bool: the bounding box of the lungs on every slice, not their contour; all False if unknown.

    shape, matrix: of the grid on which the CT was analyzed.
    """
    view = AxialView(np.zeros(shape, bool), matrix)
    boxes = (read_attribute(labels, FRAME) or {}).get("lungs")
    if boxes and len(boxes) == len(view.array):
        for plane, box in zip(view.array, boxes, strict=True):
            if box:
                plane[box[0] : box[1] + 1, box[2] : box[3] + 1] = True
    return view.to_volume(view.array)


def read_slice_shapes(labels: Any) -> tuple[tuple[int, int], ...] | None:
    """(rows, columns) of each image where sizes differ, else None."""
    shapes = (read_attribute(labels, FRAME) or {}).get("slice_shapes")
    return tuple((int(rows), int(columns)) for rows, columns in shapes) if shapes else None


def _ends(flags: np.ndarray) -> list[int]:
    """First and last index that is True; empty if none is."""
    where = np.flatnonzero(flags)
    return [int(where[0]), int(where[-1])] if where.size else []
