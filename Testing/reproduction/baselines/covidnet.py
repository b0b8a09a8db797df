"""A network with COVIDNet-CT's published block design (Gunraj 2020, Front. Med. 7:608525); not COVIDNet-CT itself.

The original is the result of an architecture search; its layers were never published as code, and its files are AGPL
and not used here. Tables must name it as a network with the block design.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((96, 3), (192, 4), (384, 3))  # width and number of blocks; each stage halves the map


def _layer(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]


class Projections(nn.Module):
    """Projection to fewer channels, depthwise 3x3, second projection, and expansion beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        wide, narrow = width // 2, width // 4
        self.body = nn.Sequential(
            *_layer(inputs, wide), nn.ReLU(), *_layer(wide, wide, 3, stride, wide), nn.ReLU(),
            *_layer(wide, narrow), *_layer(narrow, width),
        )  # fmt: skip
        same = stride == 1 and inputs == width
        self.shortcut = nn.Identity() if same else nn.Sequential(*_layer(inputs, width, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class CovidNetCt(nn.Module):
    """Stem of 7x7, three stages of ``Projections``, average pooling and one linear layer.

    Deviations: numbers of blocks and channels are chosen here (Gunraj 2020 has those of the searched network); of its
    long-range connections only each block's shortcut is kept; random instead of ImageNet weights; one input channel.
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_layer(1, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        blocks, inputs = [], 64
        for width, depth in STAGES:
            for number in range(depth):
                blocks.append(Projections(inputs, width, 2 if number == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.5)
        self.decide = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))  # (N, 384, H/32, W/32)
        return self.decide(self.dropout(x.mean((2, 3))))  # (N, C)
