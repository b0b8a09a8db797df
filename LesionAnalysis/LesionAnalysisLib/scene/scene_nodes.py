"""The MRML nodes of one analysis, and how to find them in a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .boxes import LESION, restore_description
from .ownership import find_folder, own_nodes, role_of


@dataclass(frozen=True)
class SceneNodes:
    """The MRML nodes of one analysis."""

    ct: Any  # vtkMRMLScalarVolumeNode: the user's, or ours where none was given
    lam: Any  # vtkMRMLScalarVolumeNode, unsigned char, percent
    colors: Any  # vtkMRMLColorTableNode of the LAM
    legend: Any  # vtkMRMLColorLegendDisplayNode
    boxes: dict[int, Any]  # lesion id -> vtkMRMLMarkupsROINode
    peaks: Any  # vtkMRMLMarkupsFiducialNode: one point per lesion, in the order of the lesions
    slices: Any  # vtkMRMLTableNode
    lesions: Any  # vtkMRMLTableNode
    chart: Any  # vtkMRMLPlotChartNode
    series: Any  # vtkMRMLPlotSeriesNode
    analysis: Any  # vtkMRMLTextNode with the content of analysis.json and the model's card
    warnings: Any = None  # vtkMRMLTextNode, None where there is nothing to warn of
    labels: Any = None  # vtkMRMLLabelMapVolumeNode: lesion ids; None in results of earlier versions
    label_colors: Any = None  # vtkMRMLColorTableNode of the label map; None likewise
    folder: int = 0  # item of the subject hierarchy
    notes: tuple[str, ...] = field(default=(), compare=False)  # lines of ``warnings``


def find_in_scene(ct_node: Any) -> SceneNodes | None:
    """The results of ``ct_node``, for instance after a scene was loaded; None where they are not complete."""
    scene = ct_node.GetScene()
    found = {role_of(node): node for node in own_nodes(scene, ct_node) if role_of(node) != "box"}
    boxes = {
        int(node.GetAttribute(LESION)): node
        for node in own_nodes(scene, ct_node)
        if role_of(node) == "box" and node.GetAttribute(LESION)
    }
    roles = ("lam", "colors", "legend", "peaks", "slices", "lesions", "chart", "series", "analysis")
    if any(role not in found for role in roles):
        return None
    for box in boxes.values():
        restore_description(box)
    warnings = found.get("warnings")
    with_labels = "labels" in found and "label_colors" in found
    return SceneNodes(
        ct=ct_node,
        boxes=boxes,
        warnings=warnings,
        labels=found["labels"] if with_labels else None,
        label_colors=found["label_colors"] if with_labels else None,
        folder=find_folder(scene, ct_node),
        notes=tuple(warnings.GetText().splitlines()) if warnings else (),
        **{role: found[role] for role in roles},
    )
