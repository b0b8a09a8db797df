"""Lesions as markups: a box around each, and a point with the cluster's number at each peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..results import Analysis, Box, Lesion
from .mrml import ijk_to_ras, one_change, vtk, vtk_matrix
from .ownership import ResultNodeFactory
from .stored_edits import ClusterEdits

LESION = "LesionAnalysis.Lesion"  # attributes of a box: the id of its lesion
CLUSTER = "LesionAnalysis.Cluster"  # and the number of its cluster
MAX_BOXES = 100  # more than this make Slicer's views slow


def strongest(lesions: Sequence[Lesion], count: int) -> tuple[Lesion, ...]:
    """The ``count`` lesions of largest volume (area for pictures, which have none), in their own order."""

    def extent(lesion: Lesion) -> float:
        if lesion.volume_ml is not None:
            return lesion.volume_ml
        return sum(part.area_mm2 for part in lesion.slice_lesions)

    kept = sorted(lesions, key=extent, reverse=True)[:count]
    return tuple(sorted(kept, key=lambda lesion: lesion.id))


@dataclass(frozen=True)
class Look:
    """What the user has made of the boxes: whether they are shown, and with their names."""

    visible: bool = True
    labeled: bool = True


def earlier_look(factory: ResultNodeFactory) -> Look:
    """How an earlier run's boxes look, so that a second run does not bring back what was hidden."""
    displays = [box.GetDisplayNode() for box in factory.earlier("box") if box.GetDisplayNode() is not None]
    if not displays:
        return Look()
    return Look(
        visible=any(display.GetVisibility() for display in displays),
        labeled=any(display.GetPropertiesLabelVisibility() for display in displays),
    )


def make_boxes(factory: ResultNodeFactory, lesions: Sequence[Lesion], edits: ClusterEdits, look: Look) -> dict[int, Any]:
    """One locked box per lesion along the axes of the CT's grid; lesion id -> node."""
    matrix = ijk_to_ras(factory.ct)
    boxes = {lesion.id: _make_box(factory, lesion, matrix) for lesion in lesions}
    for lesion in lesions:
        display = boxes[lesion.id].GetDisplayNode()
        display.SetVisibility(look.visible)
        display.SetPropertiesLabelVisibility(look.labeled)
        style_box(boxes[lesion.id], lesion, edits)
    return boxes


def place_box(box_ijk: Box, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a box of the grid lies in RAS: (4, 4) object-to-node matrix with the center; three sizes in mm.

    A ROI has three perpendicular axes. They are the grid's own, or the nearest to them where a tilted gantry
    has sheared the grid; then the ROI holds all of the box.
    """
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions)
    axes = left @ right
    if np.linalg.det(axes) < 0:
        axes[:, 2] *= -1
    corners = np.array([(*corner, 1.0) for corner in product(*zip(*box_ijk, strict=True))])
    along = (corners @ matrix.T)[:, :3] @ axes  # (8, 3): the corners along the three axes
    low, high = along.min(axis=0), along.max(axis=0)
    placement = np.eye(4)
    placement[:3, :3] = axes
    placement[:3, 3] = axes @ ((low + high) / 2)
    return placement, high - low


def _make_box(factory: ResultNodeFactory, lesion: Lesion, matrix: np.ndarray) -> Any:
    box = factory.new_node("vtkMRMLMarkupsROINode", "box", lesion.label)
    box.SetAttribute(LESION, str(lesion.id))
    box.SetAttribute(CLUSTER, str(lesion.cluster))
    with one_change(box):
        box.SetAndObserveTransformNodeID(factory.ct.GetTransformNodeID())
        placement, size = place_box(lesion.box_ijk, matrix)
        box.SetSize(*map(float, size))
        box.GetObjectToNodeMatrix().DeepCopy(vtk_matrix(placement))
        box.SetLocked(True)
    box.CreateDefaultDisplayNodes()
    display = box.GetDisplayNode()
    with one_change(display):
        display.SetHandlesInteractive(False)
        display.SetFillVisibility(False)
        display.SetTextScale(3.0)
        display.SetGlyphScale(0.5)
    return box


def style_box(box: Any, lesion: Lesion, edits: ClusterEdits) -> None:
    """Name, color and description of a box: all that follows the names and colors of the clusters."""
    box.SetName(edits.label(lesion))
    _paint(box.GetDisplayNode(), edits.color(lesion.cluster))
    box.SetNthControlPointDescription(0, describe(lesion))
    restore_description(box)


def restore_description(box: Any) -> None:
    """MRML empties the description of a box as it measures it (on loading, too): its center keeps a copy."""
    box.SetDescription(box.GetNthControlPointDescription(0))


def describe(lesion: Lesion) -> str:
    """One line for the tool tip of a box."""
    where = f"slice {lesion.first_slice}"
    if lesion.last_slice != lesion.first_slice:
        where = f"slices {lesion.first_slice} to {lesion.last_slice}"
    words = [where, f"cluster {lesion.cluster} ({lesion.cluster_name})", f"score {lesion.score:.2f}"]
    if lesion.volume_ml is not None:
        words.append(f"{lesion.volume_ml:.1f} ml")
    if lesion.mean_hu is not None:
        words.append(f"{lesion.mean_hu:.0f} HU")
    return ", ".join(words)


def make_peaks(factory: ResultNodeFactory, analysis: Analysis, edits: ClusterEdits) -> Any:
    """One locked list of points, labeled with the cluster's number as in figure 10 of the paper."""
    ct = factory.ct
    peaks = factory.node("vtkMRMLMarkupsFiducialNode", "peaks", f"{ct.GetName()} peaks")
    peaks.SetAndObserveTransformNodeID(ct.GetTransformNodeID())
    peaks.RemoveAllControlPoints()
    for lesion in analysis.lesions:
        peaks.AddControlPoint(vtk.vtkVector3d(*lesion.peak_ras_mm), str(lesion.cluster))
    describe_peaks(peaks, analysis, edits)
    peaks.SetLocked(True)
    peaks.CreateDefaultDisplayNodes()
    display = peaks.GetDisplayNode()
    display.SetHandlesInteractive(False)
    display.SetGlyphTypeFromString("CrossDot2D")
    display.SetGlyphScale(3.0)
    display.SetTextScale(3.0)
    _paint(display, (1.0, 1.0, 1.0))
    return peaks


def describe_peaks(peaks: Any, analysis: Analysis, edits: ClusterEdits) -> None:
    """The label of its lesion as the tool tip of each peak."""
    for index, lesion in enumerate(analysis.lesions):
        peaks.SetNthControlPointDescription(index, edits.label(lesion))


def _paint(display: Any, color: tuple[float, float, float]) -> None:
    """Markups have one color for points that are selected and one for the others."""
    display.SetColor(*color)
    display.SetSelectedColor(*color)
