"""What the paper printed in figure 6, tables 3 to 8 and section 6, as far as it is arithmetically possible.

Left out, because they contradict other figures of the paper: the accuracy of FeCNN on Own (.957, above the .94 and .91
of its two classes), the specificities of table 7, the sensitivities and specificities on CNCB, and the totals of the
three-class data.
"""

from __future__ import annotations

DATASETS = ("Own", "Radio-2", "COVIDx2a")

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

# in the order of its rows: feature pyramid, fusion, accuracies
TABLE_4: dict[str, tuple[bool, bool, tuple[float | None, ...]]] = {
    "FeCNN without FPN and fusion": (False, False, (0.908, 0.851, 0.976)),
    "FeCNN without fusion": (True, False, (0.922, 0.843, 0.983)),
    "FeCNN without FPN": (False, True, (0.941, 0.853, 0.987)),
    "FeCNN": (True, True, (None, 0.859, 0.994)),
}

# figure 6 and section 5.1: AUC, AP
CLASSIFICATION = {"Radio-2": (0.89, None), "Own": (0.90, 0.95), "COVIDx2a": (1.00, 0.99)}

# hit rates of LAM at the thresholds .1 to .9, and of all three maps at .5
DETECTION_DATA = ("Radio-2", "COVIDx2a (CNCB)", "Own")
TABLE_5 = {
    0.1: (0.724, 0.753, 0.741), 0.2: (0.705, 0.745, 0.723), 0.3: (0.685, 0.735, 0.665), 0.4: (0.648, 0.698, 0.653),
    0.5: (0.632, 0.683, 0.653), 0.6: (0.607, 0.592, 0.527), 0.7: (0.506, 0.503, 0.402), 0.8: (0.452, 0.331, 0.209),
    0.9: (0.302, 0.279, 0.158),
}  # fmt: skip
TABLE_6 = {"lam": (0.632, 0.683, 0.653), "cam": (0.358, 0.458, 0.385), "normgrad": (0.342, 0.431, 0.414)}

# lesions of Own: predicted (rows) and true type (columns), in the order of TYPES
TYPES = ("ground glass", "partial consolidation", "consolidation")
TABLE_7 = ((51, 3, 1), (2, 4, 1), (1, 2, 12))
CNCB_CORRECT, CNCB_LESIONS = 541 + 199, 862  # with two clusters

# accuracy of COVID-19, normal and other pneumonia by threshold, and over all classes
THREE_CLASSES = ("COVID-19", "normal", "pneumonia")
TABLE_8 = {
    0.1: (0.934, 0.958, 0.957), 0.2: (0.934, 0.958, 0.957), 0.3: (0.934, 0.958, 0.957), 0.4: (0.934, 0.958, 0.957),
    0.5: (0.933, 0.957, 0.956), 0.6: (0.925, 0.949, 0.947), 0.7: (0.918, 0.939, 0.936), 0.8: (0.910, 0.922, 0.923),
    0.9: (0.895, 0.891, 0.898),
}  # fmt: skip
THREE_WAY_ACCURACY = 0.95

LUNG_DICE = 0.82  # section 6.1


def published(name: str) -> tuple[float | None, ...]:
    """The printed accuracies of a system on ``DATASETS``; None where there is none, or an impossible one."""
    if name in TABLE_3:
        return TABLE_3[name]
    return TABLE_4[name][2] if name in TABLE_4 else (None,) * len(DATASETS)
