"""The accuracies that the paper printed in tables 3 and 4, as far as they are arithmetically possible."""

from __future__ import annotations

DATASETS = ("Own", "Radio-2", "COVIDx2a")

# None: the accuracy of FeCNN on Own, .957, cannot be: section 5 gives .94 and .91 for its two classes, and an accuracy
# lies between those of its classes.
TABLE_3: dict[str, tuple[float | None, ...]] = {
    "LBP + SVM": (0.717, 0.789, 0.898),
    "LBP + MLP": (0.691, 0.733, 0.887),
    "Hist + SVM": (0.718, 0.807, 0.939),
    "Hist + MLP": (0.706, 0.744, 0.896),
    "Resnet50": (0.908, 0.851, 0.976),
    "VGG16": (0.854, 0.825, 0.955),
    "Xception": (0.913, 0.854, 0.979),
    "WsNet": (0.928, 0.854, 0.986),
    "DeCoVNet": (0.916, 0.847, 0.987),
    "COVIDNet-CT": (0.944, 0.849, 0.991),
    "FeCNN": (None, 0.859, 0.994),
}

# In the order of its rows: whether the system has the feature pyramid and the fusion, and what was printed.
TABLE_4: dict[str, tuple[bool, bool, tuple[float | None, ...]]] = {
    "FeCNN without FPN and fusion": (False, False, (0.908, 0.851, 0.976)),
    "FeCNN without fusion": (True, False, (0.922, 0.843, 0.983)),
    "FeCNN without FPN": (False, True, (0.941, 0.853, 0.987)),
    "FeCNN": (True, True, (None, 0.859, 0.994)),
}


def published(name: str) -> tuple[float | None, ...]:
    """The printed accuracies of a system on ``DATASETS``; None where there is none, or an impossible one."""
    if name in TABLE_3:
        return TABLE_3[name]
    return TABLE_4[name][2] if name in TABLE_4 else (None,) * len(DATASETS)
