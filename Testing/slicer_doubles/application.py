"""``slicer.app``, ``slicer.modules`` and a scene as Slicer has it when its main window is open."""
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
SLICE_VIEWS = tuple(ORIENTATIONS)
_MORE_LOGICS = ("SegmentationsModule", "SubjectHierarchyModule", "TerminologiesModule", "Units")


class FurnishedScene(HeadlessSlicer):
    """The headless application with three slice views and the module logics that a panel may use."""

    def __init__(self) -> None:
        super().__init__()
        self.module_logics = {
            name: self.logic.GetModuleLogic(name) for name in ("Volumes", "Markups", "Colors", "Tables")
        }
        for name in _MORE_LOGICS:
            logic = getattr(slicer, f"vtkSlicer{name}Logic")()
            if hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(self._home.name)
            logic.SetMRMLApplicationLogic(self.logic)
            vtk.vtkObject.GlobalWarningDisplayOff()  # slicer-core brings no terminologies, which is an error to it
            logic.SetMRMLScene(self.scene)
            vtk.vtkObject.GlobalWarningDisplayOn()
            self.logic.SetModuleLogic(name.removesuffix("Module"), logic)
            self._modules.append(logic)
            self.module_logics[name.removesuffix("Module")] = logic
        if self.scene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode") is None:
            interaction = slicer.vtkMRMLInteractionNode()
            self.scene.AddNode(interaction)
        self._let_it_read_bundles()
        self.slice_logics = {name: self._slice_view(name) for name in SLICE_VIEWS}

    def _let_it_read_bundles(self) -> None:
        """``ReadFromMRB`` unpacks into the cache folder that the application's manager of remote data names."""
        self._cache_folder = tempfile.TemporaryDirectory(prefix="slicer-cache-")
        cache, self._data_manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        cache.SetMRMLScene(self.scene)
        cache.SetRemoteCacheDirectory(self._cache_folder.name)
        self._data_manager.SetCacheManager(cache)
        self.scene.SetCacheManager(cache)
        self.scene.SetDataIOManager(self._data_manager)

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
        for logic in self.slice_logics.values():
            logic.SetMRMLScene(None)
        self.logic.GetSliceLogics().RemoveAllItems()
        super().close()


class SliceWidget:
    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()


class LayoutManager:
    """Slice views only; the layout is a number that is kept."""

    def __init__(self, scene: FurnishedScene) -> None:
        self._widgets = {name: SliceWidget(logic) for name, logic in scene.slice_logics.items()}
        self._logics = scene.logic.GetSliceLogics()
        self.layout, self.threeDViewCount, self.plotViewCount, self.tableViewCount = 3, 0, 0, 0

    def sliceViewNames(self) -> tuple[str, ...]:
        return SLICE_VIEWS

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._widgets.get(name)

    def setLayout(self, layout: int) -> None:
        self.layout = layout

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.sliceLogic().FitSliceToAll()


class ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = qt.Signal(str)
    moduleLoaded = qt.Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> list[str]:
        return [one.name for one in vars(slicer.modules).values() if hasattr(one, "name")]

    modulesNames = loadedModuleNames


class Application(qt.QObject):
    """``slicer.app``, as it is with a main window whose layout a test may take away."""

    startupCompleted = qt.Signal()
    lastWindowClosed = qt.Signal()
    aboutToQuit = qt.Signal()
    mrmlSceneChanged = qt.Signal(object)

    applicationName, applicationVersion, revision = "Slicer", "5.13.0", "31053"
    majorVersion, minorVersion = 5, 13
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self, layout: bool, testing: bool, main_window: bool) -> None:
        super().__init__()
        self.furnished, self._testing = FurnishedScene(), testing
        self._layout = LayoutManager(self.furnished) if layout else None
        self._manager, self._folder = ModuleManager(), self.furnished._home.name
        self._options = types.SimpleNamespace(
            noMainWindow=not main_window, testingEnabled=testing, noSplash=True, pythonScript="", runPythonAndExit=False
        )

    @property
    def temporaryPath(self) -> str:
        return self._folder

    slicerHome = temporaryPath

    def mrmlScene(self) -> Any:
        return self.furnished.scene

    def applicationLogic(self) -> Any:
        return self.furnished.logic

    def layoutManager(self) -> Any:
        return self._layout

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def commandOptions(self) -> Any:
        return self._options

    def testingEnabled(self) -> bool:
        return self._testing

    def settings(self) -> Any:
        return qt.QSettings()

    userSettings = revisionUserSettings = settings

    def processEvents(self, *flags: Any) -> None:
        qt.QApplication.processEvents(*flags)

    def topLevelWidgets(self) -> list[Any]:
        return qt.QApplication.topLevelWidgets()

    def setOverrideCursor(self, cursor: Any) -> None:
        qt.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()

    def palette(self) -> Any:
        return qt.QApplication.palette()

    def clipboard(self) -> Any:
        return qt.QApplication.clipboard()

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def translate(self, context: str, text: str) -> str:
        return text

    def pauseRender(self) -> None:
        """There is nothing that renders."""

    resumeRender = pauseRender


class LogicModule:
    """``slicer.modules.markups`` and others, of which the doubles have the logic only."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name, self._logic = name, logic

    def logic(self) -> Any:
        return self._logic


def start(layout: bool, testing: bool, main_window: bool) -> Application:
    """A new application becomes ``slicer.app``."""
    dialogs.clear()
    application = slicer.app = Application(layout, testing, main_window)
    slicer.mrmlScene = application.furnished.scene
    slicer.modules = types.SimpleNamespace()
    slicer.selfTests = {}
    for name, logic in application.furnished.module_logics.items():
        setattr(slicer.modules, name.lower(), LogicModule(name, logic))
    return application


def stop(application: Application) -> None:
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        application.furnished.close()
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()
    slicer.mrmlScene = None
