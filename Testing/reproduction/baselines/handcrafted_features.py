"""Features made by hand over the lung pixels of a slice: local binary patterns and gray levels (section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from LesionAnalysisTrainingLib.data_loading import Views
from LesionAnalysisTrainingLib.dataset import Prepared, Sample
from skimage.feature import local_binary_pattern

from .baseline import Progress, Task

Feature = Callable[[np.ndarray, np.ndarray], np.ndarray]
LBP_BINS, GRAY_BINS = 59, 64


def lbp_histogram(gray_levels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Shares (59,) of the uniform local binary patterns among the lung pixels (Zhang 2004, after Ojala 2002).

    A pattern says which of the 8 neighbors at radius 1 are at least as bright as the pixel. 58 patterns change at most
    twice around the circle and have a bin each; all others share the last. Diagonal neighbors lie on the circle, so
    that their gray is interpolated. Deviation from Zhang 2004: one histogram over the lungs, not one for each block of
    a face, since the paper names 59 bins and lungs have no fixed blocks.

    Args:
        gray_levels: (H, W) uint8.
        lungs: (H, W) bool; without any lung pixel all shares are 0.
    """
    patterns = local_binary_pattern(gray_levels, 8, 1, method="nri_uniform")[lungs].astype(int)
    return _shares(patterns, LBP_BINS)


def gray_histogram(gray_levels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Shares (64,) of the gray levels 0-3, 4-7, ..., 252-255 among the lung pixels ("64 bins gray-scale histogram").

    Args:
        gray_levels: (H, W) uint8.
        lungs: (H, W) bool; without any lung pixel all shares are 0.
    """
    return _shares(gray_levels[lungs] // 4, GRAY_BINS)


def _shares(values: np.ndarray, bins: int) -> np.ndarray:
    return np.bincount(values, minlength=bins) / max(1, len(values))


def slice_features(feature: Feature, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray,
                   task: Task, progress: Progress = lambda *_: None) -> np.ndarray:  # fmt: skip
    """Features (n, F) of the plain views of the slices at the indices ``order``; F is 0 where there are none."""
    views = Views(pictures, samples, order, task.size, task.config, lungs=True)
    rows = []
    for i in range(len(views)):
        gray_levels, lungs = views[i][0].numpy()
        rows.append(feature(gray_levels, lungs > 127))  # the mask is resampled like the gray_levels
        progress((i + 1) / len(views), f"Features of slice {i + 1} of {len(views)}")
    return np.array(rows) if rows else np.zeros((0, 0))
