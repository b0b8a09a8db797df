"""Are these values Hounsfield units? Brings any array to int16 HU or says why it cannot.

A chest CT shows air: outside the patient and in the lungs. Values without air are an MR, a mask, a
picture, or a CT that was stored with an offset; the last of these is recognized and corrected.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

PADDING = -1024  # scanners fill the corners with -1024, -2000 or -3024: all count as this
GREATEST = 32767  # metal, on scanners with an extended scale; what int16 holds
OFFSET = 1024  # of CTs whose values were stored without their intercept
AIR = -500  # nothing but air and lung lies below
SAMPLE = 2_000_000  # voxels that are enough to judge a distribution


def to_int16(slices: Iterable[np.ndarray], shape: tuple[int, int, int], label: str) -> np.ndarray:
    """Consecutive blocks of slices (n, J, I) of any numeric type -> (K, J, I) int16, rounded.

    Block by block, so that a volume of floats is never held twice. ValueError on NaN and infinity.
    """
    array = np.empty(shape, dtype=np.int16)
    start = 0
    for block in slices:
        start = _fill(array, start, block, label)
    return array


def _fill(array: np.ndarray, start: int, block: np.ndarray, label: str) -> int:
    for offset, values in enumerate(block):
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{label} holds voxels that are not numbers (NaN or infinite): "
                    "replace them, for example by -1024, and try again."
                )
            values = np.rint(values)
        elif values.dtype.kind not in "iu":
            raise ValueError(f"{label} does not hold plain numbers, so it is not a CT.")
        array[start + offset] = np.clip(values, *_limits(values.dtype))
    return start + len(block)


def _limits(dtype: np.dtype) -> tuple[int, int]:
    """Least and greatest HU that are kept, as far as the stored type can hold them."""
    if dtype.kind == "f":
        return PADDING, GREATEST
    return max(PADDING, int(np.iinfo(dtype).min)), min(GREATEST, int(np.iinfo(dtype).max))


def check_hounsfield(array: np.ndarray, label: str, may_have_offset: bool = True) -> list[str]:
    """Warnings about (K, J, I) int16 values; corrects a forgotten intercept in place.

    Raises ValueError where the values cannot be those of a CT.
    """
    low, high = int(array.min()), int(array.max())
    if low == high:
        raise ValueError(f"{label} holds a single value everywhere ({low}), so there is nothing to analyze.")
    sample = _sample(array)
    inside = sample[sample > PADDING]
    if inside.size and np.mean(inside <= AIR) >= 0.005 and np.mean(inside > 2000) <= 0.05:
        return []
    if may_have_offset and _has_offset(inside):
        for values in array:  # slice by slice: no second volume
            np.maximum(values, PADDING + OFFSET, out=values)
            values -= OFFSET
        return [f"Values were stored with an offset: {OFFSET} was subtracted to get Hounsfield units."]
    if low >= 0 and high <= 255:
        raise ValueError(
            f"{label} holds gray values from {low} to {high}, not Hounsfield units: "
            "give the original CT, or its slices as PNG or JPEG pictures."
        )
    raise ValueError(
        f"{label} does not hold Hounsfield units (values run from {low} to {high}, hardly any is "
        "that of air): it may be an MR or a rescaled CT; give the original CT."
    )


def _has_offset(values: np.ndarray) -> bool:
    """Whether values minus 1024 are a CT's: air near 0, soft tissue in a narrow band at 1024, and bone."""
    if not values.size or values.min() < -200:
        return False
    hu = values.astype(np.int32) - OFFSET
    body = hu[hu > -300]
    air = np.mean(hu <= -800)
    if not 0.02 <= air <= 0.98 or body.size < 0.02 * hu.size:
        return False
    soft = np.mean(np.abs(body) <= 200)
    bone = np.mean(body > 250)
    return bool(soft >= 0.7 and abs(np.median(body)) <= 150 and bone >= 0.002)


def _sample(array: np.ndarray) -> np.ndarray:
    """Evenly spread voxels, at most about SAMPLE of them."""
    step = max(1, int(np.ceil((array.size / SAMPLE) ** 0.5)))
    return array[:, ::step, ::step].ravel()
