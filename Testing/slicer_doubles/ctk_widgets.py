"""The module ``ctk``: the widgets that the panel uses, with CTK's property and signal names."""
# ruff: noqa: N801, N802, N803, N815

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QHBoxLayout,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QWidget,
)


def forwarded(part: str, name: str, type: Any) -> tuple[Property, Any]:
    """A property of an inner widget as the widget's own, and its setter."""

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, part), name, value)

    return Property(type, lambda self: getattr(getattr(self, part), name), write), write


class ctkCollapsibleButton(QAbstractButton):
    """A header to click on above its contents. Collapsed contents are cut off, not hidden as in CTK."""

    standsForNative = True
    contentsCollapsed = Signal(bool)

    def __init__(self, text: str | QWidget = "", parent: QWidget | None = None) -> None:
        super().__init__(text if isinstance(text, QWidget) else parent)
        self._collapsed = False
        self._header = self.fontMetrics().height() + 8
        if isinstance(text, str):
            self.text = text
        self.checkable = self.checked = True
        self.setContentsMargins(0, self._header, 0, 0)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._collapsed = not checked
        self.setMaximumHeight(16777215 if checked else self._header)
        self.updateGeometry()
        self.contentsCollapsed.emit(self._collapsed)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def sizeHint(self) -> QSize:
        return self._size(QWidget.sizeHint(self))

    def minimumSizeHint(self) -> QSize:
        return self._size(QWidget.minimumSizeHint(self))

    def _size(self, contents: QSize) -> QSize:
        width = max(contents.width(), self.fontMetrics().horizontalAdvance(self.text) + 30)
        return QSize(width, self._header if self._collapsed else max(contents.height(), self._header))

    def hitButton(self, position: Any) -> bool:
        return position.y() < self._header

    def paintEvent(self, event: Any) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._header)
        option.text = ("\u25b8 " if self._collapsed else "\u25be ") + self.text
        painter = QPainter(self)
        self.style().drawControl(QStyle.CE_PushButton, option, painter, self)
        if not self._collapsed:
            painter.setPen(self.palette.mid().color())
            painter.drawRect(0, self._header, self.width - 1, self.height - self._header - 1)
        painter.end()


class ctkSliderWidget(QWidget):
    """A slider and a spin box with one value, rounded to ``decimals``; only the spin box is operated here."""

    standsForNative = True
    valueChanged = Signal(float)
    value, setValue = forwarded("_box", "value", float)
    minimum, setMinimum = forwarded("_box", "minimum", float)
    maximum, setMaximum = forwarded("_box", "maximum", float)
    singleStep, setSingleStep = forwarded("_box", "singleStep", float)
    decimals, setDecimals = forwarded("_box", "decimals", int)
    suffix, setSuffix = forwarded("_box", "suffix", str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QSlider(Qt.Horizontal, self), QDoubleSpinBox(self)
        self._slider.setRange(0, 1000)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._on_value)

    def _on_value(self, value: float) -> None:
        span = self.maximum - self.minimum
        self._slider.value = round(1000 * (value - self.minimum) / span) if span > 0 else 0
        self.valueChanged.emit(value)
