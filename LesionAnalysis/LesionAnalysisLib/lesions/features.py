"""The features by which lesions are clustered: the network's activations, or percentiles of density.

    profiles = density_profiles(piece.image, regions, piece.scale)     # (n, 5), one row per lesion

Density is not in the paper. Clusters of it agree better with the lesion types that radiologists segment than clusters
of the network's features do, since the network was not trained to tell lesion types apart (docs/evidence.md).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .regions import Regions

PERCENTILES = (10, 25, 50, 75, 90)


def peak_features(activations: np.ndarray, regions: Regions) -> np.ndarray:
    """The network's features of lesions: the activations at their peaks (equation 9).

    Args:
        activations: (K, h, w) of the backbone's last block, on any grid over the regions' crop; an array, or a torch
            tensor, which gives a tensor.

    Returns:
        (n, K), one row per region.
    """
    (h, w), (rows, columns) = activations.shape[1:], regions.labels.shape
    row, column = np.array([region.peak for region in regions], dtype=np.intp).reshape(-1, 2).T
    # the center of cell i of n lies at (2 i + 1) / 2 n of the crop
    return activations[:, (2 * row + 1) * h // (2 * rows), (2 * column + 1) * w // (2 * columns)].T


def density_profiles(image: np.ndarray, regions: Regions, scale: tuple[float, float]) -> np.ndarray:
    """The percentiles ``PERCENTILES`` of density within each lesion.

    Args:
        image: (size, size) uint8, the network's input (``LungSlice.image``).
        regions: the lesions, on any grid over the image.
        scale: gray levels of air and of soft tissue in the image (``LungSlice.scale``).

    Returns:
        (n, 5) float32, one row per region: 0 is air (-1000 HU; in an uncalibrated image its 0.1st percentile), 100 is
        soft tissue (40 HU; the 98th percentile).
    """
    small = np.asarray(Image.fromarray(image).resize(regions.labels.shape[::-1], Image.Resampling.BOX), np.float32)
    air, tissue = scale
    percent = 100 * (small - air) / max(tissue - air, 1.0)  # an image without contrast: no division by zero
    rows = [np.percentile(percent[regions.labels == region.number], PERCENTILES) for region in regions]
    return np.array(rows, np.float32).reshape(-1, len(PERCENTILES))
