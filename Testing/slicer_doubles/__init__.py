"""Test doubles of Slicer's Python API, for tests of a module's panel outside of Slicer.

Real: the MRML classes and module logics of slicer-core, and ``slicer.util``. Doubles: ``qt`` (PySide6 with the
attribute access of PythonQt; ``pythonqt.py`` lists the remaining differences), ``ctk``, Slicer's widgets,
``slicer.app`` and what scripted modules import. Each has only what LesionAnalysis uses; the rest fails. Usage::

    import slicer_doubles as doubles

    @pytest.fixture
    def loaded():
        doubles.new_application()
        yield doubles.load_module("LesionAnalysis/LesionAnalysis.py", widget=True)
        doubles.end_application()          # fails on dialogs and exceptions that the test did not expect

    def test_declining_changes_nothing(loaded):
        doubles.packages.hide("torch")
        doubles.dialogs.expect("confirmOkCancel", False, text="PyTorch")
        loaded.widget.ui.analyzeButton.click()
        doubles.process_events(0.1)
"""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import missing_packages
from .dialogs import UnexpectedDialogError, dialogs, util_functions
from .missing_packages import packages

_state: dict[str, Any] = {}


def install() -> None:
    """Make the doubles importable, before anything imports ``qt``. A second call does nothing."""
    if "saved" in _state:
        return
    import slicer

    from . import pythonqt

    _state["saved"] = (dict(vars(slicer)), dict(vars(slicer.util)), sys.excepthook)
    sys.modules["qt"] = pythonqt.make_qt()
    from . import ctk_widgets

    sys.modules["ctk"] = ctk_widgets
    from . import mrml_widgets

    for name in ("qMRMLWidget", "qMRMLNodeComboBox"):
        setattr(slicer, name, getattr(mrml_widgets, name))
    slicer.qSlicerScriptedLoadableModule = mrml_widgets.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = mrml_widgets.qSlicerScriptedLoadableModuleWidget
    for name, function in {**util_functions(), "pip_install": missing_packages.pip_install}.items():
        setattr(slicer.util, name, function)
    from . import parameter_node, scripted_module

    modules = {"slicer.parameterNodeWrapper": parameter_node.make_module()}
    _state["modules"] = {**modules, **scripted_module.make_modules(), **missing_packages.make_modules()}
    for name in _state["modules"]:
        _set_importable(name)
    sys.excepthook = dialogs.hook


def uninstall() -> None:
    """Restore ``slicer`` of slicer-core; PySide6's classes remain changed."""
    if "saved" not in _state:
        return
    _end()
    import slicer

    before, util, sys.excepthook = _state.pop("saved")
    for module, names in ((slicer, before), (slicer.util, util)):
        for name in set(vars(module)) - set(names):
            delattr(module, name)
        vars(module).update(names)
    for name in ("qt", "ctk", *_state.pop("modules")):
        sys.modules.pop(name, None)


def _set_importable(name: str, importable: bool = True) -> None:
    """Make a module importable, or its import an ImportError."""
    import slicer

    sys.modules[name] = _state["modules"][name] if importable else None
    if name.startswith("slicer."):
        short = name.removeprefix("slicer.")
        if importable:
            setattr(slicer, short, _state["modules"][name])
        elif hasattr(slicer, short):
            delattr(slicer, short)


def new_application(layout: bool = True, packaging: bool = True, pytorch_extension: bool = True) -> Any:
    """A new ``slicer.app`` with an empty scene and empty settings; the previous one is closed.

    Args:
        layout: whether there is a layout manager (not in Slicer's generic module tests).
        packaging: whether there is ``slicer.packaging`` (not in 5.10).
        pytorch_extension: whether ``PyTorchUtils`` can be imported.
    """
    install()
    _end()
    from . import application

    _set_importable("slicer.packaging", packaging)
    _set_importable("PyTorchUtils", pytorch_extension)
    _state["application"] = application.start(layout)
    sys.modules["qt"].QSettings().clear()
    _state["loaded"] = []
    return _state["application"]


def end_application() -> None:
    """Close modules and scene as Slicer does on exit, then call ``dialogs.check()``."""
    _end()
    dialogs.check()


def _end() -> None:
    running = _state.pop("application", None)
    if running is None:
        return
    from . import application

    for loaded in reversed(_state.pop("loaded")):
        running.moduleManager().moduleAboutToBeUnloaded.emit(loaded.name)
        loaded.close()
    process_events()
    application.stop(running)
    packages.reset()


@dataclass
class LoadedModule:
    """A scripted module in the application: ``widget`` is the Python object, ``container`` Slicer's widget."""

    name: str
    module: Any
    parent: Any
    instance: Any
    container: Any = None
    widget: Any = None

    def enter(self) -> None:
        self.container.enter()

    def exit(self) -> None:
        self.container.exit()

    def make_widget(self) -> Any:
        """Create the widget and run its ``setup``, as when the module is first opened."""
        import slicer

        self.container = self.parent.widget = slicer.qSlicerScriptedLoadableModuleWidget(self.name)
        self.container.reload()
        self.widget = self.container.self()
        return self.widget

    def close(self) -> None:
        import shiboken6

        if self.container is not None and shiboken6.isValid(self.container):
            self.container.hide()
            shiboken6.delete(self.container)
        self.container = self.widget = self.parent.widget = None
        sys.modules.pop(self.name, None)


def load_module(path: str | Path, widget: bool = False) -> LoadedModule:
    """Import a scripted module and create its module object and, with ``widget``, its panel, not yet entered."""
    import slicer

    path = Path(path).resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent = slicer.qSlicerScriptedLoadableModule(path.stem, str(path))
    setattr(slicer.modules, path.stem.lower(), parent)
    instance = getattr(module, path.stem)(parent)
    loaded = LoadedModule(path.stem, module, parent, instance)
    _state["loaded"].append(loaded)
    if widget:
        loaded.make_widget()
    return loaded


def process_events(seconds: float = 0.0) -> None:
    """Run the event loop for a while, including deferred deletions."""
    import qt

    until = time.monotonic() + seconds
    while True:
        qt.QApplication.processEvents()
        qt.QCoreApplication.sendPostedEvents(None, int(qt.QEvent.DeferredDelete))
        if time.monotonic() >= until:
            return
        time.sleep(0.002)


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Run the event loop until ``condition()`` is true; AssertionError after ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"did not happen within {seconds} s"
        process_events(0.005)


def close_scene() -> None:
    """File > Close Scene: removes all nodes but singletons."""
    import slicer

    slicer.mrmlScene.Clear(False)
    process_events()


__all__ = [
    "LoadedModule",
    "UnexpectedDialogError",
    "close_scene",
    "dialogs",
    "end_application",
    "install",
    "load_module",
    "new_application",
    "packages",
    "process_events",
    "uninstall",
    "wait_for",
]
