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

_UNCHANGED = slice(None)
_REVERSED = slice(None, None, -1)


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
    for flip in product((False, True), repeat=3):
        if np.allclose(current @ _flipped(flip, last), stored, atol=1e-3):
            return np.array(stored), tuple(_REVERSED if one else _UNCHANGED for one in flip[::-1])
    return None


def analyzed_slices(nodes: SceneNodes) -> AxialView:
    """The LAM as axial slices, counted as the analysis counted them."""
    matrix, flips = analyzed_grid(nodes) or (ijk_to_ras(nodes.lam), (_UNCHANGED,) * 3)
    return AxialView(voxels(nodes.lam)[flips], matrix)


def _flipped(flip: tuple[bool, ...], last: np.ndarray) -> np.ndarray:
    """(4, 4) from an index counted in the opposite direction along some axes to the index itself."""
    matrix = np.diag([*np.where(flip, -1.0, 1.0), 1.0])
    matrix[:3, 3] = np.where(flip, last, 0)
    return matrix
