"""MRML -> Analysis: an analysis from its nodes alone, for instance after a scene was loaded.

``read_record`` reads all but the voxels, in milliseconds; ``read_analysis`` reads the voxels, too, so that every writer
of ``report`` accepts it.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..report.json_csv import from_json
from ..results import Analysis
from ..volume import ct_from_array
from .analysis_grid import analyzed_grid
from .image_frame import read_frame
from .mrml import ijk_to_ras, voxels
from .scene_nodes import SceneNodes


def read_record(nodes: SceneNodes) -> Analysis:
    """The analysis without voxels: ``ct``, ``lam``, ``lesion_labels`` and ``lung_mask`` are None.

    Clusters have the names that the user gave them. Cheap enough for a panel that calls it at every update: the same
    text gives the same object, whose dictionaries must not be changed. Raises ValueError if the text node is damaged.
    """
    return _parse(nodes.analysis.GetText() or "")


@lru_cache(maxsize=4)
def _parse(text: str) -> Analysis:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("The text of the analysis in the scene is damaged: analyze the CT again.") from None
    return from_json(data)


def read_analysis(nodes: SceneNodes) -> Analysis:
    """The whole analysis, with copies of the voxels.

    ``lung_mask`` is the bounding box of the lungs on every slice, which the images of a report need, not their contour.
    Raises ValueError if the text is damaged, or if the CT is no longer the one that was analyzed.
    """
    record = copy.deepcopy(read_record(nodes))
    labels = check_labels(nodes)
    grid = analyzed_grid(nodes)
    if grid is None:
        raise ValueError(f"{nodes.ct.GetName()} was moved after it was analyzed: analyze it again.")
    matrix, flips = grid
    ct = ct_from_array(voxels(nodes.ct)[flips], matrix, record.name, record.calibrated)
    source = str(record.input.get("path", ct.source))
    lungs, slice_shapes = read_frame(nodes.labels, labels.shape, matrix)
    return replace(
        record,
        ct=replace(ct, source=source, slice_shapes=slice_shapes),
        lam=np.array(voxels(nodes.lam)[flips], np.uint8, order="C"),
        lesion_labels=np.array(labels[flips], np.uint16, order="C"),
        lung_mask=lungs,
    )


def check_labels(nodes: SceneNodes) -> np.ndarray:
    """The voxels of the label map, a view. Raises ValueError if they are missing or on another grid."""
    name = nodes.ct.GetName()
    arrays = [voxels(node) for node in (nodes.ct, nodes.lam, nodes.labels)]
    if any(array is None or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"The voxels of {name} or of its results are missing or changed: analyze it again.")
    matrices = [ijk_to_ras(node) for node in (nodes.ct, nodes.lam, nodes.labels)]
    if not all(np.allclose(matrix, matrices[0], atol=1e-3) for matrix in matrices):
        raise ValueError(f"{name} was moved after it was analyzed: analyze it again.")
    return arrays[2]
