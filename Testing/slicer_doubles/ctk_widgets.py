"""The module ``ctk``: the few of its widgets that panels use, with CTK's property and signal names."""
# ruff: noqa: N801, N802, N803, N815

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import (
    QAbstractButton,
    QColorDialog,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)


def stored(name: str, kind: Any, default: Any) -> tuple[Property, Any]:
    """A property that is only kept, and its setter."""

    def write(self: Any, value: Any) -> None:
        self.__dict__.setdefault("_stored", {})[name] = value

    return Property(kind, lambda self: self.__dict__.get("_stored", {}).get(name, default), write), write


def forwarded(part: str, name: str, kind: Any) -> tuple[Property, Any]:
    """A property that is the same one of an inner widget, and its setter."""

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, part), name, value)

    return Property(kind, lambda self: getattr(getattr(self, part), name), write), write


class ctkCollapsibleButton(QAbstractButton):
    """A header to click on above its contents. Collapsed contents are cut off, not hidden as in CTK."""

    standsForNative = True
    contentsCollapsed = Signal(bool)
    flat, setFlat = stored("flat", bool, False)
    contentsFrameShape, setContentsFrameShape = stored("contentsFrameShape", int, 0)
    contentsFrameShadow, setContentsFrameShadow = stored("contentsFrameShadow", int, 0)
    contentsLineWidth, setContentsLineWidth = stored("contentsLineWidth", int, 1)

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
    """A slider and a spin box with one value, rounded to ``decimals``."""

    standsForNative = True
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    value, setValue = forwarded("_box", "value", float)
    minimum, setMinimum = forwarded("_box", "minimum", float)
    maximum, setMaximum = forwarded("_box", "maximum", float)
    singleStep, setSingleStep = forwarded("_box", "singleStep", float)
    decimals, setDecimals = forwarded("_box", "decimals", int)
    prefix, setPrefix = forwarded("_box", "prefix", str)
    suffix, setSuffix = forwarded("_box", "suffix", str)
    spinBoxVisible, setSpinBoxVisible = forwarded("_box", "visible", bool)
    tracking, setTracking = stored("tracking", bool, True)
    pageStep, setPageStep = stored("pageStep", float, 10.0)
    tickInterval, setTickInterval = stored("tickInterval", float, 0.0)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QSlider(Qt.Horizontal, self), QDoubleSpinBox(self)
        self._slider.setRange(0, 1000)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.maximum = 99.0
        self._box.valueChanged.connect(self._on_value)
        self._slider.sliderMoved.connect(self._on_slider)

    def _on_value(self, value: float) -> None:
        span = self.maximum - self.minimum
        self._slider.value = round(1000 * (value - self.minimum) / span) if span > 0 else 0
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _on_slider(self, place: int) -> None:
        self.setValue(self.minimum + (self.maximum - self.minimum) * place / 1000)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)

    def slider(self) -> QSlider:
        return self._slider

    def spinBox(self) -> QDoubleSpinBox:
        return self._box


class ctkDoubleSpinBox(QWidget):
    """A spin box, which is no QDoubleSpinBox in CTK either."""

    standsForNative = True
    valueChanged = Signal(float)
    editingFinished = Signal()
    value, setValue = forwarded("_box", "value", float)
    minimum, setMinimum = forwarded("_box", "minimum", float)
    maximum, setMaximum = forwarded("_box", "maximum", float)
    singleStep, setSingleStep = forwarded("_box", "singleStep", float)
    decimals, setDecimals = forwarded("_box", "decimals", int)
    prefix, setPrefix = forwarded("_box", "prefix", str)
    suffix, setSuffix = forwarded("_box", "suffix", str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QDoubleSpinBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self.valueChanged)
        self._box.editingFinished.connect(self.editingFinished)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)


class ctkPathLineEdit(QWidget):
    """A line for a path and a button that asks for one (dialog kinds ``directory`` and ``openFile``)."""

    standsForNative = True
    Dirs, Files, Drives, NoSymLinks = 0x1, 0x2, 0x4, 0x8
    Readable, Writable, Executable, Hidden, System, AllDirs = 0x10, 0x20, 0x40, 0x100, 0x200, 0x400
    NoDot, NoDotDot, NoDotAndDotDot, AllEntries = 0x2000, 0x4000, 0x6000, 0x7
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    filters, setFilters = stored("filters", int, 0x2 | 0x400 | 0x10 | 0x6000)
    nameFilters, setNameFilters = stored("nameFilters", "QStringList", [])
    settingKey, setSettingKey = stored("settingKey", str, "")
    label, setLabel = stored("label", str, "")
    showHistoryButton, setShowHistoryButton = stored("showHistoryButton", bool, True)
    showBrowseButton, setShowBrowseButton = forwarded("_button", "visible", bool)
    currentPath, setCurrentPath = forwarded("_line", "text", str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line, self._button = QLineEdit(self), QToolButton(self)
        self._button.text = "..."
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line)
        row.addWidget(self._button)
        self._line.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def browse(self) -> None:
        ask = QFileDialog.getOpenFileName if self.filters & self.Files else QFileDialog.getExistingDirectory
        path = ask(self, "Select a file to open", self.currentPath)
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        """There is no history here."""


class ctkColorPickerButton(QPushButton):
    """A button that shows and asks for a color (dialog kind ``color``)."""

    standsForNative = True
    colorChanged = Signal(QColor)
    displayColorName, setDisplayColorName = stored("displayColorName", bool, True)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = QColor(Qt.black)
        self._show()
        self.clicked.connect(self.changeColor)

    def _show(self) -> None:
        swatch = QPixmap(16, 16)
        swatch.fill(self._color)
        self.icon = QIcon(swatch)
        self.text = self._color.name() if self.displayColorName else ""

    def setColor(self, color: QColor) -> None:
        if color != self._color:
            self._color = QColor(color)
            self._show()
            self.colorChanged.emit(self._color)

    color = Property(QColor, lambda self: self._color, setColor)

    def changeColor(self) -> None:
        color = QColorDialog.getColor(self)
        if color.isValid():
            self.setColor(color)


class ctkComboBox(QComboBox):
    """A combo box with a text of its own while nothing is chosen."""

    standsForNative = True
    defaultText, setDefaultText = stored("defaultText", str, "")
    elideMode, setElideMode = stored("elideMode", int, 3)

    def currentUserDataAsString(self) -> str:
        return str(self.currentData)


class ctkMessageBox(QMessageBox):
    """``exec_`` goes to the test as dialog kind ``dialog``."""

    standsForNative = True
    dontShowAgainVisible, setDontShowAgainVisible = stored("dontShowAgainVisible", bool, False)
    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored("dontShowAgainSettingsKey", str, "")
