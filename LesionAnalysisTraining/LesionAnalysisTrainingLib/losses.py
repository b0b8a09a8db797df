"""What the network is trained to minimize: cross-entropy of the slice, of every pyramid level, of the lesion head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from LesionAnalysisLib.network.fecnn import EnsembleFusion
from torch import Tensor, nn

from .training_config import TrainingConfig

_LESION_WEIGHT = 3.0  # of a lesion cell, since they are few
_TOP_CELLS = 0.01  # share of a slice's cells that must be lesion where lesions are somewhere
_TOP_WEIGHT = 0.1

Outputs = tuple[Tensor, Tensor | None, Tensor | None]


class MultiOutput(nn.Module):
    """A network that returns logits (N, C), the scores of its levels (N, levels, rho) and of its lesion head (N, h, w).

    Scores are None where the network has no such part.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        fusion = fusion_of(self.network)
        if fusion is None:
            return self.network(images), None, None
        head = self.network.head
        levels = head.pyramid(*self.network.backbone(images))
        scores = fusion.scores(head.summary(levels))
        return fusion.decide(scores), scores, head.lesions(levels[0]) if head.lesions else None


def fusion_of(network: nn.Module) -> EnsembleFusion | None:
    """The ensemble fusion of a network that has one."""
    fusion = getattr(getattr(network, "head", None), "fusion", None)
    return fusion if isinstance(fusion, EnsembleFusion) else None


def total_loss(outputs: Outputs, labels: Tensor, marks: Tensor | None, config: TrainingConfig) -> Tensor:
    """Weighted sum of all losses.

    Every level's scores (equation 1) are trained as a vote of their own. With the fusion's loss alone, the shallow
    levels may learn all that an easy task needs; then C5 gets no gradient, and Grad++ shows nothing.

    Args:
        outputs: of ``MultiOutput``.
        labels: (N,) class indices.
        marks: (N, h, w) as ``Views`` gives them, needed with a lesion head only.
    """
    logits, scores, cells = outputs
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
    if config.level_loss and scores is not None:
        votes, repeated = scores.float().flatten(0, 1), labels.repeat_interleave(scores.shape[1])
        loss = loss + config.level_loss * F.cross_entropy(votes, repeated, label_smoothing=config.label_smoothing)
    if cells is not None:
        loss = loss + config.lesion_loss * lesion_loss(cells.float(), marks)
    return loss


def lesion_loss(cells: Tensor, marks: Tensor) -> Tensor:
    """Cross-entropy of a lesion head's logits (N, h, w) with ``marks`` (N, h, w), see ``Views``.

    Where marks are unknown because the lesions are real, only the highest cells must be lesion: multiple instance
    learning (Dietterich 1997).
    """
    known = (marks >= 0).float()
    weight = torch.tensor(_LESION_WEIGHT, device=cells.device)
    each = F.binary_cross_entropy_with_logits(cells, marks.clamp(min=0), pos_weight=weight, reduction="none")
    supervised = (each * known).sum() / known.sum().clamp(min=1)
    highest = cells.flatten(1).topk(max(1, round(_TOP_CELLS * cells[0].numel()))).values.mean(1)
    unknown = 1 - known[:, 0, 0]
    weakly_supervised = (F.softplus(-highest) * unknown).sum() / unknown.sum().clamp(min=1)
    return supervised + _TOP_WEIGHT * weakly_supervised
