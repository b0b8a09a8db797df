"""Slicer's widgets around a scene: qMRMLWidget and qMRMLNodeComboBox, and the classes that hold a module."""
# ruff: noqa: N801, N802, N803, N815

from __future__ import annotations

from typing import Any

import shiboken6
import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from .ctk_widgets import stored


class qMRMLWidget(QWidget):
    """Hands its scene on to the widgets that the .ui file connects to ``mrmlSceneChanged``."""

    standsForNative = True
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QWidget):
    """Follows the nodes of a scene. Texts follow a node's name; HideFromEditors counts when a node is added."""

    standsForNative = True
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    showHidden, setShowHidden = stored("showHidden", bool, False)
    showChildNodeTypes, setShowChildNodeTypes = stored("showChildNodeTypes", bool, True)
    hideChildNodeTypes, setHideChildNodeTypes = stored("hideChildNodeTypes", "QStringList", [])
    addEnabled, setAddEnabled = stored("addEnabled", bool, True)
    removeEnabled, setRemoveEnabled = stored("removeEnabled", bool, True)
    editEnabled, setEditEnabled = stored("editEnabled", bool, False)
    renameEnabled, setRenameEnabled = stored("renameEnabled", bool, False)
    selectNodeUponCreation, setSelectNodeUponCreation = stored("selectNodeUponCreation", bool, True)
    noneDisplay, setNoneDisplay = stored("noneDisplay", str, "None")
    baseName, setBaseName = stored("baseName", str, "")
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored("interactionNodeSingletonTag", str, "")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene, self._tags, self._names = None, [], {}
        self._types: list[str] = []
        self._attributes: list[tuple[str, str, Any]] = []
        self._none, self._wanted, self._quiet = False, "", False
        self._filter = _Filter(self._refill)
        self._box = QComboBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._on_index)
        self._box.activated.connect(lambda _: self.nodeActivated.emit(self.currentNode()))
        self.enabled = False

    def comboBox(self) -> QComboBox:
        return self._box

    def sortFilterProxyModel(self) -> _Filter:
        return self._filter

    # --- the scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        wanted = self.currentNodeID or self._wanted
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            for event, act in ((scene.NodeAddedEvent, self._add), (scene.NodeRemovedEvent, self._remove)):
                self._tags.append((scene, scene.AddObserver(event, _observer(self, act))))
        self._refill(wanted)
        self.enabled = scene is not None

    def _refill(self, wanted: str | None = None) -> None:
        wanted = self.currentNodeID if wanted is None else wanted
        self._quiet = True
        for node, tag in self._names.values():
            node.RemoveObserver(tag)
        self._names = {}
        self._box.clear()
        if self._none:
            self._box.addItem(self.noneDisplay, "")
        if self._scene is not None:
            for index in range(self._scene.GetNumberOfNodes()):
                self._add(self._scene.GetNthNode(index))
        self._quiet = False
        before, index = self._box.currentIndex, self._box.findData(wanted) if wanted else -1
        if index >= 0 and index != before:
            self._box.currentIndex = index
        else:
            self._on_index()

    def _accepts(self, node: Any) -> bool:
        if self.showChildNodeTypes:
            good = any(node.IsA(kind) for kind in self._types)
        else:
            good = node.GetClassName() in self._types
        hidden = node.GetHideFromEditors() and not self.showHidden or node.GetID() in self._filter.hiddenNodeIDs
        if not good or hidden or any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        for kind, name, value in self._attributes:
            found = node.GetAttribute(name)
            if node.IsA(kind) and (found is None or (value is not None and found != str(value))):
                return False
        return True

    def _add(self, node: Any) -> None:
        if node is None or not self._accepts(node) or self._box.findData(node.GetID()) >= 0:
            return
        before = self._box.currentIndex
        extra = self.addEnabled or self.removeEnabled or self.editEnabled or self.renameEnabled
        self._box.blockSignals(True)  # Qt selects the first entry of an empty list; "Create new..." keeps it from that
        self._box.addItem(node.GetName() or "", node.GetID())
        if extra and before < 0:
            self._box.currentIndex = -1
        self._box.blockSignals(False)
        named = node.AddObserver(vtk.vtkCommand.ModifiedEvent, _observer(self, self._rename, node))
        self._names[node.GetID()] = (node, named)
        if self._box.currentIndex != before:
            self._on_index()
        if not self._quiet:
            self.nodeAdded.emit(node)

    def _remove(self, node: Any) -> None:
        index = self._box.findData(node.GetID()) if node is not None else -1
        if index < 0:
            return
        seen, tag = self._names.pop(node.GetID())
        seen.RemoveObserver(tag)
        current = self._box.currentIndex == index
        self._box.blockSignals(True)
        self._box.removeItem(index)
        self._box.blockSignals(False)
        if current:
            self._on_index()

    def _rename(self, node: Any) -> None:
        index = self._box.findData(node.GetID())
        if index >= 0 and self._box.itemText(index) != node.GetName():
            self._box.setItemText(index, node.GetName() or "")

    # --- the selection

    def _on_index(self, _: int = 0) -> None:
        if not self._quiet:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(self._id())

    def _id(self) -> str:
        return self._box.itemData(self._box.currentIndex) or "" if self._scene is not None else ""

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._id()) if self._id() else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() or "" if node is not None else "")

    def setCurrentNodeID(self, identity: str | None) -> None:
        if self._scene is None:
            self._wanted = identity or ""
            return
        index = self._box.findData(identity) if identity else -1
        self._box.currentIndex = index if index >= 0 else 0 if self._none else -1

    currentNodeID = Property(str, _id, setCurrentNodeID)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._box.currentIndex = (index if index < self.nodeCount() else -1) + self._none

    def nodeCount(self) -> int:
        return self._box.count - self._none if self._scene is not None else 0

    def nodeFromIndex(self, index: int) -> Any:
        identity = self._box.itemData(index + self._none)
        return self._scene.GetNodeByID(identity) if identity else None

    # --- what is listed

    def setNodeTypes(self, types: Any) -> None:
        self._types = [kind for kind in types if kind]
        self._refill()

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)

    def setNoneEnabled(self, enabled: bool) -> None:
        if enabled != self._none:
            self._none = bool(enabled)
            self._refill()

    noneEnabled = Property(bool, lambda self: self._none, setNoneEnabled)

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        self._attributes.append((kind, name, value))
        self._refill()

    def addNode(self, kind: str | None = None) -> Any:
        node = self._scene.AddNewNodeByClass(kind or self._types[0], self.baseName)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node


class _Filter:
    """The model that sorts and filters the nodes: here, only those that are hidden by their id."""

    def __init__(self, refill: Any) -> None:
        self._ids: list[str] = []
        self._refill = refill

    @property
    def hiddenNodeIDs(self) -> list[str]:
        return self._ids

    @hiddenNodeIDs.setter
    def hiddenNodeIDs(self, ids: list[str]) -> None:
        self._ids = list(ids)
        self._refill()


def _observer(widget: QWidget, act: Any, node: Any = None) -> Any:
    """A VTK observer that outlives the widget without harm."""

    def called(caller: Any, event: str, data: Any = None) -> None:
        if shiboken6.isValid(widget):
            act(node if node is not None else data)

    if node is None:
        called.CallDataType = vtk.VTK_OBJECT
    return called


class qSlicerScriptedLoadableModule:
    """The ``parent`` of a module: takes only the attributes that Slicer knows, and only in their types."""

    _kinds = {
        **dict.fromkeys(("name", "title", "path", "helpText", "acknowledgementText"), str),
        **dict.fromkeys(("categories", "dependencies", "contributors", "associatedNodeTypes"), (list, tuple)),
        **dict.fromkeys(("hidden", "widgetRepresentationCreationEnabled"), bool),
        "index": int,
        "icon": object,
    }

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path, self.title, self.hidden, self.index = name, path, "", False, -1
        self.categories, self.dependencies, self.contributors, self.widget = [], [], [], None

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._kinds.get(name)
        if kind is None and name != "widget":
            raise AttributeError(f"Attribute '{name}' does not exist on qSlicerScriptedLoadableModule object")
        if kind is not None and not isinstance(value, kind):
            raise AttributeError(f"Property '{name}' does not accept an object of type {type(value).__name__}")
        if isinstance(value, (list, tuple)) and not all(isinstance(part, str) for part in value):
            raise AttributeError(f"Property '{name}' takes a list of strings")
        super().__setattr__(name, value)

    def widgetRepresentation(self) -> Any:
        return self.widget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The place in the module panel: its ``enter`` and ``exit`` are what switching modules does."""

    def __init__(self, module_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._module_name, self._python, self._entered = module_name, None, False
        QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = Property(bool, lambda self: self._entered)

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        import sys

        made = getattr(sys.modules[self._module_name], self._module_name + "Widget")
        self._python = made(self)
        setattr(slicer.modules, self._module_name + "Widget", self._python)
        self._python.setup()

    def enter(self) -> None:
        self._entered = True
        getattr(self._python, "enter", lambda: None)()

    def exit(self) -> None:
        self._entered = False
        getattr(self._python, "exit", lambda: None)()
