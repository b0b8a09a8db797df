"""The parts of the panel that show results: result card, chart, tables, display. All is read from the scene.

Results that were just computed, loaded with a scene or added by a script therefore look and behave the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from LesionAnalysisLib import scene
from LesionAnalysisLib.report.wording import threshold_of
from slicer.i18n import tr as _

from .display_controls import DisplayControls
from .exporting import Exporting
from .result_card import resultText
from .result_tables import ClusterTable, LesionTable
from .slice_chart import SliceChart


class ResultsView:
    """Shows the results of one CT, or nothing.

    Args:
        ui: has the widgets.
        logic: LesionAnalysisLogic.
        showStatus: shows a line in the panel.
    """

    def __init__(self, ui: Any, logic: Any, showStatus: Callable[[str], None]) -> None:
        self._ui, self._logic, self._showStatus = ui, logic, showStatus
        self._parameters: Any = None
        self._nodes: Any = None  # scene.SceneNodes of the CT
        self._record: Any = None  # the same as an Analysis without voxels
        self._clusters: tuple = ()  # scene.SceneCluster
        self._refreshPending = self._refreshForced = False
        self._display = DisplayControls()
        self._chart = SliceChart(self.onSliceClicked)
        ui.chartFrame.layout().addWidget(self._chart)
        self._lesionTable = LesionTable(ui.lesionTable, self.onLesionClicked)
        self._clusterTable = ClusterTable(ui.clusterTable, self.onClusterRenamed, self.onClusterColorClicked)
        self._exporting = Exporting(ui, logic, lambda: self._nodes.ct, showStatus)
        ui.showButton.clicked.connect(self.onShowButton)
        ui.modelCardButton.clicked.connect(self.onModelCardButton)
        ui.clusterFilter.currentIndexChanged.connect(self.onFilterChanged)
        self._fill()

    @property
    def shown(self) -> bool:
        """Whether results are shown."""
        return self._record is not None

    def setParameters(self, parameters: Any) -> None:
        """Show the results of this parameter node's CT with its settings; None: there is no node at the moment."""
        self._parameters = parameters
        if parameters is not None:
            self.refresh()

    def update(self) -> None:
        """A setting changed: show the results of another CT, or the same results differently."""
        if self._nodes is None or self._nodes.ct is not self._parameters.inputVolume:
            self.refresh()
        else:
            self._applyDisplay()

    def refreshLater(self, onlyIfChanged: bool = False) -> None:
        """Refresh once after all pending events, since a scene changes in many small steps.

        onlyIfChanged: not if the scene holds the same results as before, so that the tables keep their selection.
        """
        self._refreshForced = self._refreshForced or not onlyIfChanged
        if not self._refreshPending:
            self._refreshPending = True
            qt.QTimer.singleShot(0, self._refreshNow)

    def _refreshNow(self) -> None:
        forced, self._refreshForced, self._refreshPending = self._refreshForced, False, False
        if self._parameters is not None and (forced or not self._isUpToDate()):
            self.refresh()

    def _isUpToDate(self) -> bool:
        nodes = self._findNodes()
        if nodes is None or nodes != self._nodes:
            return nodes is self._nodes
        return scene.read_record(nodes) is self._record and scene.clusters_in_scene(nodes) == self._clusters

    def _findNodes(self) -> Any:
        volume = self._parameters.inputVolume
        return scene.find_in_scene(volume) if volume is not None else None

    def refresh(self) -> None:
        """Read the results of the chosen CT from the scene, if it has any."""
        self._nodes, self._record = self._findNodes(), None
        if self._nodes is not None:
            try:
                self._record = scene.read_record(self._nodes)
            except ValueError as error:  # the text was edited, or written by a newer version
                self._nodes = None
                self._showStatus(str(error))
        self._display.reset()
        self._fill()

    def clear(self) -> None:
        """Keep no reference to any node: the scene is about to close."""
        self._nodes = self._record = None
        self._fill()

    def markSlice(self, ras: tuple[float, float, float]) -> None:
        """Mark the slice at a position in the chart."""
        if self._nodes is not None:
            self._chart.mark(scene.slice_at(self._nodes, ras))

    # -- user actions -----------------------------------------------------------------------------

    def onLesionClicked(self, lesionId: int) -> None:
        """Move all slice views to a lesion and emphasize its box."""
        scene.jump_to_lesion(self._nodes, lesionId)
        scene.emphasize(self._nodes, lesionId)

    def onSliceClicked(self, index: int) -> None:
        """Move the slice views to a slice of the CT."""
        scene.jump_to_slice(self._nodes, index)
        self._chart.mark(index)

    def onClusterRenamed(self, number: int, name: str) -> None:
        """Give a cluster the name that the user typed."""
        with slicer.util.tryWithErrorDisplay(_("The cluster could not be renamed.")):
            try:
                scene.rename_cluster(self._nodes, number, name)
            finally:
                self.refreshLater()  # not now: the table is being edited

    def onClusterColorClicked(self, number: int) -> None:
        """Let the user choose another color for a cluster."""
        before = next(cluster.color for cluster in self._clusters if cluster.number == number)
        color = qt.QColorDialog.getColor(qt.QColor.fromRgbF(*before), slicer.util.mainWindow())
        if color.isValid():
            scene.recolor_cluster(self._nodes, number, (color.redF(), color.greenF(), color.blueF()))
            self.refreshLater()

    def onFilterChanged(self, index: int) -> None:
        """Show the lesions of another cluster."""
        if self._nodes is not None and self._parameters is not None:
            self._applyDisplay()

    def onShowButton(self, checked: bool = False) -> None:
        """Set lung window, map and legend in all slice views, as the user asked."""
        with slicer.util.tryWithErrorDisplay(_("The results could not be shown.")):
            self._parameters.showLegend = True
            self._logic.showEverywhere(self._nodes.ct, self._parameters.lamOpacity)
            self._display.reset()
            self._applyDisplay()

    def onModelCardButton(self, checked: bool = False) -> None:
        """Show what the model was trained on and how accurate it is."""
        slicer.util.messageBox(
            str(self._record.model.get("title", "")), windowTitle=_("Model card"),
            detailedText=self._record.model.get("card") or _("The model has no card."),
        )  # fmt: skip

    # -- contents of the panel --------------------------------------------------------------------

    def _fill(self) -> None:
        ui, record = self._ui, self._record
        for section in (ui.resultSection, ui.lesionsSection, ui.displaySection, ui.exportSection):
            section.visible = record is not None
        ui.resultLabel.text = resultText(record, self._nodes.notes) if record else ""
        self._chart.setSlices(record.slices if record else (), threshold_of(record.config) if record else 0.5)
        self._clusters = scene.clusters_in_scene(self._nodes) if record else ()
        self._lesionTable.fill(record.lesions if record else (), self._clusters)
        self._clusterTable.fill(self._clusters)
        self._fillClusterFilter()
        if record:
            self._applyDisplay()

    def _fillClusterFilter(self) -> None:
        combo = self._ui.clusterFilter
        chosen = combo.currentIndex
        wasBlocked = combo.blockSignals(True)
        combo.clear()
        combo.addItem(_("all"))
        for cluster in self._clusters:
            combo.addItem(f"{cluster.number}: {cluster.name}")
        combo.currentIndex = chosen if 0 <= chosen <= len(self._clusters) else 0
        combo.blockSignals(wasBlocked)

    def _applyDisplay(self) -> None:
        index = self._ui.clusterFilter.currentIndex - 1
        cluster = self._clusters[index].number if 0 <= index < len(self._clusters) else None
        visible = self._lesionTable.filter(cluster, self._parameters.minimumActivation)
        total = len(self._record.lesions)
        text = _("{visible} of {total} lesions").format(visible=len(visible), total=total) if total else _("No lesions")
        self._ui.lesionCountLabel.text = text
        self._display.apply(self._nodes, self._parameters, visible)
