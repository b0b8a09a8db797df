"""The CT and, on the same grid, the lesion activation map with its colors and legend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import Analysis
from ..volume import CtVolume, ct_from_array
from .color_maps import COLOR_MAPS, color_map
from .mrml import NodeModify, all_nodes, ijk_to_ras, set_voxels, slicer, voxels, vtkMatrixFromArray
from .ownership import ResultNodeFactory, role_of

LUNG_WINDOW = (1500.0, -600.0)  # width and level in HU
GRAY_WINDOW = (255.0, 127.0)  # of 8-bit gray values
CT_ROLE = "ct"  # of a volume node that was made from a file


def ct_from_node(node: Any) -> CtVolume:
    """The CT of a scalar volume node, for ``LesionAnalyzer.analyze``; the node is left as it is.

    Positions of the analysis are those of the node itself, without its parent transform, which ``add_to_scene`` applies
    to the results.

    Raises:
        ValueError: no volume node, a label map, a color or empty volume, or values that cannot be a chest CT.
    """
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ValueError("Choose a volume node that holds a chest CT.")
    array = voxels(node)
    if array is None:
        raise ValueError(f"The volume '{node.GetName()}' is empty: choose one that holds a chest CT.")
    return ct_from_array(array, ijk_to_ras(node), node.GetName())


def is_result(node: Any) -> bool:
    """Whether this node is a result; a CT that was read from a file is none."""
    return role_of(node) not in (None, CT_ROLE)


def find_ct(scene: Any, analysis: Analysis) -> Any:
    """The volume node that an earlier run made from the same CT, or None."""
    for node in all_nodes(scene):
        if role_of(node) == CT_ROLE and node.GetName() == analysis.name:
            array = voxels(node)
            same_grid = np.allclose(ijk_to_ras(node), analysis.ct.ijk_to_ras, atol=1e-3)
            if same_grid and array is not None and np.array_equal(array, analysis.ct.array):
                return node
    return None


def node_from_ct(scene: Any, ct: CtVolume, name: str) -> Any:
    """A volume node with a ``CtVolume`` in a lung window (uncalibrated images: in the full range of gray)."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(vtkMatrixFromArray(ct.ijk_to_ras))
    set_voxels(node, ct.array)
    if ct.calibrated:
        _name_hounsfield_units(node)
    _set_window(node, LUNG_WINDOW if ct.calibrated else GRAY_WINDOW)
    return node


def set_lung_window(node: Any) -> None:
    """Show a CT in HU in a window of 1500 HU around -600 HU."""
    _set_window(node, LUNG_WINDOW)


def _set_window(node: Any, window: tuple[float, float]) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*window)


def check_ct(node: Any, analysis: Analysis) -> None:
    """Raise ValueError unless ``node`` is (still) the volume that was analyzed, or None and ``ct`` is there."""
    if analysis.lam is None:
        raise ValueError("The analysis was read without its voxels: use read_analysis.")
    if node is None:
        if analysis.ct is None:
            raise ValueError("The analysis was read without its CT: give the volume node that shows it.")
        return
    image = node.GetImageData()
    grid = image.GetDimensions()[::-1] if image is not None else None
    moved = analysis.ct is not None and not np.allclose(ijk_to_ras(node), analysis.ct.ijk_to_ras, atol=1e-3)
    if grid != analysis.lam.shape or moved:
        raise ValueError(f"{node.GetName()} is not the volume that was analyzed: analyze it again.")


def make_lam(factory: ResultNodeFactory, analysis: Analysis, map_name: str | None) -> None:
    """The LAM as a volume of percent, its color table and its legend; 0 percent is transparent.

    map_name: None keeps the colors of an earlier run, as its threshold is kept.
    """
    colors = _color_table(factory, map_name)
    node = factory.node("vtkMRMLScalarVolumeNode", "lam", "LAM")
    node.SetDescription("Lesion activation map in percent: what the network responded to.")
    set_voxels(node, analysis.lam, np.uint8)
    new = node.GetDisplayNode() is None
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    with NodeModify(display):
        display.SetAndObserveColorNodeID(colors.GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, 100)
        display.SetAutoThreshold(False)
        display.SetThreshold(1 if new else max(display.GetLowerThreshold(), 1), 100)
        display.SetApplyThreshold(True)
    legend = factory.node("vtkMRMLColorLegendDisplayNode", "legend", "LAM legend")
    legend.SetTitleText("LAM (%)")
    legend.SetLabelFormat("%.0f")
    legend.SetSize(0.08, 0.35)
    legend.SetNumberOfLabels(5)
    legend.SetUseColorNamesForLabels(False)
    legend.SetVisibility3D(False)
    legend.SetAndObservePrimaryDisplayNode(display)
    if not any(node.GetNthDisplayNodeID(i) == legend.GetID() for i in range(node.GetNumberOfDisplayNodes())):
        node.AddAndObserveDisplayNodeID(legend.GetID())


def _name_hounsfield_units(node: Any) -> None:
    """Mark the values as HU by DICOM codes: Slicer shows the unit, and exports it."""
    for name, code, scheme, meaning in (
        ("Quantity", "112031", "DCM", "Attenuation Coefficient"),
        ("Units", "[hnsf'U]", "UCUM", "Hounsfield unit"),
    ):
        entry = slicer.vtkCodedEntry()
        entry.SetValueSchemeMeaning(code, scheme, meaning)
        getattr(node, f"SetVoxelValue{name}")(entry)


def _color_table(factory: ResultNodeFactory, map_name: str | None) -> Any:
    """A color table of its own: Slicer saves it with the scene only if it is not hidden from editors."""
    new = not factory.earlier("colors")
    node = factory.node("vtkMRMLColorTableNode", "colors", "LAM colors")
    node.SetHideFromEditors(False)
    if new:
        node.SetTypeToUser()
    if new or map_name is not None:
        fill_color_table(node, map_name or COLOR_MAPS[0])
    return node


def fill_color_table(node: Any, map_name: str) -> None:
    """256 colors, named by their percent. Raises ValueError for an unknown map."""
    table = color_map(map_name)
    with NodeModify(node):
        node.SetDescription(map_name)
        node.SetNumberOfColors(len(table))
        for index, (red, green, blue) in enumerate(table):
            percent = 100 * index / (len(table) - 1)
            node.SetColor(index, f"{percent:.1f} %", float(red), float(green), float(blue), 1.0)
        node.GetLookupTable().SetTableRange(0, len(table) - 1)
