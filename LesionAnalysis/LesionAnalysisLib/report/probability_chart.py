"""Probability along the slices as inline SVG, with the extent of the lesions below it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from ..colors import cluster_color
from ..results import Analysis, Lesion, SliceDiagnosis
from .wording import threshold_of

_WIDTH, _LEFT, _RIGHT = 1000, 56, 12
_TOP, _PLOT = 14, 220  # px above the plot, and its height
_BOTTOM = _TOP + _PLOT
_LANE, _LANES = 9, 10  # height of a lane of lesions in px, and the most lanes


def probability_chart(analysis: Analysis) -> str:
    """SVG of the probability of every slice, in the order of the file; colors come from the page's CSS."""
    slices = analysis.slices
    if not slices:
        return ""
    lanes = _lanes(analysis.lesions)
    axis = _BOTTOM + (len(lanes) * _LANE + 10 if lanes else 0)
    positions = slices[0].position_mm is not None
    height = axis + (58 if positions else 42)
    marks = [
        *_lung_runs(slices),
        *_grid(),
        *_bars(slices),
        _threshold(threshold_of(analysis.config)),
        *_lesion_lanes(lanes, len(slices)),
        *_ticks(slices, axis, positions),
    ]
    label = f"Probability of each of {len(slices)} slices, {analysis.summary.positive_slices} of them positive"
    attributes = f'class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}"'
    return f"<svg {attributes}>{''.join(marks)}</svg>"


def _x(place: float, count: int) -> float:
    """Left edge of slice ``place`` of ``count``, in px."""
    return _LEFT + place * (_WIDTH - _LEFT - _RIGHT) / count


def _y(probability: float) -> float:
    return _BOTTOM - probability * _PLOT


def _lung_runs(slices: Sequence[SliceDiagnosis]) -> list[str]:
    """A light background behind runs of slices that show lung."""
    marks, start = [], 0
    for lung, run in groupby(one.lung for one in slices):
        end = start + len(list(run))
        if lung:
            x, width = _x(start, len(slices)), _x(end, len(slices)) - _x(start, len(slices))
            marks.append(f'<rect class="lung" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT}"/>')
        start = end
    return marks


def _grid() -> list[str]:
    marks = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        y = _y(value)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        marks.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    return marks


def _bars(slices: Sequence[SliceDiagnosis]) -> list[str]:
    """A bar per analyzed slice, with its values as a tool tip."""
    step = _x(1, len(slices)) - _x(0, len(slices))
    width = max(step * 0.78, min(step, 1.0))
    marks = []
    for place, one in enumerate(slices):
        if one.probability is None:
            continue
        top = min(_y(one.probability), _BOTTOM - 1.5)  # a probability of 0 remains visible
        style = "bar positive" if one.positive else "bar"
        tip = f"slice {one.index}" + ("" if one.position_mm is None else f", S {one.position_mm:.1f} mm")
        tip += f": {one.probability:.2f}" + (f", lesions: {len(one.lesions)}" if one.lesions else "")
        marks.append(
            f'<rect class="{style}" x="{_x(place, len(slices)) + (step - width) / 2:.1f}" y="{top:.1f}" '
            f'width="{width:.2f}" height="{_BOTTOM - top:.1f}" rx="{min(width / 2, 1.5):.1f}">'
            f"<title>{escape(tip)}</title></rect>"
        )
    return marks


def _threshold(threshold: float) -> str:
    y = _y(threshold)
    return (
        f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="threshold-label" x="{_WIDTH - _RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end">'
        f"threshold {threshold:.2f}</text>"
    )


def _lanes(lesions: Sequence[Lesion]) -> list[list[Lesion]]:
    """Lesions arranged in lanes without overlap, largest first; what exceeds the last lane is left out."""
    lanes: list[list[Lesion]] = []
    for lesion in lesions:
        first, last = lesion.first_slice, lesion.last_slice
        for lane in lanes:
            if all(last < other.first_slice or other.last_slice < first for other in lane):
                lane.append(lesion)
                break
        else:
            if len(lanes) < _LANES:
                lanes.append([lesion])
    return lanes


def _lesion_lanes(lanes: Sequence[Sequence[Lesion]], count: int) -> list[str]:
    marks = []
    for number, lane in enumerate(lanes):
        y = _BOTTOM + 8 + number * _LANE
        for lesion in lane:
            x0, x1 = _x(lesion.first_slice, count), _x(lesion.last_slice + 1, count)
            tip = f"{lesion.label}, slices {lesion.first_slice} to {lesion.last_slice}"
            marks.append(
                f'<rect class="lane" x="{x0 + 0.5:.1f}" y="{y}" width="{max(x1 - x0 - 1, 1.5):.1f}" '
                f'height="{_LANE - 3}" rx="2" fill="{cluster_color(lesion.cluster)}">'
                f"<title>{escape(tip)}</title></rect>"
            )
    if lanes:
        marks.append(f'<text x="{_LEFT - 8}" y="{_BOTTOM + 16}" text-anchor="end">lesions</text>')
    return marks


def _ticks(slices: Sequence[SliceDiagnosis], axis: float, positions: bool) -> list[str]:
    """Slice indices, and below them the position along the patient."""
    marks = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{axis}" y2="{axis}"/>']
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 10**9) if len(slices) / step <= 14)
    for place in range(0, len(slices), step):
        x = _x(place + 0.5, len(slices))
        marks.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{axis}" y2="{axis + 4}"/>')
        marks.append(f'<text x="{x:.1f}" y="{axis + 18}" text-anchor="middle">{slices[place].index}</text>')
        position = slices[place].position_mm
        if position is not None:
            marks.append(f'<text class="minor" x="{x:.1f}" y="{axis + 33}" text-anchor="middle">{position:.0f}</text>')
    title, y = "slice index", axis + (50 if positions else 34)
    if positions:
        title += " (above) and position S in mm (below)"
        first, last = slices[0].position_mm or 0, slices[-1].position_mm or 0
        ends = ("feet", "head") if first < last else ("head", "feet")
        marks.append(f'<text x="{_LEFT}" y="{y}">&#8592; {ends[0]}</text>')
        marks.append(f'<text x="{_WIDTH - _RIGHT}" y="{y}" text-anchor="end">{ends[1]} &#8594;</text>')
    marks.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{y}" text-anchor="middle">{title}</text>')
    return marks
