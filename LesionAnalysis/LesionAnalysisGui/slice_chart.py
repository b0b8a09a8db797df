"""The slice chart of the panel: a bar for the probability of every slice; a click moves the views to the slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 8, 6, 16  # margins in pixels
_POSITIVE, _NEGATIVE, _NO_LUNG = "#d7263d", "#7aa6c2", "#c8c8c8"
_NO_LUNG_HEIGHT = 0.02


class SliceChart(qt.QWidget):
    """Bars along the slices in the order of the file; positive slices are red, slices with too little lung gray.

    Args:
        onSliceClicked: called with the index of the slice under the mouse.
    """

    def __init__(self, onSliceClicked: Callable[[int], None], parent: Any = None) -> None:
        super().__init__(*([parent] if parent is not None else []))
        self._onSliceClicked = onSliceClicked
        self._slices: Sequence[Any] = ()
        self._threshold = 0.5
        self._current: int | None = None
        self.minimumHeight = 100
        self.toolTip = _("Probability of every slice. Click a bar to move the slice views there.")

    def setSlices(self, slices: Sequence[Any], threshold: float) -> None:
        """Show these ``SliceDiagnosis``."""
        self._slices, self._threshold = slices, threshold
        self.update()

    def mark(self, index: int | None) -> None:
        """Mark the slice that the slice views show."""
        if index != self._current:
            self._current = index
            self.update()

    def sliceAt(self, x: float) -> int | None:
        """Index of the slice whose bar is at the widget's coordinate ``x``; None outside the bars."""
        count, inner = len(self._slices), self.width - _LEFT - _RIGHT
        if not count or inner <= 0 or not _LEFT <= x < self.width - _RIGHT:
            return None
        return self._slices[min(count - 1, int((x - _LEFT) * count / inner))].index

    def mousePressEvent(self, event: Any) -> None:
        self._click(event)

    def mouseMoveEvent(self, event: Any) -> None:
        self._click(event)

    def _click(self, event: Any) -> None:
        index = self.sliceAt(event.pos().x())
        if index is not None:
            self._onSliceClicked(index)

    def paintEvent(self, event: Any) -> None:
        painter = qt.QPainter()
        painter.begin(self)
        try:
            self._paint(painter)
        finally:
            painter.end()

    def _paint(self, painter: Any) -> None:
        width, height = self.width - _LEFT - _RIGHT, self.height - _TOP - _BOTTOM
        base = _TOP + height
        text = self.palette.color(qt.QPalette.WindowText)
        painter.setPen(text)
        for value in (0.0, 0.5, 1.0):
            y = int(base - value * height)
            painter.drawText(0, y + 4, f"{value:.1f}")
            painter.drawLine(_LEFT - 3, y, _LEFT - 1, y)
        painter.drawLine(_LEFT - 1, _TOP, _LEFT - 1, base)
        painter.drawLine(_LEFT - 1, base, _LEFT + width, base)
        count = len(self._slices)
        for place, diagnosis in enumerate(self._slices):
            x = _LEFT + place * width // count
            barWidth = max(1, _LEFT + (place + 1) * width // count - x - (1 if width > 3 * count else 0))
            noLung = diagnosis.probability is None
            color = _NO_LUNG if noLung else _POSITIVE if diagnosis.positive else _NEGATIVE
            barHeight = max(1, int((_NO_LUNG_HEIGHT if noLung else diagnosis.probability) * height))
            painter.fillRect(x, base - barHeight, barWidth, barHeight, qt.QColor(color))
            if diagnosis.index == self._current:
                painter.drawRect(x - 1, _TOP, barWidth + 1, height)
        y = int(base - self._threshold * height)
        painter.setPen(qt.QPen(text, 1, qt.Qt.DashLine))
        painter.drawLine(_LEFT, y, _LEFT + width, y)
        painter.setPen(text)
        if count:
            painter.drawText(_LEFT, self.height - 3, _("slice {index}").format(index=self._slices[0].index))
            last = str(self._slices[-1].index)
            painter.drawText(_LEFT + width - 7 * len(last), self.height - 3, last)
