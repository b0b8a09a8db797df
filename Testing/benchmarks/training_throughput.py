"""Throughput of the trainer against a bare forward-backward loop on the same batches, in one run.

    python Testing/benchmarks/training_throughput.py [--backbone resnet50] [--size 256] [--batch 16] [--batches 12]

The bare loop has its batches in memory: network, loss, backward, the same optimizer, nothing else. The trainer reads
prepared slices from disk, augments them, averages weights, clips gradients and reports progress. Both take turns, so
that other load on the machine affects them equally.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("LesionAnalysis", "LesionAnalysisTraining", "Testing")]

import numpy as np
import torch
import torch.nn.functional as F
from helpers_training import chest_image
from LesionAnalysisLib.network.devices import choose_device
from LesionAnalysisTrainingLib.data_loading import Views, draw_order, loader, training_batches
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, Sample, SliceStore
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.trainer import Trainer
from LesionAnalysisTrainingLib.training_config import Phase, TrainingConfig
from PIL import Image


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=6, help="in each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--workers", type=int, help="as TrainingConfig.workers")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(args, Path(folder))
        batches = ready_batches(trainer, args)
        bare_turn(trainer, batches[:2])
        trainer_turn(trainer)
        pairs = [(bare_turn(trainer, batches), trainer_turn(trainer)) for _ in range(args.turns)]
    count = args.batch * args.batches
    bare, own = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(b / t for b, t in pairs)
    print(f"{args.backbone}, {args.size} px, batch {args.batch}, {trainer.device}, {trainer.dtype}, "
          f"{trainer.workers} workers, {torch.get_num_threads()} threads")  # fmt: skip
    print(f"bare loop {count / bare:.2f} slices/s, trainer {count / own:.2f} slices/s, ratio {ratio:.3f}")


def make_trainer(args: argparse.Namespace, folder: Path) -> Trainer:
    rng, samples = np.random.default_rng(0), []
    for i in range(48):
        path = folder / f"{i}.png"
        Image.fromarray(chest_image(rng, i % 2, max(128, 2 * args.size))).save(path)
        samples.append(Sample(str(path), i % 2, f"p{i}", "toy", VALIDATION if i < 4 else TRAIN))
    config = replace(
        TrainingConfig(backbone=args.backbone, imagenet=None, device=args.device, workers=args.workers),
        phases=(Phase(args.size, 1000, args.batch),), samples_per_epoch=args.batch * args.batches,
    )  # fmt: skip
    store = SliceStore(samples, folder / "slices", config.preprocessing())
    return Trainer(samples, store, 2, 1, config, folder, ProcessGroup(choose_device(args.device)), log=lambda _: None)


def ready_batches(trainer: Trainer, args: argparse.Namespace) -> list:
    order = draw_order(trainer.samples, trainer.config, 0)
    views = Views(trainer.regions, trainer.samples, order, args.size, trainer.config, (0, 0))
    batches = loader(views, training_batches(len(order), args.batch), 0)
    return [(trainer._input(images), labels.to(trainer.device)) for images, labels in batches]


def bare_turn(trainer: Trainer, batches: list) -> float:
    """Seconds of forward, backward and step alone, with the trainer's own network and precision."""
    network, optimizer = trainer.network.train(), trainer.optimizer
    began = time.perf_counter()
    for images, labels in batches:
        with trainer._autocast():
            logits = network(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    wait(trainer.device)
    return time.perf_counter() - began


def trainer_turn(trainer: Trainer) -> float:
    """Seconds of one epoch of the trainer, without what follows an epoch."""
    update, trainer._update_omega = trainer._update_omega, lambda _: None
    began = time.perf_counter()
    trainer._train_epoch()
    wait(trainer.device)
    trainer._update_omega = update
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
