"""Weights as 8-bit integers with one scale per output channel, and back.

    stored = quantize(arrays)  # {"conv.weight": int8, "scale/conv.weight": float32, "bn.bias": float32}
    arrays = dequantize(stored)  # float32 again

Three things keep the network's answers where they were. The scale of each channel is the one with the
least squared error, not simply the largest weight over 127. Rounding is balanced: what reaches a
convolution went through a ReLU and so has a mean, hence the rounding errors of a kernel, and those of
a channel, must cancel rather than add up to a shift of the whole output. And what shift is left on
real slices, ``correct_means`` takes out of the biases and batch norms, which stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 127  # symmetric: -127..127
SCALE = "scale/"  # name of a tensor's scales: this and the tensor's own name
_MIN_WEIGHTS = 16384  # smaller tensors (first convolution, score layers) cost nothing as they are
_MIN_PER_CHANNEL = 32  # nor is there much to gain from depthwise kernels of nine weights
_CLIPS = np.linspace(1.0, 0.7, 13, dtype=np.float32)


def quantize(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every large weight of ``arrays`` as int8 with its scales; all else as float32 or its own integers.

    Raises:
        ValueError: a weight is not finite (the training diverged).
    """
    stored: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        if np.issubdtype(array.dtype, np.integer):
            stored[name] = array
            continue
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"The network cannot be stored: {name} holds values that are no finite numbers.")
        if is_large(array):
            stored[name], stored[SCALE + name] = quantize_weight(array)
        else:
            stored[name] = array
    return stored


def dequantize(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of ``quantize``: float32 weights by name."""
    arrays = {}
    for name, array in stored.items():
        if name.startswith(SCALE):
            continue
        scales = stored.get(SCALE + name)
        if scales is not None:
            array = array * scales.reshape(-1, *[1] * (array.ndim - 1))
        arrays[name] = array
    return arrays


def is_large(array: np.ndarray) -> bool:
    """Whether a tensor (outputs, ...) is worth 8-bit storage."""
    return array.ndim >= 2 and array.size >= _MIN_WEIGHTS and array[0].size >= _MIN_PER_CHANNEL


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` (outputs, ...) float32 as int8 of the same shape and scales (outputs,) float32.

    ``integers * scale`` is within one scale of every weight that was not clipped, and its sum over a
    channel within half a scale.
    """
    rows = weight.reshape(len(weight), -1)
    scales = _best_scales(rows)
    exact = rows / scales[:, None]
    integers = np.clip(np.rint(exact), -LEVELS, LEVELS)
    if weight.ndim == 4 and weight[0, 0].size > 1:
        kernels = (-1, weight[0, 0].size)
        integers = _balance(exact.reshape(kernels), integers.reshape(kernels)).reshape(rows.shape)
    integers = _balance(exact, integers)
    return integers.astype(np.int8).reshape(weight.shape), scales


def _best_scales(rows: np.ndarray) -> np.ndarray:
    """For each row the scale, 0.7 to 1 times max / 127, of the least squared error."""
    largest = np.abs(rows).max(1)
    largest[largest == 0] = 1.0  # a dead channel: any scale keeps its zeros
    best, least = np.zeros_like(largest), np.full_like(largest, np.inf)
    for clip in _CLIPS:
        scales = clip * largest / LEVELS
        rounded = np.clip(np.rint(rows / scales[:, None]), -LEVELS, LEVELS) * scales[:, None]
        error = np.square(rounded - rows).sum(1)
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def _balance(exact: np.ndarray, integers: np.ndarray) -> np.ndarray:
    """Round as many weights of each row the other way as bring the sum of errors to within one half.

    Those go first that were closest to the other side anyway; clipped ones stay.
    """
    error = exact - integers
    surplus = np.rint(error.sum(1))[:, None]
    error[np.abs(integers) == LEVELS] = 0.0
    order, count = np.argsort(-error, axis=1), error.shape[1]
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(count)[None], axis=1)
    up, down = rank < surplus, count - 1 - rank < -surplus
    return np.clip(integers + up - down.astype(np.float32), -LEVELS, LEVELS)


@torch.no_grad()
def correct_means(rounded: nn.Module, exact: nn.Module, images: Tensor) -> None:
    """Shift biases and running means of ``rounded``, in place, until its channels have ``exact``'s means.

    Layer after layer in one forward pass: each is corrected before its output goes on to the next.

    Args:
        rounded: network with rounded weights, in evaluation mode.
        exact: the same network with its own weights, in evaluation mode.
        images: (N, 1, H, W) slices of the kind the network is for.
    """
    means: dict[str, Tensor] = {}
    hooks = []
    for name, layer in _shiftable(exact):
        if isinstance(layer, nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(_keep_offset(means, name)))
        else:
            hooks.append(layer.register_forward_hook(_keep_mean(means, name)))
    _run_and_remove(exact, images, hooks)
    hooks = []
    for name, layer in _shiftable(rounded):
        if isinstance(layer, nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(_shift_norm(means[name])))
        else:
            hooks.append(layer.register_forward_hook(_shift_bias(means[name])))
    _run_and_remove(rounded, images, hooks)


def _run_and_remove(network: nn.Module, images: Tensor, hooks: list) -> None:
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()


def _shiftable(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in network.named_modules():
        has_bias = isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None
        if has_bias or isinstance(layer, nn.BatchNorm2d):
            yield name, layer


def _channel_mean(x: Tensor) -> Tensor:
    return x.mean((0, 2, 3)) if x.ndim == 4 else x.mean(0)


def _keep_mean(means: dict[str, Tensor], name: str):
    def hook(_layer: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> None:
        means[name] = _channel_mean(output)

    return hook


def _keep_offset(offsets: dict[str, Tensor], name: str):
    def hook(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        offsets[name] = _channel_mean(inputs[0]) - layer.running_mean

    return hook


def _shift_norm(offset: Tensor):
    def hook(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        layer.running_mean.copy_(_channel_mean(inputs[0]) - offset)

    return hook


def _shift_bias(mean: Tensor):
    def hook(layer: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> Tensor:
        shift = _channel_mean(output) - mean
        layer.bias -= shift
        return output - shift.reshape(-1, *[1] * (output.ndim - 2))

    return hook
