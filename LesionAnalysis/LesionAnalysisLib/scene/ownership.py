"""Which nodes are results: how they are marked, found, replaced and removed.

A result has the attribute ``LesionAnalysis.Role`` and a node reference to its CT. It also refers to itself: MRML
updates references when a scene is saved, loaded and merged, but a copy that the user makes of a result (to edit it, for
instance) still refers to the original. So no later run touches the user's copy.

Results are excluded from Slicer's undo, which would otherwise remove half of an analysis.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from .mrml import all_nodes, vtk

ROLE = "LesionAnalysis.Role"
CT_REFERENCE = "LesionAnalysis.CT"
SELF_REFERENCE = "LesionAnalysis.Self"
_KEY = "LesionAnalysis.Key"  # the same on the folder and on its nodes, wherever the user moves them
_FOLDER = "folder"

# Plugins of Slicer's data tree, which claim their items in Slicer; without its windows they must be named.
_PLUGINS = {
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLVectorVolumeNode": "Volumes",
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLMarkupsROINode": "Markups",
    "vtkMRMLMarkupsFiducialNode": "Markups",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
    "vtkMRMLTextNode": "Texts",
}


def role_of(node: Any) -> str | None:
    """Role of a result; None for every other node, and for the user's copy of a result."""
    if node.GetNodeReferenceID(SELF_REFERENCE) != node.GetID():
        return None
    return node.GetAttribute(ROLE)


def mark(node: Any, role: str) -> None:
    """Mark ``node`` as a result, for ``role_of``."""
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID(SELF_REFERENCE, node.GetID())
    node.SetUndoEnabled(False)


def own_nodes(scene: Any, ct: Any) -> list[Any]:
    """All results of ``ct``, in the scene's order; none if the scene does not hold ``ct`` (any more)."""
    if not scene.IsNodePresent(ct):
        return []
    return [
        node
        for node in all_nodes(scene)
        if node.GetNodeReferenceID(CT_REFERENCE) == ct.GetID() and role_of(node) is not None
    ]


class ResultNodeFactory:
    """Makes or reuses the result nodes of one CT; those of an earlier run that are not reused are removed at the end.

    A result that exists once per CT keeps its node, so that whatever shows it (slice views, a chart view, a selector
    of another module) still shows it after a second run.
    """

    def __init__(self, scene: Any, ct: Any):
        self.scene, self.ct = scene, ct
        self._old = own_nodes(scene, ct)
        self.made: list[Any] = []
        self._key = next((node.GetAttribute(_KEY) for node in self._old), None) or uuid.uuid4().hex

    def node(self, class_name: str, role: str, title: str) -> Any:
        """The single result with this role, ``<CT> <title>``: the node of an earlier run, or a new one."""
        name = f"{self.ct.GetName()} {title}"
        for old in self._old:
            if old.IsA(class_name) and role_of(old) == role:
                self._old.remove(old)
                old.SetName(name)
                return self._placed(old)
        return self.new_node(class_name, role, name)

    def new_node(self, class_name: str, role: str, name: str) -> Any:
        """A new result."""
        node = self.scene.AddNewNodeByClass(class_name, name)
        mark(node, role)
        node.SetNodeReferenceID(CT_REFERENCE, self.ct.GetID())
        node.SetAttribute(_KEY, self._key)
        return self._placed(node)

    def _placed(self, node: Any) -> Any:
        """The node with the parent transform of the CT, and, if it is a volume, with its geometry."""
        self.made.append(node)
        if node.IsA("vtkMRMLTransformableNode"):
            node.SetAndObserveTransformNodeID(self.ct.GetTransformNodeID())
        if node.IsA("vtkMRMLVolumeNode"):
            node.CopyOrientation(self.ct)
        return node

    def earlier(self, role: str) -> list[Any]:
        """The results with this role of an earlier run that have not been reused yet."""
        return [node for node in self._old if role_of(node) == role]

    def finish(self, replace: bool = True) -> None:
        """Remove outdated results and put the others into one folder.

        replace: False to add to the results of an earlier run, which are kept.
        """
        if replace:
            remove_nodes(self.scene, self._old)
        tree, name = self.scene.GetSubjectHierarchyNode(), f"{self.ct.GetName()} lesion analysis"
        folder = _folder_with_key(tree, {self._key})
        if not folder:  # under the CT's study, or beside the CT
            ct_item = tree.GetItemByDataNode(self.ct) or _add_item(tree, tree.GetSceneItemID(), self.ct)
            folder = tree.CreateFolderItem(tree.GetItemParent(ct_item), name)
            if not tree.GetItemOwnerPluginName(folder):
                tree.SetItemOwnerPluginName(folder, "Folder")
            tree.SetItemAttribute(folder, ROLE, _FOLDER)
            tree.SetItemAttribute(folder, _KEY, self._key)
        tree.SetItemName(folder, name)
        for node in self.made:
            if not node.IsA("vtkMRMLDisplayNode"):  # the legend, which has no item in the tree
                _add_item(tree, folder, node)


def find_folder(scene: Any, ct: Any) -> int:
    """Item of the data tree that holds the results of ``ct``; 0 if there is none."""
    keys = {node.GetAttribute(_KEY) for node in own_nodes(scene, ct)}
    return _folder_with_key(scene.GetSubjectHierarchyNode(), keys)


def remove_results(scene: Any, ct: Any) -> None:
    """Remove all results of ``ct``, and their folder unless the user put something into it."""
    folder = find_folder(scene, ct)
    remove_nodes(scene, own_nodes(scene, ct))
    tree = scene.GetSubjectHierarchyNode()
    if folder and not _children(tree, folder):
        tree.RemoveItem(folder, False, False)


def remove_nodes(scene: Any, nodes: Iterable[Any]) -> None:
    """Remove nodes together with the display and storage nodes that no other node uses."""
    nodes = [node for node in nodes if scene.IsNodePresent(node)]
    tree = scene.GetSubjectHierarchyNode()
    parts = []
    for node in nodes:
        parts += _parts(node)
        if node.IsA("vtkMRMLSegmentationNode"):
            drop_segments(node)
        item = tree.GetItemByDataNode(node)
        if item:
            tree.RemoveItem(item, False, False)
        scene.RemoveNode(node)
    if parts:
        used = {part.GetID() for node in all_nodes(scene) for part in _parts(node)}
        for part in parts:
            if scene.IsNodePresent(part) and part.GetID() not in used:
                scene.RemoveNode(part)


def drop_segments(node: Any) -> None:
    """Empty a segmentation at once: Slicer would first separate each segment from the image that they share.

    With a hundred segments in a thin-slice CT that takes half a minute.
    """
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(index).RemoveAllRepresentations()
    segmentation.RemoveAllSegments()


def _parts(node: Any) -> list[Any]:
    """Display and storage nodes of a node."""
    parts = []
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [part for part in parts if part is not None]


def _add_item(tree: Any, parent: int, node: Any) -> int:
    """Put a node under ``parent``, also if the tree already has it elsewhere."""
    item = tree.CreateItem(parent, node)
    if not tree.GetItemOwnerPluginName(item):
        tree.SetItemOwnerPluginName(item, _PLUGINS.get(node.GetClassName(), "Default"))
    return item


def _folder_with_key(tree: Any, keys: set[str | None]) -> int:
    for item in _children(tree, tree.GetSceneItemID(), recursive=True):
        if tree.GetItemAttribute(item, ROLE) == _FOLDER and tree.GetItemAttribute(item, _KEY) in keys:
            return item
    return 0


def _children(tree: Any, item: int, recursive: bool = False) -> list[int]:
    ids = vtk.vtkIdList()
    tree.GetItemChildren(item, ids, recursive)
    return [ids.GetId(index) for index in range(ids.GetNumberOfIds())]
