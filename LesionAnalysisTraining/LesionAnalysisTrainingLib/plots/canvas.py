"""The style of all figures: colors, axes, and writing to files."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, which are distinguishable with color vision deficiency.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
INK, SOFT, LINE, QUIET, PAPER = "#17202b", "#5a6675", "#dbe1e8", "#f1f4f7", "#ffffff"  # as the report's
NIGHT = "#10151c"  # background of the clusters' colors, which are made for CT
TITLE, TEXT, SMALL = 11.5, 9.5, 8.5  # points
DPI = 110
DASHED = (0, (4, 3))


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """An empty figure of that size in inches, drawn by Agg. Raises ImportError without matplotlib."""
    if not available():
        raise ImportError("Figures need matplotlib: install it, or train without figures.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout=layout)
    FigureCanvasAgg(figure)
    if layout == "constrained":
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write PNG or SVG by the extension, and return the path. Raises ValueError for other extensions."""
    path = Path(path)
    image_format = path.suffix.lower().lstrip(".")
    if image_format not in ("png", "svg"):
        raise ValueError(f"Figures are written as .png or .svg, not as {path.name}.")
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # dollar signs in names do not start a formula
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[image_format]  # equal figures give equal files
    figure.savefig(path, format=image_format, dpi=DPI, facecolor=figure.get_facecolor(), metadata=metadata)
    return path


def save_message(path: str | Path, title: str, message: str) -> Path:
    """A small figure with the reason why nothing can be drawn."""
    figure = new_figure(6.4, 1.9, layout=None)
    figure.text(0.5, 0.68, title, ha="center", va="center", fontsize=TITLE, color=INK, weight="bold", wrap=True)
    figure.text(0.5, 0.34, message, ha="center", va="center", fontsize=TEXT, color=SOFT, wrap=True)
    return save(figure, path)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at integers only."""
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Plain axes: two spines, a light grid, titles at the left."""
    axes.set_facecolor(PAPER)
    axes.grid(True, color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set(color=SOFT, linewidth=0.8)
    axes.tick_params(colors=SOFT, labelsize=SMALL, length=3)
    axes.set_title(title, loc="left", fontsize=TITLE, color=INK, pad=9)
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)


def legend(axes: Axes, **where) -> None:
    """A legend without a frame, if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=SMALL, labelcolor=INK, frameon=True, framealpha=0.9, edgecolor="none",
                    facecolor=PAPER, **where)  # fmt: skip


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1, of equal length, with a small margin for lines along the border."""
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal", xticks=ticks, yticks=ticks)


def hide_axes(axes: Axes) -> None:
    """Only the image, on black."""
    axes.set(facecolor="black", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def outline(axes: Axes, box: Sequence[float], color: str, width: float) -> None:
    """A box with the edges r0, c0, r1, c1; centers of pixels are whole numbers."""
    from matplotlib.patches import Rectangle

    r0, c0, r1, c1 = box
    axes.add_patch(Rectangle((c0, r0), c1 - c0, r1 - r0, fill=False, edgecolor=color, linewidth=width))


def count(number: int, singular: str) -> str:
    """``1 slice``, ``2,345 slices``."""
    return f"{number:,} {singular}{'s'[: number != 1]}"


def part_of(shown: int, total: int, singular: str) -> str:
    """``24 of 310 lesions``, or ``7 lesions`` where all are shown."""
    return count(total, singular) if shown == total else f"{shown:,} of {count(total, singular)}"
