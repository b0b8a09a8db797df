"""Python packages that appear to be missing: ``slicer.packaging``, ``slicer.util.pip_install`` and ``PyTorchUtils``."""
# ruff: noqa: N802, N803

from __future__ import annotations

import importlib
import re
import sys
import types
from typing import Any

IMPORT_NAMES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}


class Packages:
    """``hide("torch")`` makes a package appear uninstalled, also to ``import``; an installation brings it back.

    ``calls`` records what was asked for, as (function name, argument); an installation raises ``failure`` if set.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failure: Exception | None = None
        self._hidden: dict[str, Any] = {}

    def hide(self, *names: str) -> None:
        for name in names:
            self._hidden[name] = sys.modules.get(_import_name(name))
            sys.modules[_import_name(name)] = None  # makes ``import`` and ``find_spec`` find nothing

    def installed(self, name: str) -> bool:
        return name not in self._hidden

    def install(self, requirements: list[str]) -> None:
        if self.failure is not None:
            raise self.failure
        for name in (re.match(r"[\w.-]+", requirement).group() for requirement in requirements):
            if name in self._hidden:
                module = self._hidden.pop(name)
                del sys.modules[_import_name(name)]
                if module is not None:
                    sys.modules[_import_name(name)] = module

    def reset(self) -> None:
        self.failure = None
        self.install(list(self._hidden))
        self.calls.clear()


packages = Packages()


def _import_name(name: str) -> str:
    return IMPORT_NAMES.get(name, name)


def pip_install(requirements: list[str]) -> None:
    packages.calls.append(("pip_install", requirements))
    packages.install(requirements)


def pip_ensure(requirements: list[str], prompt_install: bool = True, requester: str | None = None) -> None:
    """Without the question that it asks in Slicer unless ``prompt_install`` is False."""
    assert not prompt_install, "the user was asked already"
    packages.calls.append(("pip_ensure", requirements))
    packages.install(requirements)


class PyTorchUtilsLogic:
    """The logic of the PyTorch extension; ``torch`` installs silently there, and fails here without torch."""

    def installTorch(self, askConfirmation: bool = False) -> Any:
        packages.calls.append(("installTorch", askConfirmation))
        packages.install(["torch"])
        return self.torch

    @property
    def torch(self) -> Any:
        assert packages.installed("torch"), "PyTorchUtilsLogic.torch would install torch without asking"
        return importlib.import_module("torch")


def make_modules() -> dict[str, types.ModuleType]:
    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_ensure = pip_ensure
    pytorch = types.ModuleType("PyTorchUtils")
    pytorch.PyTorchUtilsLogic = PyTorchUtilsLogic
    return {"slicer.packaging": packaging, "PyTorchUtils": pytorch}
