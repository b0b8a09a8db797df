"""The type of an odd input, and the small synthetic chest CT from which the volumes are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from LesionAnalysisLib.phantom import make_phantom

GOOD, REJECTED, EITHER = "good", "rejected", "either"
SPACING = np.array([3.6, 3.6, 15.0])


@dataclass(frozen=True)
class OddInput:
    """One input.

    write: writes it into a folder and returns the path to analyze.
    outcome: ``GOOD``: a result; ``REJECTED``: an error message of one sentence; ``EITHER``, if no reader can tell.
    pattern: regular expression that the warnings of a result, or the error message, must match.
    matrix: the expected IJK-to-RAS matrix of the result, if known.
    """

    write: Callable[[Path], Path]
    outcome: str = GOOD
    pattern: str = ""
    matrix: np.ndarray | None = None


INPUTS: dict[str, OddInput] = {}


def add(name: str, write: Callable[[Path], Path], outcome: str = GOOD, pattern: str = "", matrix=None) -> None:
    assert name not in INPUTS, name
    INPUTS[name] = OddInput(write, outcome, pattern, matrix)


@cache
def chest() -> np.ndarray:
    """(K, J, I) int16 HU with lesions, stored in LPS order."""
    return make_phantom((20, 96, 96), tuple(SPACING)).ct.array


def save(array: np.ndarray, folder: Path, name: str = "ct.nii.gz", spacing=SPACING, direction=None, **keys) -> Path:
    """A file of the array (K, J, I), with spacing and direction in LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), **keys)
    image.SetSpacing([float(s) for s in spacing][:image.GetDimension()])
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    sitk.WriteImage(image, str(folder / name))
    return folder / name


def changed(change: Callable[[np.ndarray], np.ndarray], folder: Path, **keys) -> Path:
    """A file of the chest after ``change``."""
    return save(change(chest().copy()), folder, **keys)
