"""Slice images for the report: CT in a lung window, LAM overlay, boxes; numpy and Pillow only.

Radiological orientation (patient's right at the image's left, anterior up) comes from the CT's axial view; pixels are
resampled to square millimeters, so that anisotropic scans keep their proportions.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..colors import cluster_color, jet
from ..results import Analysis

LUNG_WINDOW_HU = (-1350.0, 150.0)  # width 1500, level -600
SIZE = 640  # pixels along the longer side
_HEAD, _SIDE = 28, 58  # black margins for the heading and for the color bar of the LAM
_LABELS = 8  # labels drawn per slice, highest activation first; every box is drawn
_SHORT_TYPES = {"partial consolidation": "part. cons.", "consolidation": "cons."}
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Edges = tuple[float, float, float, float]  # left, top, right, bottom; of lesions in indices: pixel centers are integers


@dataclass(frozen=True)
class SliceFigure:
    """One slice image: its index in the input, the PNG, and its heading as text."""

    index: int
    png: bytes
    size: tuple[int, int]  # width, height in pixels
    caption: str


@dataclass(frozen=True)
class _Box:
    """A lesion on one slice."""

    edges: Edges
    label: str
    cluster: int
    activation: float


@dataclass(frozen=True)
class _Frame:
    """The displayed part of the axial grid and its size on the image."""

    edges: Edges
    width: int
    height: int

    def to_pixels(self, edges: Edges) -> Edges:
        """Edges in indices -> pixels of the image."""
        left, top, right, bottom = self.edges
        shares = np.subtract(edges, (left, top) * 2) / ((right - left, bottom - top) * 2)
        return tuple(shares * ((self.width, self.height) * 2))

    def resize(self, plane: np.ndarray, method: Image.Resampling) -> np.ndarray:
        """(R, C) -> (height, width) float32."""
        image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
        return np.asarray(image.resize((self.width, self.height), method, box=tuple(np.add(self.edges, 0.5))))


def slice_figures(analysis: Analysis, count: int = 6) -> list[SliceFigure]:
    """Up to ``count`` slices with the highest lesion activation, or, without lesions, the three most probable ones."""
    indices = strongest_slices(analysis, count) or most_probable_slices(analysis, min(count, 3))
    if not indices:
        return []
    view = analysis.ct.axial()
    lam = view.from_volume(analysis.lam)
    labels = view.from_volume(analysis.lesion_labels)
    lungs = view.from_volume(analysis.lung_mask)
    shapes = analysis.ct.slice_shapes
    shared = None if shapes else _frame(lungs.any(axis=0), view.spacing)
    figures = []
    for index in indices:
        rows, cols = shapes[index] if shapes else view.array.shape[1:]
        frame = shared or _frame(lungs[index, :rows, :cols], view.spacing)
        boxes = _boxes(analysis, index, labels[index], view.index_to_ras)
        slice_image = _draw(analysis, view.array[index], lam[index], boxes, frame, float(view.spacing[0]))
        text = _caption(analysis, index)
        image = _mount(slice_image, text, color_bar=bool(lam[index].any()))
        stream = io.BytesIO()
        image.save(stream, "PNG", compress_level=7)
        figures.append(SliceFigure(index, stream.getvalue(), image.size, text))
    return figures


def strongest_slices(analysis: Analysis, count: int = 6) -> list[int]:
    """Indices of up to ``count`` slices with the highest lesion activation, in the order of the file.

    The slice of highest activation of each lesion comes first (so that different lesions are shown), then the others;
    slices within 15 mm, or a fiftieth of the stack, of a chosen one are taken only if nothing else is left.
    """
    activation: dict[int, float] = {}
    first: list[int] = []
    for lesion in sorted(analysis.lesions, key=lambda one: -one.activation):
        for part in lesion.slice_lesions:
            activation[part.slice_index] = max(activation.get(part.slice_index, 0.0), part.activation)
        if lesion.slice_lesions:
            first.append(max(lesion.slice_lesions, key=lambda part: part.activation).slice_index)
    order = list(dict.fromkeys([*first, *sorted(activation, key=lambda index: (-activation[index], index))]))
    return _spread(analysis, order, count)


def most_probable_slices(analysis: Analysis, count: int) -> list[int]:
    """Indices of the slices with the highest probability, in the order of the file."""
    analyzed = [one for one in analysis.slices if one.probability is not None]
    return _spread(analysis, [one.index for one in sorted(analyzed, key=lambda one: -one.probability)], count)


def _spread(analysis: Analysis, order: Sequence[int], count: int) -> list[int]:
    """The first ``count`` indices of ``order`` that are not too close to one another, then the rest of them."""
    distance = 1.0
    if analysis.calibrated:
        distance = max(len(analysis.slices) / 50, 15 / float(analysis.ct.axial().spacing[2]))
    chosen: list[int] = []
    for minimum in (distance, 1.0):
        for index in order:
            if len(chosen) < count and all(abs(index - other) >= minimum for other in chosen):
                chosen.append(index)
    return sorted(chosen)


def _caption(analysis: Analysis, index: int) -> str:
    one = next(one for one in analysis.slices if one.index == index)
    words = [f"Slice {index}"]
    if one.position_mm is not None:
        words.append(f"S {one.position_mm:.1f} mm")
    if one.probability is not None:
        words.append(f"p {one.probability:.2f}")
    return "   ".join(words)


def _bounding_box(mask: np.ndarray) -> Edges:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return cols[0] - 0.5, rows[0] - 0.5, cols[-1] + 0.5, rows[-1] + 0.5


def _frame(lungs: np.ndarray, spacing: Sequence[float]) -> _Frame:
    """The bounding box of the lungs (R, C) with a margin of 6 %; the whole plane if there are none."""
    height, width = lungs.shape
    plane = (-0.5, -0.5, width - 0.5, height - 0.5)
    left, top, right, bottom = _bounding_box(lungs) if lungs.any() else plane
    margin = 0.06 * (max(right - left, bottom - top) - 1) + 1
    left, top = max(left - margin, plane[0]), max(top - margin, plane[1])
    right, bottom = min(right + margin, plane[2]), min(bottom + margin, plane[3])
    width, height = (right - left) * float(spacing[0]), (bottom - top) * float(spacing[1])
    scale = SIZE / max(width, height)
    return _Frame((left, top, right, bottom), max(round(width * scale), 1), max(round(height * scale), 1))


def _boxes(analysis: Analysis, index: int, labels: np.ndarray, index_to_ras: np.ndarray) -> list[_Box]:
    """The boxes of the slice's lesions, highest activation first.

    Boxes come from ``box_ras_mm``. On an oblique scan these would enclose too much; there the bounding box of the
    lesion's label is drawn.
    """
    straight = np.count_nonzero(np.abs(index_to_ras[:3, :3]) > 1e-4 * np.abs(index_to_ras[:3, :3]).max()) == 3
    to_index = np.linalg.inv(index_to_ras)
    boxes = []
    for lesion in analysis.lesions:
        name = _SHORT_TYPES.get(lesion.type or "", lesion.type or "")
        label = f"L{lesion.id:02d} C{lesion.cluster} {name}".rstrip()
        parts = [part for part in lesion.slice_lesions if part.slice_index == index]
        mask = labels == lesion.id
        if parts and not straight and mask.any():
            boxes.append(_Box(_bounding_box(mask), label, lesion.cluster, max(part.activation for part in parts)))
            continue
        for part in parts:
            corners = np.array([[*corner, 1.0] for corner in part.box_ras_mm]) @ to_index.T  # (2, 4): c, r, s
            edges = (*corners[:, :2].min(axis=0), *corners[:, :2].max(axis=0))
            boxes.append(_Box(edges, label, lesion.cluster, part.activation))
    return sorted(boxes, key=lambda box: -box.activation)


def _draw(
    analysis: Analysis, plane: np.ndarray, lam: np.ndarray, boxes: Sequence[_Box], frame: _Frame, column_mm: float
) -> Image.Image:
    low, high = LUNG_WINDOW_HU if analysis.calibrated else (0.0, 255.0)
    gray = np.clip((frame.resize(plane, Image.Resampling.BICUBIC) - low) / (high - low), 0, 1)
    # 64 gray levels: noise hides the difference, and the file is half as large.
    pixels = np.repeat(np.round(gray * 63)[..., None] * (255 / 63), 3, axis=2)
    inside = frame.resize(lam > 0, Image.Resampling.NEAREST) > 0
    if inside.any():
        activation = np.clip(frame.resize(lam, Image.Resampling.BILINEAR) / 100, 0, 1)[inside]
        opacity = (0.30 + 0.30 * activation)[:, None]
        pixels[inside] = (1 - opacity) * pixels[inside] + opacity * jet(activation)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(image)
    _draw_boxes(draw, boxes, frame)
    if analysis.calibrated:
        _text(draw, (9, frame.height / 2), "R", 20, "lm")
        _text(draw, (frame.width - 9, frame.height / 2), "L", 20, "rm")
        _draw_scale(draw, frame, column_mm)
    return image


def _draw_boxes(draw: ImageDraw.ImageDraw, boxes: Sequence[_Box], frame: _Frame) -> None:
    """Boxes with a dark rim (visible on any background), then labels where they cover no other label."""
    for box in reversed(boxes):
        left, top, right, bottom = frame.to_pixels(box.edges)
        draw.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline=_BLACK, width=4)
        draw.rectangle([left, top, right, bottom], outline=cluster_color(box.cluster), width=2)
    taken: list[Edges] = []
    font = ImageFont.load_default(14)
    for box in boxes[:_LABELS]:
        width, height = draw.textlength(box.label, font=font) + 8, 19
        left, top, right, bottom = np.add(frame.to_pixels(box.edges), (-1, -1, 1, 1))
        places = [(x, y) for y in (top - height, bottom, top, bottom - height) for x in (left, right - width)]
        spots = []  # moved into the frame
        for x, y in places:
            x, y = min(max(x, 0), frame.width - width), min(max(y, 0), frame.height - height)
            spots.append((x, y, x + width, y + height))
        spot = next((spot for spot in spots if not any(_overlap(spot, other) for other in taken)), spots[0])
        taken.append(spot)
        draw.rectangle(spot, fill=cluster_color(box.cluster))
        draw.text((spot[0] + 4, spot[1] + 1), box.label, font=font, fill=_BLACK)


def _overlap(one: Edges, other: Edges) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_scale(draw: ImageDraw.ImageDraw, frame: _Frame, column_mm: float) -> None:
    """A scale bar of 5 cm at the bottom (1 cm where 5 cm exceed half of the image)."""
    pixels_per_cm = 10 / column_mm * frame.width / (frame.edges[2] - frame.edges[0])
    centimeters = 5 if 5 * pixels_per_cm <= frame.width / 2 else 1
    length, left, base = centimeters * pixels_per_cm, 12, frame.height - 12
    for color, rim in ((_BLACK, 1), (_WHITE, 0)):
        draw.rectangle([left - rim, base - 1 - rim, left + length + rim, base + 1 + rim], fill=color)
        for x in (left, left + length):
            draw.rectangle([x - 1 - rim, base - 6 - rim, x + 1 + rim, base + 6 + rim], fill=color)
    _text(draw, (left + length / 2, base - 6), f"{centimeters} cm", 14, "mb")


def _mount(slice_image: Image.Image, heading: str, color_bar: bool) -> Image.Image:
    """The slice with its heading above and the color bar of the LAM to its right, where they hide nothing."""
    width, height = slice_image.size
    image = Image.new("RGB", (width + _SIDE * color_bar, height + _HEAD), _BLACK)
    image.paste(slice_image, (0, _HEAD))
    draw = ImageDraw.Draw(image)
    _text(draw, (9, _HEAD / 2), heading, 16, "lm", rim=0)
    if color_bar:
        length = min(240, height - 60)
        top, left = _HEAD + (height - length) // 2, width + 14
        ramp = jet(np.linspace(1, 0, length))[:, None, :].repeat(12, axis=1).round().astype(np.uint8)
        image.paste(Image.fromarray(ramp, "RGB"), (left, top))
        _text(draw, (width + _SIDE / 2, top - 10), "LAM", 13, "mb", rim=0)
        for part, text in ((0, "100"), (0.5, "50"), (1, "0 %")):
            _text(draw, (left + 17, top + part * length), text, 13, "lm", rim=0)
    return image


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str, rim: int = 2) -> None:
    """White text with a dark rim."""
    font = ImageFont.load_default(size)
    draw.text(at, text, font=font, fill=_WHITE, anchor=anchor, stroke_width=rim, stroke_fill=_BLACK)
