"""The lesion clusters: their number, by the elbow method, and the lesion space (figure 9)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from LesionAnalysisLib.colors import cluster_color
from LesionAnalysisLib.lesions.clusters import KChoice

from . import canvas
from .embedding import NoLesionSpace, embed_lesions

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_elbow(path: str | Path, choice: KChoice, chosen: int | None = None) -> Path:
    """Elbow method: inertia, with the chord whose farthest point is the elbow; silhouette and bootstrap stability.

    ``chosen`` is the K of the model; None: the elbow.
    """
    if len(choice.ks) < 2:
        return canvas.save_message(path, "Number of lesion clusters",
                             "There are too few distinct lesions to compare numbers of clusters.")  # fmt: skip
    chosen = choice.k if chosen is None else chosen
    figure = canvas.new_figure(9.0, 3.9)
    left, right = figure.subplots(1, 2)
    _inertia(left, choice)
    _quality(right, choice)
    for axes in (left, right):
        axes.axvline(chosen, color=canvas.INK, linewidth=1, linestyle=canvas.DASHED, zorder=1.5,
                     label=f"chosen: K = {chosen}")  # fmt: skip
        axes.set_xlim(choice.ks[0] - 0.4, choice.ks[-1] + 0.4)
        canvas.whole_numbers(axes)
        canvas.legend(axes, loc="best")
    return canvas.save(figure, path)


def _inertia(axes: Axes, choice: KChoice) -> None:
    share = choice.inertias / choice.inertias[0] if choice.inertias[0] else choice.inertias
    canvas.style_axes(axes, "Elbow method", "number of clusters K", "inertia (relative to K = 1)")
    axes.plot(choice.ks[[0, -1]], share[[0, -1]], color=canvas.SOFT, linewidth=1, label="chord")
    axes.plot(choice.ks, share, color=canvas.BLUE, marker="o", markersize=5, linewidth=1.8, label="inertia")
    at = int(np.flatnonzero(choice.ks == choice.k)[0])
    on_chord = np.interp(choice.k, choice.ks[[0, -1]], share[[0, -1]])
    if on_chord - share[at] > 1e-9:
        axes.vlines(choice.k, share[at], on_chord, color=canvas.RED, linewidth=2.2, label=f"elbow: K = {choice.k}")
    axes.set_ylim(0, 1.05)


def _quality(axes: Axes, choice: KChoice) -> None:
    canvas.style_axes(axes, "Quality of the clusters", "number of clusters K", "index (1 is best)")
    for values, color, label in (
        (choice.silhouettes, canvas.GREEN, "mean silhouette"),
        (choice.stability, canvas.RED, "stability (adjusted Rand index)"),
    ):
        if np.isfinite(values).any():
            axes.plot(choice.ks, values, color=color, marker="o", markersize=5, linewidth=1.8, label=label)
    known = np.concatenate([choice.silhouettes, choice.stability])
    axes.set_ylim(min(0.0, float(np.nanmin(known)) - 0.05) if np.isfinite(known).any() else 0.0, 1.05)


def draw_lesion_space(path: str | Path, features: np.ndarray, labels: np.ndarray,
                      names: Sequence[str] | None = None, seed: int = 0) -> Path:  # fmt: skip
    """The lesions' feature space by t-SNE (figure 9); clusters have the colors of the report and the scene.

    Args:
        features: (n, F) of the lesions; more than 2,000 are sampled, fewer than 5 give a message.
        labels: (n,) cluster of each, from 0 as ``LesionClusters.predict`` gives it; shown from 1.
        names: of the clusters, by number; None shows numbers only.
        seed: of sampling and embedding.
    """
    labels = np.asarray(labels, int)
    try:
        rows, points = embed_lesions(features, seed)
    except NoLesionSpace as reason:
        return canvas.save_message(path, "Lesion space", str(reason))
    figure = canvas.new_figure(8.8, 6.0)
    axes = figure.subplots()
    axes.set(facecolor=canvas.NIGHT, xticks=[], yticks=[])
    size = float(np.clip(6000 / len(rows), 14, 60))
    order = np.random.default_rng(seed).permutation(len(rows))  # so that no cluster covers another
    colors = np.array([cluster_color(k + 1) for k in range(labels.max() + 1)])
    axes.scatter(*points[order].T, s=size, c=colors[labels[rows[order]]], linewidths=0.3, edgecolors=canvas.NIGHT)
    axes.margins(0.05)
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_color(canvas.LINE)
    _cluster_legend(axes, labels, colors, names)
    title = f"Lesion space, {canvas.part_of(len(rows), len(labels), 'lesion')}"
    axes.set_title(title, loc="left", fontsize=canvas.TITLE, color=canvas.INK, pad=9)
    axes.set_xlabel("t-SNE after truncated SVD: nearby lesions are similar; the axes have no unit",
                    fontsize=canvas.SMALL, color=canvas.SOFT)  # fmt: skip
    return canvas.save(figure, path)


def _cluster_legend(axes: Axes, labels: np.ndarray, colors: np.ndarray, names: Sequence[str] | None) -> None:
    for number, amount in enumerate(np.bincount(labels, minlength=len(colors)), start=1):
        name = names[number - 1] if names is not None and number <= len(names) else f"cluster {number}"
        axes.scatter([], [], s=42, color=colors[number - 1], label=f"{name} (n = {amount:,})")
    box = axes.legend(fontsize=canvas.SMALL, labelcolor=canvas.PAPER, facecolor=canvas.NIGHT, edgecolor=canvas.NIGHT,
                      framealpha=1, loc="upper left", bbox_to_anchor=(1.01, 1.008), handletextpad=0.3)  # fmt: skip
    box.get_frame().set_boxstyle("square", pad=0.2)
