"""Draw the icons of the extension and of its modules, and the thumbnail of the sample data.

    python Resources/draw_icons.py

Coordinates are in units of 1/128 of an icon's side; drawings are supersampled. The icons show lungs from the front with
a lesion of high activation, on a dark tile that looks alike on light and dark themes; the thumbnail is an axial slice
of the phantom.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
UNITS, SCALE = 128, 8
SIDE = UNITS * SCALE

TILE = ((38, 60, 84), (13, 23, 36))  # top and bottom
LUNG = ((232, 241, 247), (150, 184, 208))
BOX = (214, 24, 24)
BADGE, BADGE_RIM = (20, 128, 92), (13, 23, 36)
# Distance from the lesion's center in radii, color, opacity: from the red of the highest activation outward.
ACTIVATION = ((0.0, (176, 0, 16), 1.0), (0.30, (224, 16, 16), 1.0), (0.55, (255, 120, 0), 1.0),
        (0.78, (255, 214, 40), 0.95), (1.0, (255, 236, 130), 0.0))  # fmt: skip
LESION = (36.0, 84.0)  # center, in the lower lobe of the right lung, on the viewer's left

# Outlines as cubic Bezier curves: a start, then two handles and an end for each curve.
RIGHT_LUNG = ((44, 21), ((30, 21), (13, 52), (8, 84)), ((5, 104), (6, 118), (15, 118)),
              ((27, 118), (36, 105), (51, 105)), ((55, 105), (57, 102), (57, 97)), ((57, 82), (57, 66), (57, 54)),
              ((55, 34), (53, 21), (44, 21)))  # fmt: skip
LEFT_LUNG = ((84, 21), ((98, 21), (115, 52), (120, 84)), ((123, 104), (122, 118), (113, 118)),
             ((101, 118), (97, 107), (86, 105)), ((80, 104), (80, 98), (82, 93)), ((86, 83), (71, 78), (71, 66)),
             ((71, 62), (71, 57), (71, 54)), ((73, 34), (75, 21), (84, 21)))  # fmt: skip
AIRWAYS = (((64, 10), (64, 43)), ((64, 43), (54, 58)), ((64, 43), (74, 58)))


def main() -> None:
    for path, image in images().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, optimize=True)
        print(path.relative_to(ROOT), *image.size)


def images() -> dict[Path, Image.Image]:
    icons = ROOT / "LesionAnalysis" / "Resources" / "Icons"
    return {
        ROOT / "LesionAnalysis.png": icon(box=True),
        icons / "LesionAnalysis.png": icon(),
        icons / "LesionAnalysisPhantom.png": thumbnail(),
        ROOT / "LesionAnalysisTraining" / "Resources" / "Icons" / "LesionAnalysisTraining.png": icon(badge=True),
    }


def icon(box: bool = False, badge: bool = False) -> Image.Image:
    """Lungs with a lesion, in a bounding box or with the badge of the training module."""
    image = Image.new("RGBA", (SIDE, SIDE))
    tile = _mask(lambda draw: draw.rounded_rectangle(_scaled((2, 2, 126, 126)), radius=24 * SCALE, fill=255))
    _paint(image, _gradient(*TILE), tile)
    lungs = _mask(lambda draw: [draw.polygon(_outline(lung), fill=255) for lung in (RIGHT_LUNG, LEFT_LUNG)])
    _paint(image, _gradient(*LUNG), ImageChops.lighter(_mask(_draw_airways), lungs))
    color, opacity = _activation(*LESION, radius=20 if box else 25)
    _paint(image, color, ImageChops.multiply(opacity, lungs))
    if box:
        _paint(image, Image.new("RGB", image.size, BOX), _mask(_draw_box))
    if badge:
        _draw_badge(image)
    return image.resize((UNITS, UNITS), Image.Resampling.LANCZOS)


def thumbnail(size: tuple[int, int] = (260, 280)) -> Image.Image:
    """An axial slice of the phantom in a lung window, its lesions in color."""
    sys.path.insert(0, str(ROOT / "LesionAnalysis"))
    from LesionAnalysisLib.phantom import make_phantom

    phantom = make_phantom((60, 512, 512), (0.7, 0.7, 5.0))
    index = 27  # at the level of the hila, with a lesion in each lung
    ct, lesions = phantom.ct.array[index].astype(np.float32), phantom.lesion_labels[index] > 0
    gray = Image.fromarray(np.uint8(np.clip((ct + 1100.0) / 1300.0, 0, 1) * 255)).convert("RGB")
    depth = np.asarray(Image.fromarray(np.uint8(lesions * 255)).filter(ImageFilter.GaussianBlur(9)), np.float32) / 255
    color = _colors(1.0 - depth)
    gray.paste(color, mask=Image.fromarray(np.uint8(np.where(lesions, 150, 0))).filter(ImageFilter.GaussianBlur(1.5)))
    frame = Image.new("RGB", (512, round(512 * size[1] / size[0])), gray.getpixel((4, 4)))
    frame.paste(gray, (0, 40))  # centers the body
    return frame.resize(size, Image.Resampling.LANCZOS)


def _draw_airways(draw: ImageDraw.ImageDraw) -> None:
    for start, end in AIRWAYS:
        _draw_line(draw, start, end, width=7)


def _draw_box(draw: ImageDraw.ImageDraw) -> None:
    """The four corners of a square around the lesion."""
    x, y = LESION
    half, arm = 24, 12
    for sx in (-1, 1):
        for sy in (-1, 1):
            corner = (x + sx * half, y + sy * half)
            _draw_line(draw, corner, (corner[0] - sx * arm, corner[1]), width=6)
            _draw_line(draw, corner, (corner[0], corner[1] - sy * arm), width=6)


def _draw_line(draw: ImageDraw.ImageDraw, start: tuple, end: tuple, width: float) -> None:
    """A line with round ends."""
    draw.line((*_scaled(start), *_scaled(end)), fill=255, width=round(width * SCALE))
    for x, y in (start, end):
        draw.ellipse(_scaled((x - width / 2, y - width / 2, x + width / 2, y + width / 2)), fill=255)


def _draw_badge(image: Image.Image) -> None:
    """A circular arrow in a disk, for the epochs of a training."""
    draw = ImageDraw.Draw(image)
    x, y, radius = 94, 94, 31
    for color, r in ((BADGE_RIM, radius + 3), (BADGE, radius)):
        draw.ellipse(_scaled((x - r, y - r, x + r, y + r)), fill=color)
    ring = 18
    draw.arc(_scaled((x - ring, y - ring, x + ring, y + ring)), -10, 285, fill="white", width=8 * SCALE)
    tip = np.array((x + 15, y - 15))  # of the arrow, to the right of the arc's end
    draw.polygon([_scaled(tuple(p)) for p in (tip + (8, 0), tip + (-10, -12), tip + (-10, 12))], fill="white")


def _outline(curves: tuple) -> list[tuple[float, float]]:
    start, *rest = curves
    points, at = [], np.array(start, float)
    t = np.linspace(0, 1, 60)[:, None]
    for one, two, end in rest:
        one, two, end = (np.array(p, float) for p in (one, two, end))
        bezier = (1 - t) ** 3 * at + 3 * (1 - t) ** 2 * t * one + 3 * (1 - t) * t**2 * two + t**3 * end
        points += [tuple(p) for p in bezier * SCALE]
        at = end
    return points


def _scaled(numbers: tuple) -> tuple:
    return tuple(n * SCALE for n in numbers)


def _mask(draw) -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE))
    draw(ImageDraw.Draw(mask))
    return mask


def _paint(image: Image.Image, color: Image.Image, mask: Image.Image) -> None:
    layer = color.convert("RGBA")
    layer.putalpha(mask)
    image.alpha_composite(layer)


def _gradient(top: tuple, bottom: tuple) -> Image.Image:
    column = np.linspace(top, bottom, SIDE)[:, None, :]
    return Image.fromarray(np.uint8(np.broadcast_to(column, (SIDE, SIDE, 3))))


def _activation(x: float, y: float, radius: float) -> tuple[Image.Image, Image.Image]:
    """Color and opacity of the lesion over the whole icon."""
    rows, cols = np.mgrid[:SIDE, :SIDE] / SCALE
    distance = np.hypot(cols - x, rows - y) / radius
    opacity = np.interp(distance, [stop[0] for stop in ACTIVATION], [stop[2] for stop in ACTIVATION])
    return _colors(distance), Image.fromarray(np.uint8(opacity * 255))


def _colors(distance: np.ndarray) -> Image.Image:
    stops = [stop[0] for stop in ACTIVATION]
    channels = [np.interp(distance, stops, [stop[1][c] for stop in ACTIVATION]) for c in range(3)]
    return Image.fromarray(np.uint8(np.stack(channels, -1)))


if __name__ == "__main__":
    main()
