"""The two tables of the panel: lesions (sort, filter, click) and clusters (rename, recolor)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

_NUMBER_DIGITS = 2


class LesionTable:
    """Fills a ``QTableWidget`` with a row for each lesion.

    Args:
        widget: the table.
        onLesionClicked: called with the id of a lesion whose row the user chose by mouse or keyboard.
    """

    _CLUSTER = 2  # column

    def __init__(self, widget: Any, onLesionClicked: Callable[[int], None]) -> None:
        self._widget, self._onLesionClicked = widget, onLesionClicked
        self._filling = False
        self._clusterOf: dict[int, int] = {}
        self._scoreOf: dict[int, float] = {}
        headings = [_("Lesion"), _("Type"), _("Cluster"), _("Score"), _("ml"), _("HU"), _("Slices"), _("Activation")]
        widget.setColumnCount(len(headings))
        widget.setHorizontalHeaderLabels(headings)
        _narrow(widget)
        widget.horizontalHeader().stretchLastSection = True
        widget.itemSelectionChanged.connect(self._selected)
        widget.cellClicked.connect(self._clicked)

    def fill(self, lesions: Sequence[Any], clusters: Collection[Any]) -> None:
        """Show these ``Lesion`` of these ``SceneCluster``; the order the user sorted them in stays."""
        self._clusterOf = {lesion.id: lesion.cluster for lesion in lesions}
        self._scoreOf = {lesion.id: lesion.score for lesion in lesions}
        table = self._widget
        self._filling = True
        table.sortingEnabled = False  # rows would move while they are filled
        table.setRowCount(len(lesions))
        for row, lesion in enumerate(lesions):
            hu = None if lesion.mean_hu is None else round(lesion.mean_hu)
            values = [lesion.id, lesion.type or "", lesion.cluster, lesion.score, lesion.volume_ml, hu]
            for column, value in enumerate([*values, _span(lesion), lesion.activation]):
                table.setItem(row, column, _item(value, lesion.id))
            self._colorCluster(table.item(row, self._CLUSTER), clusters)
        table.sortingEnabled = True
        table.resizeColumnsToContents()
        self._filling = False

    @staticmethod
    def _colorCluster(item: Any, clusters: Collection[Any]) -> None:
        """The number of a cluster in its color; its name as the tool tip."""
        for one in clusters:
            if one.number == item.data(qt.Qt.DisplayRole):
                item.setBackground(_brush(one.color))
                item.setForeground(qt.QBrush(qt.QColor("#000000")))
                item.setToolTip(one.name)

    def filter(self, cluster: int | None, minimumScore: float) -> set[int]:
        """Hide the rows of other clusters and lower scores; returns the ids of the lesions that are left."""
        wanted = {
            number
            for number, score in self._scoreOf.items()
            if score >= minimumScore and cluster in (None, self._clusterOf[number])
        }
        for row in range(self._widget.rowCount):
            self._widget.setRowHidden(row, self._idAt(row) not in wanted)
        return wanted

    def select(self, lesionId: int) -> None:
        """Select the row of a lesion as if the user had."""
        for row in range(self._widget.rowCount):
            if self._idAt(row) == lesionId:
                self._widget.selectRow(row)
                return

    def _idAt(self, row: int) -> int:
        return int(self._widget.item(row, 0).data(qt.Qt.UserRole))

    def _selected(self) -> None:
        if not self._filling and self._widget.currentRow() >= 0 and self._widget.selectionModel().hasSelection:
            self._onLesionClicked(self._idAt(self._widget.currentRow()))

    def _clicked(self, row: int, column: int) -> None:
        self._onLesionClicked(self._idAt(row))  # again, where the row was selected before


class ClusterTable:
    """Fills a ``QTableWidget`` with color, name and number of lesions of each cluster.

    Args:
        onRenamed: called with (number, name) after the user typed another name.
        onColorClicked: called with the number of the cluster whose color was clicked.
    """

    _COLOR, _NAME, _COUNT = range(3)

    def __init__(
        self, widget: Any, onRenamed: Callable[[int, str], None], onColorClicked: Callable[[int], None]
    ) -> None:
        self._widget, self._onRenamed, self._onColorClicked = widget, onRenamed, onColorClicked
        self._filling = False
        self._names: dict[int, str] = {}
        widget.setColumnCount(3)
        widget.setHorizontalHeaderLabels([_("Color"), _("Name"), _("Lesions")])
        _narrow(widget)
        widget.horizontalHeader().setSectionResizeMode(self._NAME, qt.QHeaderView.Stretch)
        widget.cellChanged.connect(self._changed)
        widget.cellClicked.connect(self._clicked)

    def fill(self, clusters: Collection[Any]) -> None:
        """Show these ``SceneCluster``."""
        table = self._widget
        self._filling = True
        self._names = {one.number: one.name for one in clusters}
        table.setRowCount(len(clusters))
        for row, one in enumerate(clusters):
            color = _item("", one.number)
            color.setBackground(_brush(one.color))
            color.setToolTip(_("Click to choose another color"))
            name = _item(one.name, one.number)
            name.setFlags(name.flags() | qt.Qt.ItemIsEditable)
            for column, item in ((self._COLOR, color), (self._NAME, name), (self._COUNT, _item(
                    one.lesion_count, one.number))):  # fmt: skip
                table.setItem(row, column, item)
        self._filling = False

    def _numberAt(self, row: int) -> int:
        return int(self._widget.item(row, 0).data(qt.Qt.UserRole))

    def _changed(self, row: int, column: int) -> None:
        if self._filling or column != self._NAME:
            return
        number, name = self._numberAt(row), self._widget.item(row, column).text().strip()
        if name != self._names[number]:
            self._onRenamed(number, name)

    def _clicked(self, row: int, column: int) -> None:
        if column == self._COLOR:
            self._onColorClicked(self._numberAt(row))


def _brush(color: tuple[float, float, float]) -> Any:
    return qt.QBrush(qt.QColor.fromRgbF(*color))


def _narrow(table: Any) -> None:
    """Rows without numbers, no higher than their text."""
    table.verticalHeader().visible = False
    table.verticalHeader().defaultSectionSize = 22


def _item(value: Any, key: int) -> Any:
    """A read-only cell that sorts by value: numbers as numbers; None is empty and comes first."""
    item = qt.QTableWidgetItem()
    if value is not None:
        item.setData(qt.Qt.DisplayRole, round(value, _NUMBER_DIGITS) if isinstance(value, float) else value)
    item.setData(qt.Qt.UserRole, key)
    item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
    return item


def _span(lesion: Any) -> str:
    if lesion.first_slice == lesion.last_slice:
        return str(lesion.first_slice)
    return f"{lesion.first_slice}-{lesion.last_slice}"
