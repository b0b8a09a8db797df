"""The choice of the device: auto, the CPU, and each GPU of this computer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import qt
from slicer.i18n import tr as _


def availableDevices() -> dict[str, str]:
    """Names of the devices of this computer with a description; only auto and cpu if torch is not installed."""
    devices = {"auto": _("the first GPU if there is one, otherwise the CPU"), "cpu": _("the processor")}
    if find_spec("torch") is None:
        return devices
    import torch

    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = _("the GPU of this Mac")
    return devices


def offerDevices(comboBox: Any, available: dict[str, str]) -> None:
    """Hide the entries of ``comboBox`` that this computer does not have; describe the others in their tool tips."""
    for index in range(comboBox.count):
        description = available.get(comboBox.itemText(index))
        comboBox.view().setRowHidden(index, description is None)
        comboBox.model().item(index).setEnabled(description is not None)
        comboBox.setItemData(index, description, qt.Qt.ToolTipRole)
