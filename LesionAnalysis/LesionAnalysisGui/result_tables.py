"""The two tables of the panel: lesions (sort, filter, click) and clusters (rename, recolor)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _


class LesionTable:
    """Fills a ``QTableWidget`` with one row per lesion.

    Args:
        widget: the table.
        onLesionClicked: called with the id of a lesion whose row the user selected by mouse or keyboard.
    """

    _CLUSTER = 2  # column

    def __init__(self, widget: Any, onLesionClicked: Callable[[int], None]) -> None:
        self._widget, self._onLesionClicked = widget, onLesionClicked
        self._filling = False
        self._lesions: Sequence[Any] = ()
        headings = [_("ID"), _("Type"), _("Cluster"), _("Activation"), _("ml"), _("HU"), _("Slices")]
        widget.setColumnCount(len(headings))
        widget.setHorizontalHeaderLabels(headings)
        _makeCompact(widget)
        widget.horizontalHeader().stretchLastSection = True
        widget.itemSelectionChanged.connect(self._onSelectionChanged)
        widget.cellClicked.connect(self._onCellClicked)

    def fill(self, lesions: Sequence[Any], clusters: Collection[Any]) -> None:
        """Show these ``Lesion`` of these ``SceneCluster``, sorted as the user sorted the table before."""
        self._lesions = lesions
        table, byNumber = self._widget, {cluster.number: cluster for cluster in clusters}
        self._filling = True
        table.sortingEnabled = False  # rows would move while they are filled
        table.setRowCount(len(lesions))
        for row, lesion in enumerate(lesions):
            hu = None if lesion.mean_hu is None else round(lesion.mean_hu)
            one = lesion.first_slice == lesion.last_slice
            slices = str(lesion.first_slice) if one else f"{lesion.first_slice}-{lesion.last_slice}"
            values = (lesion.id, lesion.type or "", lesion.cluster, lesion.activation, lesion.volume_ml, hu, slices)
            for column, value in enumerate(values):
                table.setItem(row, column, _item(value, lesion.id))
            cluster, item = byNumber.get(lesion.cluster), table.item(row, self._CLUSTER)
            if cluster is not None:
                item.setBackground(_brush(cluster.color))
                item.setForeground(qt.QBrush(qt.QColor("#000000")))
                item.setToolTip(cluster.name)
        table.sortingEnabled = True
        table.resizeColumnsToContents()
        self._filling = False

    def filter(self, cluster: int | None, minimumActivation: float) -> set[int]:
        """Hide the rows of other clusters and of lower activation; returns the ids of the remaining lesions."""
        remaining = {
            lesion.id
            for lesion in self._lesions
            if lesion.activation >= minimumActivation and cluster in (None, lesion.cluster)
        }
        for row in range(self._widget.rowCount):
            self._widget.setRowHidden(row, _keyAt(self._widget, row) not in remaining)
        return remaining

    def _onSelectionChanged(self) -> None:
        if not self._filling and self._widget.currentRow() >= 0 and self._widget.selectionModel().hasSelection:
            self._onLesionClicked(_keyAt(self._widget, self._widget.currentRow()))

    def _onCellClicked(self, row: int, column: int) -> None:
        self._onLesionClicked(_keyAt(self._widget, row))  # also if the row is selected already


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
        _makeCompact(widget)
        widget.horizontalHeader().setSectionResizeMode(self._NAME, qt.QHeaderView.Stretch)
        widget.cellChanged.connect(self._onCellChanged)
        widget.cellClicked.connect(self._onCellClicked)

    def fill(self, clusters: Collection[Any]) -> None:
        """Show these ``SceneCluster``."""
        self._filling = True
        self._names = {cluster.number: cluster.name for cluster in clusters}
        self._widget.setRowCount(len(clusters))
        for row, cluster in enumerate(clusters):
            items = [_item(value, cluster.number) for value in ("", cluster.name, cluster.lesion_count)]
            items[self._COLOR].setBackground(_brush(cluster.color))
            items[self._COLOR].setToolTip(_("Click to choose another color"))
            items[self._NAME].setFlags(items[self._NAME].flags() | qt.Qt.ItemIsEditable)
            for column, item in enumerate(items):
                self._widget.setItem(row, column, item)
        self._filling = False

    def _onCellChanged(self, row: int, column: int) -> None:
        if self._filling or column != self._NAME:
            return
        number, name = _keyAt(self._widget, row), self._widget.item(row, column).text().strip()
        if name != self._names[number]:
            self._onRenamed(number, name)

    def _onCellClicked(self, row: int, column: int) -> None:
        if column == self._COLOR:
            self._onColorClicked(_keyAt(self._widget, row))


def _brush(color: tuple[float, float, float]) -> Any:
    return qt.QBrush(qt.QColor.fromRgbF(*color))


def _makeCompact(table: Any) -> None:
    """No row numbers, and rows no higher than their text."""
    table.verticalHeader().visible = False
    table.verticalHeader().defaultSectionSize = 22


def _item(value: Any, key: int) -> Any:
    """A read-only cell that sorts by value: numbers as numbers; None is empty and comes first."""
    item = qt.QTableWidgetItem()
    if value is not None:
        item.setData(qt.Qt.DisplayRole, round(value, 2) if isinstance(value, float) else value)
    item.setData(qt.Qt.UserRole, key)
    item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
    return item


def _keyAt(table: Any, row: int) -> int:
    """The id of the lesion, or the number of the cluster, in a row."""
    return int(table.item(row, 0).data(qt.Qt.UserRole))
