"""Analyze and Cancel: from the button to the results in the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import qt
import slicer
from LesionAnalysisLib.text import duration
from slicer.i18n import tr as _

from .analysis_thread import AnalysisRun
from .consent import askForConsent
from .dependencies import ensureInstalled


class RunControl:
    """Owns the Analyze button, the progress bar, and the analysis that runs, if one does.

    Args:
        ui: has the button, the bar and the status line.
        logic: LesionAnalysisLogic.
        requirements: file with the Python packages that the analysis needs.
        onResults: called when the results of a CT are in the scene.
    """

    def __init__(self, ui: Any, logic: Any, requirements: Path, onResults: Callable[[], None]) -> None:
        self._ui, self._logic, self._requirements, self._onResults = ui, logic, requirements, onResults
        self._run: AnalysisRun | None = None
        self._filling: Generator | None = None  # results on their way into the scene
        self._parameters: Any = None
        ui.analyzeButton.clicked.connect(self.onAnalyzeButton)
        self._showIdle()
        self.say("")

    @property
    def running(self) -> bool:
        """Whether an analysis runs now, or its results are about to appear."""
        return self._run is not None or self._filling is not None

    def use(self, parameters: Any) -> None:
        """Take the settings from this parameter node from now on (None: there is none at the moment)."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Analyze can be pressed with a CT chosen; otherwise its tool tip says what is missing."""
        if self.running:
            return
        why = self._logic.whyNotAnalyzable(self._parameters.inputVolume if self._parameters else None)
        self._ui.analyzeButton.enabled = not why
        self._ui.analyzeButton.toolTip = why or _("Diagnose this CT and map its lesions.")

    def say(self, text: str) -> None:
        """Show a line under the button; an empty one hides it."""
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)

    def onAnalyzeButton(self, checked: bool = False) -> None:
        """Analyze, or Cancel while an analysis runs."""
        if self._run is not None:
            self._cancel()
            return
        with slicer.util.tryWithErrorDisplay(_("The analysis could not be started.")):
            if self._isReady():
                self._start()

    def abandon(self) -> None:
        """Stop at once, without a result: the scene or the application closes."""
        if not self.running:
            return
        if self._run is not None:
            self._run.abandon()
        if self._filling is not None:
            self._filling.close()
        self._run = self._filling = None
        self._showIdle()
        self.say("")

    def _isReady(self) -> bool:
        """Install what is missing and have the license accepted; False where the user declines."""
        if not ensureInstalled(self._requirements):
            self.say(_("Nothing was installed, and nothing was changed."))
            return False
        model = self._logic.describeModel(self._parameters.modelFolder)
        if not askForConsent(model["id"], model["title"], model["license"]):
            self.say(_("The license was not accepted: nothing was analyzed."))
            return False
        return True

    def _start(self) -> None:
        for box in (self._ui.probabilitySpin, self._ui.minimumLesionSpin):
            box.interpretText()  # a click on a button leaves the focus in the box on macOS: what was typed counts
        parameters = self._parameters
        steps = self._logic.analysisSteps(
            parameters.inputVolume, modelFolder=parameters.modelFolder, device=parameters.device,
            preset=parameters.preset, threshold=parameters.threshold or None, lungMask=parameters.lungMask,
            minimumLesionMl=parameters.minimumLesionMl,
        )  # fmt: skip
        volumeId = parameters.inputVolume.GetID()
        self._run = AnalysisRun(steps, self._onProgress, lambda *outcome: self._onEnd(volumeId, *outcome))
        self._ui.analyzeButton.text = _("Cancel")
        self._ui.analyzeButton.toolTip = _("Stop the analysis; nothing is left behind.")
        self._ui.progressBar.visible = True
        self._ui.progressBar.value = 0
        self.say(_("Starting"))
        self._run.start()

    def _cancel(self) -> None:
        self._run.cancel()
        self._ui.analyzeButton.enabled = False
        self._ui.analyzeButton.toolTip = _("The analysis is about to stop.")
        self.say(_("Stopping..."))

    def _onProgress(self, fraction: float, message: str, secondsLeft: float | None) -> None:
        self._ui.progressBar.value = int(1000 * fraction)
        left = "" if secondsLeft is None else _(", about {time} left").format(time=duration(secondsLeft))
        self.say(message + left)

    def _onEnd(self, volumeId: str, analysis: Any, error: BaseException | None) -> None:
        details = self._run.errorDetails
        self._run = None
        if error is not None:
            logging.debug(details)
            self._fail(error)
        elif analysis is None:
            self._finish(_("Cancelled. Nothing was changed."))
        else:
            self._showResults(volumeId, analysis)

    def _showResults(self, volumeId: str, analysis: Any) -> None:
        volume = slicer.mrmlScene.GetNodeByID(volumeId)
        if volume is None:
            self._finish(_("The CT was removed meanwhile: its results are not shown."))
            return
        self._ui.analyzeButton.enabled = False
        self._ui.analyzeButton.toolTip = _("The results are about to appear.")
        self.say(_("Adding the results to the scene"))
        seconds = analysis.timing_s["total"]
        try:
            self._filling = self._logic.addToSceneSteps(analysis, volume)
        except ValueError as error:  # the CT was changed meanwhile
            self._fail(error)
            return
        self._fillNext(seconds)

    def _fillNext(self, seconds: float) -> None:
        """One part of the results after the other, so that the window stays alive."""
        if self._filling is None:  # given up meanwhile
            return
        try:
            next(self._filling)
        except StopIteration:
            self._filling = None
            self._finish(_("Done in {time}.").format(time=duration(seconds)))
            self._onResults()
        except Exception as error:  # noqa: BLE001 - nothing half-made is left; the user hears why
            self._filling = None
            self._fail(error)
        else:
            qt.QTimer.singleShot(0, lambda: self._fillNext(seconds))

    def _fail(self, error: BaseException) -> None:
        self._finish(str(error))
        slicer.util.errorDisplay(str(error), windowTitle=_("Lesion Analysis"))

    def _finish(self, text: str) -> None:
        self._showIdle()
        self.say(text)

    def _showIdle(self) -> None:
        self._ui.analyzeButton.text = _("Analyze")
        self._ui.progressBar.visible = False
        self.update()
