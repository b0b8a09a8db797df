"""Two-dimensional DeCoVNet (Wang 2020d, IEEE Trans. Med. Imag. 39:2615), which section 5.1 compares with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm, and a 1x1 convolution with batch norm as the shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class DeCoVNet(nn.Module):
    """Stem of 7x7, two residual blocks, adaptive max pooling and a progressive classifier of three convolutions.

    As in the original, the lung mask is the second channel. Deviations: slices instead of volumes, so that kernels are
    2D; section 5.1 does not specify its 2D form, so strides and the widths 16, 64, 128, 96, 48, 32 follow the published
    stages; batch norm in the classifier; lung masks from this project's morphology instead of a U-Net.
    """

    wants_lungs = True

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(2, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.blocks = nn.Sequential(Residual(16, 64, 1), Residual(64, 128, 2))
        self.pool = nn.AdaptiveMaxPool2d(16)
        self.classifier = nn.Sequential(
            nn.Conv2d(128, 96, 3, padding=1, bias=False), nn.BatchNorm2d(96), nn.ReLU(), nn.MaxPool2d(4),
            nn.Dropout(0.5),
            nn.Conv2d(96, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.decide = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.blocks(self.stem(x)))  # (N, 2, H, W) -> (N, 128, 16, 16)
        return self.decide(self.classifier(x).amax((2, 3)))  # (N, C)
