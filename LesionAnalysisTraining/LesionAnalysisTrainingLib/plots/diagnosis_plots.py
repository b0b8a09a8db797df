"""Slice diagnosis: ROC and PR curves (figure 6), calibration, confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from ..metrics import Curve, Estimate, Reliability
from . import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Curve | Mapping[str, Curve]
_COLUMNS, _PANEL = 3, 4.1  # panels in a row; inches


def draw_roc(path: str | Path, curves: Curves, title: str = "ROC curve") -> Path:
    """ROC curve with its band and AUC; of a mapping name -> curve, one panel each, as in figure 6.

    Curves of a single class are left out.
    """
    return _panels(path, curves, title, _roc)


def draw_pr(path: str | Path, curves: Curves, title: str = "Precision-recall curve") -> Path:
    """PR curve with its band and AP, and the precision of chance; of a mapping, one panel each, as in figure 6.

    Curves of a single class are left out.
    """
    return _panels(path, curves, title, _pr)


def _panels(path: str | Path, curves: Curves, title: str, draw: Callable[[Axes, Curve], None]) -> Path:
    named = dict(curves) if isinstance(curves, Mapping) else {title: curves}
    named = {name: curve for name, curve in named.items() if np.isfinite(curve.y).all()}
    if not named:
        return canvas.save_message(path, title, "It needs slices of both classes.")
    columns = 2 if len(named) == 4 else min(_COLUMNS, len(named))
    rows = -(-len(named) // columns)
    side = 5.2 if len(named) == 1 else _PANEL
    figure = canvas.new_figure(side * columns, (side + 0.55) * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, curve) in zip(grid, named.items(), strict=False):
        draw(axes, curve)
        axes.set_title(name if len(name) <= 40 else f"{name[:37]}...", loc="left", fontsize=canvas.TITLE,
                       color=canvas.INK, pad=24)  # fmt: skip
        slices = f"n = {canvas.count(curve.positives, 'positive slice')}, {curve.negatives:,} negative; "
        axes.text(0, 1.025, slices + canvas.count(curve.patients, "patient"), transform=axes.transAxes,
                  fontsize=canvas.SMALL, color=canvas.SOFT)  # fmt: skip
    for axes in grid[len(named) :]:
        axes.remove()
    return canvas.save(figure, path)


def _roc(axes: Axes, curve: Curve) -> None:
    canvas.style_axes(axes, x="1 - specificity", y="sensitivity")
    axes.plot([0, 1], [0, 1], color=canvas.SOFT, linewidth=1, linestyle=canvas.DASHED, label="chance")
    _band(axes, curve)
    axes.plot(np.r_[0, curve.x], np.r_[0, curve.y], color=canvas.BLUE, linewidth=2,
              label=f"AUC {_interval(curve.area)}")  # fmt: skip
    canvas.unit_square(axes)
    canvas.legend(axes, loc="lower right")


def _pr(axes: Axes, curve: Curve) -> None:
    canvas.style_axes(axes, x="recall (sensitivity)", y="precision")
    chance = curve.positives / (curve.positives + curve.negatives)
    axes.axhline(chance, color=canvas.SOFT, linewidth=1, linestyle=canvas.DASHED, label=f"chance ({chance:.2f})")
    _band(axes, curve)
    axes.plot(curve.x, curve.y, color=canvas.BLUE, linewidth=2, label=f"AP {_interval(curve.area)}")
    canvas.unit_square(axes)
    low = chance < 0.2 and curve.y[-1] < 0.3 and curve.area.value < 0.5
    canvas.legend(axes, loc="upper right" if low else "lower left")


def _band(axes: Axes, curve: Curve) -> None:
    if np.isfinite(curve.low).all():
        axes.fill_between(curve.x, curve.low, curve.high, color=canvas.BLUE, alpha=0.18, linewidth=0,
                          label="95 % band (patient-level bootstrap)")  # fmt: skip


def _interval(area: Estimate) -> str:
    return f"{area.value:.3f}" + (f" ({area.low:.3f} to {area.high:.3f})" if np.isfinite(area.low) else "")


def draw_calibration(path: str | Path, before: Reliability, after: Reliability | None = None,
                     temperature: float | None = None) -> Path:  # fmt: skip
    """Observed fraction of positives over the predicted probability, and the slices in each bin.

    ``after`` is divided by ``temperature``, which the legend names; None draws ``before`` alone.
    """
    if not before.counts.sum():
        return canvas.save_message(path, "Calibration", "There are no validation slices.")
    both = [(before, canvas.BLUE, "uncalibrated")]
    if after is not None:
        named = "" if temperature is None else f" {temperature:.2f}"
        both = [(before, canvas.SOFT, "before"), (after, canvas.BLUE, f"after temperature scaling{named}")]
    figure = canvas.new_figure(5.2, 7.0)
    top, bottom = figure.subplots(2, sharex=True, height_ratios=[3.4, 1])
    slices = canvas.count(int(before.counts.sum()), "slice")
    canvas.style_axes(top, f"Calibration, n = {slices}", y="observed fraction of positives")
    top.plot([0, 1], [0, 1], color=canvas.SOFT, linewidth=1, linestyle=canvas.DASHED, label="perfect calibration")
    canvas.style_axes(bottom, x="predicted probability", y="slices")
    for bins, color, label in both:
        filled = bins.counts > 0
        top.plot(bins.predicted[filled], bins.observed[filled], color=color, marker="o", markersize=5, linewidth=1.8,
                 label=f"{label}: ECE {bins.error:.3f}")  # fmt: skip
        bottom.stairs(bins.counts, bins.edges, color=color, linewidth=1.6, fill=False)
        bottom.stairs(bins.counts, bins.edges, color=color, alpha=0.15, fill=True)
    canvas.unit_square(top)
    top.set_aspect("auto")  # the counts have the same x axis
    bottom.set_ylim(bottom=0)
    bottom.yaxis.get_major_locator().set_params(integer=True, nbins=4)
    canvas.legend(top, loc="upper left")
    return canvas.save(figure, path)


def draw_confusion(path: str | Path, matrix: np.ndarray, classes: Sequence[str], title: str = "Confusion") -> Path:
    """Counts (C, C), the truth in rows, with the share of each row; the darker, the larger the share."""
    matrix = np.asarray(matrix)
    if not matrix.size or not matrix.sum():
        return canvas.save_message(path, title, "There are no slices.")
    names = ["\n".join(wrap(name, 16)) for name in classes]
    side = max(2.2, 1.15 * len(names))
    figure = canvas.new_figure(side + 2.1, side + 1.3)
    axes = figure.subplots()
    canvas.style_axes(axes, f"{title}, n = {canvas.count(int(matrix.sum()), 'slice')}", "predicted class", "true class")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(names)), names, color=canvas.INK)
    rows = [f"{name}\n({total:,})" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(names)), rows, color=canvas.INK)
    for lines in (axes.hlines, axes.vlines):
        lines(np.arange(1, len(names)) - 0.5, -0.5, len(names) - 0.5, color=canvas.PAPER, linewidth=3)
    for (row, column), value in np.ndenumerate(matrix):
        color = canvas.PAPER if shares[row, column] > 0.6 else canvas.INK
        axes.text(column, row - 0.08, f"{value:,}", ha="center", va="center", fontsize=canvas.TITLE + 1, color=color)
        share = f"{100 * shares[row, column]:.1f} %" if totals[row, 0] else "-"
        axes.text(column, row + 0.2, share, ha="center", va="center", fontsize=canvas.TEXT, color=color)
    axes.spines[:].set_color(canvas.LINE)
    return canvas.save(figure, path)
