"""The module ``qt``: PySide6 with the attribute access of PythonQt.

PySide6's own classes are changed in place, once per process, so that ``type(x) == qt.QLabel`` and ``isinstance`` hold
also for widgets that Qt creates, as from a .ui file: every Qt property is an attribute (``label.text = "x"``;
``label.text()`` raises TypeError, as in Slicer), ``connect("clicked(bool)", f)`` takes C++ signatures, ``name`` is
``objectName``, and an attribute that does not exist cannot be set on a widget.

Remaining differences from PythonQt:

* Qt 6 instead of Qt 5: signals such as ``currentIndexChanged(QString)`` do not exist here.
* ``connect`` and ``disconnect`` with an unknown signal raise ValueError; PythonQt prints a line and returns False.
* A connection does not keep the object of a bound method alive (PythonQt's does): keep receivers in a variable.
* Dynamic properties are not found as attributes, and children only on the widget that came from a .ui file.
* Lists come back as list, not as tuple; flags are ``enum.IntFlag``, not ``int`` subclasses of Qt's own.
* Static functions of QFileDialog return the path alone, as in PythonQt; those of other classes are PySide6's.
* ``super().sizeHint()`` fails, use ``qt.QWidget.sizeHint(self)``.
* Only QObjects refuse unknown attributes; QTableWidgetItem and other classes do not.
"""
# ruff: noqa: N802, N803

from __future__ import annotations

import os
import sys
import tempfile
import types
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if "PySide6.QtCore" not in sys.modules:
    sys.pyside6_option_python_enum = 0x02  # enumerations are integers, as in PythonQt

from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402

from .dialogs import patch_qt  # noqa: E402

_pyside_connect = QtCore.QObject.connect
_pyside_disconnect = QtCore.QObject.disconnect


class QtProperty:
    """A Qt property as an attribute; seen from the class it is PySide6's method of that name."""

    def __init__(self, name: str, method: Any, writable: bool) -> None:
        self.name, self._method, self._writable = name, method, writable

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self if self._method is None else self._method
        return QtCore.QObject.property(instance, self.name) if self._method is None else self._method(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if not self._writable:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} object is not writable")
        if not QtCore.QObject.setProperty(instance, self.name, value):
            raise AttributeError(f"Property '{self.name}' does not accept an object of type {type(value).__name__}")


def _add_properties(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        entry = meta.property(index)
        name, method = entry.name(), cls.__dict__.get(entry.name())
        if isinstance(method, QtProperty) or (name == "singleShot" and issubclass(cls, QtCore.QTimer)):
            continue  # PythonQt leaves singleShot to the static function, too
        if method is not None or index >= meta.propertyOffset():
            setattr(cls, name, QtProperty(name, method, entry.isWritable()))


def _strict_setattr(self: Any, name: str, value: Any) -> None:
    """Set properties only: a misspelled one is an error on a C++ object."""
    cls = type(self)
    found = next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)
    child = isinstance(value, QtCore.QObject) and value.objectName == name
    if child or isinstance(value, QtCore.SignalInstance):  # set by PySide6: children from a .ui file, and signals
        self.__dict__[name] = value
    elif isinstance(found, QtCore.Property):
        if not QtCore.QObject.setProperty(self, name, value):
            raise AttributeError(f"Property '{name}' does not accept an object of type {type(value).__name__}")
    elif hasattr(type(found), "__set__"):
        found.__set__(self, value)
    elif cls.__module__.startswith("PySide6.") or (getattr(cls, "standsForNative", False) and name[0] != "_"):
        problem = "does not exist" if found is None else "can not be overwritten"
        raise AttributeError(f"Attribute '{name}' {problem} on {cls.__name__} object")
    else:
        self.__dict__[name] = value


def _signal(sender: QtCore.QObject, signature: str) -> Any:
    """The signal in PySide6's notation; a VTK pointer is a Python object here."""
    wanted = QtCore.QMetaObject.normalizedSignature(signature.lstrip("0123456789"))
    wanted = wanted.data().decode() if hasattr(wanted, "data") else str(wanted)
    meta = sender.metaObject()
    for name in (wanted, wanted.replace("vtkMRMLNode*", "PyObject").replace("vtkMRMLScene*", "PyObject")):
        if meta.indexOfSignal(name) >= 0:
            return QtCore.SIGNAL(name)
    raise ValueError(f"signal '{signature}' does not exist on {meta.className()}")


def _connect(sender: QtCore.QObject, signal: str, receiver: Any, slot: str | None = None) -> bool:
    """``sender.connect("clicked(bool)", f)``, also with a receiver and the signature of its slot."""
    if slot is not None:
        receiver = getattr(receiver, slot.split("(")[0])
    return bool(_pyside_connect(sender, _signal(sender, signal), receiver))


def _disconnect(sender: QtCore.QObject, signal: str, receiver: Any) -> bool:
    return bool(_pyside_disconnect(sender, _signal(sender, signal), receiver))


def _with_connect(original: Any) -> Any:
    """PySide6 resolves these two names itself, not through the class."""

    def getattribute(self: Any, name: str) -> Any:
        if name == "connect":
            return types.MethodType(_connect, self)
        if name == "disconnect":
            return types.MethodType(_disconnect, self)
        return original(self, name)

    return getattribute


def _patch_object() -> None:
    base = QtCore.QObject
    base.connect, base.disconnect = _connect, _disconnect
    base.name = QtProperty("objectName", None, True)


def make_qt() -> types.ModuleType:
    """The module, created once together with the application, whose settings are in a temporary folder."""
    if "qt" in _made:
        return _made["qt"]
    qt = _made["qt"] = types.ModuleType("qt", __doc__)
    for part in (QtCore, QtGui, QtWidgets):
        for name in dir(part):
            if not name.startswith("_"):
                setattr(qt, name, getattr(part, name))
    classes = {value for value in vars(qt).values() if isinstance(value, type) and issubclass(value, QtCore.QObject)}
    lookups = {cls: cls.__getattribute__ for cls in classes}  # some classes, such as QFile, have one of their own
    for cls in classes:
        _add_properties(cls)
        cls.__setattr__, cls.__getattribute__ = _strict_setattr, _with_connect(lookups[cls])
    _patch_object()
    _made["application"] = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
    qt.QCoreApplication.setOrganizationName("NA-MIC")
    qt.QCoreApplication.setApplicationName("Slicer")
    _made["folder"] = tempfile.TemporaryDirectory()
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    for file_format in (qt.QSettings.IniFormat, qt.QSettings.NativeFormat):
        for scope in (qt.QSettings.UserScope, qt.QSettings.SystemScope):
            qt.QSettings.setPath(file_format, scope, _made["folder"].name)
    patch_qt(qt)
    from .uiloader import UiLoader  # it needs the changed classes

    qt.QUiLoader = UiLoader
    return qt


_made: dict[str, Any] = {}
