"""Interface of the compared systems: the task, the training slices within the budget, fit and predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisTrainingLib.data_loading import draw_order
from LesionAnalysisTrainingLib.dataset import VALIDATION, Sample
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.training_config import TrainingConfig

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Task:
    """The classification task of all systems.

    Args:
        classes: C; ``positive`` is the index of the disease.
        config: budget (sizes, epochs, slices per epoch) and augmentation, the same for all.
        group: a single process and its device.
        starts: ImageNet weights by backbone; a backbone without any starts from random weights.
    """

    classes: int
    positive: int
    config: TrainingConfig
    group: ProcessGroup
    starts: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of the images on which all systems are evaluated, in pixels."""
        return self.config.phases[-1].size


class Baseline(ABC):
    """A system to be compared. Attributes set by ``fit`` end in an underscore.

    ``facts_`` describes the training in plain values: ``slices``, ``start`` and what a system adds.
    """

    facts_: dict[str, Any]

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """Plain values that determine the result: systems with equal recipes yield the same probabilities."""

    @abstractmethod
    def fit(self, regions: Sequence[LungRegion], samples: Sequence[Sample], folder: str | Path,
            log: Callable[[str], None] = print, progress: Progress = lambda *_: None) -> Baseline:  # fmt: skip
        """Learn from the samples with the split ``train``; those of ``val`` only select the epoch.

        Args:
            regions: the lung region of every sample, in the same order.
            samples: all slices with their splits.
            folder: for the checkpoint of an interrupted training.
            log, progress: as for the trainer.

        Raises:
            ValueError, RuntimeError: it cannot be trained.
        """

    @abstractmethod
    def predict_proba(self, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        """Probabilities (n, C) of the n slices at the indices ``order``, without augmentation."""


def validation_order(samples: Sequence[Sample]) -> np.ndarray:
    """Indices (n,) of the slices that select the epoch."""
    return np.array([i for i, s in enumerate(samples) if s.split == VALIDATION], int)


def shown_slices(samples: Sequence[Sample], config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """The training slices that a network receives within the budget, weighted by how often, with a mean of 1.

    A classifier that learns from all slices at once thus receives the same slices with the same balance as the
    networks.

    Returns:
        Indices (n,) of the slices, ascending, and their weights (n,).
    """
    draws = np.concatenate([draw_order(samples, config, epoch) for epoch in range(len(config.plan()))])
    order, times = np.unique(draws, return_counts=True)
    return order, times / times.mean()
