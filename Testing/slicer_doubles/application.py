"""``slicer.app``, ``slicer.modules`` and a scene as in Slicer with its main window open."""
# ruff: noqa: N802, N803, N815

from __future__ import annotations

import tempfile
import types
from typing import Any

import qt
import slicer
import vtk
from helpers_scene import HeadlessSlicer

from .dialogs import dialogs

ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}  # of Slicer's layouts
_MORE_LOGICS = ("SegmentationsModule", "SubjectHierarchyModule", "TerminologiesModule", "Units")


class ApplicationScene(HeadlessSlicer):
    """The headless application with three slice views and the module logics that a panel may use."""

    def __init__(self) -> None:
        super().__init__()
        for name in _MORE_LOGICS:
            logic = getattr(slicer, f"vtkSlicer{name}Logic")()
            if hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(self._home.name)
            logic.SetMRMLApplicationLogic(self.logic)
            vtk.vtkObject.GlobalWarningDisplayOff()  # slicer-core lacks the terminologies that this logic loads
            logic.SetMRMLScene(self.scene)
            vtk.vtkObject.GlobalWarningDisplayOn()
            self.logic.SetModuleLogic(name.removesuffix("Module"), logic)
            self._modules.append(logic)
        if self.scene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode") is None:
            self.scene.AddNode(slicer.vtkMRMLInteractionNode())
        # ReadFromMRB unpacks into the cache folder of the application's data manager
        self._cache_folder = tempfile.TemporaryDirectory(prefix="slicer-cache-")
        cache, self._data_manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        cache.SetMRMLScene(self.scene)
        cache.SetRemoteCacheDirectory(self._cache_folder.name)
        self._data_manager.SetCacheManager(cache)
        self.scene.SetCacheManager(cache)
        self.scene.SetDataIOManager(self._data_manager)
        self.slice_logics = [self._slice_view(name) for name in ORIENTATIONS]

    def _slice_view(self, name: str) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.logic)
        self.logic.GetSliceLogics().AddItem(logic)
        logic.SetMRMLScene(self.scene)
        logic.AddSliceNode(name).SetOrientation(ORIENTATIONS[name])
        logic.ResizeSliceNode(256, 256)
        return logic

    def close(self) -> None:
        self.scene.Clear(True)
        self._cache_folder.cleanup()
        for logic in self.slice_logics:
            logic.SetMRMLScene(None)
        self.logic.GetSliceLogics().RemoveAllItems()
        super().close()


class LayoutManager:
    """Slice views only."""

    def __init__(self, scene: ApplicationScene) -> None:
        self._logics = scene.logic.GetSliceLogics()

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def resetSliceViews(self) -> None:
        for index in range(self._logics.GetNumberOfItems()):
            self._logics.GetItemAsObject(index).FitSliceToAll()


class ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = qt.Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)


class Application(qt.QObject):
    """``slicer.app``. Everything that the panel does not use is an AttributeError."""

    startupCompleted = qt.Signal()

    def __init__(self, layout: bool) -> None:
        super().__init__()
        self._scene, self._manager = ApplicationScene(), ModuleManager()
        self._layout = LayoutManager(self._scene) if layout else None

    def applicationScene(self) -> ApplicationScene:
        return self._scene

    def layoutManager(self) -> Any:
        return self._layout

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def testingEnabled(self) -> bool:
        return False

    def processEvents(self, *flags: Any) -> None:
        qt.QApplication.processEvents(*flags)

    def topLevelWidgets(self) -> list[Any]:
        return qt.QApplication.topLevelWidgets()

    def setOverrideCursor(self, cursor: Any) -> None:
        qt.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()


def start(layout: bool) -> Application:
    """A new application becomes ``slicer.app``."""
    dialogs.clear()
    application = slicer.app = Application(layout)
    slicer.mrmlScene = application.applicationScene().scene
    slicer.modules = types.SimpleNamespace()
    slicer.selfTests = {}
    return application


def stop(application: Application) -> None:
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        application.applicationScene().close()
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()
    slicer.mrmlScene = None
