"""The training itself: epochs, omega, running average, checkpoints from which all resumes (section 4.2)."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from LesionAnalysisLib.network.backbones import load_imagenet
from LesionAnalysisLib.network.devices import choose_precision
from LesionAnalysisLib.network.fecnn import EnsembleFusion, FeCNN
from LesionAnalysisLib.network.saliency import log_odds
from torch import Tensor, nn

from .checkpoint import changed_settings, load_checkpoint, save_checkpoint, write_json
from .data_loading import Views, draw_order, loader, plain_batches, share_of_batches
from .dataset import TRAIN, VALIDATION, Prepared, Sample
from .distributed import Team
from .metrics import auc
from .training_config import Phase, TrainingConfig

Progress = Callable[[float, str], None]
_EVALUATION_BATCH = 16
_FINITE_STEPS = 50  # so many steps in a row without finite gradients are no accident
CHECKPOINT = "checkpoint.pt"
_LESION_WEIGHT = 3.0  # of a cell of lesion against one without
_SUREST = 0.01  # share of a slice's cells
_FOUND_WEIGHT = 0.1


class _Supervised(nn.Module):
    """A network that gives its levels' scores (N, levels, rho) and its lesion head's logits (N, h, w) beside its own.

    None stands for what it has not.

    Equation 1's scores learn as votes of their own. Left to the fusion alone, the shallow levels may learn all that an
    easy task needs; then C5 has no gradient, and Grad++ shows nothing.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        fusion = fusion_of(self.network)
        if fusion is None:
            return self.network(pictures), None, None
        head = self.network.head
        levels = head.pyramid(*self.network.backbone(pictures))
        scores = fusion.scores(head.summary(levels))
        return fusion.decide(scores), scores, head.lesions(levels[0]) if head.lesions else None


def fusion_of(network: nn.Module) -> EnsembleFusion | None:
    """The ensemble fusion of a network that has one."""
    fusion = getattr(getattr(network, "head", None), "fusion", None)
    return fusion if isinstance(fusion, EnsembleFusion) else None


def lesion_loss(cells: Tensor, marks: Tensor) -> Tensor:
    """Cross-entropy of a lesion head's logits (N, h, w) with ``marks`` (N, h, w), see ``Views``.

    Cells of lesions weigh more, since they are few. Where lesions are somewhere, but unknown (the real ones), only the
    surest cells are asked to be lesion: multiple instance learning (Dietterich 1997).
    """
    known = (marks >= 0).float()
    weight = torch.tensor(_LESION_WEIGHT, device=cells.device)
    each = F.binary_cross_entropy_with_logits(cells, marks.clamp(min=0), pos_weight=weight, reduction="none")
    taught = (each * known).sum() / known.sum().clamp(min=1)
    surest = cells.flatten(1).topk(max(1, round(_SUREST * cells[0].numel()))).values.mean(1)
    unknown = 1 - known[:, 0, 0]
    found = (F.softplus(-surest) * unknown).sum() / unknown.sum().clamp(min=1)
    return taught + _FOUND_WEIGHT * found


class Trainer:
    """Trains one FeCNN on prepared slices; ``folder`` takes ``checkpoint.pt`` and ``history.json``.

    Args:
        samples: all slices with their splits; ``pictures`` holds them prepared, in the same order.
        classes: how many there are; ``positive`` is the index of the disease.
        imagenet: start weights of the backbone, None to start from scratch.
        network: another network than the FeCNN of ``config``, for comparisons: from pictures (N, 1, H, W), or with
            their lungs as a second channel where it has ``wants_lungs``, to logits.
        team: of the processes that train together.
        log: takes one line for people now and then; ``progress`` the share done and what is being done, about
            once a second, and may raise to stop the run, which then resumes at the last whole epoch.

    Raises:
        ValueError: a batch is larger than the training data or does not divide among the processes.
    """

    def __init__(self, samples: Sequence[Sample], pictures: Sequence[Prepared], classes: int, positive: int,
                 config: TrainingConfig, folder: str | Path, team: Team, imagenet: str | Path | None = None,
                 log: Callable[[str], None] = print, progress: Progress = lambda *_: None,
                 network: nn.Module | None = None) -> None:  # fmt: skip
        self.samples, self.pictures, self.config = samples, pictures, config
        self.classes, self.positive = classes, positive
        self.folder, self.team, self.device = Path(folder), team, team.device
        self.log, self.progress = (log, progress) if team.leader else (lambda _: None, lambda *_: None)
        self.dtype = choose_precision(config.precision, self.device)
        self.workers = automatic_workers(self.device) if config.workers is None else config.workers
        self._check_batches()
        self.pretrained = imagenet is not None
        if network is None:
            torch.manual_seed(config.seed)
            network = FeCNN(config.backbone, classes, config.fpn, config.fusion, dropout=config.dropout,
                            linear_top=config.linear_top, lesion_head=config.lesion_head)  # fmt: skip
        self.frozen = self._start(network, imagenet) if imagenet else []
        self.lungs = getattr(network, "wants_lungs", False)
        self.averaged = copy.deepcopy(network).to(self.device, memory_format=torch.channels_last)
        self.averaged.eval().requires_grad_(False)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.trained = team.wrap(_Supervised(self.network))
        self.optimizer = self._optimizer()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.plan = config.plan()
        self.epoch, self.history = 0, []
        self.best: dict[str, Tensor] | None = None
        self.best_figures: tuple[float, float] | None = None
        self.best_epoch = 0

    def _start(self, network: nn.Module, imagenet: str | Path) -> list[nn.Module]:
        """Load start weights; the modules that keep them. (Without them, there are no edges and textures to keep.)"""
        maps = network.backbone_maps
        load_imagenet(maps, str(imagenet))
        frozen = [maps.get_submodule(name) for name in maps.early] if self.config.freeze_early else []
        for module in frozen:
            module.requires_grad_(False)
        return frozen

    def _check_batches(self) -> None:
        count = sum(s.split == TRAIN for s in self.samples)
        if self.config.balance and self.config.samples_per_epoch:
            count = self.config.samples_per_epoch
        for phase in self.config.phases:
            if phase.batch > count:
                raise ValueError(f"A batch of {phase.batch} is larger than the {count} slices of an epoch: give a "
                                 f"batch of at most {count}.")  # fmt: skip
            if phase.batch % self.team.size or phase.batch // self.team.size < 2:
                raise ValueError(f"A batch of {phase.batch} does not divide among {self.team.size} processes with at "
                                 "least two slices each: choose another batch.")  # fmt: skip

    def _optimizer(self) -> torch.optim.Optimizer:
        c, network = self.config, self.network
        slow = c.learning_rate
        if c.recipe != "paper" and not self.pretrained:  # nothing to preserve
            slow = max(slow, c.head_learning_rate)
        maps = getattr(network, "backbone_maps", None)
        backbone = {id(p) for p in maps.parameters()} if maps is not None else set()
        learning = [p for p in network.parameters() if p.requires_grad]
        groups = [{"params": [p for p in learning if (id(p) in backbone) is inside], "peak": peak}
                  for inside, peak in ((True, slow), (False, c.head_learning_rate))]  # fmt: skip
        return torch.optim.AdamW(groups, lr=c.learning_rate, weight_decay=c.weight_decay)

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> FeCNN:
        """Train from where the folder's checkpoint stands (or the start) to the end; the network in float32."""
        if (self.folder / CHECKPOINT).exists():
            self._restore()
        while self.epoch < len(self.plan):
            self._train_epoch()
            self._validate()
            self.epoch = self._next_epoch()
            self._checkpoint()
        if self.best is not None:
            self.averaged.load_state_dict(self.best)
        return self.averaged

    def _phase(self, epoch: int) -> tuple[int, int, Phase]:
        """Index of the phase of an epoch, the epoch at which it starts, and the phase."""
        start = 0
        for index, phase in enumerate(self.config.phases):
            if epoch < start + phase.epochs:
                return index, start, phase
            start += phase.epochs
        raise IndexError(epoch)

    def _train_epoch(self) -> None:
        config, began = self.config, time.monotonic()
        _, _, phase = self._phase(self.epoch)
        torch.manual_seed(config.seed * 1000 + self.epoch)  # dropout repeats after a resume
        order = draw_order(self.samples, config, self.epoch)
        views = Views(self.pictures, self.samples, order, phase.size, config, (config.seed, self.epoch),
                      lungs=self.lungs, positive=self.positive, marks=self.config.lesion_head)  # fmt: skip
        batches = share_of_batches(len(order), phase.batch, self.team.rank, self.team.size)
        self.trained.train()
        for module in self.frozen:
            module.eval()
        losses, refused = [], 0
        for step, shown in enumerate(loader(views, batches, self.workers, self.device.type == "cuda")):
            self._set_rate(step / len(batches))
            loss, finite = self._step(*shown)
            losses.append(loss)
            refused = 0 if finite else refused + 1
            if refused >= _FINITE_STEPS:
                raise RuntimeError("The training diverged: its gradients are no numbers. Lower the learning rate.")
            self._report(step + 1, len(batches), phase)
        self.history.append({
            "epoch": self.epoch + 1, "size": phase.size, "rate": self.optimizer.param_groups[0]["lr"],
            "loss": self.team.mean(float(torch.stack(losses).mean())), "seconds": round(time.monotonic() - began, 2),
            "slices": len(batches) * phase.batch,
        })  # fmt: skip
        self._update_omega(phase)

    def _step(self, *shown: Tensor) -> tuple[Tensor, bool]:
        """One step of the optimizer; the loss (not waited for) and whether its gradients were finite."""
        loss = self._loss(*shown)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        finite = bool(torch.isfinite(norm))
        if finite or self.scaler.is_enabled():  # a scaler leaves such a step out by itself, and lowers its scale
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if finite:
            self._average()
        return loss.detach(), finite

    def _loss(self, pictures: Tensor, labels: Tensor, marks: Tensor | None = None) -> Tensor:
        shown, wanted = self._input(pictures), self._wanted(labels)
        if self.config.mixup:  # Zhang 2018: pictures and labels of pairs, mixed alike
            share = float(np.random.default_rng(int(torch.randint(2**31, ()))).beta(*[self.config.mixup] * 2))
            shown, wanted = (share * x + (1 - share) * x.roll(1, 0) for x in (shown, wanted))
        with self._autocast():
            logits, scores, cells = self.trained(shown)
        loss = F.cross_entropy(logits.float(), wanted)
        if self.config.level_loss and scores is not None:
            each = scores.float().flatten(0, 1), wanted.repeat_interleave(scores.shape[1], 0)
            loss = loss + self.config.level_loss * F.cross_entropy(*each)
        if cells is not None:
            loss = loss + self.config.lesion_loss * lesion_loss(cells.float(), marks.to(self.device, non_blocking=True))
        return loss

    def _wanted(self, labels: Tensor) -> Tensor:
        """Smoothed shares of the classes, (N, C)."""
        smoothing = self.config.label_smoothing
        hard = F.one_hot(labels.to(self.device, non_blocking=True), self.classes).float()
        return hard * (1 - smoothing) + smoothing / self.classes

    def _input(self, pictures: Tensor) -> Tensor:
        pictures = pictures.to(self.device, non_blocking=True).float() / 255.0
        return pictures.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        wide = self.dtype is torch.float32
        return torch.autocast(self.device.type, None if wide else self.dtype, enabled=not wide)

    def _set_rate(self, share: float) -> None:
        """Warm-up, then half a cosine down to a hundredth, over the phase; ``share`` of this epoch is done."""
        c = self.config
        _, start, phase = self._phase(self.epoch)
        done = (self.epoch - start + share) / phase.epochs
        rise = min(1.0, done / c.warm_up + 0.01) if c.warm_up else 1.0
        fall = 1.0 if c.schedule == "constant" else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * phase.rate * rise * fall

    @torch.no_grad()
    def _average(self) -> None:
        states = self.optimizer.state.values()
        steps = float(next(iter(states))["step"]) if states else 0.0
        # young weights change fast, and batch statistics that lag behind them would ruin the average
        decay = min(self.config.average, (1 + steps) / (10 + steps))
        means, values = [], []
        for mean, now in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if decay and mean.is_floating_point():
                means.append(mean)
                values.append(now)
            else:
                mean.copy_(now)
        if means:
            torch._foreach_lerp_(means, values, 1 - decay)

    def _report(self, step: int, steps: int, phase: Phase) -> None:
        costs = [p.size**2 for p in self.plan]
        share = (sum(costs[: self.epoch]) + costs[self.epoch] * step / steps) / sum(costs)
        self.progress(share, f"Epoch {self.epoch + 1} of {len(self.plan)}, {phase.size} px, batch {step} of {steps}")

    # -- end of an epoch --------------------------------------------------------------------------

    def _update_omega(self, phase: Phase) -> None:
        """Equation 2 on training slices, in evaluation mode, without augmentation, from the scores before ReLU."""
        fusion = fusion_of(self.averaged)
        # a short run would never learn omega if its last five epochs left it alone
        frozen = min(self.config.omega_frozen_epochs, len(self.plan) // 2)
        early = self.epoch + 1 <= self.config.omega_start * len(self.plan)
        if fusion is None or early or len(self.plan) - self.epoch <= frozen:
            return
        train = [i for i, s in enumerate(self.samples) if s.split == TRAIN]
        order = np.random.default_rng((self.config.seed, 1, self.epoch)).permutation(train)
        if self.config.balance:
            settings = replace(self.config, seed=self.config.seed + 1)
            order = draw_order(self.samples, settings, self.epoch)
        head = self.averaged.head
        scores, labels = self.forward(order[: self.config.omega_samples], phase.size,
                                      lambda *maps: head.fusion.scores(head.pooled(*maps)))  # fmt: skip
        errors = (scores.argmax(-1) != labels[:, None]).float().mean(0)
        for owner in (fusion, self.network.head.fusion):
            owner.update_omega(errors.to(self.device))
            if self.config.omega_floor:
                # equation 2 gives near 0 to levels that err as often as chance: what hardly counts hardly learns,
                # and with small omegas the whole network learns slowly
                owner.omega.div_(owner.omega.max()).clamp_(min=self.config.omega_floor)
        self.history[-1]["omega"] = [round(w, 4) for w in fusion.omega.tolist()]

    @torch.inference_mode()
    def forward(self, order: np.ndarray, size: int, head: Callable[..., Tensor] | None = None,
                masked: bool | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
        """``head(C3, C4, C5)`` of the averaged network on plain views, and their labels; float32 on the CPU.

        ``head`` None gives the logits (n, C). All processes of the team take part.
        """
        network, part = self.averaged, order[self.team.rank :: self.team.size]
        views = Views(self.pictures, self.samples, part, size, self.config, masked=masked, lungs=self.lungs)
        outputs: list[Tensor] = []
        for pictures, _ in loader(views, plain_batches(len(part), _EVALUATION_BATCH), self.workers):
            with self._autocast():
                shown = self._input(pictures)
                outputs += (network(shown) if head is None else head(*network.backbone(shown))).float().cpu()
        outputs = self.team.gather(outputs)
        return torch.stack(outputs), torch.tensor([self.samples[i].label for i in order])

    def _validate(self) -> None:
        order = np.array([i for i, s in enumerate(self.samples) if s.split == VALIDATION])
        logits, labels = self.forward(order, self._phase(self.epoch)[2].size)
        truth = (labels == self.positive).numpy()
        row = self.history[-1]
        row["val_loss"] = float(F.cross_entropy(logits, labels))
        row["val_accuracy"] = float((logits.argmax(1) == labels).float().mean())
        row["val_auc"] = auc(truth, log_odds(logits, self.positive).numpy())
        if not math.isfinite(row["val_loss"]):
            raise RuntimeError("The training diverged: the validation loss is no number. Lower the learning rate.")
        pace = row["seconds"] / row["slices"]
        self.log(f"Epoch {row['epoch']} of {len(self.plan)}, {row['size']} px, {pace:.3f} s a slice: "
                 f"loss {row['loss']:.3f}, validation loss {row['val_loss']:.3f}, "
                 f"accuracy {row['val_accuracy']:.3f}, AUC {row['val_auc']:.3f}"
                 + (f", omega {' '.join(f'{w:.2f}' for w in row['omega'])}" if "omega" in row else ""))  # fmt: skip
        self._keep_best(row)

    def _keep_best(self, row: dict) -> None:
        figures = (round(row["val_auc"], 4), -row["val_loss"])  # equal AUC: the surer network
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
            self.log(f"No better validation AUC for {patience} epochs: the phase of {phase.size} px ends.")
            following = start + phase.epochs
        if following == start + phase.epochs and index + 1 < len(self.config.phases):
            self.best, self.best_figures = None, None  # the last phase, at the size of use, decides
        return following

    # -- checkpoints ------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        if self.team.leader:
            tensors = {"network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
                       "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
                       "best": self.best}  # fmt: skip
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
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best, self.best_epoch = state["best"], facts["best_epoch"]
        self.best_figures = None if facts["best_figures"] is None else tuple(facts["best_figures"])
        self.epoch, self.history = facts["epoch"], facts["history"]
        self.log(f"Resumed after epoch {self.history[-1]['epoch']}.")


def automatic_workers(device: torch.device) -> int:
    """Processes that make views while the network works: none where they would take the network's own cores."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" else max(1, min(8, cores - 1))
