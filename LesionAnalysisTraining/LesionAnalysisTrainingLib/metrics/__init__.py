"""Figures of merit of sections 4.3, 5 and 6: pure functions of arrays, without torch.

Everywhere ``truth`` is (n,), above 0 for the positive class; ``score`` is (n,), higher for likelier positives; a
slice is called positive if its score reaches the threshold, as in the analysis. Undefined figures are NaN, in JSON
None. Confidence intervals come from a patient-level bootstrap.
"""

from .bootstrap import Estimate
from .curves import Curve, Reliability, pr_curve, reliability, roc_curve
from .diagnosis_metrics import confusion_matrix, diagnosis_figures, most_confident_errors
from .weighted_metrics import auc

__all__ = ["Curve", "Estimate", "Reliability", "auc", "confusion_matrix", "diagnosis_figures", "most_confident_errors",
           "pr_curve", "reliability", "roc_curve"]  # fmt: skip
