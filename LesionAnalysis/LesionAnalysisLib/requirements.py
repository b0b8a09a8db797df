"""Packages that the analysis needs and Slicer does not bring: which are missing, and how torch is loaded."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

_IMPORT_NAMES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}


def missing_packages(requirements_file: str | Path) -> list[str]:
    """Requirements that are not installed, torch first; nothing is imported to find out.

    requirements_file: lines such as ``scikit-image>=0.22``. torch is never listed there: the PyTorch extension
    installs it.
    """
    needed = ["torch", *Path(requirements_file).read_text(encoding="utf-8").split()]
    return [requirement for requirement in needed if find_spec(_import_name(requirement)) is None]


def _import_name(requirement: str) -> str:
    name = requirement.split(">=")[0].split("==")[0].strip()
    return _IMPORT_NAMES.get(name, name.replace("-", "_"))


def preload_torch() -> None:
    """Load torch's shared libraries without holding the global interpreter lock, as ``import torch`` would.

    Called from a worker thread, this keeps the GUI responsive. Not needed on Windows, where torch itself loads them
    this way.
    """
    spec = find_spec("torch")
    if "torch" in sys.modules or os.name == "nt" or spec is None or not spec.origin:
        return
    # a function called through ctypes releases the lock; ctypes.CDLL itself does not
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    for name in ("libtorch.so", "libtorch.dylib"):
        library = Path(spec.origin).parent / "lib" / name
        if library.is_file():
            dlopen(os.fsencode(library), os.RTLD_LAZY | os.RTLD_LOCAL)  # if this fails, the import reports why
