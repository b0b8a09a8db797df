"""How a widget shows and changes a member of a parameter node: which widget fits which type is Slicer's table."""
# ruff: noqa: N802, N803

from __future__ import annotations

import enum
import pathlib
import typing
from typing import Any

import ctk
import qt
import slicer

from .validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, findFirstAnnotation, split

PUBLIC = ["GuiConnector", "createGuiConnector"]


class GuiConnector:
    """Widget and type are compared exactly, as in Slicer: a subclass of QLabel fits nothing."""

    widgets: tuple[type, ...] = ()
    types: tuple[type, ...] = ()
    signal: str | None = ""
    attribute = ""

    def __init__(self, widget: Any, datatype: Any) -> None:
        self._widget, self._callback = widget, None
        self._type, self._annotations = split(datatype)
        self.prepare()

    @classmethod
    def canRepresent(cls, widget: Any, datatype: Any) -> bool:
        return type(widget) in cls.widgets and split(datatype)[0] in cls.types

    def prepare(self) -> None:
        """Limits and choices go into the widget."""

    def find(self, kind: type) -> Any:
        return findFirstAnnotation(self._annotations, kind)

    def onChanged(self, callback: Any) -> None:
        self._callback = callback
        if self.signal:
            signal = getattr(self._widget, self.signal)
            signal.disconnect(self.changed) if callback is None else signal.connect(self.changed)

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return getattr(self._widget, self.attribute)

    def write(self, value: Any) -> None:
        setattr(self._widget, self.attribute, value)


class _CheckBox(GuiConnector):
    widgets, types, signal, attribute = (qt.QCheckBox,), (bool,), "stateChanged", "checked"


class _PushButton(GuiConnector):
    widgets, types, signal, attribute = (qt.QPushButton,), (bool,), "toggled", "checked"

    def prepare(self) -> None:
        self._widget.checkable = True


class _Integer(GuiConnector):
    widgets, types, signal, attribute = (qt.QSlider, qt.QSpinBox), (int,), "valueChanged", "value"

    def limits(self, lowest: float, highest: float, slider: bool) -> tuple[Any, Any]:
        both, low, high = self.find(WithinRange), self.find(Minimum), self.find(Maximum)
        if slider and not both and not (low and high):
            raise RuntimeError(
                f"Cannot have a connection to {type(self._widget).__name__} where the type is unbounded."
            )
        if both:
            return both.minimum, both.maximum
        return low.minimum if low else lowest, high.maximum if high else highest

    def prepare(self) -> None:
        step = self.find(SingleStep)
        if step:
            self._widget.singleStep = step.value
        self._widget.setRange(*self.limits(-(2**31), 2**31 - 1, isinstance(self._widget, qt.QSlider)))


class _Number(_Integer):
    widgets = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSpinBox)
    types = (float, int)

    def prepare(self) -> None:
        decimals, step = self.find(Decimals), self.find(SingleStep)
        if self._type is int:
            self._widget.decimals = 0
        elif decimals:
            self._widget.decimals = decimals.value
        if step:
            self._widget.singleStep = step.value
        slider = type(self._widget) is ctk.ctkSliderWidget
        self._widget.minimum, self._widget.maximum = self.limits(float("-inf"), float("inf"), slider)

    def read(self) -> Any:
        return int(self._widget.value) if self._type is int else self._widget.value

    def write(self, value: Any) -> None:
        self._widget.value = int(value) if self._type is int else value


class _ComboBox(GuiConnector):
    widgets, types = (qt.QComboBox, ctk.ctkComboBox), (int, float, str, bool)
    signal, attribute = "currentIndexChanged", "currentIndex"

    def prepare(self) -> None:
        choice = self.find(Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        self.fill([(str(one), one) for one in choice.choices])

    def fill(self, entries: list[tuple[str, Any]]) -> None:
        self._choices = [value for _, value in entries]
        self._widget.clear()
        for text, _ in entries:
            self._widget.addItem(text)

    def read(self) -> Any:
        return self._choices[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        if value not in self._choices:
            raise ValueError(f"Unable to find value {value} in choices {self._choices}")
        self._widget.currentIndex = self._choices.index(value)


class _EnumComboBox(_ComboBox):
    @classmethod
    def canRepresent(cls, widget: Any, datatype: Any) -> bool:
        plain = split(datatype)[0]
        return type(widget) in cls.widgets and isinstance(plain, type) and issubclass(plain, enum.Enum)

    def prepare(self) -> None:
        label = getattr(self._type, "label", lambda one: one.name)
        self.fill([(label(one), one) for one in self._type])


class _LineEdit(GuiConnector):
    widgets, types, signal, attribute = (qt.QLineEdit,), (str,), "textChanged", "text"

    def write(self, value: str) -> None:
        if value != self._widget.text:  # the cursor stays where it is
            self._widget.text = value


class _Label(GuiConnector):
    widgets, types, signal, attribute = (qt.QLabel,), (str,), None, "text"


class _TextEdit(GuiConnector):
    widgets, types, signal, attribute = (qt.QTextEdit,), (str,), "textChanged", "plainText"


class _Path(GuiConnector):
    widgets, signal, attribute = (ctk.ctkPathLineEdit,), "currentPathChanged", "currentPath"
    types = (
        pathlib.Path, pathlib.PosixPath, pathlib.WindowsPath,
        pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
    )  # fmt: skip

    def read(self) -> Any:
        return self._type(self._widget.currentPath)

    def write(self, value: Any) -> None:
        self._widget.currentPath = str(value)


class _NodeComboBox(GuiConnector):
    widgets, signal = (slicer.qMRMLNodeComboBox,), "currentNodeChanged"

    @staticmethod
    def _members(datatype: Any) -> list[Any]:
        plain = split(datatype)[0]
        return [split(one)[0] for one in typing.get_args(plain)] or [plain]

    @classmethod
    def canRepresent(cls, widget: Any, datatype: Any) -> bool:
        members = [one for one in cls._members(datatype) if one is not type(None)]
        nodes = [isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode) for one in members]
        return type(widget) in cls.widgets and all(nodes)

    def prepare(self) -> None:
        kinds = [one for one in self._members(self._type) if one is not type(None)]
        self._widget.nodeTypes = [kind().GetClassName() for kind in kinds]

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


_CONNECTORS = (
    _CheckBox, _PushButton, _Integer, _Number, _ComboBox, _EnumComboBox,
    _LineEdit, _Label, _TextEdit, _Path, _NodeComboBox,
)  # fmt: skip


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    for kind in _CONNECTORS:
        if kind.canRepresent(widget, datatype):
            return kind(widget, datatype)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'.")
