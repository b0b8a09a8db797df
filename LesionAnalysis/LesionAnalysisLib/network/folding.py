"""FeCNN for inference: the same function of its input at a fraction of the cost.

Batch norms are folded into the preceding convolutions. And since everything between C3..C5 and the pooled vectors but
P7 is linear, pooling may come first: the mean of a 3x3 convolution's output needs only nine sums of its input, one per
kernel offset. The maps of the pyramid are never computed, neither forward nor, for Grad++, backward.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .backbones import ResNet, Vgg16
from .fecnn import GRAY_MEAN, GRAY_STD, FeaturePyramid, FeCNN, PyramidTop

# Sums of a map upsampled by two (nearest) from those of the map itself, along one axis: "without the last" becomes
# "without the last" + "all", "all" becomes 2 "all", "without the first" becomes "without the first" + "all".
_UPSAMPLE = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 1.0, 1.0]])


class _WindowSums(torch.autograd.Function):
    """For (N, C, H, W): the sum under each offset of a zero-padded 3x3 kernel, (N, C, 3, 3) float32.

    Along each axis, offset 0 covers all lines but the last, 1 all, 2 all but the first. The gradient has a closed
    form: every pixel gets the gradients of the windows that cover it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        lines = x.permute(0, 2, 3, 1)  # (N, H, W, C), the memory order of channels-last
        total = lines.new_zeros(lines[:, 0].shape, dtype=torch.float32)
        for line in lines.unbind(1):  # torch's own sum of bf16 in float32 takes 25 times as long on a CPU
            total += line
        rows = torch.stack([total - lines[:, -1], total, total - lines[:, 0]], 1)  # (N, 3, W, C)
        total = rows.sum(2)
        return torch.stack([total - rows[:, :, -1], total, total - rows[:, :, 0]], 2).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        _, _, height, width = ctx.shape
        rows, columns = _covered(height, gradient), _covered(width, gradient)
        spread = torch.einsum("ncab,ay,bx->nyxc", gradient, rows, columns)
        return spread.to(ctx.dtype).permute(0, 3, 1, 2)


window_sums = _WindowSums.apply


def _covered(length: int, like: Tensor) -> Tensor:
    """(3, length): 1 for the lines of an axis that each offset covers."""
    covered = torch.ones((3, length), dtype=like.dtype, device=like.device)
    covered[0, -1] = covered[2, 0] = 0
    return covered


def _upsampled(sums: Tensor) -> Tensor:
    up = _UPSAMPLE.to(sums)
    return up @ sums @ up.T


def _fuse(module: nn.Module) -> None:
    """Fold, in place, every batch norm that directly follows a convolution (by torchvision's names or by order)."""
    for child in module.children():
        _fuse(child)
    names = list(module._modules)
    pairs = [(n, n.replace("conv", "bn")) for n in names if n.startswith("conv")]
    if isinstance(module, nn.Sequential):
        pairs += list(zip(names[:-1], names[1:], strict=True))
    for first, second in pairs:
        layer, norm = module._modules.get(first), module._modules.get(second)
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module._modules[first] = fuse_conv_bn_eval(layer, norm)
            module._modules[second] = nn.Identity()


class PooledPyramid(nn.Module):
    """``FeaturePyramid`` followed by ``Summary``, with the pooling first; in float32 but for P6 and P7."""

    def __init__(self, top: PyramidTop) -> None:
        super().__init__()
        pyramid: FeaturePyramid = top.pyramid
        self.lateral = nn.ModuleList(copy.deepcopy(fused[0]).float() for fused in pyramid.lateral)
        self.smooth = nn.ModuleList(copy.deepcopy(layer).float() for layer in pyramid.smooth)
        self.project = nn.ModuleList(copy.deepcopy(fused[0]).float() for fused in top.summary.project)
        self.p6, self.p7 = pyramid.p6, pyramid.p7

    def _lateral_sums(self, i: int, c: Tensor) -> Tensor:
        layer, count = self.lateral[i], window_sums(torch.ones(1, 1, *c.shape[2:], device=c.device))
        sums = torch.einsum("ncyx,oc->noyx", window_sums(c), layer.weight[:, :, 0, 0])
        return sums + layer.bias[:, None, None] * count

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> Tensor:
        m5 = self._lateral_sums(2, c5)
        m4 = self._lateral_sums(1, c4) + _upsampled(m5)
        m3 = self._lateral_sums(0, c3) + _upsampled(m4)
        means = [F.linear(m.flatten(1), layer.weight.flatten(1)) / c[0, 0].numel() + layer.bias
                 for layer, m, c in zip(self.smooth, (m3, m4, m5), (c3, c4, c5), strict=True)]  # fmt: skip
        p6 = self.p6(c5.to(self.p6.weight.dtype))
        p7 = self.p7(F.relu(p6))
        means += [p.mean((2, 3), dtype=torch.float32) for p in (p6, p7)]
        pooled = [F.linear(m, layer.weight.flatten(1), layer.bias)
                  for layer, m in zip(self.project, means, strict=True)]  # fmt: skip
        return torch.stack(pooled, 1)


class LesionMap(nn.Module):
    """The lesion head's probability in each cell of P3: (N, H/8, W/8) float32, from C3, C4, C5."""

    def __init__(self, top: PyramidTop) -> None:
        super().__init__()
        self.lateral, self.smooth, self.lesions = top.pyramid.lateral, top.pyramid.smooth[0], top.lesions

    def forward(self, *maps: Tensor) -> Tensor:
        c3, c4, c5 = (x.to(self.smooth.weight.dtype) for x in maps)
        m4 = self.lateral[1](c4) + F.interpolate(self.lateral[2](c5), scale_factor=2.0, mode="nearest")
        m3 = self.lateral[0](c3) + F.interpolate(m4, scale_factor=2.0, mode="nearest")
        return self.lesions(self.smooth(m3)).float().sigmoid()


class InFloat32(nn.Module):
    """Computes ``module`` in float32 and rounds only its output to ``dtype``."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.float()).to(self.dtype)


def _keep_first_layers(maps: nn.Module, dtype: torch.dtype) -> None:
    """Compute the first layers, whose rounding errors matter most, in float32 and all others in ``dtype``."""
    if isinstance(maps, ResNet):  # the stem and the first block
        first = nn.Sequential(maps.conv1, maps.relu, maps.maxpool, maps.layer1[0])
        maps.layer1 = maps.layer1[1:]
        maps.conv1, maps.bn1, maps.maxpool = nn.Identity(), nn.Identity(), nn.Identity()
        holder, name = maps, "conv1"
    else:  # the first convolution
        holder, name = maps.features if isinstance(maps, Vgg16) else maps.stem, "0"
        first, holder[0] = holder[0], nn.Identity()
    maps.to(dtype=dtype)
    setattr(holder, name, InFloat32(first, dtype))


class FoldedFeCNN(nn.Module):
    """A copy of a trained ``FeCNN`` for inference, with the same ``backbone``, ``head`` and ``forward``.

    ``lesion_map`` is the folded lesion head (see ``LesionMap``), or None.

    Args:
        network: is not changed.
        dtype: of the convolutions; the first layers, sums, scores and logits stay float32.
    """

    def __init__(self, network: FeCNN, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        network = copy.deepcopy(network).eval()
        _fuse(network)
        self.maps, self.head, self.lesion_map = network.backbone_maps, network.head, None
        rounded = [module for module in self.head.modules() if isinstance(module, nn.Conv2d)]
        if isinstance(self.head, PyramidTop) and isinstance(self.head.pyramid, FeaturePyramid):
            if self.head.lesions is not None:
                self.lesion_map = LesionMap(self.head).to(dtype=dtype, memory_format=torch.channels_last)
            rounded = [self.head.pyramid.p6, self.head.pyramid.p7]
            self.head.pyramid, self.head.summary, self.head.lesions = PooledPyramid(self.head), nn.Identity(), None
        self.gray = isinstance(self.maps, ResNet)
        if self.gray:  # three equal input channels are equivalent to one with summed weights
            first = self.maps.conv1
            first.weight, first.in_channels = nn.Parameter(first.weight.sum(1, keepdim=True)), 1
        self.requires_grad_(False)
        if dtype != torch.float32:
            _keep_first_layers(self.maps, dtype)
        self.maps.to(memory_format=torch.channels_last)
        for layer in rounded:
            layer.to(dtype=dtype, memory_format=torch.channels_last)
        self.eval()

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """C3, C4, C5 of gray slices ``x`` (N, 1, H, W) in 0..1, in ``dtype`` and channels-last."""
        x = (x.float() - GRAY_MEAN) / GRAY_STD
        if not self.gray:
            x = x.expand(-1, 3, -1, -1)
        return self.maps(x.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(*self.backbone(x))  # (N, C) float32
