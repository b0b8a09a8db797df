"""Analyze and Cancel: from the button to the results in the scene."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import qt
import slicer
from LesionAnalysisLib.text import format_duration
from slicer.i18n import tr as _

from .analysis_thread import AnalysisThread
from .prerequisites import askForConsent, ensureInstalled


class RunControl:
    """The Analyze button, the progress bar and the status line, and the analysis that runs, if any.

    Args:
        ui: has the button, the bar and the status line.
        logic: LesionAnalysisLogic.
        requirements: file with the Python packages that the analysis needs.
        onResults: called when the results of a CT are in the scene.
    """

    def __init__(self, ui: Any, logic: Any, requirements: Path, onResults: Callable[[], None]) -> None:
        self._ui, self._logic, self._requirements, self._onResults = ui, logic, requirements, onResults
        self._thread: AnalysisThread | None = None
        self._adding: Generator | None = None  # adds the results to the scene
        self._parameters: Any = None
        ui.analyzeButton.clicked.connect(self.onAnalyzeButton)
        self._finish("")

    @property
    def running(self) -> bool:
        """Whether an analysis runs or its results are being added to the scene."""
        return self._thread is not None or self._adding is not None

    def setParameters(self, parameters: Any) -> None:
        """Take the settings from this parameter node; None: there is none at the moment."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Enable Analyze if a CT is chosen; otherwise its tool tip says what is missing."""
        if self.running:
            return
        problem = self._logic.whyNotAnalyzable(self._parameters.inputVolume if self._parameters else None)
        self._setButton(not problem, problem or _("Analyze this CT and map its lesions."))

    def showStatus(self, text: str) -> None:
        """Show a line below the button; an empty one hides it."""
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)

    def onAnalyzeButton(self, checked: bool = False) -> None:
        """Analyze, or Cancel while an analysis runs."""
        if self._thread is not None:
            self._thread.cancel()
            self._setButton(False, _("The analysis is stopping."))
            self.showStatus(_("Stopping..."))
            return
        with slicer.util.tryWithErrorDisplay(_("The analysis could not be started.")):
            if self._isReady():
                self._start()

    def abandon(self) -> None:
        """Stop at once and discard the results: the scene or the application closes."""
        if not self.running:
            return
        if self._thread is not None:
            self._thread.abandon()
        if self._adding is not None:
            self._adding.close()
        self._finish("")

    def _isReady(self) -> bool:
        """Install what is missing and have the license accepted; False if the user declines."""
        if not ensureInstalled(self._requirements):
            self.showStatus(_("Nothing was installed, and nothing was changed."))
            return False
        model = self._logic.describeModel(self._parameters.modelFolder)
        if not askForConsent(model["id"], model["title"], model["license"]):
            self.showStatus(_("The license was not accepted, so nothing was analyzed."))
            return False
        return True

    def _start(self) -> None:
        for box in (self._ui.probabilitySpin, self._ui.minimumLesionSpin):
            box.interpretText()  # on macOS, a click on a button leaves the focus, and typed text, in the box
        parameters = self._parameters
        steps = self._logic.analysisSteps(parameters.inputVolume, parameters.runSettings(), parameters.lungMask)
        volumeId = parameters.inputVolume.GetID()
        self._thread = AnalysisThread(steps, self._onProgress, lambda *result: self._onEnd(volumeId, *result))
        self._ui.analyzeButton.text = _("Cancel")
        self._setButton(True, _("Stop the analysis and discard partial results."))
        self._ui.progressBar.visible = True
        self._ui.progressBar.value = 0
        self.showStatus(_("Starting"))
        self._thread.start()

    def _onProgress(self, fraction: float, message: str, secondsLeft: float | None) -> None:
        self._ui.progressBar.value = int(1000 * fraction)
        left = "" if secondsLeft is None else _(", about {time} left").format(time=format_duration(secondsLeft))
        self.showStatus(message + left)

    def _onEnd(self, volumeId: str, analysis: Any, error: BaseException | None, details: str) -> None:
        self._thread = None
        volume = slicer.mrmlScene.GetNodeByID(volumeId)
        if error is not None:
            self._fail(error, details)
        elif analysis is None:
            self._finish(_("Canceled. Nothing was changed."))
        elif volume is None:
            self._finish(_("The CT was removed during the analysis, so its results were discarded."))
        else:
            self._setButton(False, _("The results are being added to the scene."))
            self.showStatus(_("Adding the results to the scene"))
            self._adding = self._logic.addToSceneSteps(analysis, volume)
            self._addNext(analysis.timing_s["total"])

    def _addNext(self, seconds: float) -> None:
        """Add the results in parts, one per pass of the event loop, so that Slicer stays responsive."""
        if self._adding is None:  # abandoned in the meantime
            return
        try:
            next(self._adding)
        except StopIteration:
            self._finish(_("Done in {time}.").format(time=format_duration(seconds)))
            self._onResults()
        except Exception as error:  # noqa: BLE001 - the steps have removed partial results; the user is told why
            self._fail(error, traceback.format_exc())
        else:
            qt.QTimer.singleShot(0, lambda: self._addNext(seconds))

    def _fail(self, error: BaseException, details: str) -> None:
        """One sentence for the user, the traceback for the error log."""
        logging.error("The analysis failed.\n%s", details)
        text = str(error)
        if not isinstance(error, (ValueError, RuntimeError, OSError, MemoryError)):
            text = _("Unexpected error ({error}): see the error log for details.").format(error=repr(error))
        self._finish(text)
        slicer.util.errorDisplay(text, windowTitle=_("Lesion Analysis"))

    def _finish(self, text: str) -> None:
        self._thread = self._adding = None
        self._ui.analyzeButton.text = _("Analyze")
        self._ui.progressBar.visible = False
        self.update()
        self.showStatus(text)

    def _setButton(self, enabled: bool, toolTip: str) -> None:
        self._ui.analyzeButton.enabled, self._ui.analyzeButton.toolTip = enabled, toolTip
