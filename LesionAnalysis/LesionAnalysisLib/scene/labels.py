"""The lesions as a label map: each voxel holds the id of its lesion, each id has the color of its cluster.

Slicer's Data Probe takes the name of the lesion under the cursor from the color table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import Analysis
from .image_frame import store_frame
from .mrml import NodeModify, set_voxels
from .ownership import ResultNodeFactory
from .stored_edits import ClusterEdits


def make_labels(factory: ResultNodeFactory, analysis: Analysis, edits: ClusterEdits) -> None:
    """The label map and its color table. Voxels are unsigned char if the ids fit, else unsigned short."""
    colors = factory.node("vtkMRMLColorTableNode", "label_colors", "lesion colors")
    colors.SetHideFromEditors(False)  # or Slicer would not save it
    colors.SetTypeToUser()
    color_labels(colors, analysis, edits)
    node = factory.node("vtkMRMLLabelMapVolumeNode", "labels", "lesion map")
    node.SetDescription("Each voxel holds the number of its lesion, 0 outside.")
    set_voxels(node, analysis.lesion_labels, np.uint8 if colors.GetNumberOfColors() <= 256 else np.uint16)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    store_frame(node, analysis)


def color_labels(colors: Any, analysis: Analysis, edits: ClusterEdits) -> None:
    """Entry i: label of lesion i, color of its cluster; entry 0, outside of lesions, is transparent."""
    last = max((lesion.id for lesion in analysis.lesions), default=0)
    with NodeModify(colors):
        colors.SetNumberOfColors(last + 1)
        colors.SetColor(0, "no lesion", 0.0, 0.0, 0.0, 0.0)
        for lesion in analysis.lesions:
            colors.SetColor(lesion.id, edits.label(lesion), *edits.color(lesion.cluster), 1.0)
        colors.GetLookupTable().SetTableRange(0, last)
