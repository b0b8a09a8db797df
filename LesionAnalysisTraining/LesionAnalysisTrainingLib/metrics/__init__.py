"""How well slices are diagnosed (section 4.3.1): figures, curves and calibration, all without torch.

Everywhere ``truth`` is (n,), above 0 for the positive class; ``score`` is (n,), higher for likelier positives; a
slice counts as positive from the threshold on, as in the analysis. What is undefined is NaN, in JSON None.
"""

from .basic_metrics import (
    accuracy,
    auc,
    average_precision,
    brier,
    confusion_matrix,
    f1,
    precision,
    sensitivity,
    specificity,
)
from .bootstrap import Estimate, bootstrap
from .curves import Curve, pr_curve, roc_curve
from .diagnosis_metrics import diagnosis_figures, most_wrong
from .reliability import Reliability, reliability

__all__ = [
    "Curve", "Estimate", "Reliability", "accuracy", "auc", "average_precision", "bootstrap", "brier",
    "confusion_matrix", "diagnosis_figures", "f1", "most_wrong", "pr_curve", "precision", "reliability", "roc_curve",
    "sensitivity", "specificity",
]  # fmt: skip
