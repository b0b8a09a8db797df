"""Reads .ui files as Slicer does: with the doubles of its widgets, and with the connections of the scene."""

from __future__ import annotations

import sys
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtWidgets
from PySide6.QtUiTools import QUiLoader


class UiLoader(QUiLoader):
    """``qt.QUiLoader``. A widget class that is neither Qt's nor a double is an error, not a plain QWidget."""

    def load(self, device: QtCore.QIODevice, parent: Any = None) -> Any:
        if not device.isOpen():
            device.open(QtCore.QIODevice.ReadOnly)
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        for element in root.iter("widget"):
            self._register(element.get("class"))
        for custom in root.findall("customwidgets"):
            root.remove(custom)  # their classes are registered already
        connections = self._take_connections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, *([parent] if parent is not None else []))
        for sender, signal, receiver, slot in connections:
            _child(widget, sender).connect(signal, _child(widget, receiver), slot)
        return widget

    def _register(self, name: str) -> None:
        if hasattr(QtWidgets, name):
            return
        double = getattr(sys.modules["ctk"], name, None) or getattr(sys.modules["slicer"], name, None)
        if double is None:
            raise RuntimeError(f"there is no double of the widget class {name}")
        self.registerCustomWidget(double)

    @staticmethod
    def _take_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
        """Remove all connections from the tree, since some are between methods that exist in Python only."""
        parts = ("sender", "signal", "receiver", "slot")
        found = [tuple(one.findtext(part) for part in parts) for one in root.findall("connections/connection")]
        for element in root.findall("connections"):
            root.remove(element)
        return found


def _child(widget: Any, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"a connection of the .ui file names {name}, which is not there")
    return found
