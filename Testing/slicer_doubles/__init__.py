"""Slicer's Python side without Slicer, for tests of a module's panel.

Real: the MRML classes and module logics of slicer-core, and ``slicer.util``. Stand-ins: ``qt`` (PySide6 made to read
like PythonQt, whose remaining differences ``pythonqt.py`` lists), ``ctk``, Slicer's widgets, ``slicer.app`` and what
scripted modules import. Usage::

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
    """Put the stand-ins where ``import`` finds them; before anything imports ``qt``. A second call does nothing."""
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
    for name, function in {**util_functions(slicer), "pip_install": missing_packages.pip_install}.items():
        setattr(slicer.util, name, function)
    from . import parameter_node, scripted_module

    modules = {"slicer.parameterNodeWrapper": parameter_node.make_module()}
    _state["modules"] = {**modules, **scripted_module.make_modules(), **missing_packages.make_modules()}
    for name in _state["modules"]:
        _show_module(name)
    sys.excepthook = dialogs.hook


def uninstall() -> None:
    """Leave ``slicer`` as slicer-core brings it; PySide6's classes stay changed."""
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


def _show_module(name: str, there: bool = True) -> None:
    """Make a module importable, or an ImportError."""
    import slicer

    sys.modules[name] = _state["modules"][name] if there else None
    if name.startswith("slicer."):
        short = name.removeprefix("slicer.")
        if there:
            setattr(slicer, short, _state["modules"][name])
        elif hasattr(slicer, short):
            delattr(slicer, short)


def new_application(
    layout: bool = True,
    testing: bool = False,
    main_window: bool = True,
    packaging: bool = True,
    pytorch_extension: bool = True,
) -> Any:
    """A fresh ``slicer.app`` with a fresh scene and empty settings; whatever was before is closed.

    Args:
        layout: whether ``layoutManager()`` is there.
        testing: Slicer's testing mode, in which its dialogs answer themselves.
        packaging: whether there is ``slicer.packaging`` (not in 5.10).
        pytorch_extension: whether ``PyTorchUtils`` can be imported.
    """
    install()
    _end()
    from . import application

    _show_module("slicer.packaging", packaging)
    _show_module("PyTorchUtils", pytorch_extension)
    _state["application"] = application.start(layout, testing, main_window)
    _state["application"].settings().clear()
    _state["loaded"] = []
    return _state["application"]


def end_application() -> None:
    """Close modules and scene as Slicer does on exit, then ``dialogs.check()``."""
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
    """A scripted module in the application: ``widget`` is the Python class, ``container`` Slicer's widget around it."""

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
        """Instantiate the widget and run its ``setup``, as when the module is first opened."""
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
    """Import a scripted module's file and make its module class; with ``widget`` its panel too, not yet entered."""
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
    setattr(slicer.modules, f"{path.stem}Instance", instance)
    loaded = LoadedModule(path.stem, module, parent, instance)
    _state["loaded"].append(loaded)
    if widget:
        loaded.make_widget()
    return loaded


def process_events(seconds: float = 0.0) -> None:
    """Let Qt work for a while; deleteLater is carried out as well."""
    import qt

    until = time.monotonic() + seconds
    while True:
        qt.QApplication.processEvents()
        qt.QCoreApplication.sendPostedEvents(None, int(qt.QEvent.DeferredDelete))
        if time.monotonic() >= until:
            return
        time.sleep(0.002)


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """``process_events`` until ``condition()`` holds; AssertionError where it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"did not happen within {seconds} s"
        process_events(0.005)


def close_scene() -> None:
    """File > Close Scene: everything goes but singletons."""
    import slicer

    slicer.mrmlScene.Clear(False)
    process_events()


def grab(widget: Any, path: str | Path, width: int = 480) -> Path:
    """Save a picture of a panel (or of ``LoadedModule.container``) at its natural height."""
    widget.show()
    widget.resize(width, widget.sizeHint.height() if hasattr(widget.sizeHint, "height") else widget.sizeHint().height())
    process_events(0.05)
    assert widget.grab().save(str(path)), f"could not write {path}"
    return Path(path)


__all__ = [
    "LoadedModule",
    "UnexpectedDialogError",
    "close_scene",
    "dialogs",
    "end_application",
    "grab",
    "install",
    "load_module",
    "new_application",
    "packages",
    "process_events",
    "uninstall",
    "wait_for",
]
