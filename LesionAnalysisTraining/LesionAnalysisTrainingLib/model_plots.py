"""The plots of a model folder, and what each is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from . import plots
from .metrics import pr_curve, reliability, roc_curve
from .model_learning import Learned, ModelLearner, PresetLesions

_SHEET = 24  # lesions shown of a cluster
_ROUNDS = 400  # of the bootstrap


def draw_plots(facts: Mapping[str, Any], learner: ModelLearner, learned: Learned, folder: Path) -> list[Path]:
    """Draw every plot into ``folder``, which is created; the files sorted by name, none without matplotlib."""
    if not plots.available():
        return []
    folder.mkdir(parents=True, exist_ok=True)
    _draw_classification(facts, learner, learned, folder)
    _draw_lesions(learned.features, folder, "features")
    _draw_lesions(learned.density, folder, "density")
    return sorted(folder.iterdir())


def _draw_classification(facts: Mapping[str, Any], learner: ModelLearner, learned: Learned, folder: Path) -> None:
    disease, order, positive = facts["disease"], learned.validation.order, learner.positive
    truth, patients = learner.labels[order] == positive, learner.patients[order]
    uncalibrated = softmax(learned.validation.logits, axis=1)[:, positive]
    probability = learned.probabilities(learned.validation)[:, positive]
    settings = learner.config.preprocessing()

    def image(i: int) -> np.ndarray:
        region = learner.regions[int(order[i])]
        return region.network_input(settings).image

    plots.draw_training(folder / "training.png", facts["history"], facts["chosen_epoch"])
    plots.draw_roc(folder / "roc.png", roc_curve(truth, probability, patients, _ROUNDS), f"{disease}, validation")
    plots.draw_pr(folder / "pr.png", pr_curve(truth, probability, patients, _ROUNDS), f"{disease}, validation")
    plots.draw_calibration(folder / "calibration.png", reliability(truth, uncalibrated),
                           reliability(truth, probability), learned.temperature)  # fmt: skip
    plots.draw_confusion(folder / "confusion.png", np.array(facts["validation"]["rows"][0]["confusion"]),
                         facts["classes"], "Validation")  # fmt: skip
    plots.draw_wrong_slices(folder / "errors.png", image, probability, truth, learned.threshold,
                            [f"slice {i}" for i in order], positive=disease)  # fmt: skip


def _draw_lesions(lesions: PresetLesions, folder: Path, name: str) -> None:
    """The elbow, the lesion space, and for each cluster the lesions nearest to its center."""
    clusters, output = lesions.learned.clusters, lesions.output
    count = len(clusters.cluster_centers_)
    if lesions.learned.choice is not None:
        plots.draw_elbow(folder / f"{name}_elbow.png", lesions.learned.choice, count)
    labels = clusters.predict(output.features) if len(output.features) else np.zeros(0, int)
    plots.draw_lesion_space(folder / f"{name}_space.png", output.features, labels)
    for k in range(count):
        rows = np.flatnonzero(labels == k)
        distances = np.linalg.norm(output.features[rows] - clusters.cluster_centers_[k], axis=1)
        nearest = rows[np.argsort(distances, kind="stable")[:_SHEET]]
        title = f"Cluster {k + 1} by {name}: the most typical of {len(rows)} lesions"
        plots.draw_lesion_sheet(folder / f"{name}_{k + 1}.png", [_boxed(lesions, row) for row in nearest], title,
                                k + 1)  # fmt: skip


def _boxed(lesions: PresetLesions, row: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    image = lesions.image(int(lesions.output.order[lesions.output.slice[row]]))
    r0, c0, r1, c1 = (float(len(image) * edge) for edge in lesions.output.boxes[row])
    return image, (r0, c0, r1, c1)
