"""Data types, and values that are not HU."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from .base import EITHER, GOOD, REJECTED, add, changed, chest, save


def typed(dtype: str, suffix: str, folder: Path) -> Path:
    values = chest().astype(dtype) if np.dtype(dtype).kind != "u" else (chest() + 1024).clip(0).astype(dtype)
    return save(values, folder, f"ct{suffix}")


def padded(value: int, hu: np.ndarray) -> np.ndarray:
    rows, columns = np.ogrid[:96, :96]
    hu[:, (rows - 47.5) ** 2 + (columns - 47.5) ** 2 > 47**2] = value
    return hu


def with_value(value: float, hu: np.ndarray) -> np.ndarray:
    hu = hu.astype(np.float32)
    hu[10, 40:44, 40:44] = value
    return hu


def metal(hu: np.ndarray) -> np.ndarray:
    hu[8:12, 45:50, 60:64] = 30000
    hu[8:12, ::7, 60:64] = -1024  # streaks
    return hu


for dtype, suffix in product(("int16", "int32", "float32", "float64", "int64"), (".nii.gz", ".nrrd")):
    if (dtype, suffix) != ("int64", ".nrrd"):
        add(f"stored as {dtype} {suffix}", partial(typed, dtype, suffix))
for dtype in ("uint16", "uint32"):
    add(f"stored as {dtype} without the rescale intercept", partial(typed, dtype, ".nii.gz"), GOOD, "1024")
add("stored as int8", lambda f: save((chest() // 16).astype(np.int8), f), REJECTED)
add("stored as uint8", lambda f: save(((chest() + 1024) // 16).clip(0, 255).astype(np.uint8), f), REJECTED)
for value in (-3024, -2000, -1024, -32768):
    add(f"padding of {value}", partial(changed, partial(padded, value)))
for value in (float("nan"), float("inf"), -float("inf")):
    add(f"a region of {value}", partial(changed, partial(with_value, value)), REJECTED)
add("metal", partial(changed, metal))
add("a single value everywhere", partial(changed, lambda hu: hu * 0 - 1000), REJECTED)
add("water", partial(changed, lambda hu: hu * 0), REJECTED)
add("noise", lambda f: save(np.random.default_rng(0).integers(-1000, 1000, (20, 96, 96)).astype(np.int16), f), EITHER)
add("HU times 1000", lambda f: save(chest().astype(np.float32) * 1000, f), REJECTED)
add("intensities of 0 to 1", lambda f: save((chest() + 1024).astype(np.float32) / 4096, f), REJECTED)
add("MR-like intensities", lambda f: save((chest().astype(np.int32) + 1200).clip(0).astype(np.int16) // 3, f), EITHER)
