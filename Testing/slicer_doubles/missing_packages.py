"""Python packages that seem to be missing: ``slicer.packaging``, ``slicer.util.pip_install`` and ``PyTorchUtils``."""
# ruff: noqa: N802, N803

from __future__ import annotations

import importlib
import re
import sys
import types
from typing import Any

import slicer

IMPORT_NAMES = {"scikit-image": "skimage", "scikit-learn": "sklearn", "pillow": "PIL", "simpleitk": "SimpleITK"}


class Packages:
    """``hide("torch")`` makes a package look uninstalled, to ``import`` as well; an installation brings it back.

    ``calls`` records what was asked for, as (function name, argument); with ``failure`` an installation raises it.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failure: Exception | None = None
        self._hidden: dict[str, Any] = {}

    def hide(self, *names: str) -> None:
        for name in map(_plain, names):
            if name not in self._hidden:
                self._hidden[name] = sys.modules.get(_imported(name))
                sys.modules[_imported(name)] = None  # what makes ``import`` and ``find_spec`` find nothing

    def installed(self, requirement: Any) -> bool:
        return all(_plain(one) not in self._hidden for one in _split(requirement))

    def install(self, requirement: Any) -> None:
        if self.failure is not None:
            raise self.failure
        for name in map(_plain, _split(requirement)):
            if name in self._hidden:
                before = self._hidden.pop(name)
                del sys.modules[_imported(name)]
                if before is not None:
                    sys.modules[_imported(name)] = before

    def reset(self) -> None:
        self.failure = None
        self.install(list(self._hidden))
        self.calls.clear()


packages = Packages()


def _split(requirement: Any) -> list[str]:
    return requirement.split() if isinstance(requirement, str) else [str(one) for one in requirement]


def _plain(requirement: str) -> str:
    return re.match(r"[\w.-]+", str(requirement)).group().lower().replace("_", "-")


def _imported(name: str) -> str:
    return IMPORT_NAMES.get(name, name.replace("-", "_"))


def pip_install(requirements: Any, **kwargs: Any) -> None:
    packages.calls.append(("pip_install", requirements))
    packages.install(requirements)


def pip_check(req: Any) -> bool:
    packages.calls.append(("pip_check", req))
    return packages.installed(req)


def pip_ensure(
    requirements: Any,
    constraints: Any = None,
    skip_packages: Any = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> None:
    """Raises RuntimeError where the user declines (dialog kind ``confirmOkCancel``)."""
    packages.calls.append(("pip_ensure", requirements))
    missing = [one for one in _split(requirements) if not packages.installed([one])]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    if prompt_install:
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        text = f"{len(missing)} Python packages need to be installed.\n\nContinue?"
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(missing)):
            raise RuntimeError("User declined package installation")
    packages.install(missing)


def load_requirements(path: Any) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.lstrip().startswith(("#", "-"))]


class PyTorchUtilsLogic:
    """The extension's logic; ``torch`` and ``getDevice``, which install silently there, fail here without torch."""

    @staticmethod
    def torchInstalled() -> bool:
        return packages.installed("torch")

    def installTorch(
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        packages.calls.append(("installTorch", askConfirmation))
        if askConfirmation and not slicer.app.commandOptions().testingEnabled:
            question = "PyTorch will be downloaded and installed. Do you want to proceed with the installation?"
            if not slicer.util.confirmOkCancelDisplay(question, "Install PyTorch"):
                return None
        packages.install("torch")
        return self.torch

    @property
    def torch(self) -> Any:
        assert packages.installed("torch"), "PyTorchUtilsLogic.torch would install torch without asking"
        return importlib.import_module("torch")

    def getDevice(self) -> Any:
        return self.torch.device("cpu")


def make_modules() -> dict[str, types.ModuleType]:
    packaging = types.ModuleType("slicer.packaging")
    for function in (pip_install, pip_check, pip_ensure, load_requirements):
        setattr(packaging, function.__name__, function)
    pytorch = types.ModuleType("PyTorchUtils")
    pytorch.PyTorchUtilsLogic = PyTorchUtilsLogic
    return {"slicer.packaging": packaging, "PyTorchUtils": pytorch}
