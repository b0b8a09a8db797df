"""Lesion types by density (section 5.3)."""

from __future__ import annotations

import numpy as np

_DENSE_HU = -300  # above it, lung is consolidated rather than ground glass


def lesion_type(hu_values: np.ndarray) -> str | None:
    """The type of a lesion by the share of its lung voxels above -300 HU (section 5.3).

    "GGO" under 10 %, "partial consolidation" for 10 to 80 %, "consolidation" over 80 %; None without voxels.
    """
    hu_values = np.asarray(hu_values)
    total, dense = hu_values.size, int(np.count_nonzero(hu_values > _DENSE_HU))
    if total == 0:
        return None
    if 10 * dense < total:  # in integers: exactly 10 % is exactly 10 %
        return "GGO"
    return "consolidation" if 10 * dense > 8 * total else "partial consolidation"
