"""Lesions as markups: a box around each, and a point with the cluster's number at each peak."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ..results import Analysis, Box, Lesion
from .mrml import NodeModify, ijk_to_ras, vtk, vtkMatrixFromArray
from .ownership import ResultNodeFactory
from .stored_edits import ClusterEdits

LESION = "LesionAnalysis.Lesion"  # attribute of a box: the id of its lesion
CLUSTER = "LesionAnalysis.Cluster"  # attribute of a box: the number of its cluster
MAX_BOXES = 100  # more than this make Slicer's views slow


def largest(lesions: Sequence[Lesion], count: int) -> tuple[Lesion, ...]:
    """The ``count`` lesions of largest volume (area for uncalibrated images), in order of their ids."""

    def extent(lesion: Lesion) -> float:
        if lesion.volume_ml is not None:
            return lesion.volume_ml
        return sum(part.area_mm2 for part in lesion.slice_lesions)

    chosen = sorted(lesions, key=extent, reverse=True)[:count]
    return tuple(sorted(chosen, key=lambda lesion: lesion.id))


def previous_style(factory: ResultNodeFactory) -> tuple[bool, bool]:
    """Whether an earlier run's boxes are visible, and their names: a second run does not show what the user hid."""
    displays = [box.GetDisplayNode() for box in factory.earlier("box") if box.GetDisplayNode() is not None]
    visible = any(display.GetVisibility() for display in displays)
    labeled = any(display.GetPropertiesLabelVisibility() for display in displays)
    return (visible, labeled) if displays else (True, True)


def make_boxes(
    factory: ResultNodeFactory, lesions: Sequence[Lesion], edits: ClusterEdits, style: tuple[bool, bool]
) -> None:
    """One locked box per lesion along the axes of the CT's grid; ``style`` as ``previous_style`` returned it."""
    for lesion in lesions:
        style_box(_make_box(factory, lesion, style), lesion, edits)


def place_box(box_ijk: Box, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box of the grid in RAS: (4, 4) object-to-node matrix with the center, and (3,) sizes in mm.

    A ROI has three perpendicular axes. They are the grid's own, or the nearest to them where a tilted gantry has
    sheared the grid; then the ROI contains all of the box.
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


def _make_box(factory: ResultNodeFactory, lesion: Lesion, style: tuple[bool, bool]) -> Any:
    box = factory.new_node("vtkMRMLMarkupsROINode", "box", lesion.label)
    box.SetAttribute(LESION, str(lesion.id))
    box.SetAttribute(CLUSTER, str(lesion.cluster))
    with NodeModify(box):
        placement, size = place_box(lesion.box_ijk, ijk_to_ras(factory.ct))
        box.SetSize(*map(float, size))
        box.GetObjectToNodeMatrix().DeepCopy(vtkMatrixFromArray(placement))
        box.SetLocked(True)
    box.CreateDefaultDisplayNodes()
    display = box.GetDisplayNode()
    with NodeModify(display):
        display.SetHandlesInteractive(False)
        display.SetFillVisibility(False)
        display.SetTextScale(3.0)
        display.SetGlyphScale(0.5)
        display.SetVisibility(style[0])
        display.SetPropertiesLabelVisibility(style[1])
    return box


def style_box(box: Any, lesion: Lesion, edits: ClusterEdits) -> None:
    """Set name, color and description of a box, which depend on the names and colors of the clusters."""
    box.SetName(edits.label(lesion))
    _set_color(box.GetDisplayNode(), edits.color(lesion.cluster))
    box.SetNthControlPointDescription(0, _description(lesion))
    restore_description(box)


def restore_description(box: Any) -> None:
    """MRML clears the description of a box when it measures it (on loading, too): its center keeps a copy."""
    box.SetDescription(box.GetNthControlPointDescription(0))


def _description(lesion: Lesion) -> str:
    """One line for the tool tip of a box."""
    first, last = lesion.first_slice, lesion.last_slice
    words = [f"slice {first}" if first == last else f"slices {first} to {last}"]
    words += [f"cluster {lesion.cluster} ({lesion.cluster_name})", f"activation {lesion.activation:.2f}"]
    if lesion.volume_ml is not None:
        words.append(f"{lesion.volume_ml:.1f} ml")
    if lesion.mean_hu is not None:
        words.append(f"{lesion.mean_hu:.0f} HU")
    return ", ".join(words)


def make_peaks(factory: ResultNodeFactory, analysis: Analysis, edits: ClusterEdits) -> None:
    """One locked list of points, labeled with the cluster's number as in figure 10 of the paper."""
    peaks = factory.node("vtkMRMLMarkupsFiducialNode", "peaks", "peaks")
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
    _set_color(display, (1.0, 1.0, 1.0))


def describe_peaks(peaks: Any, analysis: Analysis, edits: ClusterEdits) -> None:
    """Set the label of the lesion as the tool tip of each peak."""
    for index, lesion in enumerate(analysis.lesions):
        peaks.SetNthControlPointDescription(index, edits.label(lesion))


def _set_color(display: Any, color: tuple[float, float, float]) -> None:
    """Markups have one color for selected points and one for the others."""
    display.SetColor(*color)
    display.SetSelectedColor(*color)
