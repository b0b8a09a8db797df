"""Axes, directions, spacing and number of slices."""

from __future__ import annotations

from functools import partial
from itertools import permutations, product
from pathlib import Path

import numpy as np
from helpers_volume import patch
from scipy import ndimage

from .base import EITHER, GOOD, REJECTED, SPACING, add, chest, save

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def reordered(order: tuple[int, ...], signs: tuple[int, ...], folder: Path) -> Path:
    """The chest with its axes stored in another order and direction."""
    direction = np.zeros((3, 3))
    array = chest().transpose([2 - order[2 - k] for k in range(3)])  # array axes are K, J, I
    for stored, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        direction[axis, stored] = sign
        if sign < 0:
            array = np.flip(array, 2 - stored)
    return save(array, folder, spacing=SPACING[list(order)], direction=direction)


def matrix_of(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    matrix = np.zeros((3, 3))
    for stored, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[axis, stored] = sign * SPACING[axis]
    return _LPS_TO_RAS @ matrix


def rotation(degrees: float, axes: tuple[int, int]) -> np.ndarray:
    matrix, (i, j) = np.eye(3), axes
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def forms_disagree(folder: Path) -> Path:
    """sform and qform differ: the sform is used, as in Slicer."""
    path = save(chest(), folder, "ct.nii")
    patch(path, 280, "<12f", -3.6, 0, 0, 7, 0, -3.6, 0, 8, 0, 0, 15, 9)
    patch(path, 254, "<h", 1)
    return path


def resliced(count: int, folder: Path, side: int = 96, name: str = "ct.nii.gz") -> Path:
    """The chest in ``count`` slices of ``side`` rows and columns."""
    zoom = (count / 20, side / 96, side / 96)
    array = ndimage.zoom(chest(), zoom, order=0)
    return save(array, folder, name, spacing=SPACING / np.array(zoom)[::-1])


def scaled(factors: tuple[float, float, float], folder: Path) -> Path:
    return save(chest(), folder, spacing=SPACING * np.array(factors))


for order in permutations(range(3)):
    for signs in product((1, -1), repeat=3):
        letters = "".join("LPS"[a] if s > 0 else "RAI"[a] for a, s in zip(order, signs, strict=True))
        add(f"axes stored as {letters}", partial(reordered, order, signs), GOOD, "", matrix_of(order, signs))
for degrees, axes in ((5, (0, 1)), (20, (0, 2)), (20, (1, 2)), (40, (0, 1))):
    add(f"rotated by {degrees} degrees in {axes}",
        lambda f, d=degrees, a=axes: save(chest(), f, direction=rotation(d, a)),
        GOOD, "", _LPS_TO_RAS @ rotation(degrees, axes) @ np.diag(SPACING))  # fmt: skip
add("sform differs from qform", forms_disagree, GOOD, "", np.diag([-3.6, -3.6, 15.0]))
for count in (1, 2, 3, 7):
    add(f"{count} slices", lambda f, n=count: save(chest()[9:9 + n], f))
add("2000 slices", lambda f: resliced(2000, f, 48))
add("slices of 1024 x 1024", lambda f: resliced(4, f, 1024))
add("slices of 0.3 mm", lambda f: resliced(1000, f, 64))
add("slices of 10 mm", lambda f: resliced(30, f))
add("pediatric, half the size", partial(scaled, (0.5, 0.5, 0.5)))
add("a very large body", partial(scaled, (1.3, 1.3, 1.2)))
add("a mouse, a tenth of the size", partial(scaled, (0.08, 0.08, 0.08)), EITHER)
add("only two axes", lambda f: save(chest()[10], f), EITHER)
add("a fourth axis of length five", lambda f: save(np.stack([chest()[:4]] * 5), f), REJECTED)
add("color voxels", lambda f: save(np.stack([chest()[:4]] * 3, -1).astype(np.int16), f, isVector=True), REJECTED)
