"""Trains and tests all systems on the same split, one after the other; an interrupted comparison can be continued.

The folder of ``compare`` contains ``compare.json`` (data, split, settings), ``slices`` (the prepared slices) and
``systems/<name>/result.json`` of each finished system, or the checkpoint of an unfinished network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.network.devices import choose_device
from LesionAnalysisLib.text import error_message
from LesionAnalysisTrainingLib.checkpoint import save_checkpoint, write_json
from LesionAnalysisTrainingLib.dataset import TEST, TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.trainer import CHECKPOINT, Progress
from LesionAnalysisTrainingLib.training_config import TrainingConfig
from LesionAnalysisTrainingLib.training_run import Run, deterministic, folders_of, open_store, part_of, usable_slices

from ..baselines import Baseline, System, Task
from .comparison_data import SCHEMA, Folder, prepared

RESULT, NETWORK = "result.json", "network.pt"
FIRST, LAST = 0.12, 0.97  # share of the progress at which the first system begins, and the last ends


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions of one system on the n test slices."""

    system: System
    probabilities: np.ndarray  # (n, C)
    facts: dict[str, Any]  # initial weights, parameters, slices, seconds and others
    same_as: str | None = None  # another system with the same network, whose result this is


@dataclass(frozen=True, eq=False)
class Compared:
    """All results and the slices on which they were measured."""

    classes: tuple[str, ...]
    positive: int
    split: str  # of the evaluated slices: test, or val
    labels: np.ndarray  # (n,) class indices of those slices
    patients: np.ndarray  # (n,)
    sources: np.ndarray  # (n,)
    counts: dict[str, int]  # slices by split
    results: list[Result]  # in the order of the tables
    failed: dict[str, str]  # reasons by name of the system
    config: TrainingConfig
    quick: bool
    report: dict[str, Any] = field(default_factory=dict)  # of the data


def compare(data: str | os.PathLike | Sequence[str | os.PathLike], output: str | os.PathLike,
            systems: Sequence[System], config: TrainingConfig | None = None, *, quick: bool = False,
            overwrite: bool = False, keep_networks: bool = False, log: Callable[[str], None] = print,
            progress: Progress | None = None) -> Compared:  # fmt: skip
    """Train every system with the same budget on the same slices, and let each judge the same others.

    What ``output`` holds already is used: a system with a result is not trained again, and a network goes on at its
    last whole epoch.

    Args:
        data: one or more folders laid out as docs/how-to/training.md says.
        output: the folder of the comparison.
        systems: see ``baselines.find_systems``.
        config: the split, the views and the budget of all; None for the improved recipe.
        quick: leave out all but 256 training slices, and 96 each of validation and test, evenly.
        overwrite: drop what ``output`` holds.
        keep_networks: leave the trained network beside each result.
        log: takes a line for people now and then.
        progress: called with the share done (0..1) and what is being done; what it raises stops the comparison.

    Raises:
        ValueError: the data or the settings cannot be used, or are others than those of an unfinished comparison.
        OSError: something cannot be read or written, or the folder holds something else.
        RuntimeError: the device is not there.
    """
    run = Folder(folders_of(data), Path(os.path.abspath(output)), config or TrainingConfig(), log=log,
                  progress=progress or (lambda *_: None))  # fmt: skip
    group = ProcessGroup(choose_device(run.config.device))
    with deterministic():
        found, starts = prepared(run, quick, overwrite)
        samples, regions = usable_slices(run, found, open_store(run, found.samples, group))
        task = Task(len(found.classes), found.positive, run.config, group, starts)
        split = _evaluated(samples, found.positive)
        order = np.array([i for i, s in enumerate(samples) if s.split == split], int)
        each = _Each(run, task, samples, regions, order, keep_networks)
        each.work(systems)
    labels, patients, sources = (np.array([getattr(samples[i], name) for i in order])
                                 for name in ("label", "patient", "source"))  # fmt: skip
    counts = {name: sum(s.split == name for s in samples) for name in (TRAIN, VALIDATION, TEST)}
    return Compared(found.classes, found.positive, split, labels, patients, sources, counts, each.results, each.failed,
                    run.config, quick, found.report)  # fmt: skip


class _Each:
    """Loads the finished result of each system, or trains it."""

    def __init__(self, run: Run, task: Task, samples: list[Sample], regions: Any, order: np.ndarray,
                 keep_networks: bool) -> None:  # fmt: skip
        self.run, self.task, self.samples, self.regions, self.order = run, task, samples, regions, order
        self.keep_networks = keep_networks
        self.results: list[Result] = []
        self.failed: dict[str, str] = {}
        self.recipes: dict[str, Result] = {}

    def work(self, systems: Sequence[System]) -> None:
        made = [(system, system.make(self.task)) for system in systems]
        costs = np.array([1.0 if "network" in baseline.recipe else 0.1 for _, baseline in made])
        ends = FIRST + (LAST - FIRST) * np.cumsum(costs) / costs.sum()
        for (system, baseline), start, end in zip(made, [FIRST, *ends], ends, strict=False):
            recipe = json.dumps(baseline.recipe, sort_keys=True)
            try:
                result = self._result(system, baseline, recipe, part_of(self.run.progress, start, end))
            except (ValueError, RuntimeError) as error:  # the other systems can still be compared
                self.failed[system.name] = error_message(error)
                self.run.log(f"{system.name} failed: {self.failed[system.name]}")
                continue
            self.recipes.setdefault(recipe, result)
            self.results.append(result)

    def _result(self, system: System, baseline: Baseline, recipe: str, progress: Progress) -> Result:
        folder = self.run.work / "systems" / system.slug
        done = self._finished(system, baseline, folder)
        if done is not None:
            self.run.log(f"{system.name}: already finished.")
            _drop_progress(folder)
            return done
        same = self.recipes.get(recipe)
        if same is not None:
            self.run.log(f"{system.name}: the same network as {same.system.name}, trained once.")
            result = Result(system, same.probabilities, same.facts, same.system.name)
        else:
            result = self._trained(system, baseline, folder, progress)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULT, {
            "schema": SCHEMA, "system": system.name, "recipe": baseline.recipe, "same_as": result.same_as,
            "order": self.order.tolist(), "probabilities": result.probabilities.tolist(), "facts": result.facts,
        })  # fmt: skip
        _drop_progress(folder)
        return result

    def _trained(self, system: System, baseline: Baseline, folder: Path, progress: Progress) -> Result:
        folder.mkdir(parents=True, exist_ok=True)
        baseline.fit(self.regions, self.samples, folder, lambda line: self.run.log(f"{system.name}: {line}"),
                     lambda share, message="": progress(share, f"{system.name}: {message}"))  # fmt: skip
        probabilities = baseline.predict_proba(self.regions, self.samples, self.order)
        if not np.isfinite(probabilities).all():
            raise RuntimeError("its probabilities are not finite: lower the learning rate.")
        network = getattr(baseline, "network_", None)
        if self.keep_networks and network is not None:
            save_checkpoint(folder / NETWORK, {"network": network.state_dict()}, baseline.recipe)
        self.run.log(f"{system.name}: trained in {baseline.facts_['seconds']:.0f} s.")
        return Result(system, probabilities, baseline.facts_)

    def _finished(self, system: System, baseline: Baseline, folder: Path) -> Result | None:
        """The stored result; None where there is none or it belongs to other slices."""
        try:
            stored = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            own = {"schema": SCHEMA, "system": system.name, "recipe": baseline.recipe, "order": self.order.tolist()}
            if any(stored[name] != value for name, value in own.items()):
                return None
            table = np.array(stored["probabilities"], float)
            if table.shape != (len(self.order), self.task.classes) or not np.isfinite(table).all():
                return None
            return Result(system, table, stored["facts"], stored["same_as"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _drop_progress(folder: Path) -> None:
    """Delete what only an unfinished training needs; the result includes the history."""
    for name in (CHECKPOINT, "history.json"):
        (folder / name).unlink(missing_ok=True)


def _evaluated(samples: Sequence[Sample], positive: int) -> str:
    """The split for the evaluation: test where it has slices of both classes, else validation."""
    labels = {s.label == positive for s in samples if s.split == TEST}
    return TEST if len(labels) == 2 else VALIDATION
