"""ResNets of an eighth of the width under the name resnet18, for fast tests of what surrounds the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from helpers_analyzer import random_clusters, small_bundle
from LesionAnalysisLib.network import backbones, fecnn
from torch import nn


class ThinResNet(backbones.ResNet):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self._channels = 8
        for number, width in enumerate((8, 16, 32, 64), 1):
            setattr(self, f"layer{number}", self._stage(backbones.BasicBlock, width, 1, 1 if number == 1 else 2))
        self.channels = (16, 32, 64)


@contextmanager
def thin_networks() -> Iterator[None]:
    """Every resnet18 created or loaded within the context is thin."""
    before = backbones.BACKBONES["resnet18"], fecnn.WIDTH
    backbones.BACKBONES["resnet18"], fecnn.WIDTH = ThinResNet, 16
    try:
        yield
    finally:
        backbones.BACKBONES["resnet18"], fecnn.WIDTH = before


def thin_bundle(folder):
    """``helpers_analyzer.small_bundle`` with a thin network."""
    with thin_networks():
        return small_bundle(folder, clusters=random_clusters(64))
