"""The last block of a backbone without its stride: C5 on the grid of C4, from the same weights.

The "algorithme a trous" (Holschneider 1989; in networks: Chen 2015, section 3.1): where a block no longer skips every
second position, its later kernels, spread to every second one, see what they saw before. The even positions keep
their values, those between are new.
"""

from __future__ import annotations

import copy

from torch import nn


def without_stride(block: nn.Module) -> nn.Module:
    """A copy of ``block`` that keeps the size of its input; it shares its tensors with the block.

    At even positions it gives what the block gives, at the borders, too. For blocks with one stride of 2, on whatever
    path, whose layers are declared in the order in which they compute (those of ``backbones.py``).
    """
    tensors = (*block.parameters(), *block.buffers())
    fine = copy.deepcopy(block, {id(tensor): tensor for tensor in tensors})
    _spread(fine, strided=False)
    return fine


def _spread(module: nn.Module, strided: bool) -> bool:
    """Take the strides from the layers of ``module``, and spread kernels behind one; True once one was met."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.stride, strided = (1, 1), True
        elif isinstance(layer, nn.Conv2d) and strided:
            layer.dilation, layer.padding = (2, 2), tuple(2 * p for p in layer.padding)
        elif isinstance(layer, nn.MaxPool2d):
            module._modules[name], strided = _every_position(layer), True
        else:
            strided = _spread(layer, strided)
    return strided


def _every_position(pool: nn.MaxPool2d) -> nn.Module:
    """Max pooling at stride 1. An even kernel looks ahead: a line of zeros, less than what a ReLU lets through."""
    ahead = 1 - pool.kernel_size % 2
    return nn.Sequential(nn.ZeroPad2d((0, ahead, 0, ahead)), nn.MaxPool2d(pool.kernel_size, 1, pool.padding))
