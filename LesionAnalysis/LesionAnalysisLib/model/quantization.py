"""Large weights as 8-bit integers with one scale per output channel, and back.

    stored = quantize(arrays)  # {"conv.weight": int8, "scale/conv.weight": float32, "bn.bias": float32}
    arrays = dequantize(stored)  # float32 again

Three measures keep the outputs of the network. The scale of each channel is that of the least squared error, not simply
the largest weight over 127. Rounding is balanced: the input of a convolution went through a ReLU and has a positive
mean, so the rounding errors of a kernel, and those of a channel, must cancel rather than shift the whole output. And
the weights of the first layers, a twentieth of a ResNet-50 but the source of most of the error, are 16-bit floats.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LEVELS = 127  # symmetric: -127..127
SCALE = "scale/"  # prefix of the name of a tensor's scales
_MIN_WEIGHTS = 200_000  # smaller tensors, such as ResNet-50's layer1 and layer2, are floats
_MIN_HALF = 16384  # floats of 16 bits from this size on
_HALF_RANGE = np.finfo(np.float16).min, np.finfo(np.float16).max
_CLIPS = np.linspace(1.0, 0.7, 13, dtype=np.float32)


def quantize(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Large weights of ``arrays`` as int8 with scales, small ones as floats, integers as they are.

    Raises ValueError where a weight is not finite (the training diverged).
    """
    stored: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            stored[name] = array
            continue
        if not np.isfinite(array).all():
            raise ValueError(f"The network cannot be stored: {name} has values that are not finite.")
        array = array.astype(np.float32)
        if array.ndim < 2 or array.size < _MIN_HALF:
            stored[name] = array
        elif array.size < _MIN_WEIGHTS:
            stored[name] = np.clip(array, *_HALF_RANGE).astype(np.float16)
        else:
            stored[name], stored[SCALE + name] = quantize_weight(array)
    return stored


def dequantize(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of ``quantize``: float32 weights by name.

    Raises ValueError where scales do not fit their weights or a weight is not finite.
    """
    arrays = {}
    for name, array in stored.items():
        if name.startswith(SCALE):
            continue
        scales = stored.get(SCALE + name)
        if scales is None:
            array = array.astype(np.float32) if array.dtype == np.float16 else array
        elif scales.shape != array.shape[:1]:
            raise ValueError(f"The scales of {name} do not fit it.")
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # an error below
                array = array * scales.reshape(-1, *[1] * (array.ndim - 1))
        if not np.isfinite(array).all():
            raise ValueError(f"The network cannot be used: {name} has values that are not finite.")
        arrays[name] = array
    return arrays


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` (outputs, ...) float32 as int8 of the same shape and scales (outputs,) float32.

    ``integers * scale`` differs by less than one scale from every weight that was not clipped, and by less than half a
    scale in the sum over a channel.
    """
    rows = weight.reshape(len(weight), -1)
    scales = _best_scales(rows)
    exact = rows / scales[:, None]
    integers = np.clip(np.rint(exact), -LEVELS, LEVELS)
    if weight.ndim == 4 and weight[0, 0].size > 1:
        kernels = (-1, weight[0, 0].size)
        integers = _balance(exact.reshape(kernels), integers.reshape(kernels)).reshape(rows.shape)
    return _balance(exact, integers).astype(np.int8).reshape(weight.shape), scales


def _best_scales(rows: np.ndarray) -> np.ndarray:
    """For each row the scale, 0.7 to 1 times max / 127, with the least squared error."""
    largest = np.abs(rows).max(1)
    largest[largest == 0] = 1.0  # a channel of zeros: any scale will do
    best, least = np.zeros_like(largest), np.full_like(largest, np.inf)
    for clip in _CLIPS:
        scales = clip * largest / LEVELS
        rounded = np.clip(np.rint(rows / scales[:, None]), -LEVELS, LEVELS) * scales[:, None]
        error = np.square(rounded - rows).sum(1)
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def _balance(exact: np.ndarray, integers: np.ndarray) -> np.ndarray:
    """Round as many weights of each row the other way as make the sum of errors at most one half.

    Weights closest to the other side go first; clipped ones stay.
    """
    error = exact - integers
    surplus = np.rint(error.sum(1))[:, None]
    error[np.abs(integers) == LEVELS] = 0.0
    order, count = np.argsort(-error, axis=1), error.shape[1]
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(count)[None], axis=1)
    up, down = rank < surplus, count - 1 - rank < -surplus
    return np.clip(integers + up - down.astype(np.float32), -LEVELS, LEVELS)
