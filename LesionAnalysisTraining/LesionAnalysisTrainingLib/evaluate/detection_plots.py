"""Slices with what a model saw in them, beside what a radiologist drew: figures 5, 7, 8 and 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from LesionAnalysisLib.colors import cluster_color, jet

from ..metrics.detection_metrics import RATIOS, THRESHOLDS
from ..plots.canvas import (
    INK,
    NIGHT,
    SERIES,
    SMALL,
    SOFT,
    TEXT,
    TITLE,
    legend,
    new_figure,
    save,
    save_sentence,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE, _GAP, _HEAD, _FOOT = 1.9, 0.06, 0.34, 0.22  # inches
_TRUTH, _SECOND, _BOX = "#35e06f", "#ff5ad1", "#ffd21f"  # drawn lesions of both types, boxes of the map
_OVER = {"box": "of the LAM's box", "iou": "of the union of both boxes"}


@dataclass(frozen=True, eq=False)
class Marked:
    """A map on the picture that it belongs to."""

    heat: np.ndarray  # (H, W) 0..1, 0 outside of its regions
    labels: np.ndarray  # (H, W) numbers of its regions
    boxes: np.ndarray  # (m, 4) edges in pixels, centers are whole numbers
    peaks: np.ndarray  # (m, 2)
    clusters: Sequence[int] = ()  # (m,) from 1


@dataclass(frozen=True, eq=False)
class Example:
    """One slice to be shown."""

    name: str
    picture: np.ndarray  # (H, W) uint8
    shown: np.ndarray  # (size, size) uint8, as the network saw it
    mask: np.ndarray  # (H, W) integers, above 0: lesion
    probability: float
    maps: Mapping[str, Marked] = field(default_factory=dict)  # by method


def draw_examples(path: str | Path, examples: Sequence[Example], method: str = "lam") -> Path:
    """Figures 5, 7 and 8: the slice, as the network saw it, its map in Jet, and boxes over the drawn lesions."""
    heads = ("slice", "as the network saw it", f"{method.upper()} (Jet)", "boxes, drawn lesions")

    def row(axes: Sequence[Axes], one: Example) -> None:
        marked = one.maps[method]
        _show(axes[0], one.picture)
        _show(axes[1], one.shown)
        _heat(axes[2], one.picture, marked.heat)
        _show(axes[3], one.picture)
        _truth(axes[3], one.mask)
        _boxes(axes[3], marked)

    return _grid(path, examples, heads, row)


def draw_methods(path: str | Path, examples: Sequence[Example], methods: Sequence[str]) -> Path:
    """The same slices by every method, with boxes and the drawn lesions."""
    def row(axes: Sequence[Axes], one: Example) -> None:
        _show(axes[0], one.picture)
        _truth(axes[0], one.mask)
        for tile, method in zip(axes[1:], methods, strict=True):
            _heat(tile, one.picture, one.maps[method].heat)
            _truth(tile, one.mask)
            _boxes(tile, one.maps[method])

    return _grid(path, examples, ("drawn lesions", *methods), row)


def draw_cluster_maps(path: str | Path, examples: Sequence[Example], method: str = "lam") -> Path:
    """Figure 10: the slice with the drawn types, its LAM, and its lesions by cluster, numbered at their peaks."""
    def row(axes: Sequence[Axes], one: Example) -> None:
        marked = one.maps[method]
        _show(axes[0], one.picture)
        _truth(axes[0], one.mask)
        _heat(axes[1], one.picture, marked.heat)
        _show(axes[2], one.picture)
        _clusters(axes[2], marked)

    return _grid(path, examples, ("drawn types", "LAM (Jet)", "clusters"), row)


def draw_hit_rates(path: str | Path, rates: Mapping[str, Mapping[str, float]], ceiling: str) -> Path:
    """Table 5 as curves: hit rate over the threshold, by both ratios; the row ``ceiling`` is dashed.

    Args:
        rates: figures as ``evaluation.detection.summarize`` gives them, by the name of the row.
    """
    figure = new_figure(9.2, 4.2)
    for axes, ratio in zip(figure.subplots(1, 2, sharey=True), RATIOS, strict=True):
        style_axes(axes, _OVER[ratio], "overlap must exceed", "share of lesions hit" if ratio == RATIOS[0] else "")
        colors = iter(SERIES * 3)
        for name, figures in rates.items():
            values = [figures[f"hit {ratio} {t}"] for t in THRESHOLDS]
            look = {"color": SOFT, "linestyle": (0, (4, 3))} if name == ceiling else {"color": next(colors)}
            axes.plot(THRESHOLDS, values, marker="o", markersize=3.5, linewidth=1.7, label=name, **look)
        axes.set_ylim(0, 1.02)
    legend(axes, loc="upper right")
    return save(figure, path)


def _grid(path: str | Path, examples: Sequence[Example], heads: Sequence[str], row) -> Path:
    if not examples:
        return save_sentence(path, "Slices", "No slice with drawn lesions shows lungs.")
    step = _TILE + _GAP + _FOOT
    width, height = 0.2 + len(heads) * (_TILE + _GAP), _HEAD + len(examples) * step + 0.05
    figure = new_figure(width, height, layout=None)
    for r, one in enumerate(examples):
        top = _HEAD + r * step
        tiles = []
        for c, head in enumerate(heads):
            left = 0.1 + c * (_TILE + _GAP)
            tiles.append(figure.add_axes((left / width, 1 - (top + _TILE) / height, _TILE / width, _TILE / height)))
            if r == 0:
                figure.text((left + _TILE / 2) / width, 1 - (_HEAD - 0.1) / height, head, fontsize=TEXT, color=INK,
                            ha="center", va="bottom")  # fmt: skip
        row(tiles, one)
        # a dollar sign would begin a formula
        caption = f"{one.name[:60]}   p = {one.probability:.2f}".replace("$", r"\$")
        figure.text(0.1 / width, 1 - (top + _TILE + 0.03) / height, caption, fontsize=SMALL, color=SOFT, va="top")
    return save(figure, path)


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _heat(axes: Axes, picture: np.ndarray, heat: np.ndarray) -> None:
    _show(axes, picture)
    colors = jet(heat) / 255
    axes.imshow(np.dstack([colors, 0.6 * (heat > 0)]), interpolation="nearest")


def _truth(axes: Axes, mask: np.ndarray) -> None:
    for value, color in ((1, _TRUTH), (2, _SECOND)):
        if (mask == value).any() and min(mask.shape) > 1:
            axes.contour(mask == value, [0.5], colors=[color], linewidths=0.9)


def _boxes(axes: Axes, marked: Marked) -> None:
    from matplotlib.patches import Rectangle

    for r0, c0, r1, c1 in marked.boxes:
        axes.add_patch(Rectangle((c0, r0), c1 - c0, r1 - r0, fill=False, edgecolor=_BOX, linewidth=1.2))
    if len(marked.peaks):
        axes.plot(marked.peaks[:, 1], marked.peaks[:, 0], "+", color=_BOX, markersize=5, markeredgewidth=1.2)


def _clusters(axes: Axes, marked: Marked) -> None:
    numbers = np.unique(marked.labels[marked.labels > 0])
    for number, peak, cluster in zip(numbers, marked.peaks, marked.clusters, strict=True):
        color = cluster_color(cluster)
        layer = np.zeros((*marked.labels.shape, 4))
        layer[..., :3] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        layer[..., 3] = 0.6 * (marked.labels == number)
        axes.imshow(layer, interpolation="nearest")
        axes.text(peak[1], peak[0], str(cluster), fontsize=TITLE - 2, color="white", weight="bold", ha="center",
                  va="center", bbox={"facecolor": NIGHT, "alpha": 0.7, "pad": 1, "edgecolor": "none"})  # fmt: skip
