"""The license of a model, shown and accepted once before its first use in the panel."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

_KEY = "LesionAnalysis/AcceptedLicenses"


def isAccepted(modelId: str, license: str) -> bool:
    """Whether the user accepted this license for this model before."""
    return _entry(modelId, license) in _accepted()


def askForConsent(modelId: str, title: str, license: str) -> bool:
    """Show the license and ask, unless it was accepted before; False where the user declines."""
    if isAccepted(modelId, license):
        return True
    text = _("The model \"{title}\" is licensed {license}. If that says NC, it must not be used commercially.\n\n"
             "It is for research only: not a medical device, not cleared for diagnosis.\n\n"
             "Do you accept?").format(title=title, license=license)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(text, _("License of the model")):
        return False
    qt.QSettings().setValue(_KEY, "\n".join([*_accepted(), _entry(modelId, license)]))
    return True


def _entry(modelId: str, license: str) -> str:
    return f"{modelId}: {license}".replace("\n", " ")


def _accepted() -> list[str]:
    return slicer.util.settingsValue(_KEY, "", str).splitlines()
