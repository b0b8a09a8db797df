"""What the analysis needs and Slicer does not bring: asked for when Analyze is pressed, never before."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import slicer
from slicer.i18n import tr as _

TORCH_SIZE = "200 MB to 3 GB"
PACKAGES_SIZE = "60 MB"
_IMPORT_NAMES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}


def torchInstalled() -> bool:
    """Whether torch can be imported, found out without importing it."""
    return find_spec("torch") is not None


def preloadTorch() -> None:
    """Load torch's large libraries before ``import torch`` does, which would hold Python's lock meanwhile.

    Called in a worker thread, this keeps the window alive. Windows needs no help: there, torch loads them this way.
    """
    spec = find_spec("torch")
    if "torch" in sys.modules or os.name == "nt" or spec is None or not spec.origin:
        return
    # a call through ctypes gives the lock away; ctypes.CDLL itself does not
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    for name in ("libtorch.so", "libtorch.dylib"):
        library = Path(spec.origin).parent / "lib" / name
        if library.is_file():
            dlopen(os.fsencode(library), os.RTLD_LAZY | os.RTLD_LOCAL)  # where it fails, the import will say why


def missingRequirements(requirementsFile: str | Path) -> list[str]:
    """Requirements of a file, such as ``scikit-image>=0.22``, whose package is not installed."""
    lines = Path(requirementsFile).read_text(encoding="utf-8").split()
    return [line for line in lines if find_spec(_importName(line)) is None]


def missingParts(requirementsFile: str | Path) -> list[str]:
    """Names of everything that is missing, torch first; empty where an analysis can start."""
    return [*([] if torchInstalled() else ["torch"]), *missingRequirements(requirementsFile)]


def ensureInstalled(requirementsFile: str | Path) -> bool:
    """Offer to install what is missing, with one question each; False where the user declines.

    For the panel only: it asks. Scripts call ``missingParts``.

    Raises:
        RuntimeError: the PyTorch extension is missing, or an installation did not succeed.
    """
    return _ensureTorch() and _ensurePackages(requirementsFile)


def _ensureTorch() -> bool:
    if torchInstalled():
        return True
    try:
        import PyTorchUtils
    except ImportError as error:
        raise RuntimeError(
            _("The analysis needs PyTorch. Install the extension PyTorch from the Extensions Manager, restart "
              "3D Slicer, and press Analyze again.")
        ) from error  # fmt: skip
    question = _("The analysis needs PyTorch, which will be downloaded and installed into 3D Slicer ({size}, "
                 "depending on your computer). Install it now?").format(size=TORCH_SIZE)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(question, _("Lesion Analysis needs PyTorch")):
        return False
    # one question is enough: the extension need not ask again
    installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False)
    importlib.invalidate_caches()
    if installed is None or not torchInstalled():
        raise RuntimeError(_("PyTorch could not be installed: see the application log, and the module PyTorch."))
    return True


def _ensurePackages(requirementsFile: str | Path) -> bool:
    missing = missingRequirements(requirementsFile)
    if not missing:
        return True
    question = _("The analysis needs {packages}, which will be downloaded and installed into 3D Slicer (about {size}). "
                 "Install now?").format(packages=", ".join(missing), size=PACKAGES_SIZE)  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(question, _("Lesion Analysis needs Python packages")):
        return False
    _install(missing)
    importlib.invalidate_caches()
    left = missingRequirements(requirementsFile)
    if left:
        raise RuntimeError(_("{packages} could not be installed: see the application log.").format(
            packages=", ".join(left)))  # fmt: skip
    return True


def _install(requirements: list[str]) -> None:
    """Through ``slicer.packaging`` where it exists (Slicer 5.12), else through pip as older versions offer it."""
    try:
        from slicer import packaging
    except ImportError:
        slicer.util.pip_install(requirements)
        return
    packaging.pip_ensure(requirements, prompt_install=False, requester="Lesion Analysis")


def _importName(requirement: str) -> str:
    name = requirement.split(">=")[0].split("==")[0].strip()
    return _IMPORT_NAMES.get(name, name.replace("-", "_"))
