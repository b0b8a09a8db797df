"""Converts arrays to int16 and checks that they are in Hounsfield units.

A chest CT shows air, outside the patient and in the lungs. Values without air are those of an MR, a mask or an 8-bit
image, or of a CT stored without its rescale intercept, which is detected and corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np

_PADDING_HU = -1024  # scanners pad the corners with -1024, -2000 or -3024: all are set to this
_MAX_HU = 32767  # the limit of int16, for metal on an extended HU scale
_OFFSET_HU = 1024  # of CTs stored without their rescale intercept
_LUNG_OR_AIR_HU = -500  # only air and lung are below
_SAMPLE_VOXELS = 2_000_000  # enough to estimate the distribution


def to_int16(slices: Iterable[np.ndarray], shape: tuple[int, int, int], label: str) -> np.ndarray:
    """Consecutive blocks of slices (n, J, I) of any numeric type -> (K, J, I) int16, rounded.

    Slice by slice, so that no volume of floats is held in memory. Raises ValueError on NaN and infinity.
    """
    array = np.empty(shape, dtype=np.int16)
    for target, values in zip(array, chain.from_iterable(slices), strict=False):
        low, high = _PADDING_HU, _MAX_HU
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ValueError(f"{label} has voxels that are NaN or infinite: replace them, for example by -1024.")
            values = np.rint(values)
        elif values.dtype.kind in "iu":
            limits = np.iinfo(values.dtype)
            low, high = max(low, int(limits.min)), min(high, int(limits.max))
        else:
            raise ValueError(f"{label} does not hold integers or real numbers, so it is not a CT.")
        target[:] = np.clip(values, low, high)
    return array


def check_hounsfield(array: np.ndarray, label: str, may_have_offset: bool = True) -> list[str]:
    """Warnings about (K, J, I) int16 values; a missing rescale intercept is corrected in place.

    Raises ValueError if the values cannot be HU.
    """
    low, high = int(array.min()), int(array.max())
    if low == high:
        raise ValueError(f"{label} has a single value everywhere ({low}), so there is nothing to analyze.")
    step = max(1, int(np.ceil((array.size / _SAMPLE_VOXELS) ** 0.5)))
    sample = array[:, ::step, ::step].ravel()
    sample = sample[sample > _PADDING_HU]
    if sample.size and np.mean(sample <= _LUNG_OR_AIR_HU) >= 0.005 and np.mean(sample > 2000) <= 0.05:
        return []
    if may_have_offset and _has_offset(sample):
        for values in array:  # slice by slice, to save memory
            np.maximum(values, _PADDING_HU + _OFFSET_HU, out=values)
            values -= _OFFSET_HU
        return [f"The CT was stored without its rescale intercept: {_OFFSET_HU} was subtracted from all values."]
    if low >= 0 and high <= 255:
        raise ValueError(f"{label} has gray levels from {low} to {high}, not Hounsfield units: provide the original "
                         "CT, or its slices as PNG or JPEG images.")  # fmt: skip
    raise ValueError(f"{label} is not in Hounsfield units (values from {low} to {high}, hardly any of air): it may be "
                     "an MR or a rescaled CT; provide the original CT.")  # fmt: skip


def _has_offset(values: np.ndarray) -> bool:
    """Whether values minus 1024 are HU: air near 0, soft tissue in a narrow band around 1024, and bone."""
    if not values.size or values.min() < -200:
        return False
    hu = values.astype(np.int32) - _OFFSET_HU
    body = hu[hu > -300]
    air = np.mean(hu <= -800)
    if not 0.02 <= air <= 0.98 or body.size < 0.02 * hu.size:
        return False
    soft = np.mean(np.abs(body) <= 200)
    bone = np.mean(body > 250)
    return bool(soft >= 0.7 and abs(np.median(body)) <= 150 and bone >= 0.002)
