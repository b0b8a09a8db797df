"""Data and initial weights of a comparison, recorded so that it can be continued."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from LesionAnalysisLib.atomic_io import remove_atomically
from LesionAnalysisLib.network.backbones import find_imagenet
from LesionAnalysisTrainingLib.checkpoint import write_json
from LesionAnalysisTrainingLib.dataset import TEST, TRAIN, VALIDATION, Sample, collect
from LesionAnalysisTrainingLib.training_config import TrainingConfig
from LesionAnalysisTrainingLib.training_run import Run, TrainingData, part_of, resumed_data, start_weights, workers_of

SCHEMA = 1
RECORD = "compare.json"
QUICK_SLICES = {TRAIN: 256, VALIDATION: 96, TEST: 96}


class Folder(Run):
    """A run that works in its output folder."""

    @property
    def work(self) -> Path:
        return self.output


def prepared(run: Run, quick: bool, overwrite: bool) -> tuple[TrainingData, dict[str, Path | None]]:
    """Data with their split, and initial weights by backbone; those of the comparison that is continued, if any.

    Args:
        run: ``compare.json`` is written into its folder.
        quick: keep only ``QUICK_SLICES``, evenly spaced.
        overwrite: delete an existing comparison.

    Raises:
        FileExistsError: the folder contains something other than a comparison.
        ValueError: the data are unsuitable, or the existing comparison has other settings or data.
    """
    record = run.work / RECORD
    if record.is_file() and not overwrite:
        found = resumed_data(run, record)
        facts = json.loads(record.read_text(encoding="utf-8"))
        if facts.get("quick") != quick:
            raise ValueError(f"The comparison in {run.work} was started {'with' if facts.get('quick') else 'without'} "
                             "--quick: continue it that way, or start over with --overwrite.")  # fmt: skip
        return found, {name: path and Path(path) for name, path in facts["starts"].items()}
    others = run.work.glob("[!.]*")  # unfinished files of a run that was killed are hidden
    if not record.is_file() and any(others):
        raise FileExistsError(f"{run.work} contains something other than a comparison: choose another folder.")
    for folder in ("systems", "slices"):  # before the record, by which the folder is recognized
        remove_atomically(run.work / folder)
    starts = _starts(run.config, run.log)
    collected = collect(run.folders, run.config, workers_of(run.config), part_of(run.progress, 0.0, 0.05))
    samples = _thinned(collected.samples) if quick else collected.samples
    for line in collected.report.lines():
        run.log(line)
    if quick:
        run.log(f"Quick run: {len(samples)} of the {len(collected.samples)} slices are used.")
    found = TrainingData(collected.classes, collected.positive, samples, collected.report.to_dict(), None)
    run.work.mkdir(parents=True, exist_ok=True)
    write_json(record, {
        "schema": SCHEMA, "config": run.config.to_dict(), "folders": [str(folder) for folder in run.folders],
        "quick": quick, "starts": {name: path and str(path) for name, path in starts.items()}, "data": found.to_dict(),
    })  # fmt: skip
    return found, starts


def _starts(config: TrainingConfig, log: Callable[[str], None]) -> dict[str, Path | None]:
    """ImageNet weights by backbone: the configured file for the configured backbone, torch's cache for the others."""
    starts: dict[str, Path | None] = {}
    for backbone in dict.fromkeys((config.backbone, "resnet50", "vgg16", "xception")):
        if config.imagenet is None:
            starts[backbone] = None
        elif config.imagenet != "auto" and backbone == config.backbone:
            starts[backbone] = start_weights(config)
        else:
            starts[backbone] = find_imagenet(backbone)
    missing = [name for name, path in starts.items() if path is None]
    if missing:
        rest = "." if len(missing) == len(starts) else "; systems with ImageNet weights have an advantage."
        log(f"Warning: no ImageNet weights for {', '.join(missing)}: training starts from random weights{rest}")
    return starts


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Some slices of every split, evenly over classes and, in the order of the data, over patients."""
    kept: set[int] = set()
    for split, most in QUICK_SLICES.items():
        labels = sorted({s.label for s in samples if s.split == split})
        for label in labels:
            here = [i for i, s in enumerate(samples) if s.split == split and s.label == label]
            count = min(len(here), most // len(labels))
            kept.update(here[k] for k in np.linspace(0, len(here) - 1, count).astype(int))
    return [samples[i] for i in sorted(kept)]
