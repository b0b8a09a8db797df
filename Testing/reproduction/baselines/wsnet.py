"""WsNet, the weakly supervised multi-scale network of Hu 2020 (IEEE Access 8:118869) in table 3.

Table 3 cites Panwar 2020 for it; text and name indicate Hu 2020.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS, DEPTHS = (32, 64, 128, 256, 256), (2, 2, 3, 3, 3)


class WsNet(nn.Module):
    """VGG-like blocks; class maps by 1x1 convolution on conv3, conv4 and conv5, global max pooling, summed scores.

    Deviations: batch norm after every convolution, without which a network of this depth does not learn from random
    weights within a small budget; half of VGG16's widths (chosen here); scores are summed as logits of one softmax with
    cross-entropy, as for every system here.
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        blocks, inputs = [], 1
        for width, depth in zip(WIDTHS, DEPTHS, strict=True):
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            blocks.append(nn.Sequential(*layers))
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.MaxPool2d(2)
        self.class_maps = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in WIDTHS[2:])

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x if number == 0 else self.pool(x))  # (N, width, H / 2**number, W / 2**number)
            maps.append(x)
        scores = [head(x).amax((2, 3)) for head, x in zip(self.class_maps, maps[2:], strict=True)]
        return sum(scores[1:], scores[0])  # (N, C)
