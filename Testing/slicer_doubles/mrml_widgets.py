"""Slicer's widgets around a scene: qMRMLWidget and qMRMLNodeComboBox, and the classes that hold a module."""
# ruff: noqa: N801, N802, N803, N815

from __future__ import annotations

import sys
from typing import Any

import shiboken6
import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget


class qMRMLWidget(QWidget):
    """Passes its scene to the widgets that the .ui file connects to ``mrmlSceneChanged``."""

    standsForNative = True
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


def _stored(name: str, default: bool) -> Property:
    """A property that is only stored."""

    def write(self: Any, value: bool) -> None:
        self.__dict__[f"_{name}"] = value

    return Property(bool, lambda self: self.__dict__.get(f"_{name}", default), write)


class qMRMLNodeComboBox(QWidget):
    """Follows the nodes of a scene, except their names. HideFromEditors counts when a node is added."""

    standsForNative = True
    currentNodeChanged = Signal(object)
    showChildNodeTypes = _stored("showChildNodeTypes", True)
    addEnabled, removeEnabled = _stored("addEnabled", True), _stored("removeEnabled", True)
    renameEnabled = _stored("renameEnabled", False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene, self._tags = None, []
        self._types: list[str] = []
        self._none, self._wanted, self._quiet = False, "", False
        self._filter = _Filter(self._refill)
        self._box = QComboBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._on_index)
        self.enabled = False

    def sortFilterProxyModel(self) -> _Filter:
        return self._filter

    # --- the scene

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
        self._box.clear()
        if self._none:
            self._box.addItem("None", "")
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
        if node.GetHideFromEditors() or node.GetID() in self._filter.hiddenNodeIDs:
            return False
        if self.showChildNodeTypes:
            return any(node.IsA(class_name) for class_name in self._types)
        return node.GetClassName() in self._types

    def _add(self, node: Any) -> None:
        if node is None or not self._accepts(node) or self._box.findData(node.GetID()) >= 0:
            return
        before = self._box.currentIndex
        self._box.blockSignals(True)  # Qt selects the first entry of an empty list; entries such as "Rename" prevent it
        self._box.addItem(node.GetName() or "", node.GetID())
        if before < 0 and (self.addEnabled or self.removeEnabled or self.renameEnabled):
            self._box.currentIndex = -1
        self._box.blockSignals(False)
        if self._box.currentIndex != before:
            self._on_index()

    def _remove(self, node: Any) -> None:
        index = self._box.findData(node.GetID()) if node is not None else -1
        if index < 0:
            return
        current = self._box.currentIndex == index
        self._box.blockSignals(True)
        self._box.removeItem(index)
        self._box.blockSignals(False)
        if current:
            self._on_index()

    # --- the selection

    def _on_index(self, _: int = 0) -> None:
        if not self._quiet:
            self.currentNodeChanged.emit(self.currentNode())

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

    def nodeCount(self) -> int:
        return self._box.count - self._none if self._scene is not None else 0

    def nodeFromIndex(self, index: int) -> Any:
        identity = self._box.itemData(index + self._none)
        return self._scene.GetNodeByID(identity) if identity else None

    # --- what is listed

    def setNodeTypes(self, types: Any) -> None:
        self._types = [class_name for class_name in types if class_name]
        self._refill()

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)

    def setNoneEnabled(self, enabled: bool) -> None:
        if enabled != self._none:
            self._none = bool(enabled)
            self._refill()

    noneEnabled = Property(bool, lambda self: self._none, setNoneEnabled)


class _Filter:
    """The model that filters the nodes: here, only by their ids."""

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


def _observer(widget: QWidget, act: Any) -> Any:
    """A VTK observer that may outlive the widget."""

    def called(caller: Any, event: str, node: Any = None) -> None:
        if shiboken6.isValid(widget):
            act(node)

    called.CallDataType = vtk.VTK_OBJECT
    return called


class qSlicerScriptedLoadableModule:
    """The ``parent`` of a module: accepts only the attributes that Slicer knows, and only of their types."""

    _types = {
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
        accepted = self._types.get(name)
        if accepted is None and name != "widget":
            raise AttributeError(f"Attribute '{name}' does not exist on qSlicerScriptedLoadableModule object")
        if accepted is not None and not isinstance(value, accepted):
            raise AttributeError(f"Property '{name}' does not accept an object of type {type(value).__name__}")
        if isinstance(value, (list, tuple)) and not all(isinstance(part, str) for part in value):
            raise AttributeError(f"Property '{name}' takes a list of strings")
        super().__setattr__(name, value)

    def widgetRepresentation(self) -> Any:
        return self.widget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The widget in the module panel: switching modules calls its ``enter`` and ``exit``."""

    def __init__(self, module_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._module_name, self._python, self._entered = module_name, None, False
        QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = Property(bool, lambda self: self._entered)

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        self._python = getattr(sys.modules[self._module_name], self._module_name + "Widget")(self)
        setattr(slicer.modules, self._module_name + "Widget", self._python)
        self._python.setup()

    def enter(self) -> None:
        self._entered = True
        self._python.enter()

    def exit(self) -> None:
        self._entered = False
        self._python.exit()
