"""Hand-crafted features with a classical classifier: the first four rows of table 3."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisTrainingLib.dataset import Sample

from .baseline import Baseline, Progress, Task, shown_slices, validation_order
from .handcrafted_features import gray_histogram, lbp_histogram, slice_features
from .mlp import Mlp
from .svm import Svm

FEATURES = {"lbp": lbp_histogram, "hist": gray_histogram}
CLASSIFIERS = ("svm", "mlp")


class HandCrafted(Baseline):
    """``feature`` ("lbp", "hist") with ``classifier`` ("svm", "mlp").

    It learns from the slices that a network receives within the same budget, weighted by how often. They are not
    augmented: histograms are invariant to flips and nearly so to rotations.

    Raises:
        ValueError: unknown feature or classifier.
    """

    def __init__(self, task: Task, feature: str, classifier: str) -> None:
        super().__init__(task)
        if feature not in FEATURES or classifier not in CLASSIFIERS:
            raise ValueError(f"Unknown system {feature} with {classifier}: the features are {', '.join(FEATURES)}, the "
                             f"classifiers {', '.join(CLASSIFIERS)}.")  # fmt: skip
        self.feature, self.classifier = feature, classifier

    @property
    def recipe(self) -> dict[str, Any]:
        return {"feature": self.feature, "classifier": self.classifier}

    def fit(self, regions: Sequence[LungRegion], samples: Sequence[Sample], folder: str | Path | None = None,
            log: Callable[[str], None] = print, progress: Progress = lambda *_: None) -> HandCrafted:  # fmt: skip
        """See ``Baseline.fit``; takes seconds to minutes and writes nothing into ``folder``."""
        began, task = time.monotonic(), self.task
        order, weight = shown_slices(samples, task.config)
        held_out = validation_order(samples)
        features = self._features(regions, samples, np.concatenate([order, held_out]), progress)
        labels, patients = (np.array([getattr(s, name) for s in samples]) for name in ("label", "patient"))
        x, y, seed = features[: len(order)], labels[order], task.config.seed
        self.facts_ = {"slices": len(order), "start": None}
        if self.classifier == "svm":
            self.classifier_ = Svm(task.classes, seed).fit(x, y, patients[order], weight)
        else:
            self.classifier_ = Mlp(task.classes, task.positive, seed=seed)
            self.classifier_.fit(x, y, weight, (features[len(order) :], labels[held_out]))
            parameters = sum(p.numel() for p in self.classifier_.network_.parameters())
            self.facts_ |= {"chosen_epoch": self.classifier_.epoch_, "parameters": parameters}
        self.facts_["seconds"] = round(time.monotonic() - began, 2)
        return self

    def predict_proba(self, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray) -> np.ndarray:
        return self.classifier_.predict_proba(self._features(regions, samples, order))

    def _features(self, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray,
                  progress: Progress = lambda *_: None) -> np.ndarray:  # fmt: skip
        return slice_features(FEATURES[self.feature], regions, samples, order, self.task, progress)
