"""Other parts of the body, and unusual chests."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from .base import EITHER, REJECTED, add, changed, chest, save


def body() -> np.ndarray:
    """(20, 96, 96) int16: a body of soft tissue in air."""
    rows, columns = np.ogrid[:96, :96]
    hu = np.full((20, 96, 96), -1000, np.int16)
    hu[:, ((rows - 48) / 34) ** 2 + ((columns - 48) / 44) ** 2 <= 1] = 40
    return hu


def abdomen(folder: Path) -> Path:
    hu = body()
    for row, column in ((40, 40), (44, 60), (52, 50)):  # bowel gas
        hu[8:12, row:row + 5, column:column + 6] = -800
    return save(hu, folder)


def head(folder: Path) -> Path:
    rows, columns = np.ogrid[:96, :96]
    radius = ((rows - 48) / 40) ** 2 + ((columns - 48) / 32) ** 2
    hu = np.full((20, 96, 96), -1000, np.int16)
    hu[:, radius <= 1] = 1200
    hu[:, radius <= 0.8] = 35
    hu[2:6, 20:28, 44:52] = -900  # a sinus
    return save(hu, folder, spacing=(2.2, 2.2, 8.0))


def knee(folder: Path) -> Path:
    rows, columns = np.ogrid[:96, :96]
    hu = np.full((20, 96, 96), -1000, np.int16)
    for column in (28, 68):
        radius = (rows - 48) ** 2 + (columns - column) ** 2
        hu[:, radius <= 18**2] = 30
        hu[:, radius <= 8**2] = 900
    return save(hu, folder, spacing=(3.0, 3.0, 8.0))


def side(hu: np.ndarray, value: int) -> np.ndarray:
    """Set the lung on one side to ``value``."""
    half = hu[:, :, 48:]
    half[(half < -300) & (chest_inside()[:, :, 48:])] = value
    return hu


@cache
def chest_inside() -> np.ndarray:
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(s > -400, iterations=2)) for s in chest()])


def arms_down(hu: np.ndarray) -> np.ndarray:
    rows, columns = np.ogrid[:96, :96]
    for column in (3, 92):
        hu[:, (rows - 50) ** 2 + (columns - column) ** 2 <= 9] = 50
    return hu


add("abdomen", abdomen, REJECTED, "lungs")
add("head", head, REJECTED, "lungs")
add("knees", knee, REJECTED, "lungs")
add("one lung removed", partial(changed, partial(side, value=20)))
add("one lung fully consolidated", partial(changed, partial(side, value=-20)))
add("contrast medium", partial(changed, lambda hu: np.where((hu > 20) & (hu < 80), hu + 300, hu).astype(np.int16)))
add("arms down", partial(changed, arms_down))
add("cut off by the field of view", lambda f: save(chest()[:, 16:80, 14:82], f))
add("upside down", partial(changed, lambda hu: hu[:, ::-1]))
add("only the bases", lambda f: save(chest()[:6], f), EITHER)
add("only air", partial(changed, lambda hu: hu * 0 - 1000 + np.indices(hu.shape)[0].astype(np.int16)), REJECTED)
