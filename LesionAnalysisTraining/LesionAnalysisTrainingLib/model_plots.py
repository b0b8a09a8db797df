"""All plots of a model folder: which there are, and what each is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.lesions.clusters import KChoice, LesionClusters

from . import plots
from .lesion_space import Seen
from .metrics import pr_curve, reliability, roc_curve

_SHEET = 24  # lesions shown of a cluster
_ROUNDS = 400


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the plots are drawn from: n held-out slices, and the lesions of the training slices."""

    history: Sequence[Mapping[str, Any]]
    chosen_epoch: int
    classes: Sequence[str]
    positive: int
    patients: np.ndarray  # (n,)
    captions: Sequence[str]  # (n,) short names
    truth: np.ndarray  # (n,) class indices
    raw: np.ndarray  # (n, C) probabilities before the temperature
    calibrated: np.ndarray  # (n, C) and after it
    confusion: Sequence[Sequence[int]]  # (C, C)
    temperature: float
    threshold: float
    slices: np.ndarray  # (n,) indices for ``picture``
    picture: Callable[[int], np.ndarray]  # a slice as the network sees it, (size, size) uint8
    choice: KChoice | None
    clusters: LesionClusters
    lesions: Seen  # of training slices of the disease


def draw_all(evidence: Evidence, folder: Path) -> list[Path]:
    """Draw every plot into ``folder``, which is made; the files in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw_diagnosis(evidence, folder)
    _draw_lesions(evidence, folder)
    return sorted(folder.iterdir())


def _draw_diagnosis(e: Evidence, folder: Path) -> None:
    disease, truth = e.classes[e.positive], e.truth == e.positive
    raw, probability = e.raw[:, e.positive], e.calibrated[:, e.positive]
    plots.draw_training(folder / "training.png", e.history, e.chosen_epoch)
    plots.draw_roc(folder / "roc.png", roc_curve(truth, probability, e.patients, _ROUNDS), f"{disease}, validation")
    plots.draw_pr(folder / "pr.png", pr_curve(truth, probability, e.patients, _ROUNDS), f"{disease}, validation")
    plots.draw_calibration(folder / "calibration.png", reliability(truth, raw), reliability(truth, probability),
                           e.temperature)  # fmt: skip
    plots.draw_confusion(folder / "confusion.png", np.array(e.confusion), e.classes, "Validation")
    plots.draw_wrong_slices(folder / "wrong.png", lambda i: e.picture(int(e.slices[i])), probability, truth,
                            e.threshold, e.captions, positive=disease)  # fmt: skip


def _draw_lesions(e: Evidence, folder: Path) -> None:
    count = len(e.clusters.centers_)
    if e.choice is not None:
        plots.draw_elbow(folder / "elbow.png", e.choice, count)
    features = e.lesions.features
    labels = e.clusters.predict(features) if len(features) else np.zeros(0, int)
    plots.draw_lesion_space(folder / "lesion_space.png", features, labels)
    for k in range(count):
        chosen = _nearest(features[labels == k], e.clusters.centers_[k])
        rows = np.flatnonzero(labels == k)[chosen]
        shown = [_boxed(e, row) for row in rows]
        title = f"Cluster {k + 1}: the most typical of {np.count_nonzero(labels == k)}"
        plots.draw_lesion_sheet(folder / f"cluster_{k + 1}.png", shown, title, k + 1)


def _nearest(features: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Positions of the lesions nearest to the center of their cluster."""
    return np.argsort(np.linalg.norm(features - center, axis=1), kind="stable")[:_SHEET]


def _boxed(e: Evidence, row: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    picture = e.picture(int(e.lesions.order[e.lesions.slice[row]]))
    size = len(picture)
    r0, c0, r1, c1 = (float(size * edge) for edge in e.lesions.boxes[row])
    return picture, (r0, c0, r1, c1)
