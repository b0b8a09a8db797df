"""Import pytorch-grad-cam for comparison, with or without a torchvision that works.

torchvision's wheel on PyPI is compiled against CUDA builds of torch. Beside a CPU build its compiled
part cannot be loaded, and ``import torchvision`` ends in "operator torchvision::nms does not exist".
pytorch-grad-cam asks it for a handful of names at import time only, none of which computes a map.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

NAMES = {
    "torchvision": (),
    "torchvision.ops": ("box_iou",),
    "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
    "torchvision.transforms.functional": ("resize",),
}


def import_grad_cam() -> ModuleType:
    """The package ``pytorch_grad_cam``; stand-ins serve for a broken torchvision while it is imported.

    Raises:
        ImportError: grad-cam, or another package that it needs, is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        _remove_torchvision()  # what the failed import left half done
        try:
            _add_stand_ins()
            return importlib.import_module("pytorch_grad_cam")
        finally:
            _remove_torchvision()
    return importlib.import_module("pytorch_grad_cam")


def _remove_torchvision() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _add_stand_ins() -> None:
    for name, attributes in NAMES.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
        module.__path__ = []
        for attribute in attributes:
            setattr(module, attribute, _missing(f"{name}.{attribute}"))
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def _missing(name: str):
    def stand_in(*_args, **_kwargs):
        raise RuntimeError(f"{name} is a stand-in: install a torchvision that matches torch to use it.")

    return stand_in
