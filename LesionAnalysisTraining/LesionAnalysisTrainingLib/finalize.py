"""After the training: calibration, clusters, evidence, and the model folder that holds it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from LesionAnalysisLib import __version__
from LesionAnalysisLib.lesions.clusters import KChoice, LesionClusters
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.out_of_distribution import input_statistics
from LesionAnalysisLib.model.stored_network import as_stored
from LesionAnalysisLib.network.fecnn import FeCNN
from scipy.special import logit, softmax

from . import plots
from .calibration import choose_threshold, fit_temperature
from .checkpoint import json_bytes
from .dataset import TEST, TRAIN, VALIDATION
from .lesion_space import Seen, density_clusters, learn_clusters, look
from .metrics import diagnosis_figures, reliability
from .model_card import model_card
from .model_plots import Evidence, draw_all
from .slice_table import write_slice_table

if TYPE_CHECKING:
    from .trainer import Trainer
    from .training_run import Run, TrainingData

_CHECKED = 200  # validation slices on which the stored weights are held against the trained ones
_TYPICAL = 300  # slices without the disease that say what the training data look like


class Finisher:
    """Turns a trained network into a model folder; every figure in it is measured here."""

    def __init__(self, run: Run, data: TrainingData, trainer: Trainer, network: FeCNN, samples: list,
                 pictures: Any) -> None:  # fmt: skip
        self.run, self.data, self.trainer, self.network = run, data, trainer, network
        self.samples, self.pictures, self.config = samples, pictures, run.config
        self.warnings = list(data.report.get("warnings", ()))
        self.labels = np.array([s.label for s in samples])
        self.patients = np.array([s.patient for s in samples])
        self.sources = np.array([s.source for s in samples])

    def finish(self, overwrite: bool, progress: Callable[[float, str], None]) -> ModelBundle:
        """Measure, draw and write; the bundle as it was written."""
        began = time.monotonic()
        held_out = self._look(self._indices(VALIDATION), _step(progress, 0.0, 0.3, "Looking at the validation slices"))
        tested = self._look(self._indices(TEST), _step(progress, 0.3, 0.4, "Looking at the test slices"))
        weights = self._weights(held_out.order)
        temperature = fit_temperature(held_out.logits, self.labels[held_out.order], weights)
        probability = self._probability(held_out, temperature)
        threshold = choose_threshold(probability, self._is_disease(held_out), weights)
        least_odds = temperature * float(logit(threshold))  # lesions of slices that an analysis will call positive
        train = self._training_views(least_odds, _step(progress, 0.4, 0.8, "Looking at the training slices"))
        sick = train.only(self._is_disease(train))
        clusters, choice = self._clusters(sick.features)
        by_density = density_clusters(sick.profiles, len(clusters.centers_), self.config.seed)
        statistics = self._statistics(train, held_out)
        parts = {
            "title": self.title, "license": self.run.license, "classes": self.data.classes,
            "positive": self.data.positive, "preprocessing": self.config.preprocessing().to_dict(),
            "clusters": clusters, "density_clusters": by_density, "temperature": temperature, "threshold": threshold,
            "input_statistics": statistics,
        }  # fmt: skip
        progress(0.82, "Measuring")
        facts = self._facts(held_out, tested, temperature, threshold, (clusters, by_density), choice)
        facts["stored_weights_change"] = self._stored_change(held_out, temperature)
        progress(0.9, "Drawing the plots")
        attachments = self._plots(facts, held_out, sick, clusters, choice)
        facts["plots"] = sorted(attachments)
        facts["warnings"], facts["finish_s"] = self.warnings, round(time.monotonic() - began, 1)
        attachments["metrics.json"] = json_bytes(facts)
        progress(0.98, "Writing the model")
        self._write_slices(held_out, tested, temperature)
        return ModelBundle.save(self.run.output, self.network, card=model_card(self.run.output.name, facts),
                                training=self._recipe(facts), overwrite=overwrite, attachments=attachments,
                                **parts)  # fmt: skip

    # -- what the network sees --------------------------------------------------------------------

    def _indices(self, split: str) -> np.ndarray:
        return np.array([i for i, s in enumerate(self.samples) if s.split == split], int)

    def _look(self, order: np.ndarray, progress: Callable[[float], None], masked: bool | None = None,
              network: FeCNN | None = None, least_odds: float = 0.0) -> Seen:  # fmt: skip
        trainer = self.trainer
        return look(network or self.network, self.pictures, self.samples, order, self.config, self.data.positive,
                    trainer.device, trainer.dtype, masked, least_odds=least_odds, progress=progress)  # fmt: skip

    def _training_views(self, least_odds: float, progress: Callable[[float], None]) -> Seen:
        """Slices of the disease, for the clusters, and some others, shown as an analysis shows them.

        Volumes are shown masked and pictures may not be; with both views of one lesion, clusters would part the views.
        """
        train = self._indices(TRAIN)
        sick = train[self.labels[train] == self.data.positive]
        others = train[self.labels[train] != self.data.positive]
        chosen = np.concatenate([_spread(sick, self.config.lesion_samples), _spread(others, _TYPICAL)])
        return self._look(chosen, progress, least_odds=least_odds)

    def _view(self, index: int) -> np.ndarray:
        """A slice as an analysis shows it to the network, (size, size) uint8."""
        from .data_loading import Views

        size = self.config.phases[-1].size
        return Views(self.pictures, self.samples, np.array([index]), size, self.config)[0][0][0].numpy()

    def _is_disease(self, seen: Seen) -> np.ndarray:
        return self.labels[seen.order] == self.data.positive

    def _probability(self, seen: Seen, temperature: float) -> np.ndarray:
        return softmax(seen.logits / temperature, axis=1)[:, self.data.positive]

    def _weights(self, order: np.ndarray) -> np.ndarray:
        """Each source counts alike, however many slices it has."""
        names, codes, counts = np.unique(self.sources[order], return_inverse=True, return_counts=True)
        return 1.0 / counts[codes]

    # -- what is learned ---------------------------------------------------------------------------

    def _clusters(self, features: np.ndarray) -> tuple[LesionClusters, KChoice | None]:
        if len(features) == 0:
            self._note("The network maps no lesion in the training slices of the disease: it has learned too little, "
                       "and its single lesion cluster means nothing.")  # fmt: skip
            return LesionClusters(1).fit(np.zeros((1, self.network.backbone_maps.channels[-1]))), None
        clusters, choice, wanted = learn_clusters(features, self.config.clusters, self.config.seed)
        if len(clusters.centers_) < wanted:
            self._note(f"There are only {len(features)} lesions in the training slices: {len(clusters.centers_)} "
                       f"clusters in place of {wanted}.")  # fmt: skip
        return clusters, choice

    def _statistics(self, train: Seen, held_out: Seen) -> dict[str, Any]:
        """What slices look like to the network: as they are shown, and as they would be shown in a volume."""
        known, unseen = [train.means], [held_out.means]
        if self.config.mask_lungs and not self.config.mask_images:
            for order, means in ((train.order, known), (held_out.order, unseen)):
                means.append(self._look(_spread(order, _TYPICAL), lambda _: None, masked=True).means)
        return input_statistics(np.concatenate(known), np.concatenate(unseen))

    @cached_property
    def _chosen_epoch(self) -> int:
        """The epoch (from 1) whose network is kept."""
        last = self.trainer.history[-1]["epoch"]
        return self.trainer.best_epoch + 1 if self.trainer.best is not None else last

    # -- what is written --------------------------------------------------------------------------

    @property
    def title(self) -> str:
        disease = self.data.classes[self.data.positive]
        others = " or ".join(name for i, name in enumerate(self.data.classes) if i != self.data.positive)
        return self.run.title or f"FeCNN {self.config.backbone}, {disease} against {others}"

    def _facts(self, held_out: Seen, tested: Seen, temperature: float, threshold: float,
               learned: tuple[LesionClusters, LesionClusters | None],
               choice: KChoice | None) -> dict[str, Any]:  # fmt: skip
        """Everything measured, as plain values: ``metrics.json``, from which the card is written."""
        def figures(seen: Seen) -> dict[str, Any] | None:
            if not len(seen.order):
                return None
            return diagnosis_figures(self.labels[seen.order], softmax(seen.logits / temperature, axis=1),
                                     self.patients[seen.order], self.sources[seen.order], self.data.positive,
                                     threshold)  # fmt: skip

        clusters, by_density = learned
        truth, raw = self._is_disease(held_out), self._probability(held_out, 1.0)
        calibrated = self._probability(held_out, temperature)
        return {
            "title": self.title, "license": self.run.license, "version": __version__, "torch": torch.__version__,
            "device": f"{self.trainer.device}, {str(self.trainer.dtype).removeprefix('torch.')}",
            "processes": self.trainer.team.size, "classes": list(self.data.classes),
            "disease": self.data.classes[self.data.positive], "config": self.config.to_publish(),
            "start_weights": self.data.imagenet.name if self.data.imagenet else None,
            "data": {name: self.data.report[name] for name in ("counts", "table", "warnings")},
            "slices": {split: int(len(self._indices(split))) for split in (TRAIN, VALIDATION, TEST)},
            "history": self.trainer.history, "chosen_epoch": self._chosen_epoch,
            "training_s": sum(row["seconds"] for row in self.trainer.history),
            "omega": self._omega(), "temperature": temperature, "threshold": threshold,
            "calibration_error": {"before": reliability(truth, raw).error,
                                  "after": reliability(truth, calibrated).error},
            "validation": figures(held_out), "test": figures(tested),
            "clusters": {"count": len(clusters.centers_), "given": self.config.clusters is not None,
                         "lesions": clusters.counts_.tolist(), "elbow": _elbow(choice),
                         "by_density": _described(by_density)},
        }  # fmt: skip

    def _plots(self, facts: dict[str, Any], held_out: Seen, sick: Seen, clusters: LesionClusters,
               choice: KChoice | None) -> dict[str, bytes]:  # fmt: skip
        if not plots.available():
            self._note("The plots are left out, because the Python package matplotlib is not installed.")
            return {}
        evidence = Evidence(
            history=self.trainer.history, chosen_epoch=self._chosen_epoch, classes=self.data.classes,
            positive=self.data.positive, patients=self.patients[held_out.order],
            captions=[f"slice {i}" for i in held_out.order], truth=self.labels[held_out.order],
            raw=softmax(held_out.logits, axis=1), calibrated=softmax(held_out.logits / facts["temperature"], axis=1),
            confusion=facts["validation"]["rows"][0]["confusion"], temperature=facts["temperature"],
            threshold=facts["threshold"], slices=held_out.order, picture=self._view, choice=choice, clusters=clusters,
            lesions=sick,
        )  # fmt: skip
        return {f"plots/{path.name}": path.read_bytes() for path in draw_all(evidence, self.run.work / "plots")}

    def _omega(self) -> list[float] | None:
        omega = getattr(getattr(self.network.head, "fusion", None), "omega", None)
        return None if omega is None else [round(w, 4) for w in omega.tolist()]

    def _stored_change(self, held_out: Seen, temperature: float) -> float:
        """How far the weights as stored (8 bits) move a probability at most, on validation slices."""
        rows = _spread(np.arange(len(held_out.order)), _CHECKED)
        network = as_stored(self.network).to(self.trainer.device)
        again = self._look(held_out.order[rows], lambda _: None, network=network)
        change = self._probability(again, temperature) - self._probability(held_out, temperature)[rows]
        return float(np.abs(change).max())

    def _recipe(self, facts: dict[str, Any]) -> dict[str, Any]:
        """What ``config.json`` keeps of the training: enough to repeat it, no list of files."""
        names = ("version", "torch", "device", "processes", "config", "start_weights", "slices", "chosen_epoch",
                 "training_s", "omega")  # fmt: skip
        return {name: facts[name] for name in names} | {"counts": self.data.report.get("counts")}

    def _write_slices(self, held_out: Seen, tested: Seen, temperature: float) -> None:
        path = self.run.output.with_name(f"{self.run.output.name}.slices.csv")
        probabilities = {int(i): float(p) for seen in (held_out, tested)
                         for i, p in zip(seen.order, self._probability(seen, temperature), strict=True)}  # fmt: skip
        write_slice_table(path, self.samples, self.data.classes, probabilities, self.data.report["left_out"])
        self.run.log(f"Each slice with its split and probability: {path} (it names files; do not pass it on).")

    def _note(self, sentence: str | None) -> None:
        if sentence:
            self.warnings.append(sentence)
            self.run.log(f"Warning: {sentence}")


def _spread(items: np.ndarray, count: int | None) -> np.ndarray:
    """At most ``count`` of ``items``, evenly spread."""
    if count is None or len(items) <= count:
        return items
    return items[np.linspace(0, len(items) - 1, count).astype(int)]


def _described(clusters: LesionClusters | None) -> list[dict[str, Any]] | None:
    """Sizes and centers of the clusters by density."""
    if clusters is None:
        return None
    return [{"lesions": int(count), "density": np.round(center, 1).tolist()}
            for count, center in zip(clusters.counts_, clusters.centers_, strict=True)]  # fmt: skip


def _elbow(choice: KChoice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    names = ("inertias", "silhouettes", "stability")
    rows = {name: [round(float(v), 4) for v in getattr(choice, name)] for name in names}
    return {"k": choice.k, "ks": choice.ks.tolist(), **rows}


def _step(progress: Callable[[float, str], None], start: float, end: float, message: str) -> Callable[[float], None]:
    return lambda share: progress(start + (end - start) * share, message)
