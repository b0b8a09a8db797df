"""Out-of-distribution check: how far an input is from the training data.

The channel means of C3 describe textures. Over chest CTs they vary along few directions (window, noise, share of lung),
so the distance is the residual of a principal component analysis (Jackson and Mudholkar 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .folder import STATISTICS_LEVEL

_COMPONENTS = 16


def channel_means(maps: Sequence[Tensor]) -> np.ndarray:
    """(N, K) float32 means of C3, the first of the backbone's ``maps`` (N, K, h, w)."""
    return maps[0].mean((2, 3), dtype=torch.float32).cpu().numpy()


def input_statistics(means: np.ndarray, held_out: np.ndarray, quantile: float = 0.99) -> dict[str, Any]:
    """Statistics of the training data for ``is_out_of_distribution``, as plain values for JSON.

    Args:
        means: (n, K) channel means of training slices.
        held_out: (m, K) those of validation slices, which set the limit.
        quantile: share of the validation slices below the limit.
    """
    mean, deviation = means.mean(0), np.maximum(means.std(0), 1e-3)
    _, _, directions = np.linalg.svd((means - mean) / deviation, full_matrices=False)
    count = min(_COMPONENTS, len(means) // 8)  # as many components as slices would leave no residual
    statistics = {
        "level": STATISTICS_LEVEL, "mean": np.round(mean, 5).tolist(), "deviation": np.round(deviation, 5).tolist(),
        "components": np.round(directions[:count], 5).tolist(),
    }  # fmt: skip
    return statistics | {"limit": float(np.quantile(distances(held_out, statistics), quantile))}


def is_out_of_distribution(means: Sequence[np.ndarray], statistics: Mapping[str, Any] | None) -> bool:
    """True where the median slice is farther from the training data than nearly all validation slices.

    ``means`` are (n, K), of ``channel_means``. False without slices or statistics.
    """
    if statistics is None or not len(means):
        return False
    return bool(np.median(distances(np.asarray(means), statistics)) > statistics["limit"])


def distances(means: np.ndarray, statistics: Mapping[str, Any]) -> np.ndarray:
    """Root mean square of the residual of the standardized channels (n, K): (n,), 0 to about 1."""
    mean, deviation = np.asarray(statistics["mean"]), np.asarray(statistics["deviation"])
    standardized = (np.asarray(means, float) - mean) / deviation
    components = np.asarray(statistics["components"]).reshape(-1, len(mean))  # there may be none
    explained = ((standardized @ components.T) ** 2).sum(1)
    return np.sqrt(np.maximum((standardized**2).sum(1) - explained, 0) / len(mean))
