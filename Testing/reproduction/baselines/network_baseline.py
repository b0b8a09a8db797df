"""The networks of the comparison, all trained by FeCNN's trainer with the same budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.network.devices import choose_precision
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisTrainingLib.data_loading import Views, loader, plain_batches
from LesionAnalysisTrainingLib.dataset import TRAIN, Sample
from LesionAnalysisTrainingLib.trainer import Trainer
from torch import nn

from .baseline import Baseline, Progress, Task

_BATCH = 16


class Network(Baseline):
    """A network other than FeCNN, created by ``make(classes)`` with random weights.

    Args:
        task: see ``Task``.
        name: of the network, for its recipe.
        make: creates a module that maps images (N, 1, H, W) in 0..1 to logits (N, C); if it has ``wants_lungs``, the
            lung mask is a second input channel.
    """

    def __init__(self, task: Task, name: str, make: Callable[[int], nn.Module]) -> None:
        super().__init__(task)
        self.name, self.make, self.config, self.start = name, make, task.config, None

    @property
    def recipe(self) -> dict[str, Any]:
        return {"network": self.name}

    def fit(self, regions: Sequence[LungRegion], samples: Sequence[Sample], folder: str | Path,
            log: Callable[[str], None] = print, progress: Progress = lambda *_: None) -> Network:  # fmt: skip
        """Train, or continue after the last complete epoch in ``folder``; see ``Baseline.fit``."""
        task = self.task
        Path(folder).mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.config.seed)
        trainer = Trainer(samples, regions, task.classes, task.positive, self.config, folder, task.group, self.start,
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
    def predict_proba(self, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        device = self.task.group.device
        dtype = choose_precision(self.config.precision, device)
        lungs = getattr(self.network_, "wants_lungs", False)
        views = Views(regions, samples, np.asarray(order, int), self.task.size, self.config, lungs=lungs)
        tables = [np.zeros((0, self.task.classes))]
        for batch, _ in loader(views, plain_batches(len(views), _BATCH), 0):
            shown = (batch.to(device).float() / 255.0).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, None if dtype is torch.float32 else dtype, dtype is not torch.float32):
                logits = self.network_(shown)
            # double precision keeps the most confident slices apart
            tables.append(logits.float().cpu().double().softmax(1).numpy())
        return np.concatenate(tables)


class FeCnnVariant(Network):
    """FeCNN, one of its variants of table 4, or a backbone of table 3 with two dense ReLU layers and a linear one.

    Deviations from the backbones' papers: the gray slice in three equal channels, average pooling before the dense
    layers also for VGG16, the same optimizer and augmentation for all. A backbone without ImageNet weights starts from
    random weights; one without batch norm (VGG16) from those of He 2015, because with torch's default the signal decays
    over 13 layers.
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
            he_initialization(network.backbone_maps)
        return network


def he_initialization(module: nn.Module) -> None:
    """Initialize the convolutions of a module without batch norm as in He 2015; other modules stay unchanged."""
    if any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
