"""Convolutional backbones without classifier: an image in, the feature maps C3, C4, C5 out (section 3.1.1).

Modules are named as in torchvision, so that its ImageNet weights load unchanged (Xception, which torchvision lacks,
follows the block numbers of its paper).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut connection (He 2016, figure 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)).add_(shortcut))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolution and a shortcut; the 3x3 has the stride, as in torchvision (He 2016, figure 5 right)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)).add_(shortcut))


class ResNet(nn.Module):
    """Figure 3: five blocks, each at half the resolution of the previous one."""

    early = ("conv1", "bn1", "layer1")  # layers before C3's block, which training may freeze

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self._channels = 64
        self.layer1 = self._stage(block, 64, depths[0], 1)
        self.layer2 = self._stage(block, 128, depths[1], 2)
        self.layer3 = self._stage(block, 256, depths[2], 2)
        self.layer4 = self._stage(block, 512, depths[3], 2)
        self.channels = tuple(width * block.expansion for width in (128, 256, 512))

    def _stage(self, block: type, width: int, depth: int, stride: int) -> nn.Sequential:
        outputs = width * block.expansion
        downsample = None
        if stride != 1 or self._channels != outputs:
            downsample = nn.Sequential(conv(self._channels, outputs, 1, stride), nn.BatchNorm2d(outputs))
        first, self._channels = block(self._channels, width, stride, downsample), outputs
        return nn.Sequential(first, *(block(outputs, width, 1, None) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        c3 = self.layer2(self.layer1(x))  # (N, 512, H/8, W/8)
        c4 = self.layer3(c3)  # (N, 1024, H/16, W/16)
        return c3, c4, self.layer4(c4)  # C5: (N, 2048, H/32, W/32)


class Vgg16(nn.Module):
    """Configuration D of Simonyan 2014; C3, C4, C5 are the last three pooled blocks."""

    channels = (256, 512, 512)
    early = tuple(f"features.{i}" for i in range(10))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
        return maps[2], maps[3], maps[4]


class Separable(nn.Sequential):
    """Depthwise and pointwise convolution, and batch norm (Chollet 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        depthwise = conv(inputs, inputs, 3, groups=inputs)
        super().__init__(depthwise, conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))


class XceptionBlock(nn.Module):
    """ReLU and separable convolutions with a shortcut; stride 2 is a max pooling."""

    def __init__(self, widths: tuple[int, ...], stride: int = 1, first_relu: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            if i or first_relu:
                layers.append(nn.ReLU())
            layers.append(Separable(inputs, outputs))
        if stride == 2:
            layers.append(nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(*layers)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or widths[0] != widths[-1]:
            self.skip = nn.Sequential(conv(widths[0], widths[-1], 1, stride), nn.BatchNorm2d(widths[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


class Xception(nn.Module):
    """Entry, middle and exit flow of Chollet 2017, figure 5; padded so that every stride halves the size exactly."""

    channels = (256, 728, 2048)
    early = ("stem", "block1")

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            conv(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.block1 = XceptionBlock((64, 128, 128), 2, first_relu=False)
        self.block2 = XceptionBlock((128, 256, 256), 2)
        self.block3 = XceptionBlock((256, 728, 728), 2)
        self.middle = nn.Sequential(*(XceptionBlock((728, 728, 728, 728)) for _ in range(8)))
        self.block12 = XceptionBlock((728, 728, 1024), 2)
        self.exit = nn.Sequential(Separable(1024, 1536), nn.ReLU(), Separable(1536, 2048), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.block2(self.block1(self.stem(x)))
        c4 = self.middle(self.block3(c3))
        return c3, c4, self.exit(self.block12(c4))


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "vgg16": Vgg16,
    "xception": Xception,
}


def make_backbone(name: str) -> nn.Module:
    """The backbone called ``name``; its ``channels`` are those of C3, C4, C5. Raises ValueError for another name."""
    _check_name(name)
    return BACKBONES[name]()


def _check_name(name: str) -> None:
    if name not in BACKBONES:
        raise ValueError(f"Unknown backbone {name!r}: choose one of {', '.join(BACKBONES)}.")


def find_imagenet(backbone: str) -> Path | None:
    """The newest ImageNet weights of a backbone in torch's cache, where torchvision stores them; None without any.

    Nothing is downloaded. Raises ValueError for another name.
    """
    _check_name(backbone)
    files = Path(torch.hub.get_dir(), "checkpoints").glob(f"{backbone}-*.pth")
    return max(files, key=lambda path: (path.stat().st_mtime, path.name), default=None)


def load_imagenet(backbone: nn.Module, path: str | os.PathLike) -> None:
    """Load the weights of ``backbone`` from a ``.pth`` file of tensors with torchvision's names.

    The tensors may be nested under ``state_dict`` or ``model``, as in training checkpoints; others than the
    backbone's, such as a classifier's, are ignored. Xception has ``stem.0`` and ``.3`` (convolutions), ``.1`` and
    ``.4`` (batch norms); ``block1``, ``2``, ``3`` and ``12`` with ``body.N`` and ``skip``, and ``middle.0`` to ``.7``
    with ``body.N``, where N counts the ReLUs, too; ``exit.0`` and ``.2``. Each separable convolution has ``0``
    (depthwise), ``1`` (pointwise) and ``2`` (batch norm).

    Raises FileNotFoundError, or ValueError where the file is damaged or a tensor is missing or of another shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: provide a .pth file with the weights of the backbone.")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of an unpickler fed with arbitrary bytes
        raise ValueError(f"{path} is damaged or no file of tensors saved by torch.") from error
    for name in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(name), dict):
            stored = stored[name]
    if not isinstance(stored, dict):
        raise ValueError(f"{path} holds no tensors by name.")
    tensors = {name: value for name, value in stored.items() if isinstance(value, Tensor)}
    own = backbone.state_dict()
    wrong = [k for k, v in own.items() if k not in tensors or tensors[k].shape != v.shape]
    wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
    if wrong:
        raise ValueError(f"{path} holds no weights for this backbone: {wrong[0]} is missing or of another shape.")
    backbone.load_state_dict({k: tensors.get(k, v).to(v.dtype) for k, v in own.items()})
