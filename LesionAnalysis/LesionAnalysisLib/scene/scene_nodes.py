"""The MRML nodes of one analysis, and finding them in a scene."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .boxes import LESION, restore_description
from .ownership import find_folder, own_nodes, role_of


@dataclass(frozen=True)
class SceneNodes:
    """The MRML nodes of one analysis."""

    ct: Any  # vtkMRMLScalarVolumeNode: the user's, or one made from a file
    lam: Any  # vtkMRMLScalarVolumeNode, unsigned char, percent
    colors: Any  # vtkMRMLColorTableNode of the LAM
    legend: Any  # vtkMRMLColorLegendDisplayNode
    labels: Any  # vtkMRMLLabelMapVolumeNode: lesion ids
    label_colors: Any  # vtkMRMLColorTableNode of the label map
    boxes: dict[int, Any]  # lesion id -> vtkMRMLMarkupsROINode
    peaks: Any  # vtkMRMLMarkupsFiducialNode: one point per lesion, in the order of the lesions
    slices: Any  # vtkMRMLTableNode
    lesions: Any  # vtkMRMLTableNode
    chart: Any  # vtkMRMLPlotChartNode
    series: Any  # vtkMRMLPlotSeriesNode
    analysis: Any  # vtkMRMLTextNode with the content of analysis.json and the model's card
    warnings: Any = None  # vtkMRMLTextNode, or None
    folder: int = 0  # item of the subject hierarchy

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines of ``warnings``."""
        return tuple(self.warnings.GetText().splitlines()) if self.warnings else ()


def find_in_scene(ct_node: Any) -> SceneNodes | None:
    """The results of ``ct_node``, for instance after a scene was loaded; None if they are not complete."""
    scene = ct_node.GetScene()
    found, boxes = {}, {}
    for node in own_nodes(scene, ct_node):
        if role_of(node) != "box":
            found[role_of(node)] = node
        elif node.GetAttribute(LESION):
            boxes[int(node.GetAttribute(LESION))] = node
            restore_description(node)
    roles = {field.name for field in fields(SceneNodes)} - {"ct", "boxes", "warnings", "folder"}
    if not roles <= found.keys():
        return None
    return SceneNodes(
        ct=ct_node,
        boxes=boxes,
        warnings=found.get("warnings"),
        folder=find_folder(scene, ct_node),
        **{role: found[role] for role in roles},
    )
