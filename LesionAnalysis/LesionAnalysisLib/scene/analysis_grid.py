"""The grid on which a CT was analyzed, which Slicer may have flipped since.

On loading, Slicer makes every volume right-handed: it reverses the order of the slices of a left-handed one (a NIfTI
in LAS, for instance). Positions in the patient stay the same, but slice 0 of the analysis is then the last of the node.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ..volume import AxialView
from .mrml import ijk_to_ras, read_attribute, voxels, write_attribute
from .scene_nodes import SceneNodes

GRID = "LesionAnalysis.Grid"  # attribute of the text node
Flips = tuple[slice, slice, slice]  # of K, J, I


def store_grid(text: Any, ct: Any) -> None:
    """Store the IJK-to-RAS matrix with the text node of an analysis."""
    write_attribute(text, GRID, ijk_to_ras(ct).tolist())


def analyzed_grid(nodes: SceneNodes) -> tuple[np.ndarray, Flips] | None:
    """(4, 4) IJK-to-RAS of the analysis, and the slices that bring today's voxels into its order.

    None if the LAM is no longer where it was made, for instance after a transform was hardened.
    """
    current = ijk_to_ras(nodes.lam)
    stored = read_attribute(nodes.analysis, GRID)
    if stored is None:
        return None
    last = np.array(nodes.lam.GetImageData().GetDimensions()) - 1  # I, J, K
    for steps in product((1, -1), repeat=3):
        flip = np.diag([*steps, 1.0])
        flip[:3, 3] = np.where(flip.diagonal()[:3] < 0, last, 0)
        if np.allclose(current @ flip, stored, atol=1e-3):
            return np.array(stored), tuple(slice(None, None, step) for step in steps[::-1])
    return None


def analyzed_slices(nodes: SceneNodes) -> AxialView:
    """The LAM as axial slices, counted as the analysis counted them."""
    matrix, flips = analyzed_grid(nodes) or (ijk_to_ras(nodes.lam), (slice(None),) * 3)
    return AxialView(voxels(nodes.lam)[flips], matrix)
