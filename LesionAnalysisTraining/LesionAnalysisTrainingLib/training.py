"""Training a model from folders of labeled slices, as command line, Slicer and Python do it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from LesionAnalysisLib.atomic_io import remove_atomically
from LesionAnalysisLib.model.bundle import ModelBundle

from .dataset import Collected, collect
from .dataset.parallel import Progress
from .distributed import process_group
from .finalize import write_model
from .trainer import Trainer
from .training_config import TrainingConfig
from .training_run import (
    LICENSE,
    STORE_DONE,
    TRAINED,
    Run,
    begin,
    deterministic,
    folders_of,
    open_store,
    part_of,
    usable_slices,
    workers_of,
)


def train(data: str | os.PathLike | Sequence[str | os.PathLike], output: str | os.PathLike,
          config: TrainingConfig | None = None, *, resume: bool = False, overwrite: bool = False,
          keep_work: bool = False, title: str | None = None, license: str = LICENSE,
          log: Callable[[str], None] = print, progress: Progress | None = None) -> ModelBundle | None:  # fmt: skip
    """Train a model on labeled slices, measure it, and write its folder.

    Args:
        data: one or more folders of labeled slices (docs/how-to/training.md).
        output: the model folder, which appears when the training is complete. Until then, ``<output>.training``
            holds the unfinished run.
        config: every setting; None for the recipe ``improved``.
        resume: continue the unfinished run, if there is one.
        overwrite: replace an existing model and discard an unfinished run.
        keep_work: keep the folder of the run (checkpoint, prepared slices).
        title, license: of the model, for its card.
        log: takes a line of text now and then.
        progress: called with the share done (0..1) and what is being done; an exception that it raises stops the
            run, which ``resume`` continues after the last whole epoch.

    Returns:
        The model; None on all but the first of several processes (``torchrun``).

    Raises:
        ValueError: the data or the settings cannot be used.
        OSError: something cannot be read or written, or exists already.
        RuntimeError: the training diverged.
    """
    run = Run(folders_of(data), Path(os.path.abspath(output)), config or TrainingConfig(), title, license, log,
              progress or (lambda *_: None))  # fmt: skip
    with process_group(run.config.device) as group, deterministic():
        if not group.is_rank0:
            run.log, run.progress = (lambda _: None), (lambda *_: None)
        data = group.from_rank0(lambda: None if resume and _complete(run) else begin(run, resume, overwrite))
        bundle = None
        if data is not None:
            samples, regions = usable_slices(run, data, open_store(run, data.samples, group))
            trainer = Trainer(samples, regions, len(data.classes), data.positive, run.config, run.work, group,
                              data.imagenet, run.log, part_of(run.progress, STORE_DONE, TRAINED))  # fmt: skip
            network = trainer.run()
            if group.is_rank0:
                bundle = write_model(run, data, trainer, network, overwrite, part_of(run.progress, TRAINED, 1.0))
        elif group.is_rank0:
            bundle = ModelBundle.load(run.output)
        if group.is_rank0:
            if not keep_work:
                remove_atomically(run.work)
            run.progress(1.0, "Done")
        return bundle


def _complete(run: Run) -> bool:
    """Whether the run was stopped after its model was written, which has the history of the same epochs."""
    try:
        facts = json.loads((run.output / "metrics.json").read_text(encoding="utf-8"))
        return facts["history"] == json.loads((run.work / "history.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_data(data: str | os.PathLike | Sequence[str | os.PathLike], config: TrainingConfig | None = None,
               progress: Progress | None = None) -> Collected:  # fmt: skip
    """The dry run: read and check the data as ``train`` does, and write nothing. Raises as ``train`` does."""
    config = config or TrainingConfig()
    return collect(folders_of(data), config, workers_of(config), progress or (lambda *_: None))
