"""Training of FeCNN (section 4.2): one configuration, one loop, a checkpoint an epoch from which all resumes."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from LesionAnalysisLib.backbones import load_imagenet
from LesionAnalysisLib.fecnn import EnsembleFusion, FeCNN
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .augmentation import Augmentation, view
from .dataset import TRAIN, VALIDATION, PictureStore, Sample
from .evaluation import auc


@dataclass(frozen=True)
class Phase:
    """Some epochs at one picture size."""

    size: int
    epochs: int
    batch: int
    rate: float = 1.0  # factor on the learning rates; each phase has its own warm-up and cosine


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training run; saved with the model."""

    classes: tuple[str, ...] = ("NonCOVID", "COVID")
    backbone: str = "resnet50"
    imagenet: str | None = None  # path of the backbone's start weights
    fpn: bool = True
    fusion: bool = True
    dropout: float = 0.5
    phases: tuple[Phase, ...] = (Phase(256, 9, 16), Phase(512, 1, 8, 0.3))
    samples_per_epoch: int | None = 2240  # None: every training slice once
    source_power: float = 0.4  # a source of n slices is drawn n**power times as often; 1 leaves the data as it is
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    warm_up: float = 0.05  # share of a phase's steps
    schedule: str = "cosine"  # or "constant"
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    freeze_early: bool = True  # edges and textures before C3's block stay ImageNet's: a third of the time saved
    average: float = 0.995  # decay of the running average of the weights; 0 switches it off
    omega_samples: int | None = 400  # training slices on which equation 2 is computed; None: all
    omega_frozen_epochs: int = 5
    margin: float = 0.03
    augmentation: Augmentation = field(default_factory=Augmentation)
    workers: int = 1
    seed: int = 0

    @classmethod
    def paper(cls) -> TrainingConfig:
        """Section 4.2 to the letter: Adam at a constant 1e-5, batch 10, 50 epochs at 512, every slice once."""
        return cls(
            phases=(Phase(512, 50, 10),), samples_per_epoch=None, source_power=1.0, learning_rate=1e-5,
            head_learning_rate=1e-5, warm_up=0.0, schedule="constant", weight_decay=0.0, label_smoothing=0.0,
            freeze_early=False, average=0.0, omega_samples=None, margin=0.0, augmentation=Augmentation.paper(),
        )  # fmt: skip

    def plan(self) -> list[Phase]:
        """The phase of every epoch."""
        return [phase for phase in self.phases for _ in range(phase.epochs)]


class Views(Dataset):
    """Pictures of some samples as tensors (1, size, size) in 0..1 with their labels.

    ``order`` holds one sample index an item; with ``seed`` each item has its own random stream, so that
    an epoch can be repeated exactly whatever worker makes it.
    """

    def __init__(self, store: PictureStore, samples: list[Sample], order: np.ndarray, size: int, margin: float,
                 augmentation: Augmentation | None = None, seed: tuple[int, int] | None = None,
                 masked: bool = False) -> None:  # fmt: skip
        self.store, self.samples, self.order = store, samples, order
        self.size, self.margin, self.augmentation, self.seed, self.masked = size, margin, augmentation, seed, masked

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        index = int(self.order[i])
        rng = None if self.seed is None else np.random.default_rng((*self.seed, i))
        picture = view(self.store[index], self.size, self.margin, self.augmentation, rng, self.masked)
        return torch.tensor(picture)[None].float() / 255.0, self.samples[index].label


def draw_order(samples: list[Sample], config: TrainingConfig, epoch: int) -> np.ndarray:
    """Indices of the training slices of one epoch: classes equally often, sources by ``source_power``."""
    rng = np.random.default_rng((config.seed, epoch))
    train = np.array([i for i, s in enumerate(samples) if s.split == TRAIN])
    if config.samples_per_epoch is None:
        return rng.permutation(train)
    groups = Counter((samples[i].label, samples[i].source) for i in train)
    raw = {g: n**config.source_power for g, n in groups.items()}
    totals = Counter()
    for (label, _), weight in raw.items():
        totals[label] += weight
    weights = np.array([
        raw[g] / totals[g[0]] / groups[g] for g in ((samples[i].label, samples[i].source) for i in train)
    ])  # fmt: skip
    return rng.choice(train, config.samples_per_epoch, p=weights / weights.sum())


class Trainer:
    """Trains one FeCNN on prepared samples, writing ``checkpoint.pt`` and ``history.json`` into ``folder``."""

    def __init__(self, samples: list[Sample], store: PictureStore, config: TrainingConfig, folder: str | Path,
                 device: str = "cpu", log: Callable[[str], None] = print) -> None:  # fmt: skip
        self.samples, self.store, self.config, self.device, self.log = samples, store, config, device, log
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        network = FeCNN(config.backbone, len(config.classes), config.fpn, config.fusion, dropout=config.dropout)
        if config.imagenet:
            load_imagenet(network.backbone_maps, config.imagenet)
        maps = network.backbone_maps
        self.frozen = [maps.get_submodule(name) for name in maps.early] if config.freeze_early else []
        for module in self.frozen:
            module.requires_grad_(False)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(network.backbone_maps.parameters()), "peak": config.learning_rate},
                {"params": list(network.head.parameters()), "peak": config.head_learning_rate},
            ],
            lr=config.learning_rate, weight_decay=config.weight_decay,
        )  # fmt: skip
        self.plan = config.plan()
        self.epoch, self.history = 0, []

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, resume: bool = True) -> FeCNN:
        """Train to the end of the plan and return the averaged network."""
        if resume and (self.folder / "checkpoint.pt").exists():
            self._restore()
        while self.epoch < len(self.plan):
            self._train_epoch(self.plan[self.epoch])
            self.epoch += 1
            self._checkpoint()
        return self.averaged

    def _train_epoch(self, phase: Phase) -> None:
        config, began = self.config, time.time()
        torch.manual_seed(config.seed * 1000 + self.epoch)  # dropout repeats after a resume
        order = draw_order(self.samples, config, self.epoch)
        views = Views(self.store, self.samples, order, phase.size, config.margin, config.augmentation,
                      (config.seed, self.epoch))  # fmt: skip
        loader = DataLoader(views, phase.batch, num_workers=config.workers, drop_last=True)
        self.network.train()
        for module in self.frozen:
            module.eval()
        losses = []
        for step, (pictures, labels) in enumerate(loader):
            self._set_rate(phase, step / len(loader))
            losses.append(self._step(pictures, labels))
            if step % 25 == 24:
                pace = (time.time() - began) / ((step + 1) * phase.batch)
                self.log(f"epoch {self.epoch + 1}/{len(self.plan)} step {step + 1}/{len(loader)} "
                         f"loss {np.mean(losses[-25:]):.4f} {pace:.3f} s a slice")  # fmt: skip
        self._update_omega(phase)
        figures = self._validate(phase)
        self.history.append(
            {"epoch": self.epoch + 1, "size": phase.size, "loss": float(np.mean(losses)),
             "seconds": round(time.time() - began, 1), **figures}
        )  # fmt: skip
        self.log(json.dumps(self.history[-1]))

    def _step(self, pictures: Tensor, labels: Tensor) -> float:
        pictures = pictures.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            logits = self.network(pictures)
        loss = F.cross_entropy(logits.float(), labels.to(self.device), label_smoothing=self.config.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)):
            self.optimizer.step()
            self._average()
        else:
            self.log("a batch with gradients that are no numbers was left out")
        return float(loss.detach())

    def _set_rate(self, phase: Phase, share: float) -> None:
        """Warm-up, then half a cosine down to a hundredth, over the phase; ``share`` of this epoch is done."""
        c = self.config
        done = (self.epoch - self.plan.index(phase) + share) / phase.epochs
        rise = min(1.0, done / c.warm_up + 0.01) if c.warm_up else 1.0
        fall = 1.0 if c.schedule == "constant" else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * phase.rate * rise * fall

    @torch.no_grad()
    def _average(self) -> None:
        steps = next(float(state["step"]) for state in self.optimizer.state.values())
        # young weights change fast, and batch statistics that lag behind them would ruin the average
        decay = min(self.config.average, (1 + steps) / (10 + steps))
        for mean, now in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if self.config.average and mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    # -- end of an epoch --------------------------------------------------------------------------

    def _update_omega(self, phase: Phase) -> None:
        """Equation 2 on training slices, in evaluation mode, without augmentation, from the scores before ReLU."""
        fusion = getattr(self.network.head, "fusion", None)
        if not isinstance(fusion, EnsembleFusion) or len(self.plan) - self.epoch <= self.config.omega_frozen_epochs:
            return
        order = draw_order(self.samples, replace(self.config, seed=self.config.seed + 1), self.epoch)
        order = order[: self.config.omega_samples]
        network = self.averaged
        scores, labels = self._forward(network, order, phase.size, lambda *c: network.head.fusion.scores(
            network.head.pooled(*c)))  # fmt: skip
        errors = (scores.argmax(-1) != labels[:, None]).float().mean(0)
        fusion.update_omega(errors)
        network.head.fusion.omega.copy_(fusion.omega)
        self.log("omega " + " ".join(f"{w:.2f}" for w in fusion.omega.tolist()))

    @torch.inference_mode()
    def _forward(self, network: FeCNN, order: np.ndarray, size: int, head: Callable, masked: bool = False) -> tuple:
        """``head(C3, C4, C5)`` of plain views and their labels, as float32 on the CPU."""
        views = Views(self.store, self.samples, order, size, self.config.margin, masked=masked)
        network.eval()
        outputs, labels = [], []
        for pictures, batch_labels in DataLoader(views, 16, num_workers=self.config.workers):
            pictures = pictures.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(torch.device(self.device).type, torch.bfloat16):
                outputs.append(head(*network.backbone(pictures)).float().cpu())
            labels.append(batch_labels)
        return torch.cat(outputs), torch.cat(labels)

    def predict(self, split: str, size: int, masked: bool = False) -> tuple[np.ndarray, Tensor, Tensor]:
        """Indices of the samples of ``split``, their logits (n, C) by the averaged network, their labels (n,)."""
        order = np.array([i for i, s in enumerate(self.samples) if s.split == split])
        logits, labels = self._forward(self.averaged, order, size, self.averaged.head, masked)
        return order, logits, labels

    def _validate(self, phase: Phase) -> dict:
        if not any(s.split == VALIDATION for s in self.samples):
            return {}
        order, logits, labels = self.predict(VALIDATION, phase.size)
        figures = {"val_loss": float(F.cross_entropy(logits, labels)),
                   "val_accuracy": float((logits.argmax(1) == labels).float().mean())}  # fmt: skip
        if logits.shape[1] == 2:
            score = (logits[:, 1] - logits[:, 0]).numpy()
            sources = np.array([self.samples[i].source for i in order])
            truth = labels.numpy()
            figures["val_auc"] = auc(truth, score)
            for source in sorted(set(sources)):
                here = sources == source
                if len(set(truth[here])) == 2:
                    figures[f"val_auc {source}"] = auc(truth[here], score[here])
                else:
                    figures[f"val_accuracy {source}"] = float(np.mean((score[here] > 0) == truth[here]))
        return {k: round(v, 4) for k, v in figures.items()}

    # -- checkpoints ------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        state = {
            "epoch": self.epoch, "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "history": json.dumps(self.history),
            "config": json.dumps(asdict(self.config)),
        }  # fmt: skip
        unfinished = self.folder / "checkpoint.tmp"
        torch.save(state, unfinished)
        os.replace(unfinished, self.folder / "checkpoint.pt")
        (self.folder / "history.json").write_text(json.dumps(self.history, indent=1))

    def _restore(self) -> None:
        state = torch.load(self.folder / "checkpoint.pt", map_location=self.device, weights_only=True)
        if json.loads(state["config"]) != json.loads(json.dumps(asdict(self.config))):
            raise ValueError(f"{self.folder} holds a run with other settings: choose another folder or remove it.")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.history = state["epoch"], json.loads(state["history"])
        self.log(f"resumed after epoch {self.epoch}")
