"""What every system of the comparison shares: the task, the slices that it may learn from, its methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisTrainingLib.data_loading import draw_order
from LesionAnalysisTrainingLib.dataset import VALIDATION, Prepared, Sample
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.training_config import TrainingConfig

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Task:
    """The one problem that all systems are given.

    Args:
        classes: C; ``positive`` is the index of the disease.
        config: the budget (sizes, epochs, slices an epoch) and the views, the same for all.
        team: of one process: which device.
        starts: ImageNet weights by name of a backbone; a backbone without any starts from random numbers.
    """

    classes: int
    positive: int
    config: TrainingConfig
    team: Team
    starts: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of the pictures at which all systems are judged, in pixels."""
        return self.config.phases[-1].size


class Baseline(ABC):
    """A system to be compared. ``fit`` learns; what is learnt ends in an underscore.

    ``facts_`` says what it took, in plain values: ``slices`` learnt from, ``start`` and whatever a system adds.
    """

    facts_: dict[str, Any]

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """What is learnt, in plain values: systems of equal recipe would give the same probabilities."""

    @abstractmethod
    def fit(self, pictures: Sequence[Prepared], samples: Sequence[Sample], folder: str | Path,
            log: Callable[[str], None] = print, progress: Progress = lambda *_: None) -> Baseline:  # fmt: skip
        """Learn from the samples with the split ``train``; those of ``val`` only choose the epoch.

        Args:
            pictures: the prepared slice of every sample, in the same order.
            samples: all slices with their splits.
            folder: takes what an interrupted training goes on with.
            log, progress: as of the trainer.

        Raises:
            ValueError, RuntimeError: it cannot be trained so, in one sentence.
        """

    @abstractmethod
    def predict_proba(self, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        """Probabilities (n, C) of the n slices at the indices ``order``, in plain views."""

    def predict(self, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        """The likeliest class (n,) of the slices at the indices ``order``."""
        return self.predict_proba(pictures, samples, order).argmax(1)


def validation_order(samples: Sequence[Sample]) -> np.ndarray:
    """Indices (n,) of the slices that choose the epoch."""
    return np.array([i for i, s in enumerate(samples) if s.split == VALIDATION], int)


def shown_slices(samples: Sequence[Sample], config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """The training slices that a network is shown within the budget, and how often, with a mean of 1.

    A classifier that learns from all slices at once thus gets the same slices, balanced in the same way, as the
    networks get epoch by epoch.

    Returns:
        Indices (n,) of the slices, ascending, and their weights (n,).
    """
    draws = np.concatenate([draw_order(samples, config, epoch) for epoch in range(len(config.plan()))])
    order, times = np.unique(draws, return_counts=True)
    return order, times / times.mean()
