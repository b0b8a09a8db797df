"""The grid on which a CT was analyzed, for Slicer may turn it round.

On loading, Slicer makes every volume right-handed: it reverses the order of the slices of a left-handed one (a
NIfTI in LAS, say). All stays where it is in the patient, but slice 0 of the analysis is then the last of the node.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..volume import AxialView
from .mrml import ijk_to_ras, read_attribute, voxels, write_attribute

if TYPE_CHECKING:
    from .scene_nodes import SceneNodes

GRID = "LesionAnalysis.Grid"  # attribute of the text node
Flips = tuple[slice, slice, slice]  # of K, J, I

_AS_IT_IS = slice(None)
_REVERSED = slice(None, None, -1)


def keep_grid(text: Any, ct: Any) -> None:
    """Keep the IJK-to-RAS matrix with the text node of an analysis."""
    write_attribute(text, GRID, ijk_to_ras(ct).tolist())


def analyzed_grid(nodes: SceneNodes) -> tuple[np.ndarray, Flips] | None:
    """(4, 4) IJK-to-RAS of the analysis, and the slices that bring voxels of today into its order.

    None where the LAM no longer lies where it was made, for instance after a transform was hardened.
    """
    today = ijk_to_ras(nodes.lam)
    kept = read_attribute(nodes.analysis, GRID)
    if kept is None:  # results of an earlier version
        return today, (_AS_IT_IS,) * 3
    last = np.array(nodes.lam.GetImageData().GetDimensions()) - 1  # I, J, K
    for flip in product((False, True), repeat=3):
        turned = today @ _flipped(flip, last)
        if np.allclose(turned, kept, atol=1e-3):
            return np.array(kept), tuple(_REVERSED if one else _AS_IT_IS for one in flip[::-1])
    return None


def analyzed_slices(nodes: SceneNodes) -> AxialView:
    """The LAM as axial slices, counted as the analysis counted them."""
    matrix, flips = analyzed_grid(nodes) or (ijk_to_ras(nodes.lam), (_AS_IT_IS,) * 3)
    return AxialView(voxels(nodes.lam)[flips], matrix)


def _flipped(flip: tuple[bool, ...], last: np.ndarray) -> np.ndarray:
    """(4, 4) from an index counted in the other direction along some axes to the index itself."""
    matrix = np.diag([*np.where(flip, -1.0, 1.0), 1.0])
    matrix[:3, 3] = np.where(flip, last, 0)
    return matrix
