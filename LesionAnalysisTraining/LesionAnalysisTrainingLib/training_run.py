"""One training run: what was asked for, its data, its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from LesionAnalysisLib.atomic_io import replaced
from LesionAnalysisLib.network.backbones import find_imagenet

from .checkpoint import changed_settings, write_json
from .dataset import TRAIN, VALIDATION, Sample, SliceStore, collect
from .distributed import Team
from .trainer import Progress
from .training_config import TrainingConfig

UNFINISHED = ".training"  # ending of the run's folder


_DATA_DONE, _STORE_DONE, _TRAINED = 0.05, 0.12, 0.88  # shares of the time, for the progress


LICENSE = "Not stated by those who trained it; the terms of its training data and start weights apply"


_FROM_SCRATCH = (
    "Warning: {} starts from random numbers, which needs far more slices and epochs. Give ImageNet weights with "
    "torchvision's names (a .pth file) with --weights."
)


@dataclass
class Run:
    """One training on its way: what it was asked for, and where things are."""

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
        return self.output.with_name(f"{self.output.name}{UNFINISHED}")


@dataclass(frozen=True)
class TrainingData:
    """What was found in the folders, and with what the network starts; kept in the run's folder for a resume."""

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
    several = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    return tuple(Path(os.path.abspath(folder)) for folder in several)


def workers_of(config: TrainingConfig) -> int:
    return max(1, os.cpu_count() or 1) if config.workers is None else config.workers


def _prepare(run: Run, resume: bool, overwrite: bool) -> TrainingData:
    """Check that there is room for the model, and read the data; a resumed run has them already."""
    if run.output.is_dir() and not any(run.output.iterdir()):
        run.output.rmdir()  # made to choose it in a dialog
    if run.output.exists() and not overwrite:
        raise FileExistsError(f"{run.output} exists already: choose another folder, or add --overwrite to replace it.")
    if run.output.exists() and not (run.output / "checksums.json").is_file():
        raise FileExistsError(f"{run.output} exists and is no model folder, so it is not replaced: choose another one.")
    record = run.work / "run.json"
    if record.is_file() and resume:
        return resumed_data(run, record)
    if run.work.exists() and not overwrite:
        raise FileExistsError(f"{run.work} holds an unfinished run: add --resume to go on with it, or --overwrite to "
                              "start anew.")  # fmt: skip
    imagenet = start_weights(run.config)
    found = collect(run.folders, run.config, workers_of(run.config), part_of(run.progress, 0.0, _DATA_DONE))
    for line in found.report.lines():
        run.log(line)
    if imagenet is None:
        run.log(_FROM_SCRATCH.format(run.config.backbone))
    data = TrainingData(found.classes, found.positive, found.samples, found.report.to_dict(), imagenet)
    settings = {"config": run.config.to_dict(), "folders": [str(folder) for folder in run.folders]}
    with replaced(run.work) as fresh:  # a folder without the record could not be resumed
        write_json(fresh / record.name, {**settings, "data": data.to_dict()})
    return data


def resumed_data(run: Run, record: Path) -> TrainingData:
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
    """The backbone's start weights; None where there are none."""
    if config.imagenet == "auto":
        found = find_imagenet(config.backbone)
        if found:
            return found
    elif config.imagenet:
        path = Path(os.path.abspath(config.imagenet))
        if not path.is_file():
            raise FileNotFoundError(f"The start weights {path} do not exist: check the path, or give none.")
        return path
    return None


def open_store(run: Run, samples: list[Sample], team: Team) -> SliceStore:
    """The prepared slices; one process of each machine makes them, where machines share no folder."""
    def fill() -> SliceStore:
        return SliceStore(samples, run.work / "pictures", run.config.preprocessing(), workers_of(run.config),
                            part_of(run.progress, _DATA_DONE, _STORE_DONE))  # fmt: skip

    if team.size == 1:
        return fill()
    team.from_leader(lambda: fill() and None)
    local_leader = os.environ.get("LOCAL_RANK", "0") == "0"
    if not team.leader and local_leader:
        fill()
    team.mean(1.0)  # wait for the other machines
    return fill()


def shown_slices_of(run: Run, data: TrainingData, store: SliceStore) -> tuple[list[Sample], SliceStore]:
    """Samples and pictures without the slices in which no lungs were found."""
    kept = [i for i, keep in enumerate(store.kept) if keep]
    lost = [data.samples[i] for i, keep in enumerate(store.kept) if not keep]
    if lost:
        run.log(f"{len(lost)} slices show too little lung and are left out.")
        reason = "It shows too little lung."
        data.report["left_out"] += [{"file": s.path, "slice": s.slice, "reason": reason} for s in lost]
    samples = [data.samples[i] for i in kept]
    present = {(s.label, s.split) for s in samples}
    for label, name in enumerate(data.classes):
        for split, words in ((TRAIN, "training"), (VALIDATION, "validation")):
            if (label, split) not in present:
                raise ValueError(f"No slice of {name} with lungs is left in {words}: give more data.")
    return samples, store.only(kept)


def part_of(progress: Progress, start: float, end: float) -> Progress:
    return lambda share, message="": progress(start + (end - start) * share, message)


@contextmanager
def repeatable() -> Iterator[None]:
    """The same numbers in every run on one device; what torch cannot repeat there stays as it is."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
