"""The course of a training: loss, validation AUC, learning rate and omega over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME = 0.035  # half the width of a phase's name, as a fraction of the axis
_LEVELS = {5: ("P3", "P4", "P5", "P6", "P7"), 3: ("C3", "C4", "C5")}


def draw_training(path: str | Path, history: Sequence[Mapping[str, Any]], chosen: int | None = None) -> Path:
    """Loss, validation AUC, learning rate and omega, in one column; panels without values are left out.

    Args:
        history: one entry per epoch: ``epoch``, ``size`` (px), ``loss`` and, where known, ``val_loss``, ``val_auc``,
            ``rate`` (learning rate) and ``omega`` (one number per level).
        chosen: epoch of the selected network; None marks none.
    """
    if not history:
        return canvas.save_message(path, "Training", "No epoch is complete yet.")
    panels = [(draw, height) for draw, key, height in _PANELS if any(one.get(key) is not None for one in history)]
    figure = canvas.new_figure(8.2, 0.8 + sum(height for _, height in panels))
    grid = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=[height for _, height in panels])
    for axes, (draw, _) in zip(grid[:, 0], panels, strict=True):
        draw(axes, history)
        _mark(axes, history, chosen)
    _name_phases(grid[0, 0], history, chosen)
    bottom = grid[-1, 0]
    bottom.set_xlabel("epoch", fontsize=canvas.TEXT, color=canvas.INK)
    canvas.whole_numbers(bottom)
    bottom.set_xlim(history[0]["epoch"] - 0.5, history[-1]["epoch"] + 0.5)
    figure.align_ylabels(grid[:, 0])
    return canvas.save(figure, path)


def _series(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(epochs,), NaN where the value is missing."""
    return np.array([np.nan if one.get(key) is None else one[key] for one in history], float)


def _line(axes: Axes, history: Sequence[Mapping[str, Any]], values: np.ndarray, color: str, label: str) -> None:
    if np.isfinite(values).any():
        size = 4 if len(history) <= 40 else 0
        axes.plot([one["epoch"] for one in history], values, color=color, label=label, marker="o", markersize=size,
                  linewidth=1.6)  # fmt: skip


def _loss(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    canvas.style_axes(axes, y="cross-entropy")
    _line(axes, history, _series(history, "loss"), canvas.BLUE, "training (augmented)")
    _line(axes, history, _series(history, "val_loss"), canvas.RED, "validation")
    axes.set_ylim(bottom=0)
    canvas.legend(axes, loc="best")


def _auc(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    canvas.style_axes(axes, y="validation AUC")
    values = _series(history, "val_auc")
    _line(axes, history, values, canvas.GREEN, "")
    lowest = np.nanmin(values) if np.isfinite(values).any() else 0.5
    axes.set_ylim(min(0.5, np.floor(lowest * 10) / 10) - 0.02, 1.02)


def _rate(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    canvas.style_axes(axes, y="learning rate")
    values = _series(history, "rate")
    _line(axes, history, values, canvas.SOFT, "")
    if (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
        for axis_format in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_format(lambda rate, _: f"{rate:g}")  # the default is a formula, which canvas.save switches off


def _omega(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    """Equation 2: the weight of each level of the pyramid."""
    canvas.style_axes(axes, y="omega (eq. 2)")
    levels = max(len(one.get("omega") or ()) for one in history)
    names = _LEVELS.get(levels, [f"level {i + 1}" for i in range(levels)])
    for i, name in enumerate(names):
        values = np.array([w[i] if len(w := one.get("omega") or ()) > i else np.nan for one in history], float)
        _line(axes, history, values, canvas.SERIES[i % len(canvas.SERIES)], name)
    canvas.legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))


_PANELS = ((_loss, "loss", 2.4), (_auc, "val_auc", 1.7), (_rate, "rate", 1.2), (_omega, "omega", 1.8))  # inches


def _phases(history: Sequence[Mapping[str, Any]]) -> list[tuple[int | None, float, float]]:
    """Runs of epochs at one image size: the size, and the ends of the run on the axis."""
    runs = []
    for size, run in groupby(history, key=lambda one: one.get("size")):
        epochs = [one["epoch"] for one in run]
        runs.append((size, epochs[0] - 0.5, epochs[-1] + 0.5))
    return runs


def _mark(axes: Axes, history: Sequence[Mapping[str, Any]], chosen: int | None) -> None:
    for i, (_, start, end) in enumerate(_phases(history)):
        if i % 2:
            axes.axvspan(start, end, color=canvas.QUIET, zorder=0, linewidth=0)
    if chosen is not None:
        axes.axvline(chosen, color=canvas.INK, linewidth=1, linestyle=canvas.DASHED, zorder=1.5)


def _name_phases(axes: Axes, history: Sequence[Mapping[str, Any]], chosen: int | None) -> None:
    above = axes.get_xaxis_transform()
    free = -math.inf  # end of the last name
    for size, start, end in _phases(history):
        middle = (start + end) / 2
        if size is not None and middle - _NAME * len(history) >= free:
            axes.text(middle, 1.02, f"{size} px", transform=above, ha="center", va="bottom",
                      fontsize=canvas.SMALL, color=canvas.SOFT)  # fmt: skip
            free = middle + _NAME * len(history)
    title = "Training"
    if chosen is not None:
        title += f"; selected network: epoch {chosen} (dashed line)"
        aucs = [one["val_auc"] for one in history if one["epoch"] == chosen and one.get("val_auc") is not None]
        title += f", validation AUC {aucs[0]:.3f}" if aucs else ""
    axes.set_title(title, loc="left", fontsize=canvas.TITLE, color=canvas.INK, pad=24)
