"""The export buttons of the panel: ask where to, then let the logic write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from LesionAnalysisLib.text import file_name
from slicer.i18n import tr as _


class Exporting:
    """Connects the export buttons to the logic.

    Args:
        ui: has the buttons.
        logic: LesionAnalysisLogic.
        currentVolume: gives the CT whose results are shown.
        say: shows a line in the panel.
    """

    def __init__(self, ui: Any, logic: Any, currentVolume: Callable[[], Any], say: Callable[[str], None]) -> None:
        self._logic, self._currentVolume, self._say = logic, currentVolume, say
        ui.exportTablesButton.clicked.connect(self.tables)
        ui.exportJsonButton.clicked.connect(self.json)
        ui.exportReportButton.clicked.connect(self.report)
        ui.exportLamButton.clicked.connect(self.lam)
        ui.exportSegmentationButton.clicked.connect(self.segmentation)
        ui.exportColorButton.clicked.connect(self.colorVolume)

    def tables(self, checked: bool = False) -> None:
        self._toFile("slices.csv", _("Tables (*.csv)"), self._logic.exportTables)

    def json(self, checked: bool = False) -> None:
        self._toFile("analysis.json", _("JSON (*.json)"), self._logic.exportJson)

    def report(self, checked: bool = False) -> None:
        self._toFile("report.html", _("Web page (*.html)"), self._logic.exportReport)

    def lam(self, checked: bool = False) -> None:
        self._toFile("lam.nrrd", _("Volumes (*.nrrd *.nii.gz *.mha)"), self._logic.exportLam)

    def segmentation(self, checked: bool = False) -> None:
        self._toScene(self._logic.exportSegmentation)

    def colorVolume(self, checked: bool = False) -> None:
        self._toScene(self._logic.exportColorVolume)

    def _toFile(self, name: str, types: str, write: Callable[[Any, str], Any]) -> None:
        volume = self._currentVolume()
        start = str(Path(qt.QDir.homePath()) / f"{file_name(volume.GetName())} {name}")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save"), start, types)
        path = path[0] if isinstance(path, tuple) else path  # some Qt bindings also return the filter
        if not path:
            return
        with slicer.util.tryWithErrorDisplay(_("The results could not be saved."), waitCursor=True):
            written = write(volume, path)
            self._say(_("Saved {files}").format(files=", ".join(str(one) for one in written)))

    def _toScene(self, make: Callable[[Any], Any]) -> None:
        with slicer.util.tryWithErrorDisplay(_("The results could not be exported."), waitCursor=True):
            self._say(_("Added {name} to the scene").format(name=make(self._currentVolume()).GetName()))
