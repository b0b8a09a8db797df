"""The modules ``slicer.ScriptedLoadableModule``, ``slicer.i18n`` and ``SampleData``."""
# ruff: noqa: N801, N802, N803

from __future__ import annotations

import importlib
import logging
import types
import unittest
from pathlib import Path
from typing import Any

import qt
import slicer


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent, self.moduleName = parent, type(self).__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "default help", "default acknowledgement"
        parent.categories, parent.dependencies, parent.contributors = [], [], ["default contributors"]
        for ending in (".svg", ".png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}{ending}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        module = importlib.import_module(self.__module__)
        name = self.moduleName + "Test"
        assert hasattr(module, name), f"Test case class not found: {self.__module__}.{name} "
        case = getattr(module, name)()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """Without the section for developers, and only with a parent."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent, self.layout = parent, parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """For the module to extend."""

    def cleanup(self) -> None:
        """For the module to extend."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    def __init__(self) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        logging.info(message)
        slicer.app.processEvents()


class SampleDataSource:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)
        if isinstance(self.uris, str):
            self.uris, self.fileNames = [self.uris], [self.fileNames]
        if len(self.uris) != len(self.fileNames):  # TypeError for None, as in Slicer
            raise ValueError("All fields of sample data source must have the same length")


class SampleDataLogic:
    """Registers only; the sources are in ``slicer.modules.sampleDataSources``, as in Slicer."""

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        """Nothing is shown here."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        source = SampleDataSource(**{name: value for name, value in locals().items() if name != "category"})
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        known = slicer.modules.sampleDataSources.setdefault(category, [])
        if not any(vars(one) == vars(source) for one in known):
            known.append(source)


def make_modules() -> dict[str, types.ModuleType]:
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    bases = (
        ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest
    )  # fmt: skip
    scripted.__all__ = [base.__name__ for base in bases]
    for base in bases:
        setattr(scripted, base.__name__, base)

    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = _text
    i18n.translate = lambda context, text: _text(text)

    samples = types.ModuleType("SampleData")
    samples.SampleDataLogic = SampleDataLogic
    return {"slicer.ScriptedLoadableModule": scripted, "slicer.i18n": i18n, "SampleData": samples}


def _text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"only a str can be translated, not {text!r}")
    return text
