"""Contact sheets for visual review: the lesions of a cluster, and the most confident errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from LesionAnalysisLib.colors import cluster_color

from ..metrics import most_confident_errors
from . import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # row0, column0, row1, column1 in pixels; the ends are excluded
_COLUMNS, _TILE, _GAP, _CAPTION, _HEAD = 6, 1.55, 0.08, 0.24, 0.36  # inches
_NARROWEST = 96  # pixels shown around a small lesion


def draw_lesion_sheet(path: str | Path, lesions: Sequence[tuple[np.ndarray, Box]], title: str, number: int = 1,
                      captions: Sequence[str] | None = None, at_most: int = 24) -> Path:  # fmt: skip
    """The first lesions of one cluster with their surroundings, each in a box of the cluster's color.

    Args:
        lesions: images (H, W) uint8, each with the lesion's box in pixels.
        number: of the cluster, from 1; gives the color.
        captions: one short line below each lesion; None for none.
        at_most: lesions shown.
    """
    shown = list(lesions)[:at_most]
    if not shown:
        return canvas.save_message(path, title, "No lesion of the training data is in this cluster.")
    heading = f"{title}, {canvas.part_of(len(shown), len(lesions), 'lesion')}"
    sheet = _Sheet([(heading, len(shown))], captions is not None)
    for i, (image, box) in enumerate(shown):
        axes = sheet.tile(0, i, "" if captions is None else captions[i])
        _show(axes, image, _surroundings(box, image.shape))
        for width, edge in ((3.4, canvas.NIGHT), (1.6, cluster_color(number))):  # the rim sets off light colors
            canvas.outline(axes, np.array(box) - 0.5, edge, width)
    return canvas.save(sheet.figure, path)


def draw_wrong_slices(path: str | Path, image: Callable[[int], np.ndarray], probability: np.ndarray,
                      truth: np.ndarray, threshold: float = 0.5, captions: Sequence[str] | None = None,
                      each: int = 12, positive: str = "positive") -> Path:  # fmt: skip
    """The most confident errors: false positives, then false negatives, each with its probability.

    Args:
        image: returns slice i as (H, W) uint8; called only for the slices shown.
        probability: (n,) of the positive class.
        truth: (n,) above 0 for the positive class.
        captions: (n,) short names of the slices, below the probability; None for none.
        each: at most so many of each.
        positive: name of the positive class.
    """
    errors = most_confident_errors(truth, probability, threshold, len(probability))
    if not any(map(len, errors)):
        slices = canvas.count(len(probability), "slice")
        return canvas.save_message(path, "Errors", f"All of {slices} were classified correctly.")
    titles = [f"False positives ({positive})", f"False negatives ({positive})"]
    parts = [(f"{name}: {canvas.part_of(min(each, len(rows)), len(rows), 'slice')}, most confident first", rows[:each])
             for name, rows in zip(titles, errors, strict=True) if len(rows)]  # fmt: skip
    sheet = _Sheet([(head, len(rows)) for head, rows in parts], True)
    for part, (_, rows) in enumerate(parts):
        for place, i in enumerate(rows.tolist()):
            caption = f"p = {probability[i]:.3f}" + ("" if captions is None else f"  {captions[i]}")
            shown = image(i)
            _show(sheet.tile(part, place, caption), shown, (0, 0, *shown.shape))
    return canvas.save(sheet.figure, path)


class _Sheet:
    """Rows of square tiles under headings, at computed positions: a layout engine would take seconds for 24 axes."""

    def __init__(self, parts: Sequence[tuple[str, int]], captions: bool) -> None:
        self.step = _TILE + _GAP + (_CAPTION if captions else 0)
        self.tops, height = [], 0.12
        for _, tiles in parts:
            height += _HEAD
            self.tops.append(height)
            height += -(-tiles // _COLUMNS) * self.step + 0.1
        self.width, self.height = 2 * 0.14 + _COLUMNS * (_TILE + _GAP) - _GAP, height + 0.04
        self.figure: Figure = canvas.new_figure(self.width, self.height, layout=None)
        for (heading, _), top in zip(parts, self.tops, strict=True):
            self.figure.text(0.14 / self.width, 1 - (top - 0.1) / self.height, heading, fontsize=canvas.TITLE,
                             color=canvas.INK, va="bottom")  # fmt: skip

    def tile(self, part: int, place: int, caption: str) -> Axes:
        """Axes of the place-th tile of a part."""
        row, column = divmod(place, _COLUMNS)
        left, top = 0.14 + column * (_TILE + _GAP), self.tops[part] + row * self.step
        axes = self.figure.add_axes((left / self.width, 1 - (top + _TILE) / self.height, _TILE / self.width,
                                     _TILE / self.height))  # fmt: skip
        canvas.hide_axes(axes)
        if caption:
            self.figure.text((left + _TILE / 2) / self.width, 1 - (top + _TILE + 0.05) / self.height, caption[:26],
                             fontsize=canvas.SMALL - 0.5, color=canvas.SOFT, ha="center", va="top")  # fmt: skip
        return axes


def _surroundings(box: Box, shape: tuple[int, ...]) -> Box:
    """A square around the box, twice as wide, shifted into the image; all of an image smaller than that."""
    row0, column0, row1, column1 = box
    side = max(2 * (row1 - row0), 2 * (column1 - column0), _NARROWEST)
    spans = []
    for start, end, length in ((row0, row1, shape[0]), (column0, column1, shape[1])):
        first = min(max((start + end - side) / 2, 0), max(length - side, 0))
        spans.append((first, min(first + side, length)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _show(axes: Axes, image: np.ndarray, window: Box) -> None:
    row0, column0, row1, column1 = window
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    half = max(row1 - row0, column1 - column0) / 2  # tiles are square; the rest stays black
    row, column = (row0 + row1 - 1) / 2, (column0 + column1 - 1) / 2
    axes.set_xlim(column - half, column + half)
    axes.set_ylim(row + half, row - half)
