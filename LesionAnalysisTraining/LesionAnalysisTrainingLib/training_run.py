"""One training run: what was asked for, its data, its folder."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from LesionAnalysisLib.atomic_io import atomic_folder
from LesionAnalysisLib.network.backbones import find_imagenet

from .checkpoint import changed_settings, write_json
from .dataset import TRAIN, VALIDATION, Sample, SliceStore, collect
from .dataset.parallel import Progress
from .distributed import ProcessGroup
from .training_config import TrainingConfig

LICENSE = "Not stated by those who trained it; the terms of its training data and start weights apply"
DATA_DONE, STORE_DONE, TRAINED = 0.05, 0.12, 0.88  # shares of the time, for the progress
_RANDOM_START = ("Warning: {} starts from random weights, which takes far more slices and epochs. Give ImageNet "
                 "weights with torchvision's names (a .pth file) with --weights.")  # fmt: skip
_NO_IMAGENET = ("The recipe paper starts from ImageNet weights, but none were found for {}: give a .pth file with "
                "torchvision's names with --weights, or 'none' to start from random weights.")  # fmt: skip


@dataclass
class Run:
    """A training run: what was asked for, and where things are."""

    folders: tuple[Path, ...]
    output: Path
    config: TrainingConfig
    title: str | None = None
    license: str = LICENSE
    log: Callable[[str], None] = print
    progress: Progress = field(default=lambda *_: None)

    @property
    def work(self) -> Path:
        """The folder of the unfinished run, beside the model's: checkpoint, prepared slices, history."""
        return self.output.with_name(f"{self.output.name}.training")


@dataclass(frozen=True)
class TrainingData:
    """The slices of the data folders and the network's start weights; kept in the run's folder for a resume."""

    classes: tuple[str, ...]
    positive: int
    samples: list[Sample]
    report: dict[str, Any]  # counts, what was left out and why, warnings
    imagenet: Path | None

    def to_dict(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "positive": self.positive, "samples": [asdict(s) for s in self.samples],
                "report": self.report, "imagenet": self.imagenet and str(self.imagenet)}  # fmt: skip

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> TrainingData:
        samples = [Sample(**s) for s in facts["samples"]]
        imagenet = facts["imagenet"] and Path(facts["imagenet"])
        return cls(tuple(facts["classes"]), facts["positive"], samples, facts["report"], imagenet)


def folders_of(data: str | os.PathLike | Sequence[str | os.PathLike]) -> tuple[Path, ...]:
    """Absolute paths of one or several data folders."""
    several = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    return tuple(Path(os.path.abspath(folder)) for folder in several)


def workers_of(config: TrainingConfig) -> int:
    """Processes that read files."""
    return max(1, os.cpu_count() or 1) if config.workers is None else config.workers


def begin(run: Run, resume: bool, overwrite: bool) -> TrainingData:
    """Check that the model can be written, and read the data; a resumed run has read them already.

    Raises:
        FileExistsError: a model, an unfinished run or another folder is in the way.
        ValueError: the data or the settings cannot be used.
    """
    if run.output.is_dir() and not any(run.output.iterdir()):
        run.output.rmdir()  # created in a file dialog
    if run.output.exists() and not overwrite:
        raise FileExistsError(f"{run.output} exists already: choose another folder, or add --overwrite to replace it.")
    if run.output.exists() and not (run.output / "checksums.json").is_file():
        raise FileExistsError(f"{run.output} exists and is not a model folder, so it is not replaced: choose another.")
    record = run.work / "run.json"
    if record.is_file() and resume:
        return resumed_data(run, record)
    if run.work.exists() and not overwrite:
        raise FileExistsError(f"{run.work} holds an unfinished run: add --resume to continue it, or --overwrite to "
                              "start anew.")  # fmt: skip
    imagenet = start_weights(run.config)
    collected = collect(run.folders, run.config, workers_of(run.config), part_of(run.progress, 0.0, DATA_DONE))
    for line in collected.report.lines():
        run.log(line)
    if imagenet is None:
        run.log(_RANDOM_START.format(run.config.backbone))
    data = TrainingData(collected.classes, collected.positive, collected.samples, collected.report.to_dict(), imagenet)
    settings = {"config": run.config.to_dict(), "folders": [str(folder) for folder in run.folders]}
    with atomic_folder(run.work) as fresh:  # a folder without the record could not be resumed
        write_json(fresh / record.name, {**settings, "data": data.to_dict()})
    return data


def resumed_data(run: Run, record: Path) -> TrainingData:
    """The data of an unfinished run.

    Raises:
        ValueError: the record is damaged, or the run has other settings or folders.
    """
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        changed = changed_settings(facts["config"], run.config.to_dict())
        if facts["folders"] != [str(folder) for folder in run.folders]:
            changed.append("data folders")
        data = TrainingData.from_dict(facts["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The unfinished run in {run.work} is damaged: start anew with --overwrite.") from error
    if changed:
        raise ValueError(f"The unfinished run in {run.work} was started with another setting of {', '.join(changed)}: "
                         "resume it with its own, or start anew with --overwrite.")  # fmt: skip
    return data


def start_weights(config: TrainingConfig) -> Path | None:
    """The backbone's ImageNet weights; None for random ones.

    Raises:
        FileNotFoundError: the given file does not exist.
        ValueError: the recipe ``paper`` finds none and was not told to start from random weights.
    """
    if config.imagenet == "auto":
        path = find_imagenet(config.backbone)
        if path is None and config.recipe == "paper":
            raise ValueError(_NO_IMAGENET.format(config.backbone))
        return path
    if config.imagenet is None:
        return None
    path = Path(os.path.abspath(config.imagenet))
    if not path.is_file():
        raise FileNotFoundError(f"The start weights {path} do not exist: check the path, or give none.")
    return path


def open_store(run: Run, samples: list[Sample], group: ProcessGroup) -> SliceStore:
    """The prepared slices, made by one process of each machine, since machines may share no folder."""
    def fill() -> SliceStore:
        return SliceStore(samples, run.work / "slices", run.config.preprocessing(), workers_of(run.config),
                          part_of(run.progress, DATA_DONE, STORE_DONE))  # fmt: skip

    if group.size > 1:
        group.from_rank0(lambda: fill() and None)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            fill()
        group.gather([])  # wait for the other machines
    return fill()


def usable_slices(run: Run, data: TrainingData, store: SliceStore) -> tuple[list[Sample], SliceStore]:
    """Samples and their prepared slices without those that could not be prepared.

    Raises:
        ValueError: a class has no slice left for training or validation.
    """
    kept = [i for i, reason in enumerate(store.reasons) if reason is None]
    lost = [(s, reason) for s, reason in zip(data.samples, store.reasons, strict=True) if reason is not None]
    for reason, count in Counter(reason for _, reason in lost).items():
        run.log(f"{count} {'slice is' if count == 1 else 'slices are'} left out. {reason}")
    if lost:
        data.report["counts"]["left_out"] += f", {len(lost)} that could not be prepared"
    data.report["left_out"] += [{"file": s.path, "slice": s.slice, "reason": reason} for s, reason in lost]
    samples = [data.samples[i] for i in kept]
    present = {(s.label, s.split) for s in samples}
    for label, name in enumerate(data.classes):
        for split, words in ((TRAIN, "training"), (VALIDATION, "validation")):
            if (label, split) not in present:
                raise ValueError(f"No slice of {name} is left for {words}: give more data.")
    return samples, store.only(kept)


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """Progress of one part of the work as progress of all of it."""
    return lambda share, message="": progress(start + (end - start) * share, message)


@contextmanager
def deterministic() -> Iterator[None]:
    """The same numbers in every run on one device, as far as torch can."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
