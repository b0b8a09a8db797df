"""From folders of labeled slices to a model folder: the one way that command line, Slicer and Python take."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from LesionAnalysisLib.atomic_io import discard
from LesionAnalysisLib.model.bundle import ModelBundle

from .dataset import Collected, collect
from .distributed import team_of
from .finalize import Finisher
from .trainer import Progress, Trainer
from .training_config import TrainingConfig
from .training_run import (
    _STORE_DONE,
    _TRAINED,
    LICENSE,
    Run,
    _prepare,
    folders_of,
    open_store,
    part_of,
    repeatable,
    shown_slices_of,
    workers_of,
)


def train(data: str | os.PathLike | Sequence[str | os.PathLike], output: str | os.PathLike,
          config: TrainingConfig | None = None, *, resume: bool = False, overwrite: bool = False,
          keep_work: bool = False, title: str | None = None, license: str = LICENSE,
          log: Callable[[str], None] = print, progress: Progress | None = None) -> ModelBundle | None:  # fmt: skip
    """Train a model on labeled slices and write its folder, with the evidence of how good it is.

    Args:
        data: one or more folders laid out as the README says.
        output: the model folder, which appears when all is done. Beside it, ``<output>.training`` holds the
            unfinished run.
        config: every setting; None for the improved recipe.
        resume: go on with the unfinished run, if there is one.
        overwrite: replace a model, and drop an unfinished run, that is there.
        keep_work: leave the folder of the run (checkpoint, prepared slices) when all is done.
        title, license: of the model, for its card.
        log: takes a line for people now and then.
        progress: called with the share done (0..1) and what is being done; what it raises stops the run, which
            ``resume`` continues at the last whole epoch.

    Returns:
        The model; None in all but the first of several processes (``torchrun``).

    Raises:
        ValueError: the data or the settings cannot be used, in one sentence.
        OSError: something cannot be read or written, or is there already.
        RuntimeError: the training diverged.
    """
    run = Run(folders_of(data), Path(os.path.abspath(output)), config or TrainingConfig(), title, license, log,
              progress or (lambda *_: None))  # fmt: skip
    with team_of(run.config.device) as team, repeatable():
        if not team.leader:
            run.log, run.progress = (lambda _: None), (lambda *_: None)
        data = team.from_leader(lambda: None if resume and _finished(run) else _prepare(run, resume, overwrite))
        if data is None:
            return _leave(run, ModelBundle.load(run.output), keep_work) if team.leader else None
        store = open_store(run, data.samples, team)
        samples, pictures = shown_slices_of(run, data, store)
        trainer = Trainer(samples, pictures, len(data.classes), data.positive, run.config, run.work, team,
                          data.imagenet, run.log, part_of(run.progress, _STORE_DONE, _TRAINED))  # fmt: skip
        network = trainer.run()
        if not team.leader:
            return None
        finisher = Finisher(run, data, trainer, network, samples, pictures)
        bundle = finisher.finish(overwrite, part_of(run.progress, _TRAINED, 1.0))
        return _leave(run, bundle, keep_work)


def _finished(run: Run) -> bool:
    """Whether the unfinished run was stopped after its model had come, which has the seconds of the same epochs."""
    try:
        facts = json.loads((run.output / "metrics.json").read_text(encoding="utf-8"))
        return facts["history"] == json.loads((run.work / "history.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _leave(run: Run, bundle: ModelBundle, keep_work: bool) -> ModelBundle:
    """The finished model; the folder of its run goes."""
    if not keep_work:
        discard(run.work)
    run.progress(1.0, "Done")
    return bundle


def check_data(data: str | os.PathLike | Sequence[str | os.PathLike], config: TrainingConfig | None = None,
               progress: Progress | None = None) -> Collected:  # fmt: skip
    """The dry run: read and check the data as ``train`` does, and write nothing. Raises as ``train`` does."""
    config = config or TrainingConfig()
    return collect(folders_of(data), config, workers_of(config), progress or (lambda *_: None))


# -- before the training ------------------------------------------------------------------------------




















