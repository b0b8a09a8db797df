"""FeCNN, the diagnosis network of the paper: figures 2 to 4, equations 1 to 5.

    >>> network = FeCNN("resnet18").eval()
    >>> network(torch.rand(2, 1, 64, 64)).shape  # gray slices, 0..1
    torch.Size([2, 2])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import make_backbone

# One mean and standard deviation for all channels (the average of ImageNet's): three equal channels are then
# equivalent to one channel and a first layer summed over its input channels.
GRAY_MEAN, GRAY_STD = 0.449, 0.226
WIDTH = 256  # channels of every pyramid level (section 3.1.2)


class FeaturePyramid(nn.Module):
    """Figure 4: lateral 1x1, top-down sum, 3x3 smoothing; P6 and P7 by stride 2 from C5 (section 3.1.2).

    The only ReLU is before P7; P3 to P6 are linear in C3 to C5, which ``folding`` exploits.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH)) for c in channels
        )
        self.smooth = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in channels)
        self.p6 = nn.Conv2d(channels[-1], WIDTH, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, ...]:
        m5 = self.lateral[2](c5)
        m4 = self.lateral[1](c4) + F.interpolate(m5, scale_factor=2.0, mode="nearest")
        m3 = self.lateral[0](c3) + F.interpolate(m4, scale_factor=2.0, mode="nearest")
        p3, p4, p5 = (smooth(m) for smooth, m in zip(self.smooth, (m3, m4, m5), strict=True))
        p6 = self.p6(c5)
        return p3, p4, p5, p6, self.p7(F.relu(p6))


class NoPyramid(nn.Module):
    """Table 4 without FPN: C3, C4, C5 are summarized as they are."""

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        return maps


class Summary(nn.Module):
    """1x1 convolution, batch norm and global average pooling: one vector of 256 per level (section 3.1.2)."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.project = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH)) for c in channels
        )

    def forward(self, levels: tuple[Tensor, ...]) -> Tensor:
        pooled = [p(x).mean((2, 3), dtype=torch.float32) for p, x in zip(self.project, levels, strict=True)]
        return torch.stack(pooled, 1)  # (N, levels, 256)


class EnsembleFusion(nn.Module):
    """Section 3.1.3: every level scores the slice, omega weights the levels, a linear layer classifies."""

    def __init__(self, levels: int, classes: int, rho: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.score = nn.ModuleList(nn.Linear(WIDTH, rho) for _ in range(levels))
        for layer in self.score:
            nn.init.constant_(layer.bias, 0.1)  # against scores that the ReLU zeroes from the start
        self.register_buffer("omega", torch.ones(levels))
        self.classify = nn.Linear(levels * rho, classes)
        if rho == classes:  # start with score k voting for class k: a random start may invert the votes of a level,
            with torch.no_grad():  # which equation 2 would take for a high error rate and suppress
                self.classify.weight.mul_(0.1).add_(torch.eye(classes).repeat(1, levels))

    def scores(self, pooled: Tensor) -> Tensor:
        """W_i P_i + b_i of equation 1 before its ReLU: (N, levels, rho)."""
        pooled = self.dropout(pooled)
        return torch.stack([layer(pooled[:, i]) for i, layer in enumerate(self.score)], 1)

    def decide(self, scores: Tensor) -> Tensor:
        """Logits (N, C) from the scores (N, levels, rho)."""
        weighted = self.omega[:, None] * F.relu(scores)  # equations 1 and 3
        return self.classify(weighted.flatten(1))  # equation 4, before its softmax

    def forward(self, pooled: Tensor) -> Tensor:
        return self.decide(self.scores(pooled))

    @torch.no_grad()
    def update_omega(self, error_rates: Tensor) -> None:
        """Equation 2: omega_i = 1/2 log((1 - eps_i) / eps_i), eps clipped to [0.001, 0.499]."""
        eps = error_rates.clamp(0.001, 0.499)
        self.omega.copy_(0.5 * torch.log((1 - eps) / eps))


class PlainTop(nn.Module):
    """The plain CNN of tables 3 and 4: pooled C5, two dense layers with ReLU, one linear layer.

    ``linear``: pooled C5 and one linear layer, as CAM needs it (Zhou 2016); not in the paper.
    """

    def __init__(self, channels: int, classes: int, dropout: float, linear: bool) -> None:
        super().__init__()
        dense = () if linear else (
            nn.Linear(channels, WIDTH), nn.ReLU(), nn.Dropout(dropout), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )  # fmt: skip
        last = nn.Linear(channels if linear else WIDTH, classes)
        self.classify = nn.Sequential(*dense, nn.Dropout(dropout), last)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> Tensor:
        return self.classify(c5.mean((2, 3), dtype=torch.float32))


class LesionHead(nn.Module):
    """Segments lesions on the grid of P3; trained with synthesized lesions and slices without any; not in the paper."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(WIDTH, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 1, 1)
        )
        nn.init.constant_(self.layers[-1].bias, -3.0)  # lesions are rare

    def forward(self, p3: Tensor) -> Tensor:
        return self.layers(p3)[:, 0]  # (N, H/8, W/8) logits


class PyramidTop(nn.Module):
    """Pyramid, summary and fusion: everything of figure 2 between the backbone and the softmax."""

    def __init__(
        self, channels: tuple[int, int, int], classes: int, fpn: bool, fusion: bool, rho: int, dropout: float,
        lesion_head: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pyramid = FeaturePyramid(channels) if fpn else NoPyramid()
        levels = 5 if fpn else 3
        self.summary = Summary((WIDTH,) * levels if fpn else channels)
        if fusion:
            self.fusion = EnsembleFusion(levels, classes, rho, dropout)
        else:  # table 4: the concatenated levels and one linear layer
            self.fusion = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(levels * WIDTH, classes))
        self.lesions = LesionHead() if lesion_head else None

    def pooled(self, c3: Tensor, c4: Tensor, c5: Tensor) -> Tensor:
        """The vectors P_i of equation 1: (N, levels, 256) float32."""
        return self.summary(self.pyramid(c3, c4, c5))

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> Tensor:
        return self.fusion(self.pooled(c3, c4, c5))


class FeCNN(nn.Module):
    """Logits of the classes of a gray slice.

    Args:
        backbone: ``resnet18``, ``resnet50`` (the paper's), ``vgg16`` or ``xception``.
        classes: C, 2 or 3.
        fpn, fusion: False omits the module, as in table 4.
        rho: length of a level's score; None: C, which equation 3 implies.
        dropout: share of the pooled features dropped in training.
        linear_top: without FPN and fusion, one linear layer in place of table 4's dense layers.
        lesion_head: add a ``LesionHead`` to the feature pyramid; the logits do not depend on it.

    Raises ValueError for an unknown backbone, fewer than two classes, a linear top with FPN or fusion, a lesion head
    without FPN, or an input whose sides are not multiples of 32.
    """

    def __init__(
        self, backbone: str = "resnet50", classes: int = 2, fpn: bool = True, fusion: bool = True,
        rho: int | None = None, dropout: float = 0.5, linear_top: bool = False, lesion_head: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if classes < 2:
            raise ValueError(f"FeCNN needs at least two classes, not {classes}.")
        if linear_top and (fpn or fusion):
            raise ValueError("A linear top replaces FPN and fusion: switch off both.")
        if lesion_head and not fpn:
            raise ValueError("A lesion head needs the feature pyramid: switch FPN on.")
        self.settings = {
            "backbone": backbone, "classes": classes, "fpn": fpn, "fusion": fusion,
            "rho": rho or classes, "dropout": dropout, "linear_top": linear_top, "lesion_head": lesion_head,
        }  # fmt: skip
        self.backbone_maps = make_backbone(backbone)
        channels = self.backbone_maps.channels
        if fpn or fusion:
            self.head = PyramidTop(channels, classes, fpn, fusion, rho or classes, dropout, lesion_head)
        else:
            self.head = PlainTop(channels[-1], classes, dropout, linear_top)

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """C3, C4, C5 of gray slices ``x`` (N, 1, H, W) in 0..1, at 1/8, 1/16 and 1/32 of their size."""
        if x.shape[-1] % 32 or x.shape[-2] % 32:
            raise ValueError(f"The slice's sides must be multiples of 32, not {tuple(x.shape[-2:])}.")
        return self.backbone_maps(((x - GRAY_MEAN) / GRAY_STD).expand(-1, 3, -1, -1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(*self.backbone(x))  # (N, C)
