"""What an odd input is, and the small synthetic chest from which volumes are made, so that all is made in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from LesionAnalysisLib.phantom import make_phantom

GOOD, REFUSED, EITHER = "good", "refused", "either"
SPACING = np.array([3.6, 3.6, 15.0])


@dataclass(frozen=True)
class Odd:
    """One input.

    write: puts it into a folder and gives the path to analyze.
    ends: ``GOOD``: a result; ``REFUSED``: one sentence; ``EITHER``, where damage may go unnoticed by any reader.
    says: a pattern in the warnings of a result, or in the sentence.
    matrix: the IJK-to-RAS matrix that the result must have, where it is known beforehand.
    """

    write: Callable[[Path], Path]
    ends: str = GOOD
    says: str = ""
    matrix: np.ndarray | None = None


INPUTS: dict[str, Odd] = {}


def add(name: str, write: Callable[[Path], Path], ends: str = GOOD, says: str = "", matrix=None) -> None:
    assert name not in INPUTS, name
    INPUTS[name] = Odd(write, ends, says, matrix)


@cache
def chest() -> np.ndarray:
    """(K, J, I) int16 HU with lesions, from feet to head, right to left and front to back as in LPS."""
    return make_phantom((20, 96, 96), tuple(SPACING)).ct.array


def save(array: np.ndarray, folder: Path, name: str = "ct.nii.gz", spacing=SPACING, direction=None, **keys) -> Path:
    """A file of the array (K, J, I) by SimpleITK; spacing and direction are those of LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), **keys)
    image.SetSpacing([float(s) for s in spacing][: image.GetDimension()])
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    sitk.WriteImage(image, str(folder / name))
    return folder / name


def of(change: Callable[[np.ndarray], np.ndarray], folder: Path, **keys) -> Path:
    return save(change(chest().copy()), folder, **keys)
