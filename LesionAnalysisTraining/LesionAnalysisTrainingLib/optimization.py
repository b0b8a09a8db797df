"""Optimizer, learning-rate schedule and running average of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from .training_config import Phase, TrainingConfig


def make_optimizer(network: nn.Module, config: TrainingConfig, pretrained: bool) -> torch.optim.Optimizer:
    """AdamW (Adam where ``weight_decay`` is 0) with one learning rate for the backbone and one for the rest."""
    backbone_rate = config.learning_rate
    if config.recipe != "paper" and not pretrained:  # nothing to preserve
        backbone_rate = max(backbone_rate, config.head_learning_rate)
    backbone = {id(p) for p in getattr(network, "backbone_maps", nn.Module()).parameters()}
    trainable = [p for p in network.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trainable if (id(p) in backbone) is inside], "lr": rate, "initial_lr": rate}
              for inside, rate in ((True, backbone_rate), (False, config.head_learning_rate))]  # fmt: skip
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def phase_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, phase: Phase, steps: int,
                   done: int = 0) -> LambdaLR:  # fmt: skip
    """Linear warm-up, then half a cosine down to a hundredth, over the ``steps`` of a phase, from step ``done`` on."""
    def factor(step: int) -> float:
        share = step / steps
        warm_up = min(1.0, share / config.warm_up + 0.01) if config.warm_up else 1.0
        cosine = 1.0 if config.schedule == "constant" else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
        return phase.rate * warm_up * cosine

    return LambdaLR(optimizer, factor, last_epoch=done - 1)


def averaged_copy(network: nn.Module, average: float) -> AveragedModel:
    """The running average of a network's weights and batch-norm statistics, in evaluation mode.

    Its decay is ``average``, less in the first steps: young weights change fast, and batch-norm statistics that lag
    behind them would ruin the average.
    """
    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], steps: Tensor) -> None:
        if averages[0].is_floating_point():
            decay = min(average, (2 + int(steps)) / (11 + int(steps)))  # this is step n + 1
            torch._foreach_lerp_(averages, values, 1 - decay)
        else:  # counts of batches
            torch._foreach_copy_(averages, values)

    copy = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    return copy.eval().requires_grad_(False)
