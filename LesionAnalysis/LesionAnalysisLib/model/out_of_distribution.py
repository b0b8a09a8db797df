"""Whether the model knows such pictures: how far they lie from what it was trained on.

The channel means of C3 tell textures. Over chest CTs they vary along few directions (window, noise, share of lung), so
the distance is what those directions leave unexplained: the residual of a principal component analysis (Jackson and
Mudholkar 1979). ``Testing/reproduction/unlike_inputs.py`` holds it against other levels and distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEVELS = ("c3", "c4", "c5")
_COMPONENTS = 16


def channel_means(maps: Sequence[Tensor], statistics: Mapping[str, Any] | None = None) -> np.ndarray:
    """(N, K) float32 means of the map of C3, C4, C5 (N, K, h, w) that ``statistics`` speak of; C3 without any."""
    level = "c3" if statistics is None else statistics.get("level", "c5")  # models of before say no level
    return maps[_LEVELS.index(level)].mean((2, 3), dtype=torch.float32).cpu().numpy()


def input_statistics(means: np.ndarray, held_out: np.ndarray, quantile: float = 0.99) -> dict[str, Any]:
    """What slices of the training data look like to the network, for ``unlike_training``; plain values for JSON.

    Args:
        means: (n, K) channel means of training slices.
        held_out: (m, K) those of validation slices, which set the limit.
        quantile: share of the validation slices that lies below the limit.
    """
    mean, deviation = means.mean(0), np.maximum(means.std(0), 1e-3)
    _, _, directions = np.linalg.svd((means - mean) / deviation, full_matrices=False)
    count = min(_COMPONENTS, len(means) // 8)  # of few slices, as many would explain everything
    statistics = {
        "level": "c3", "mean": np.round(mean, 5).tolist(), "deviation": np.round(deviation, 5).tolist(),
        "components": np.round(directions[:count], 5).tolist(),
    }  # fmt: skip
    return statistics | {"limit": float(np.quantile(distances(held_out, statistics), quantile))}


def unlike_training(means: Sequence[np.ndarray], statistics: Mapping[str, Any] | None) -> bool:
    """True where the median slice lies farther from the training data than nearly all validation slices.

    ``means`` are (n, K) as of ``channel_means``. Without slices or statistics nothing is said: False.
    """
    if not statistics or not len(means):
        return False
    return bool(np.median(distances(np.asarray(means), statistics)) > statistics["limit"])


def distances(means: np.ndarray, statistics: Mapping[str, Any]) -> np.ndarray:
    """Root mean square of what the components leave of the standardized channels (n, K): (n,), 0 to about 1."""
    mean, deviation = np.asarray(statistics["mean"]), np.asarray(statistics["deviation"])
    standardized = (np.asarray(means, float) - mean) / deviation
    left = (standardized**2).sum(1)
    if statistics.get("components"):
        left = left - ((standardized @ np.asarray(statistics["components"]).T) ** 2).sum(1)
    return np.sqrt(np.maximum(left, 0) / standardized.shape[1])
