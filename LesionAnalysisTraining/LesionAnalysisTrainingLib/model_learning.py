"""What a model needs besides its weights, learned from slices as an analysis shows them to the trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.model.out_of_distribution import input_statistics
from LesionAnalysisLib.model.stored_network import as_stored
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.network.saliency import log_odds
from LesionAnalysisLib.pipeline import SlicePipeline
from scipy.special import softmax

from .calibration import chance_log_odds, choose_threshold, fit_temperature
from .data_loading import split_indices
from .dataset import TEST, TRAIN, VALIDATION, Sample, SliceStore
from .lesion_space import LearnedClusters, NetworkOutput, learn_clusters, run_on_regions
from .training_config import TrainingConfig
from .training_run import part_of, workers_of

_COMPARED = 200  # validation slices on which stored and trained weights are compared
_TYPICAL = 300  # slices without the disease that contribute to the input statistics


@dataclass(frozen=True, eq=False)
class PresetLesions:
    """Lesions of training slices with the disease as a preset maps them, and their clusters."""

    preset: str
    output: NetworkOutput
    learned: LearnedClusters
    image: Callable[[int], np.ndarray]  # the network's input for slice i of ``output.order``, (size, size) uint8


@dataclass(frozen=True, eq=False)
class Learned:
    """Outputs of the network and what was learned from them. Logits are not divided by the temperature."""

    validation: NetworkOutput
    test: NetworkOutput
    temperature: float
    threshold: float
    study: dict[str, Any]  # of ``study.study_probability``
    features: PresetLesions  # clustered by the network's features, which the preset ``paper`` uses
    density: PresetLesions  # clustered by density, which the preset ``enhanced`` uses
    input_statistics: dict[str, Any]
    stored_weights_change: float  # largest change of a validation probability by storing the weights in 8 bits

    def probabilities(self, output: NetworkOutput) -> np.ndarray:
        """Calibrated probabilities (n, C)."""
        return softmax(output.logits / self.temperature, axis=1)


class ModelLearner:
    """Runs the trained network on the slices of a run.

    Args:
        regions: of ``samples``, in the same order.
        positive: index of the disease.
        work: folder that takes the slices as the preset ``paper`` prepares them.
    """

    def __init__(self, network: FeCNN, samples: Sequence[Sample], regions: Sequence[LungRegion], positive: int,
                 config: TrainingConfig, work: Path) -> None:  # fmt: skip
        self.network, self.samples, self.regions, self.positive = network, samples, regions, positive
        self.config, self.work = config, work
        self.labels = np.array([s.label for s in samples])
        self.patients = np.array([s.patient for s in samples])
        self.sources = np.array([s.source for s in samples])

    def learn(self, progress: Callable[[float, str], None]) -> Learned:
        """Learn thresholds from validation slices, and clusters and input statistics from training slices."""
        def step(start: float, end: float, message: str) -> Callable[[float], None]:
            return lambda share: part_of(progress, start, end)(share, message)

        plain = self._pipeline(AnalysisConfig())
        validation, test = (
            run_on_regions(plain, self.regions, split_indices(self.samples, split), None, progress=step(*part))
            for split, part in ((VALIDATION, (0.0, 0.2, "Running the network on validation slices")),
                                (TEST, (0.2, 0.3, "Running the network on test slices")))
        )  # fmt: skip
        labels, positive = self.labels[validation.order], self.labels[validation.order] == self.positive
        weights = self._source_weights(validation.order)
        temperature = fit_temperature(validation.logits, labels, weights)
        probability = softmax(validation.logits / temperature, axis=1)[:, self.positive]
        threshold = choose_threshold(probability, positive, weights)
        odds = log_odds(torch.from_numpy(validation.logits / temperature), self.positive).numpy()
        chance = chance_log_odds(odds[~positive], self.patients[validation.order][~positive])

        train = split_indices(self.samples, TRAIN)
        diseased = self.labels[train] == self.positive
        lesions_in = _spread(train[diseased], self.config.lesion_samples)
        density = self._lesions(self._pipeline(AnalysisConfig(), temperature), self.regions, lesions_in, threshold,
                                step(0.3, 0.6, "Mapping lesions"))  # fmt: skip
        features = self._paper_lesions(lesions_in, step(0.6, 0.9, "Mapping lesions as published"))
        others = run_on_regions(plain, self.regions, _spread(train[~diseased], _TYPICAL), None)
        rows = _spread(np.arange(len(validation.order)), _COMPARED)
        stored = run_on_regions(self._pipeline(AnalysisConfig(), network=as_stored(self.network)), self.regions,
                                validation.order[rows], None)  # fmt: skip
        change = softmax(stored.logits / temperature, axis=1)[:, self.positive] - probability[rows]
        return Learned(validation, test, temperature, threshold, {"chance": round(chance, 4)}, features, density,
                       self._input_statistics(plain, [density.output, others], validation),
                       float(np.abs(change).max()))  # fmt: skip

    def _pipeline(self, analysis: AnalysisConfig, temperature: float = 1.0,
                  network: FeCNN | None = None) -> SlicePipeline:  # fmt: skip
        analysis = replace(analysis, device=self.config.device, precision=self.config.precision)
        preprocessing = analysis.preprocessing or self.config.preprocessing()
        return SlicePipeline(network or self.network, self.positive, analysis, preprocessing, temperature)

    def _source_weights(self, order: np.ndarray) -> np.ndarray:
        """Each source counts equally, however many slices it has."""
        _, codes, counts = np.unique(self.sources[order], return_inverse=True, return_counts=True)
        return 1.0 / counts[codes]

    def _paper_lesions(self, order: np.ndarray, progress: Callable[[float], None]) -> PresetLesions:
        """With slices prepared anew, since the preset has its own preprocessing."""
        analysis = AnalysisConfig.paper()
        store = SliceStore([self.samples[i] for i in order], self.work / "slices", analysis.preprocessing,
                           workers_of(self.config))  # fmt: skip
        kept = np.flatnonzero([reason is None for reason in store.reasons])
        return self._lesions(self._pipeline(analysis), store, kept, analysis.threshold, progress)

    def _lesions(self, pipeline: SlicePipeline, regions: Sequence[LungRegion], order: np.ndarray, threshold: float,
                 progress: Callable[[float], None]) -> PresetLesions:  # fmt: skip
        output = run_on_regions(pipeline, regions, order, threshold, progress=progress)
        settings = pipeline.preprocessing

        def image(i: int) -> np.ndarray:
            return regions[i].network_input(settings).image

        learned = learn_clusters(output.features, self.config.clusters, self.config.seed)
        return PresetLesions(pipeline.config.preset, output, learned, image)

    def _input_statistics(self, plain: SlicePipeline, train: Sequence[NetworkOutput],
                          validation: NetworkOutput) -> dict[str, Any]:  # fmt: skip
        """Of slices as they are shown, and as they would be shown in a volume."""
        means, held_out = [output.channel_means for output in train], [validation.channel_means]
        if self.config.mask_lungs and not self.config.mask_images:
            orders = np.concatenate([output.order for output in train]), validation.order
            for order, known in zip(orders, (means, held_out), strict=True):
                chosen = _spread(order, _TYPICAL)
                known.append(run_on_regions(plain, self.regions, chosen, None, masked=True).channel_means)
        return input_statistics(np.concatenate(means), np.concatenate(held_out))


def _spread(items: np.ndarray, count: int | None) -> np.ndarray:
    """At most ``count`` of ``items``, evenly spread."""
    if count is None or len(items) <= count:
        return items
    return items[np.linspace(0, len(items) - 1, count).astype(int)]
