"""The model folder of a finished training: facts, card, plots, and the table of slices beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from LesionAnalysisLib import __version__
from LesionAnalysisLib.model.bundle import ModelBundle, ModelClusters, ModelDescription
from LesionAnalysisLib.network.fecnn import FeCNN
from scipy.special import softmax

from . import plots
from .calibration import MIN_PATIENTS
from .checkpoint import json_bytes
from .data_loading import split_indices
from .dataset import TEST, TRAIN, VALIDATION
from .lesion_space import NetworkOutput
from .losses import fusion_of
from .metrics import diagnosis_figures, reliability
from .model_card import model_card
from .model_learning import Learned, ModelLearner, PresetLesions
from .model_plots import draw_plots
from .slice_table import write_slice_table
from .trainer import Trainer
from .training_run import Run, TrainingData, part_of


def write_model(run: Run, data: TrainingData, trainer: Trainer, network: FeCNN, overwrite: bool,
                progress: Callable[[float, str], None]) -> ModelBundle:  # fmt: skip
    """Learn the rest of the model, measure it, and write its folder; the bundle as it was written."""
    began = time.monotonic()
    learner = ModelLearner(network, trainer.samples, trainer.regions, data.positive, run.config, run.work)
    learned = learner.learn(part_of(progress, 0.0, 0.8))
    progress(0.8, "Measuring")
    facts = _facts(run, data, trainer, learner, learned)
    for warning in facts["warnings"][len(data.report["warnings"]) :]:
        run.log(f"Warning: {warning}")
    progress(0.9, "Drawing the plots")
    attachments = {f"plots/{path.name}": path.read_bytes()
                   for path in draw_plots(facts, learner, learned, run.work / "plots")}  # fmt: skip
    facts["plots"], facts["finish_s"] = sorted(attachments), round(time.monotonic() - began, 1)
    attachments["metrics.json"] = json_bytes(facts)
    progress(0.98, "Writing the model")
    _write_slice_table(run, data, trainer, learned)
    description = ModelDescription(
        title=facts["title"], license=facts["license"], classes=data.classes, positive=data.positive,
        preprocessing=run.config.preprocessing().to_dict(), temperature=learned.temperature,
        threshold=learned.threshold, study=learned.study, input_statistics=learned.input_statistics,
        training={name: facts[name] for name in _STORED} | {"counts": facts["data"]["counts"]},
    )  # fmt: skip
    clusters = ModelClusters(learned.features.learned.clusters, learned.density.learned.clusters)
    return ModelBundle.save(run.output, network, description, clusters, model_card(run.output.name, facts),
                            attachments=attachments, overwrite=overwrite)  # fmt: skip


_STORED = ("version", "torch", "device", "processes", "config", "deviations", "start_weights", "slices", "chosen_epoch",
           "training_s", "omega")  # of the facts, in config.json: enough to repeat the training, no list of files


def _facts(run: Run, data: TrainingData, trainer: Trainer, learner: ModelLearner, learned: Learned) -> dict[str, Any]:
    """Everything measured, as plain values: ``metrics.json``, from which the card is written."""
    disease, config = data.classes[data.positive], run.config
    others = " or ".join(name for name in data.classes if name != disease)
    truth = learner.labels[learned.validation.order] == data.positive
    before = softmax(learned.validation.logits, axis=1)[:, data.positive]
    after = learned.probabilities(learned.validation)[:, data.positive]

    def figures(output: NetworkOutput) -> dict[str, Any] | None:
        order = output.order
        if not len(order):
            return None
        return diagnosis_figures(learner.labels[order], learned.probabilities(output), learner.patients[order],
                                 learner.sources[order], data.positive, learned.threshold)  # fmt: skip

    fusion = fusion_of(learner.network)
    return {
        "title": run.title or f"FeCNN {config.backbone}, {disease} against {others}", "license": run.license,
        "version": __version__, "torch": torch.__version__,
        "device": f"{trainer.device}, {str(trainer.dtype).removeprefix('torch.')}", "processes": trainer.group.size,
        "classes": list(data.classes), "disease": disease, "config": config.to_publish(),
        "deviations": config.deviations, "start_weights": data.imagenet.name if data.imagenet else None,
        "data": {name: data.report[name] for name in ("counts", "table", "warnings")},
        "slices": {split: len(split_indices(trainer.samples, split)) for split in (TRAIN, VALIDATION, TEST)},
        "patients": {split: len({s.patient for s in trainer.samples if s.split == split})
                     for split in (TRAIN, VALIDATION, TEST)},
        "history": trainer.history, "chosen_epoch": trainer.chosen_epoch,
        "training_s": sum(row["seconds"] for row in trainer.history),
        "omega": None if fusion is None else [round(w, 4) for w in fusion.omega.tolist()],
        "temperature": learned.temperature, "threshold": learned.threshold, "study": learned.study,
        "calibration_error": {"before": reliability(truth, before).error, "after": reliability(truth, after).error},
        "stored_weights_change": learned.stored_weights_change, "input_limit": learned.input_statistics["limit"],
        "validation": figures(learned.validation), "test": figures(learned.test),
        "clusters": {"features": _cluster_facts(learned.features), "density": _cluster_facts(learned.density)},
        "warnings": [*data.report["warnings"], *_warnings(learner, learned, truth)],
    }  # fmt: skip


def _cluster_facts(lesions: PresetLesions) -> dict[str, Any]:
    clusters, choice = lesions.learned.clusters, lesions.learned.choice
    counts = [0] if choice is None else clusters.counts_.tolist()  # without lesions there is one cluster, around zero
    facts = {"preset": lesions.preset, "count": len(clusters.cluster_centers_), "lesions": counts}
    if lesions.preset == "enhanced":
        facts["centers"] = np.round(clusters.cluster_centers_, 1).tolist()
    if choice is not None:
        rows = {name: np.round(getattr(choice, name), 4).tolist() for name in ("inertias", "silhouettes", "stability")}
        facts["elbow"] = {"k": choice.k, "ks": choice.ks.tolist(), **rows}
    return facts


def _warnings(learner: ModelLearner, learned: Learned, truth: np.ndarray) -> list[str]:
    found = []
    for lesions in (learned.features, learned.density):
        count, clusters = len(lesions.output.features), len(lesions.learned.clusters.cluster_centers_)
        if not count:
            found.append(f"The preset {lesions.preset} maps no lesion in training slices with the disease: its only "
                         "lesion cluster is meaningless. Train longer or with more slices.")  # fmt: skip
        elif clusters < lesions.learned.wanted:
            found.append(f"The preset {lesions.preset} maps only {count} lesions in training slices: there are "
                         f"{clusters} clusters instead of {lesions.learned.wanted}.")  # fmt: skip
    patients = len(set(learner.patients[learned.validation.order][~truth]))
    if patients < MIN_PATIENTS:
        found.append(f"Study probabilities are not corrected for the number of slices: that takes {MIN_PATIENTS} "
                     f"validation patients without the disease, not {patients}.")  # fmt: skip
    if not plots.available():
        found.append("There are no plots, because the Python package matplotlib is not installed.")
    return found


def _write_slice_table(run: Run, data: TrainingData, trainer: Trainer, learned: Learned) -> None:
    path = run.output.with_name(f"{run.output.name}.slices.csv")
    probabilities = {}
    for output in (learned.validation, learned.test):
        probabilities |= dict(zip(output.order, learned.probabilities(output)[:, data.positive], strict=True))
    write_slice_table(path, trainer.samples, data.classes, probabilities, data.report["left_out"])
    run.log(f"Every slice with its split and probability: {path} (it names files; do not share it).")
