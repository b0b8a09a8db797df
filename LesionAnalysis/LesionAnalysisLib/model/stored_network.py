"""A FeCNN as quantized arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..network.fecnn import FeCNN
from .quantization import SCALE, dequantize, quantize


def as_stored(network: FeCNN) -> FeCNN:
    """``network`` as a model folder gives it back: with its large weights in 8 bits.

    Raises:
        ValueError: a weight is not finite.
    """
    return _network(network.settings, _stored(network))


def _stored(network: FeCNN) -> dict[str, np.ndarray]:
    return quantize({name: _numpy(value) for name, value in network.state_dict().items()})


def _network(settings: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> FeCNN:
    with torch.device("meta"):  # no random start, which would take longer than reading the weights
        network = FeCNN(**settings)
    expected = network.state_dict()
    for name, array in stored.items():  # before their scales are applied: what a file claims may be huge
        if not name.startswith(SCALE) and array.shape != expected[name].shape:
            raise ValueError(f"{name} has the shape {array.shape}, not {tuple(expected[name].shape)}")
    state = {name: _tensor(array) for name, array in dequantize(stored).items()}
    if any(tensor.dtype != expected[name].dtype for name, tensor in state.items()):
        raise ValueError("a tensor holds integers in place of floats, or the other way round")
    network.load_state_dict(state, assign=True)
    return network.eval()


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.tensor(array)  # a copy: what happens to one network must not reach the next
    return tensor.float() if tensor.is_floating_point() else tensor
