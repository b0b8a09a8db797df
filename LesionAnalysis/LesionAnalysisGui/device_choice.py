"""The choice of the device: auto, the CPU, and each GPU that this computer has."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .choices import DEVICES
from .dependencies import torchInstalled


def availableDevices() -> dict[str, str]:
    """Names of the devices of this computer, each with what it is; only auto and cpu where torch is missing."""
    found = {"auto": _("the first GPU if there is one, else the CPU"), "cpu": _("the processor")}
    if not torchInstalled():
        return found
    import torch

    for index in range(torch.cuda.device_count()):
        found[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        found["mps"] = _("the GPU of this Mac")
    return found


def offerDevices(comboBox: Any, available: dict[str, str]) -> None:
    """Hide the entries of ``comboBox`` that this computer does not have; tell what the others are."""
    for index, name in enumerate(DEVICES):
        present = name in available
        comboBox.view().setRowHidden(index, not present)
        comboBox.model().item(index).setEnabled(present)
        if present:
            comboBox.setItemData(index, available[name], qt.Qt.ToolTipRole)
