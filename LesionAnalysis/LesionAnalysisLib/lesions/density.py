"""How dense a lesion is, between air and soft tissue: what tells ground glass from consolidation; not in the paper.

    profiles = density_profiles(piece.image, regions, piece.scale)     # (n, 5), a row for each lesion

Clusters of these numbers follow the types that radiologists draw better than clusters of the network's features do,
which no lesion type was taught to (``Testing/reproduction/RUNS.md``).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .regions import Regions

PERCENTILES = (10, 25, 50, 75, 90)
_LEAST = 1.0  # gray level between air and soft tissue: less is a picture that says nothing


def density_profiles(image: np.ndarray, regions: Regions, scale: tuple[float, float]) -> np.ndarray:
    """The densities that a tenth, a quarter, ... of each lesion's cells stay below.

    Args:
        image: (size, size) uint8, what the network saw (``LungSlice.image``).
        regions: the lesions, on any grid over the image.
        scale: gray_levels of air and of soft tissue in the image (``LungSlice.scale``).

    Returns:
        (n, 5) float32, a row per region, in percent of the way from air (-1000 HU; the darkest thousandth of a
        picture) to soft tissue (40 HU; the 98th percentile of a picture).
    """
    if not len(regions):
        return np.zeros((0, len(PERCENTILES)), np.float32)
    small = np.asarray(Image.fromarray(image).resize(regions.labels.shape[::-1], Image.Resampling.BOX), np.float32)
    dark, bright = scale
    percent = 100 * (small - dark) / max(bright - dark, _LEAST)
    rows = [np.percentile(percent[regions.labels == region.number], PERCENTILES) for region in regions]
    return np.array(rows, np.float32)
