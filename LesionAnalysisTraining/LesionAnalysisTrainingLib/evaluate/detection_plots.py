"""Slices with the maps of a model and the manual segmentation: figures 5, 7, 8 and 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from LesionAnalysisLib.colors import cluster_color, jet

from ..metrics.detection_metrics import RATIOS, THRESHOLDS
from ..plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE, _GAP, _HEAD, _FOOT = 1.9, 0.06, 0.34, 0.22  # inches
_TRUTH, _SECOND, _BOX = "#35e06f", "#ff5ad1", "#ffd21f"  # segmented lesions of both types, boxes of the map
_OVER = {"box": "of the LAM's box", "iou": "of the union of both boxes"}


@dataclass(frozen=True, eq=False)
class MapOverlay:
    """A map with its regions, on its image."""

    heatmap: np.ndarray  # (H, W) 0..1, 0 outside the regions
    labels: np.ndarray  # (H, W) numbers of the regions
    boxes: np.ndarray  # (m, 4) edges in pixels, centers are whole numbers
    peaks: np.ndarray  # (m, 2)
    clusters: Sequence[int] = ()  # (m,) from 1


@dataclass(frozen=True, eq=False)
class Example:
    """One slice to draw."""

    name: str
    image: np.ndarray  # (H, W) uint8
    network_input: np.ndarray  # (size, size) uint8
    mask: np.ndarray  # (H, W) integers, above 0: lesion
    probability: float
    maps: Mapping[str, MapOverlay] = field(default_factory=dict)  # by method


def draw_examples(path: str | Path, examples: Sequence[Example], method: str = "lam") -> Path:
    """Figures 5, 7 and 8: the slice, the network's input, its map in Jet, and boxes over the segmented lesions."""
    heads = ("slice", "network input", f"{method.upper()} (Jet)", "boxes, segmentation")

    def row(axes: Sequence[Axes], one: Example) -> None:
        overlay = one.maps[method]
        _show(axes[0], one.image)
        _show(axes[1], one.network_input)
        _heatmap(axes[2], one.image, overlay.heatmap)
        _show(axes[3], one.image)
        _truth(axes[3], one.mask)
        _boxes(axes[3], overlay)

    return _grid(path, examples, heads, row)


def draw_methods(path: str | Path, examples: Sequence[Example], methods: Sequence[str]) -> Path:
    """The same slices by each method, with boxes and the segmented lesions."""
    def row(axes: Sequence[Axes], one: Example) -> None:
        _show(axes[0], one.image)
        _truth(axes[0], one.mask)
        for tile, method in zip(axes[1:], methods, strict=True):
            _heatmap(tile, one.image, one.maps[method].heatmap)
            _truth(tile, one.mask)
            _boxes(tile, one.maps[method])

    return _grid(path, examples, ("segmentation", *methods), row)


def draw_cluster_maps(path: str | Path, examples: Sequence[Example], method: str = "lam") -> Path:
    """Figure 10: the slice with the segmented types, its LAM, and its lesions by cluster, numbered at their peaks."""
    def row(axes: Sequence[Axes], one: Example) -> None:
        overlay = one.maps[method]
        _show(axes[0], one.image)
        _truth(axes[0], one.mask)
        _heatmap(axes[1], one.image, overlay.heatmap)
        _show(axes[2], one.image)
        _clusters(axes[2], overlay)

    return _grid(path, examples, ("segmented types", "LAM (Jet)", "clusters"), row)


def draw_hit_rates(path: str | Path, rates: Mapping[str, Mapping[str, float]], oracle: str) -> Path:
    """Table 5 as curves: hit rate over the threshold, by both ratios; the oracle map, the upper bound, is dashed.

    ``rates`` are figures of ``detection_metrics.summarize`` by name of the row, ``oracle`` is that of the oracle map.
    """
    figure = canvas.new_figure(9.2, 4.2)
    for axes, ratio in zip(figure.subplots(1, 2, sharey=True), RATIOS, strict=True):
        canvas.style_axes(axes, f"Overlap ratio {_OVER[ratio]}", "threshold of the overlap ratio",
                   "hit rate" if ratio == RATIOS[0] else "")  # fmt: skip
        colors = iter(canvas.SERIES * 3)
        for name, figures in rates.items():
            values = [figures[f"hit {ratio} {t}"] for t in THRESHOLDS]
            style = {"color": canvas.SOFT, "linestyle": canvas.DASHED} if name == oracle else {"color": next(colors)}
            axes.plot(THRESHOLDS, values, marker="o", markersize=3.5, linewidth=1.7, label=name, **style)
        axes.set_ylim(0, 1.02)
    canvas.legend(axes, loc="upper right")
    return canvas.save(figure, path)


def _grid(path: str | Path, examples: Sequence[Example], heads: Sequence[str], row) -> Path:
    if not examples:
        return canvas.save_message(path, "Slices", "No lungs were found in a slice with lesions.")
    step = _TILE + _GAP + _FOOT
    width, height = 0.2 + len(heads) * (_TILE + _GAP), _HEAD + len(examples) * step + 0.05
    figure = canvas.new_figure(width, height, layout=None)
    for r, one in enumerate(examples):
        top = _HEAD + r * step
        tiles = []
        for c, head in enumerate(heads):
            left = 0.1 + c * (_TILE + _GAP)
            tiles.append(figure.add_axes((left / width, 1 - (top + _TILE) / height, _TILE / width, _TILE / height)))
            if r == 0:
                figure.text((left + _TILE / 2) / width, 1 - (_HEAD - 0.1) / height, head, fontsize=canvas.TEXT,
                            color=canvas.INK, ha="center", va="bottom")  # fmt: skip
        row(tiles, one)
        caption = f"{one.name[:60]}   p = {one.probability:.2f}"
        figure.text(0.1 / width, 1 - (top + _TILE + 0.03) / height, caption, fontsize=canvas.SMALL, color=canvas.SOFT,
                    va="top")  # fmt: skip
    return canvas.save(figure, path)


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    canvas.hide_axes(axes)


def _heatmap(axes: Axes, image: np.ndarray, heatmap: np.ndarray) -> None:
    _show(axes, image)
    axes.imshow(np.dstack([jet(heatmap) / 255, 0.6 * (heatmap > 0)]), interpolation="nearest")


def _truth(axes: Axes, mask: np.ndarray) -> None:
    for value, color in ((1, _TRUTH), (2, _SECOND)):
        if (mask == value).any() and min(mask.shape) > 1:
            axes.contour(mask == value, [0.5], colors=[color], linewidths=0.9)


def _boxes(axes: Axes, overlay: MapOverlay) -> None:
    for box in overlay.boxes:
        canvas.outline(axes, box, _BOX, 1.2)
    if len(overlay.peaks):
        axes.plot(overlay.peaks[:, 1], overlay.peaks[:, 0], "+", color=_BOX, markersize=5, markeredgewidth=1.2)


def _clusters(axes: Axes, overlay: MapOverlay) -> None:
    numbers = np.unique(overlay.labels[overlay.labels > 0])
    for number, peak, cluster in zip(numbers, overlay.peaks, overlay.clusters, strict=True):
        color = cluster_color(cluster)
        layer = np.zeros((*overlay.labels.shape, 4))
        layer[..., :3] = np.array(list(bytes.fromhex(color[1:]))) / 255
        layer[..., 3] = 0.6 * (overlay.labels == number)
        axes.imshow(layer, interpolation="nearest")
        axes.text(peak[1], peak[0], str(cluster), fontsize=canvas.TITLE - 2, color="white", weight="bold",
                  ha="center", va="center", bbox={"facecolor": canvas.NIGHT, "alpha": 0.7, "pad": 1,
                                                    "edgecolor": "none"})  # fmt: skip
