"""The export buttons of the panel: ask for a file if one is written, then let the logic write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from LesionAnalysisLib.text import safe_file_name
from slicer.i18n import tr as _


class Exporting:
    """Connects the export buttons to the logic.

    Args:
        ui: has the buttons.
        logic: LesionAnalysisLogic.
        currentVolume: returns the CT whose results are shown.
        showStatus: shows a line in the panel.
    """

    def __init__(
        self, ui: Any, logic: Any, currentVolume: Callable[[], Any], showStatus: Callable[[str], None]
    ) -> None:
        self._currentVolume, self._showStatus = currentVolume, showStatus
        for button, name, fileType, export in (
            (ui.exportTablesButton, "slices.csv", _("Tables (*.csv)"), logic.exportTables),
            (ui.exportJsonButton, "analysis.json", _("JSON (*.json)"), logic.exportJson),
            (ui.exportReportButton, "report.html", _("Web page (*.html)"), logic.exportReport),
            (ui.exportLamButton, "lam.nrrd", _("Volumes (*.nrrd *.nii.gz *.mha)"), logic.exportLam),
        ):
            button.clicked.connect(lambda checked=False, to=(name, fileType, export): self._toFile(*to))
        for button, export in (
            (ui.exportSegmentationButton, logic.exportSegmentation),
            (ui.exportColorButton, logic.exportColorVolume),
        ):
            button.clicked.connect(lambda checked=False, export=export: self._toScene(export))

    def _toFile(self, name: str, fileType: str, export: Callable[[Any, str], Any]) -> None:
        volume = self._currentVolume()
        suggested = str(Path(qt.QDir.homePath()) / f"{safe_file_name(volume.GetName())} {name}")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save"), suggested, fileType)
        path = path[0] if isinstance(path, tuple) else path  # some Qt bindings also return the filter
        if not path:
            return
        with slicer.util.tryWithErrorDisplay(_("The results could not be saved."), waitCursor=True):
            self._showStatus(_("Saved {files}").format(files=", ".join(map(str, export(volume, path)))))

    def _toScene(self, export: Callable[[Any], Any]) -> None:
        with slicer.util.tryWithErrorDisplay(_("The results could not be exported."), waitCursor=True):
            self._showStatus(_("Added {name} to the scene").format(name=export(self._currentVolume()).GetName()))
