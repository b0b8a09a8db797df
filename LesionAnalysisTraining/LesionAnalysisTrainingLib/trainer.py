"""The training loop: epochs, omega, validation, and checkpoints from which a run resumes (section 4.2)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.network.backbones import load_imagenet
from LesionAnalysisLib.network.devices import choose_precision
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.network.saliency import log_odds
from torch import Tensor, nn

from .checkpoint import changed_settings, load_checkpoint, save_checkpoint, write_json
from .data_loading import Views, draw_order, loader, plain_batches, split_indices, training_batches
from .dataset import TRAIN, VALIDATION, Sample
from .dataset.parallel import Progress
from .distributed import ProcessGroup
from .losses import MultiOutput, fusion_of, total_loss
from .metrics import auc
from .optimization import averaged_copy, make_optimizer, phase_schedule
from .training_config import Phase, TrainingConfig

CHECKPOINT = "checkpoint.pt"
_EVALUATION_BATCH = 16
_MAX_NON_FINITE = 50  # steps in a row without finite gradients that stop the training


class Trainer:
    """Trains one FeCNN on prepared slices; ``folder`` takes ``checkpoint.pt`` and ``history.json``.

    Args:
        samples: all slices with their splits; ``regions`` holds their lungs in the same order.
        classes: number of classes; ``positive`` is the index of the disease.
        imagenet: start weights of the backbone; None for random ones.
        network: a network to compare, in place of the FeCNN of ``config``: from images (N, 1, H, W), or with their
            lungs as a second channel where it has ``wants_lungs``, to logits.
        group: the processes that train together.
        log: takes a line of text now and then; ``progress`` the share done and what is being done, about once a
            second, and may raise to stop the run, which then resumes after the last whole epoch.

    Raises:
        ValueError: a batch is larger than the training data or does not divide among the processes.
    """

    def __init__(self, samples: Sequence[Sample], regions: Sequence[LungRegion], classes: int, positive: int,
                 config: TrainingConfig, folder: str | Path, group: ProcessGroup, imagenet: str | Path | None = None,
                 log: Callable[[str], None] = print, progress: Progress = lambda *_: None,
                 network: nn.Module | None = None) -> None:  # fmt: skip
        self.samples, self.regions, self.config, self.positive = samples, regions, config, positive
        self.folder, self.group, self.device = Path(folder), group, group.device
        self.log, self.progress = (log, progress) if group.is_rank0 else (lambda _: None, lambda *_: None)
        self.dtype = choose_precision(config.precision, self.device)
        self.workers = automatic_workers(self.device) if config.workers is None else config.workers
        self.plan = config.plan()
        self.epoch_slices = int(np.sum([s.split == TRAIN for s in samples]))
        if config.balance and config.samples_per_epoch:
            self.epoch_slices = config.samples_per_epoch
        self._check_batches()
        network = self._new_network(classes) if network is None else network
        self.frozen = self._load_start(network, imagenet) if imagenet else []
        self.lungs = getattr(network, "wants_lungs", False)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.averaged = averaged_copy(self.network, config.average)
        self.optimizer = make_optimizer(self.network, config, imagenet is not None)
        self.trained = group.wrap(MultiOutput(self.network))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.epoch, self.history = 0, []
        self.best: dict[str, Tensor] | None = None
        self.best_figures: tuple[float, float] | None = None
        self.best_epoch = 0

    def _new_network(self, classes: int) -> FeCNN:
        c = self.config
        torch.manual_seed(c.seed)
        network = FeCNN(c.backbone, classes, c.fpn, c.fusion, dropout=c.dropout, linear_top=c.linear_top,
                        lesion_head=c.lesion_head)  # fmt: skip
        fusion = fusion_of(network)
        if fusion is not None and not c.vote_start:
            fusion.classify.reset_parameters()
        return network

    def _load_start(self, network: nn.Module, imagenet: str | Path) -> list[nn.Module]:
        """Load start weights; the modules that keep them. (Random weights are no edges and textures to keep.)"""
        maps = network.backbone_maps
        load_imagenet(maps, str(imagenet))
        frozen = [maps.get_submodule(name) for name in maps.early] if self.config.freeze_early else []
        for module in frozen:
            module.requires_grad_(False)
        return frozen

    def _check_batches(self) -> None:
        count, processes = self.epoch_slices, self.group.size
        for phase in self.config.phases:
            if phase.batch > count:
                raise ValueError(f"A batch of {phase.batch} is larger than the {count} slices of an epoch: give a "
                                 f"batch of at most {count}.")  # fmt: skip
            if phase.batch % processes or phase.batch // processes < 2:
                raise ValueError(f"A batch of {phase.batch} does not divide among {processes} processes with at "
                                 "least two slices each: choose another batch.")  # fmt: skip

    @property
    def chosen_epoch(self) -> int:
        """The epoch (from 1) whose network is kept."""
        return self.best_epoch + 1 if self.best is not None else self.history[-1]["epoch"]

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> nn.Module:
        """Train to the end, from the folder's checkpoint if there is one; the averaged network in float32."""
        if (self.folder / CHECKPOINT).exists():
            self._restore()
        while self.epoch < len(self.plan):
            self._train_epoch()
            self._validate()
            self.epoch = self._next_epoch()
            self._checkpoint()
        if self.best is not None:
            self.averaged.load_state_dict(self.best)
        return self.averaged.module

    def _phase(self, epoch: int) -> tuple[int, int, Phase]:
        """Index of the phase of an epoch, the epoch at which it starts, and the phase."""
        start = 0
        for index, phase in enumerate(self.config.phases):
            if epoch < start + phase.epochs:
                return index, start, phase
            start += phase.epochs
        raise IndexError(epoch)

    def _train_epoch(self) -> None:
        config, group, began = self.config, self.group, time.monotonic()
        _, start, phase = self._phase(self.epoch)
        torch.manual_seed(config.seed * 1000 + self.epoch + 7919 * group.rank)  # dropout repeats after a resume
        order = draw_order(self.samples, config, self.epoch)
        views = Views(self.regions, self.samples, order, phase.size, config, (config.seed, self.epoch),
                      lungs=self.lungs, positive=self.positive, marks=config.lesion_head)  # fmt: skip
        batches = training_batches(len(order), phase.batch, config.drop_last, group.rank, group.size)
        schedule = phase_schedule(self.optimizer, config, phase, phase.epochs * len(batches),
                                  (self.epoch - start) * len(batches))  # fmt: skip
        self.trained.train()
        for module in self.frozen:
            module.eval()
        losses, non_finite = [], 0
        for step, batch in enumerate(loader(views, batches, self.workers, self.device.type == "cuda"), 1):
            rate = self.optimizer.param_groups[0]["lr"]
            loss, finite = self._step(*batch)
            losses.append(loss)
            non_finite = 0 if finite else non_finite + 1
            if non_finite >= _MAX_NON_FINITE:
                raise RuntimeError("The training diverged (gradients are not finite): lower the learning rate.")
            schedule.step()
            self._report(step, len(batches), phase)
        group.share_buffers(self.averaged)
        self.history.append({
            "epoch": self.epoch + 1, "size": phase.size, "rate": rate,
            "loss": float(np.mean(group.gather([float(torch.stack(losses).mean())]))),
            "seconds": round(time.monotonic() - began, 2), "slices": group.size * sum(map(len, batches)),
        })  # fmt: skip
        self._update_omega(phase)

    def _step(self, images: Tensor, labels: Tensor, marks: Tensor | None = None) -> tuple[Tensor, bool]:
        """One step of the optimizer; the loss (not waited for) and whether its gradients were finite."""
        labels, marks = (x if x is None else x.to(self.device, non_blocking=True) for x in (labels, marks))
        images = self._input(images)
        with self._autocast():
            outputs = self.trained(images)
        loss = total_loss(outputs, labels, marks, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm or math.inf)
        finite = bool(torch.isfinite(norm))
        if finite or self.scaler.is_enabled():  # the scaler skips such a step by itself and lowers its scale
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if finite:
            self.averaged.update_parameters(self.network)
        return loss.detach(), finite

    def _input(self, images: Tensor) -> Tensor:
        images = images.to(self.device, non_blocking=True).float() / 255.0
        return images.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        full = self.dtype is torch.float32
        return torch.autocast(self.device.type, None if full else self.dtype, enabled=not full)

    def _report(self, step: int, steps: int, phase: Phase) -> None:
        costs = [p.size**2 for p in self.plan]
        share = (sum(costs[: self.epoch]) + costs[self.epoch] * step / steps) / sum(costs)
        self.progress(share, f"Epoch {self.epoch + 1} of {len(self.plan)}, {phase.size} px, batch {step} of {steps}")

    # -- end of an epoch --------------------------------------------------------------------------

    def _update_omega(self, phase: Phase) -> None:
        """Equation 2 on training slices, in evaluation mode, without augmentation, from the scores before ReLU."""
        config, fusion = self.config, fusion_of(self.averaged.module)
        # a short run would never learn omega if its last five epochs left it alone
        frozen = min(config.omega_frozen_epochs, len(self.plan) // 2)
        early = self.epoch + 1 <= config.omega_start * len(self.plan)
        if fusion is None or early or len(self.plan) - self.epoch <= frozen:
            return
        if config.balance:
            order = draw_order(self.samples, replace(config, seed=config.seed + 1), self.epoch)
        else:
            order = np.random.default_rng((config.seed, 1, self.epoch)).permutation(split_indices(self.samples, TRAIN))
        pooled = self.averaged.module.head.pooled
        scores, labels = self.evaluate(order[: config.omega_samples], phase.size,
                                       lambda *maps: fusion.scores(pooled(*maps)))  # fmt: skip
        errors = (scores.argmax(-1) != labels[:, None]).float().mean(0).to(self.device)
        for owner in (fusion, self.network.head.fusion):
            owner.update_omega(errors)
            if config.omega_floor:
                # equation 2 gives near 0 to levels that err as often as chance: what hardly counts hardly learns,
                # and with small omegas the whole network learns slowly
                owner.omega.div_(owner.omega.max()).clamp_(min=config.omega_floor)
        self.history[-1]["omega"] = [round(w, 4) for w in fusion.omega.tolist()]

    @torch.inference_mode()
    def evaluate(self, order: np.ndarray, size: int,
                 head: Callable[..., Tensor] | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Logits (n, C) of the averaged network on plain views, and their labels; float32 on the CPU.

        With ``head``, ``head(C3, C4, C5)`` in place of the logits. All processes of the group take part.
        """
        network, part = self.averaged.module, np.array_split(order, self.group.size)[self.group.rank]
        views = Views(self.regions, self.samples, part, size, self.config, lungs=self.lungs)
        outputs: list[Tensor] = []
        for images, _ in loader(views, plain_batches(len(part), _EVALUATION_BATCH), self.workers):
            images = self._input(images)
            with self._autocast():
                outputs += (network(images) if head is None else head(*network.backbone(images))).float().cpu()
        return torch.stack(self.group.gather(outputs)), torch.tensor([self.samples[i].label for i in order])

    def _validate(self) -> None:
        logits, labels = self.evaluate(split_indices(self.samples, VALIDATION), self._phase(self.epoch)[2].size)
        row = self.history[-1]
        row["val_loss"] = float(F.cross_entropy(logits, labels))
        row["val_accuracy"] = float((logits.argmax(1) == labels).float().mean())
        row["val_auc"] = auc((labels == self.positive).numpy(), log_odds(logits, self.positive).numpy())
        if not math.isfinite(row["val_loss"]):
            raise RuntimeError("The training diverged (the validation loss is not finite): lower the learning rate.")
        self.log(f"Epoch {row['epoch']} of {len(self.plan)}, {row['size']} px, "
                 f"{row['seconds'] / row['slices']:.3f} s per slice: "
                 f"loss {row['loss']:.3f}, validation loss {row['val_loss']:.3f}, "
                 f"accuracy {row['val_accuracy']:.3f}, AUC {row['val_auc']:.3f}"
                 + (f", omega {' '.join(f'{w:.2f}' for w in row['omega'])}" if "omega" in row else ""))  # fmt: skip
        self._keep_best(row)

    def _keep_best(self, row: dict) -> None:
        figures = (round(row["val_auc"], 4), -row["val_loss"])  # of equal AUC, the one with the lower loss
        if self.config.keep_best and (self.best_figures is None or figures > self.best_figures):
            self.best_figures, self.best_epoch = figures, self.epoch
            self.best = {name: value.clone() for name, value in self.averaged.state_dict().items()}

    def _next_epoch(self) -> int:
        """The epoch to go on with: the next, or the next phase's first where this phase gains nothing more."""
        index, start, phase = self._phase(self.epoch)
        patience = self.config.patience
        waited = self.epoch - max(self.best_epoch, start)
        following = self.epoch + 1
        if self.config.keep_best and patience and waited >= patience and following < start + phase.epochs:
            self.log(f"No better validation AUC for {patience} epochs: the phase at {phase.size} px ends.")
            following = start + phase.epochs
        if following == start + phase.epochs and index + 1 < len(self.config.phases):
            self.best, self.best_figures = None, None  # the last phase, at the size of use, decides
        return following

    # -- checkpoints ------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        if self.group.is_rank0:
            tensors = {name: getattr(self, name).state_dict() for name in _STATEFUL} | {"best": self.best}
            facts = {"epoch": self.epoch, "history": self.history, "best_figures": self.best_figures,
                     "best_epoch": self.best_epoch, "config": self.config.to_dict()}  # fmt: skip
            write_json(self.folder / "history.json", self.history)  # never behind the checkpoint
            save_checkpoint(self.folder / CHECKPOINT, tensors, facts)

    def _restore(self) -> None:
        state, facts = load_checkpoint(self.folder / CHECKPOINT, self.device)
        changed = changed_settings(facts["config"], self.config.to_dict())
        if changed:
            raise ValueError(f"The unfinished run in {self.folder} has another setting of {', '.join(changed)}: resume "
                             "it with its own settings, or start anew.")  # fmt: skip
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.best, self.best_epoch = state["best"], facts["best_epoch"]
        self.best_figures = None if facts["best_figures"] is None else tuple(facts["best_figures"])
        self.epoch, self.history = facts["epoch"], facts["history"]
        self.log(f"Resumed after epoch {self.history[-1]['epoch']}.")


_STATEFUL = ("network", "averaged", "optimizer", "scaler")  # attributes of a trainer


def automatic_workers(device: torch.device) -> int:
    """Processes that make views while the network works: none where they would take the network's own cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" else max(1, min(8, cores - 1))
