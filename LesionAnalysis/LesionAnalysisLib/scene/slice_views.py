"""Slice views: the LAM over its CT, and the views that are saved with a scene bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mrml import nodes_by_class, slicer, vtk
from .scene_nodes import SceneNodes

LAM_OPACITY = 0.45  # of the foreground: lung structure stays visible under full red

# Slicer's own views. A loaded scene overwrites the color and label of a view of the same name.
_SLICE_VIEWS = (
    ("Red", "Axial", "R", (0.952941, 0.290196, 0.2)),
    ("Green", "Coronal", "G", (0.431373, 0.690196, 0.294118)),
    ("Yellow", "Sagittal", "Y", (0.929412, 0.835294, 0.298039)),
)


def show_in_slice_views(nodes: SceneNodes, opacity: float = LAM_OPACITY, everywhere: bool = False) -> int:
    """Show the LAM over its CT in all slice views that show the CT; returns how many.

    everywhere: show CT and LAM in all slice views, whatever they show now.
    """
    changed = 0
    for composite in nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceCompositeNode"):
        if everywhere or composite.GetBackgroundVolumeID() == nodes.ct.GetID():
            composite.SetBackgroundVolumeID(nodes.ct.GetID())
            composite.SetForegroundVolumeID(nodes.lam.GetID())
            composite.SetForegroundOpacity(opacity)
            changed += 1
    nodes.legend.Modified()  # or views would not update their legends
    return changed


def make_views(nodes: SceneNodes, focus_ras: tuple[float, float, float] | None) -> None:
    """Add the views in which a saved scene opens: slices through ``focus_ras``, chart and table.

    MRML has one node per view name: on loading, Slicer copies these onto its own views, except for their sizes.
    """
    scene = nodes.ct.GetScene()
    bounds = np.zeros(6)
    nodes.ct.GetRASBounds(bounds)  # edges of the voxels included
    low, high = bounds.reshape(3, 2).T
    focus = (low + high) / 2 if focus_ras is None else np.asarray(focus_ras)
    for name, orientation, label, color in _SLICE_VIEWS:
        view = _named(scene, "vtkMRMLSliceNode", name, label)
        view.SetLayoutColor(*color)
        view.SetFieldOfView(max(high - low), max(high - low), 1.0)
        _orient(view, orientation, nodes.ct, (low + high) / 2, focus)
        _named(scene, "vtkMRMLSliceCompositeNode", name)
    show_in_slice_views(nodes, everywhere=True)
    _named(scene, "vtkMRMLPlotViewNode", "PlotView1", "P").SetPlotChartNodeID(nodes.chart.GetID())
    _named(scene, "vtkMRMLTableViewNode", "TableView1", "T").SetTableNodeID(nodes.lesions.GetID())
    layout = slicer.vtkMRMLLayoutNode()
    layout.SetSingletonTag("vtkMRMLLayoutNode")
    layout.AddLayoutDescription(layout.SlicerLayoutFourUpPlotTableView, "")  # Slicer brings its own
    layout.SetViewArrangement(layout.SlicerLayoutFourUpPlotTableView)
    scene.AddNode(layout)


def _named(scene: Any, class_name: str, name: str, label: str | None = None) -> Any:
    """A view node (or its composite node) with the name that Slicer's layouts use."""
    node = getattr(slicer, class_name)()
    node.SetLayoutName(name)
    node.SetName(name)
    if label is not None:
        node.SetLayoutLabel(label)
    return scene.AddNode(node)


def _orient(view: Any, orientation: str, ct: Any, middle: np.ndarray, focus: np.ndarray) -> None:
    """Align a view with the CT's axes, as Slicer does on loading; centered at ``middle``, through ``focus``."""
    for name in ("Axial", "Sagittal", "Coronal"):
        preset = vtk.vtkMatrix3x3()
        getattr(slicer.vtkMRMLSliceNode, f"Get{name}SliceToRASMatrix")(preset)
        view.AddSliceOrientationPreset(name, preset)
    view.SetDefaultOrientation(orientation)
    view.SetOrientation(orientation)
    view.RotateToVolumePlane(ct)
    matrix = view.GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    for row, value in enumerate(middle + normal * (normal @ (focus - middle))):
        matrix.SetElement(row, 3, float(value))
    view.UpdateMatrices()
