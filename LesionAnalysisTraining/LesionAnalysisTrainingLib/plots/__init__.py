"""Figures of a training run as PNG or SVG files: one function draws one subject and returns the path it wrote.

    from LesionAnalysisTrainingLib import plots
    if plots.available():
        plots.draw_roc("roc.png", roc_curve(truth, probability, patients))

Matplotlib is needed to draw, not to import this. Nothing here uses pyplot: no window, no global state. Where there
are too few data to draw, the figure says so in a sentence instead of failing.
"""

from .canvas import available
from .cluster_plots import draw_elbow, draw_lesion_space
from .diagnosis_plots import draw_calibration, draw_confusion, draw_pr, draw_roc
from .embedding import embed_lesions
from .sheets import draw_lesion_sheet, draw_wrong_slices
from .training_plots import draw_training

__all__ = [
    "available", "draw_calibration", "draw_confusion", "draw_elbow", "draw_lesion_sheet", "draw_lesion_space",
    "draw_pr", "draw_roc", "draw_training", "draw_wrong_slices", "embed_lesions",
]  # fmt: skip
