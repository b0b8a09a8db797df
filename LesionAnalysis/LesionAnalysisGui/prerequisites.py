"""What must be settled before the first analysis: missing packages are installed, the model's license is accepted.

For the panel only, since these functions ask the user. Scripts are told what is missing by an exception.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import qt
import slicer
from LesionAnalysisLib.requirements import missing_packages
from slicer.i18n import tr as _

TORCH_SIZE = "200 MB to 3 GB"
PACKAGES_SIZE = "60 MB"
_ACCEPTED = "LesionAnalysis/AcceptedLicenses"


def ensureInstalled(requirementsFile: Path) -> bool:
    """Offer to install what is missing, PyTorch and the packages separately; False if the user declines.

    Raises:
        RuntimeError: the PyTorch extension is missing, or an installation failed.
    """
    missing = missing_packages(requirementsFile)
    packages = [requirement for requirement in missing if requirement != "torch"]
    if "torch" in missing and not _installTorch() or packages and not _installPackages(packages):
        return False
    importlib.invalidate_caches()
    left = missing_packages(requirementsFile)
    if left:
        raise RuntimeError(
            _("{packages} could not be installed. See the error log for details.").format(packages=", ".join(left))
        )
    return True


def _installTorch() -> bool:
    try:
        import PyTorchUtils
    except ImportError as error:
        raise RuntimeError(
            _("The analysis needs PyTorch. Install the PyTorch extension from the Extensions Manager, restart "
              "3D Slicer, and press Analyze again.")
        ) from error  # fmt: skip
    question = _("The analysis needs PyTorch, which will be downloaded and installed into 3D Slicer ({size}, "
                 "depending on your computer). Install it now?").format(size=TORCH_SIZE)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(question, _("Lesion Analysis needs PyTorch")):
        return False
    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False)  # it was confirmed above
    return True


def _installPackages(requirements: list[str]) -> bool:
    question = _("The analysis needs {packages}, which will be downloaded and installed into 3D Slicer (about {size}). "
                 "Install now?").format(packages=", ".join(requirements), size=PACKAGES_SIZE)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(question, _("Lesion Analysis needs Python packages")):
        return False
    try:
        from slicer import packaging
    except ImportError:  # before Slicer 5.12
        slicer.util.pip_install(requirements)
    else:
        packaging.pip_ensure(requirements, prompt_install=False, requester="Lesion Analysis")
    return True


def askForConsent(modelId: str, title: str, license: str) -> bool:
    """Show the license of a model and ask, unless it was accepted before; False if the user declines."""
    accepted = slicer.util.settingsValue(_ACCEPTED, "", str).splitlines()
    entry = f"{modelId}: {license}".replace("\n", " ")
    if entry in accepted:
        return True
    text = _("The model \"{title}\" is licensed under {license}. NC means that commercial use is not allowed.\n\n"
             "Research use only. Not a medical device, not cleared for diagnosis.\n\n"
             "Do you accept the license?").format(title=title, license=license)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(text, _("License of the model")):
        return False
    qt.QSettings().setValue(_ACCEPTED, "\n".join([*accepted, entry]))
    return True
