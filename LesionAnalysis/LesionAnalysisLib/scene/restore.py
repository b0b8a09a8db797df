"""MRML -> Analysis: what an analysis said, from nothing but its nodes, for instance after a scene was loaded.

``read_record`` reads the numbers and words, in milliseconds; ``read_analysis`` also the voxels, so that every
writer of ``report`` works on it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..report.json_csv import from_json
from ..results import Analysis
from ..volume import ct_from_array
from .analysis_grid import analyzed_grid
from .image_frame import read_lungs, read_slice_shapes
from .mrml import ijk_to_ras, voxels

if TYPE_CHECKING:
    from .scene_nodes import SceneNodes


def read_record(nodes: SceneNodes) -> Analysis:
    """The analysis without voxels: ``ct``, ``lam``, ``lesion_labels`` and ``lung_mask`` are None.

    Clusters have the names that the user gave them. Cheap enough to be called whenever a panel draws itself:
    the same text gives the same object, so do not write into its dictionaries. Raises ValueError where the
    text node is damaged.
    """
    return _remembered(nodes.analysis.GetText() or "")


@lru_cache(maxsize=4)
def _remembered(text: str) -> Analysis:
    return _parse(text)


def _parse(text: str) -> Analysis:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("The text of the analysis in the scene is damaged: analyze the CT again.") from None
    return from_json(data)


def read_analysis(nodes: SceneNodes) -> Analysis:
    """The whole analysis, with copies of the voxels.

    ``lung_mask`` marks the bounding box of the lungs on every slice, not their outline: that is what the
    pictures of a report need. Raises ValueError where the text is damaged, the CT is no longer the one that
    was analyzed, or the results come from a version that kept no lesion map.
    """
    record = _parse(nodes.analysis.GetText() or "")
    labels = check_labels(nodes)
    grid = analyzed_grid(nodes)
    if grid is None:
        raise ValueError(f"{nodes.ct.GetName()} was moved after it was analyzed: analyze it again.")
    matrix, flips = grid
    ct = ct_from_array(voxels(nodes.ct)[flips], matrix, record.name, record.calibrated)
    source = str(record.input.get("path", ct.source))
    return replace(
        record,
        ct=replace(ct, source=source, slice_shapes=read_slice_shapes(nodes.labels)),
        lam=np.array(voxels(nodes.lam)[flips], np.uint8, order="C"),
        lesion_labels=np.array(labels[flips], np.uint16, order="C"),
        lung_mask=read_lungs(nodes.labels, labels.shape, matrix),
    )


def check_labels(nodes: SceneNodes) -> np.ndarray:
    """The voxels of the label map, a view. Raises ValueError where they are missing or lie on another grid."""
    name = nodes.ct.GetName()
    if nodes.labels is None or nodes.label_colors is None:
        raise ValueError(f"The results of {name} come from an earlier version without a lesion map: analyze it again.")
    arrays = [voxels(node) for node in (nodes.ct, nodes.lam, nodes.labels)]
    if any(array is None or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"The voxels of {name} or of its results are missing or changed: analyze it again.")
    places = [ijk_to_ras(node) for node in (nodes.ct, nodes.lam, nodes.labels)]
    if not all(np.allclose(place, places[0], atol=1e-3) for place in places):
        raise ValueError(f"{nodes.ct.GetName()} was moved after it was analyzed: analyze it again.")
    return arrays[2]
