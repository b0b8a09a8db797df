"""Hand-crafted features of the lung pixels of a slice: local binary patterns and gray levels (section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisTrainingLib.data_loading import Views
from LesionAnalysisTrainingLib.dataset import Sample
from skimage.feature import local_binary_pattern

from .baseline import Progress, Task

Feature = Callable[[np.ndarray, np.ndarray], np.ndarray]
LBP_BINS, GRAY_BINS = 59, 64


def lbp_histogram(gray_levels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Normalized histogram (59,) of the uniform local binary patterns of the lung pixels (Zhang 2004, Ojala 2002).

    A pattern states which of the 8 neighbors at radius 1 are at least as bright as the pixel. The 58 patterns with at
    most two transitions have a bin each; all others share the last. Diagonal neighbors are interpolated. Deviation from
    Zhang 2004: one histogram over the lungs instead of one per image block, because the paper names 59 bins.

    Args:
        gray_levels: (H, W) uint8.
        lungs: (H, W) bool; without lung pixels the histogram is 0.
    """
    patterns = local_binary_pattern(gray_levels, 8, 1, method="nri_uniform")[lungs].astype(int)
    return _histogram(patterns, LBP_BINS)


def gray_histogram(gray_levels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Normalized histogram (64,) of the gray levels 0-3, ..., 252-255 of the lung pixels (section 5.1).

    Args:
        gray_levels: (H, W) uint8.
        lungs: (H, W) bool; without lung pixels the histogram is 0.
    """
    return _histogram(gray_levels[lungs] // 4, GRAY_BINS)


def _histogram(values: np.ndarray, bins: int) -> np.ndarray:
    return np.bincount(values, minlength=bins) / max(1, len(values))


def slice_features(feature: Feature, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray,
                   task: Task, progress: Progress = lambda *_: None) -> np.ndarray:  # fmt: skip
    """Features (n, F) of the plain views of the slices at the indices ``order``; F is 0 where there are none."""
    views = Views(regions, samples, order, task.size, task.config, lungs=True)
    rows = []
    for i in range(len(views)):
        gray_levels, lungs = views[i][0].numpy()
        rows.append(feature(gray_levels, lungs > 127))  # the mask is resampled like the gray_levels
        progress((i + 1) / len(views), f"Features of slice {i + 1} of {len(views)}")
    return np.array(rows) if rows else np.zeros((0, 0))
