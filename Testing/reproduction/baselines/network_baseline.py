"""A network of the comparison, trained by the same trainer with the same budget as FeCNN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from LesionAnalysisLib.network.devices import choose_precision
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisTrainingLib.data_loading import Views, loader, plain_batches
from LesionAnalysisTrainingLib.dataset import TRAIN, Prepared, Sample
from LesionAnalysisTrainingLib.trainer import Trainer
from torch import nn

from .baseline import Baseline, Progress, Task

_BATCH = 16


class Network(Baseline):
    """Another network than FeCNN, made by ``make(classes)``: from random numbers, as it has no ImageNet weights.

    Args:
        task: see ``Task``.
        name: of the network, for its recipe.
        make: gives a module from pictures (N, 1, H, W) in 0..1 to logits (N, C); with ``wants_lungs`` the pictures
            have the lungs as a second channel.
    """

    def __init__(self, task: Task, name: str, make: Callable[[int], nn.Module]) -> None:
        super().__init__(task)
        self.name, self.make, self.config, self.start = name, make, task.config, None

    @property
    def recipe(self) -> dict[str, Any]:
        return {"network": self.name}

    def fit(self, pictures: Sequence[Prepared], samples: Sequence[Sample], folder: str | Path,
            log: Callable[[str], None] = print, progress: Progress = lambda *_: None) -> Network:  # fmt: skip
        """Train, or go on from the last whole epoch of the training in ``folder``; see ``Baseline.fit``."""
        task = self.task
        Path(folder).mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.config.seed)
        trainer = Trainer(samples, pictures, task.classes, task.positive, self.config, folder, task.team, self.start,
                          log, progress, self.make(task.classes))  # fmt: skip
        self.network_ = trainer.run()
        history = trainer.history
        chosen = trainer.best_epoch + 1 if trainer.best is not None else history[-1]["epoch"]
        self.facts_ = {
            "slices": sum(s.split == TRAIN for s in samples), "start": self.start and Path(self.start).name,
            "parameters": sum(p.numel() for p in self.network_.parameters()), "epochs": len(history),
            "chosen_epoch": chosen, "seconds": round(sum(row["seconds"] for row in history), 2), "history": history,
        }  # fmt: skip
        return self

    @torch.inference_mode()
    def predict_proba(self, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        device = self.task.team.device
        dtype = choose_precision(self.config.precision, device)
        lungs = getattr(self.network_, "wants_lungs", False)
        views = Views(pictures, samples, np.asarray(order, int), self.task.size, self.config, lungs=lungs)
        tables = [np.zeros((0, self.task.classes))]
        for batch, _ in loader(views, plain_batches(len(views), _BATCH), 0):
            shown = (batch.to(device).float() / 255.0).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, None if dtype is torch.float32 else dtype, dtype is not torch.float32):
                logits = self.network_(shown)
            # in double precision the surest slices still differ
            tables.append(logits.float().cpu().double().softmax(1).numpy())
        return np.concatenate(tables)


class FeCnnForm(Network):
    """FeCNN, one of table 4's forms of it, or a backbone of table 3 with two dense ReLU layers and a linear one.

    Deviations from the backbones' own papers: the gray slice in three equal channels, average pooling before the dense
    layers for VGG16, too, and the same optimizer and views for all. A backbone without ImageNet weights starts from
    random numbers; one without batch norm (VGG16) then from the normal distribution of He 2015, because torch's own
    start lets the signal fade on the way through 13 layers.
    """

    def __init__(self, task: Task, backbone: str | None = None, fpn: bool = True, fusion: bool = True) -> None:
        super().__init__(task, "FeCNN", self._build)
        self.config = replace(task.config, backbone=backbone or task.config.backbone, fpn=fpn, fusion=fusion)
        self.start = task.starts.get(self.config.backbone)

    @property
    def recipe(self) -> dict[str, Any]:
        c = self.config
        return {"network": self.name, "backbone": c.backbone, "fpn": c.fpn, "fusion": c.fusion}

    def _build(self, classes: int) -> nn.Module:
        c = self.config
        network = FeCNN(c.backbone, classes, c.fpn, c.fusion, dropout=c.dropout)
        if self.start is None:
            start_without_batch_norm(network.backbone_maps)
        return network


def start_without_batch_norm(module: nn.Module) -> None:
    """He 2015's start for convolutions of a module without batch norm: deviation sqrt(2 / inputs), no bias."""
    if any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels * math.prod(layer.kernel_size) // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
