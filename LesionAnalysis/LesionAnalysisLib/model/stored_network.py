"""A FeCNN as quantized arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..network.fecnn import FeCNN
from .quantization import SCALE, dequantize, quantize


def as_stored(network: FeCNN) -> FeCNN:
    """``network`` as a model folder restores it, its large weights rounded to 8 bits; raises as ``quantize`` does."""
    return restore_network(network.settings, network_arrays(network))


def network_arrays(network: FeCNN) -> dict[str, np.ndarray]:
    """The quantized weights by name; raises as ``quantize`` does."""
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    return quantize({name: (v.float() if v.is_floating_point() else v).numpy() for name, v in state.items()})


def restore_network(settings: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> FeCNN:
    """The network of these settings and quantized weights, in float32 and evaluation mode.

    Raises KeyError, RuntimeError, TypeError or ValueError where they do not describe one network.
    """
    with torch.device("meta"):  # no random initialization, which would take longer than reading the weights
        network = FeCNN(**settings)
    expected = network.state_dict()
    for name, array in stored.items():  # before scales are applied: broadcasting may grow a malformed array
        if not name.startswith(SCALE) and array.shape != expected[name].shape:
            raise ValueError(f"{name} has the shape {array.shape}, not {tuple(expected[name].shape)}")
    state = {name: _tensor(array) for name, array in dequantize(stored).items()}
    if any(tensor.dtype != expected[name].dtype for name, tensor in state.items()):
        raise ValueError("a tensor holds integers in place of floats, or the other way round")
    network.load_state_dict(state, assign=True)
    return network.eval()


def _tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.tensor(array)  # a copy: changes to one network must not reach the next
    return tensor.float() if tensor.is_floating_point() else tensor
