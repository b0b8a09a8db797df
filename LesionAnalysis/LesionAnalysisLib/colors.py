"""Colors of the report: the Jet color map of the lesion activation map, and one color per cluster."""

from __future__ import annotations

import numpy as np

# Neighbors also differ in lightness, for readers with a color vision deficiency.
_CLUSTERS = ("#ff9f1c", "#f06ce0", "#3ecbf5", "#b8ec51", "#c9a3ff", "#ffffff")


def cluster_color(number: int) -> str:
    """Color of cluster 1, 2, ... as ``#rrggbb``; they repeat after the sixth."""
    return _CLUSTERS[(number - 1) % len(_CLUSTERS)]


def jet(values: np.ndarray) -> np.ndarray:
    """Jet, as in figure 5 of the paper: 0..1 of any shape (...) -> (..., 3) float, 0..255."""
    steps = 4 * np.asarray(values, dtype=np.float64)[..., None] - np.array([3.0, 2.0, 1.0])
    return 255 * np.clip(1.5 - np.abs(steps), 0, 1)
