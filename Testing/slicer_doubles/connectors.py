"""How a widget shows and changes a member of a parameter node; which widget fits which type is Slicer's choice."""
# ruff: noqa: N802, N803

from __future__ import annotations

import typing
from typing import Any

import ctk
import qt
import slicer

from .validators import Choice, WithinRange, split


class GuiConnector:
    """Widget and type are compared exactly, as in Slicer: a subclass of QLineEdit fits nothing."""

    widgets: tuple[type, ...] = ()
    types: tuple[type, ...] = ()
    signal = ""
    attribute = ""

    def __init__(self, widget: Any, datatype: Any) -> None:
        self._widget, self._callback = widget, None
        self._type, self._annotations = split(datatype)
        self.prepare()

    @classmethod
    def canRepresent(cls, widget: Any, datatype: Any) -> bool:
        return type(widget) in cls.widgets and split(datatype)[0] in cls.types

    def prepare(self) -> None:
        """Set limits and choices of the widget."""

    def find(self, annotation: type) -> Any:
        return next((one for one in self._annotations if isinstance(one, annotation)), None)

    def onChanged(self, callback: Any) -> None:
        self._callback = callback
        signal = getattr(self._widget, self.signal)
        signal.disconnect(self.changed) if callback is None else signal.connect(self.changed)

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def read(self) -> Any:
        return getattr(self._widget, self.attribute)

    def write(self, value: Any) -> None:
        setattr(self._widget, self.attribute, value)


class _CheckBox(GuiConnector):
    widgets, types, signal, attribute = (qt.QCheckBox,), (bool,), "stateChanged", "checked"


class _Number(GuiConnector):
    widgets, types = (qt.QDoubleSpinBox, ctk.ctkSliderWidget), (float,)
    signal, attribute = "valueChanged", "value"

    def prepare(self) -> None:
        limits = self.find(WithinRange)
        if limits is None and isinstance(self._widget, ctk.ctkSliderWidget):
            raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
        infinite = float("inf")
        self._widget.minimum = limits.minimum if limits else -infinite
        self._widget.maximum = limits.maximum if limits else infinite


class _ComboBox(GuiConnector):
    widgets, types, signal = (qt.QComboBox,), (float, str, bool), "currentIndexChanged"

    def prepare(self) -> None:
        choice = self.find(Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        self._choices = choice.choices
        self._widget.clear()
        for value in self._choices:
            self._widget.addItem(str(value))

    def read(self) -> Any:
        return self._choices[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        if value not in self._choices:
            raise ValueError(f"Unable to find value {value} in choices {self._choices}")
        self._widget.currentIndex = self._choices.index(value)


class _LineEdit(GuiConnector):
    widgets, types, signal, attribute = (qt.QLineEdit,), (str,), "textChanged", "text"


class _NodeComboBox(GuiConnector):
    widgets, signal = (slicer.qMRMLNodeComboBox,), "currentNodeChanged"

    @staticmethod
    def _node_types(datatype: Any) -> list[Any]:
        plain = split(datatype)[0]
        members = [split(member)[0] for member in typing.get_args(plain)] or [plain]
        return [member for member in members if member is not type(None)]

    @classmethod
    def canRepresent(cls, widget: Any, datatype: Any) -> bool:
        members = cls._node_types(datatype)
        nodes = [isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode) for member in members]
        return type(widget) in cls.widgets and all(nodes)

    def prepare(self) -> None:
        self._widget.nodeTypes = [member().GetClassName() for member in self._node_types(self._type)]

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    for connector in (_CheckBox, _Number, _ComboBox, _LineEdit, _NodeComboBox):
        if connector.canRepresent(widget, datatype):
            return connector(widget, datatype)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'.")
