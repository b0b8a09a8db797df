"""Random views of a slice's lungs (section 4.2.3; docs/method.md, "Training")."""

from __future__ import annotations

import io

import numpy as np
from LesionAnalysisLib.lungs import LungRegion
from PIL import Image, ImageDraw, ImageFilter

from .training_config import Augmentation


def _affine(box: tuple[float, float, float, float], size: int, flips: tuple[bool, bool], angle: float,
            shift: np.ndarray, scale: np.ndarray) -> tuple[float, ...]:  # fmt: skip
    """Pillow's coefficients, from output pixels to input pixels: (x, y) -> (ax + by + c, dx + ey + f)."""
    r0, c0, r1, c1 = box
    height, width = (r1 - r0) * scale[0], (c1 - c0) * scale[1]
    center_y = (r0 + r1) / 2 + 0.5 + shift[0] * height
    center_x = (c0 + c1) / 2 + 0.5 + shift[1] * width
    sx, sy = (-1 if flips[0] else 1) * width / size, (-1 if flips[1] else 1) * height / size
    cos, sin = np.cos(angle), np.sin(angle)
    # rotate in input space, where pixels are square, then center
    a, b, d, e = cos * sx, -sin * sy, sin * sx, cos * sy
    half = size / 2
    return a, b, center_x - a * half - b * half, d, e, center_y - d * half - e * half


def augmented_view(region: LungRegion, size: int, margin: float, settings: Augmentation,
                   rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """A random view (size, size) uint8 of the lungs with about ``margin`` around them.

    The plain view of validation and analysis is ``LungRegion.view``.
    """
    gray_levels = region.gray_levels
    if rng.random() < settings.mask_chance and region.found:
        gray_levels = np.where(region.lungs, gray_levels, 0).astype(np.uint8)
    box = region.grown_box(margin)
    image = Image.fromarray(gray_levels)
    shrink = min((box[2] - box[0]) / size, (box[3] - box[1]) / size)
    if shrink > 1.25:  # against aliasing, blur before pixels are skipped
        image = image.filter(ImageFilter.GaussianBlur(0.35 * shrink))
    coefficients = _affine(
        box, size, (rng.random() < settings.horizontal_flip, rng.random() < settings.vertical_flip),
        np.deg2rad(rng.uniform(-settings.rotation, settings.rotation)),
        rng.uniform(-settings.shift, settings.shift, 2), 1 + rng.uniform(-settings.scale, settings.scale, 2),
    )  # fmt: skip
    image = image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return _degrade(image, settings, rng)


def _degrade(image: Image.Image, s: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Vary gray levels, sharpness and traces of publication as they vary between sources."""
    size = image.width
    if rng.random() < s.coarse_chance:
        small = int(size * rng.uniform(0.4, 0.9))
        image = image.resize((small, small), Image.Resampling.BILINEAR)
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < s.drawing_chance:
        _draw(image, rng)
    if rng.random() < s.blur_chance:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2) * size / 256))
    if rng.random() < s.jpeg_chance:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=int(rng.integers(25, 85)))
        image = Image.open(stream)
    pixels = np.asarray(image, np.float32) / 255.0
    if s.gamma:
        pixels = pixels ** np.exp(rng.uniform(-s.gamma, s.gamma))
    contrast = 1 + rng.uniform(-s.contrast, s.contrast)
    black = pixels <= 0.004  # masked and padded parts stay black whatever the brightness
    pixels = (pixels - 0.4) * contrast + 0.4 + rng.uniform(-s.brightness, s.brightness)
    if rng.random() < s.noise_chance:
        pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.05), pixels.shape).astype(np.float32)
    pixels[black] = 0.0
    if rng.random() < s.erase_chance:
        _erase(pixels, rng)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _erase(pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Fill one to three boxes with an even gray (Zhong 2020, "Random erasing data augmentation")."""
    size = len(pixels)
    for _ in range(int(rng.integers(1, 4))):
        height, width = (rng.uniform(0.08, 0.3, 2) * size).astype(int)
        top, left = (rng.uniform(0, 1, 2) * (size - height, size - width)).astype(int)
        pixels[top : top + height, left : left + width] = rng.uniform(0, 0.8)


def _draw(image: Image.Image, rng: np.random.Generator) -> None:
    """Add arrows, letters or frames, as in published figures; images of all classes get them."""
    pen = ImageDraw.Draw(image)
    size = image.width
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0.05, 0.9, 2) * size
        tone = int(rng.integers(150, 256)) if rng.random() < 0.8 else 0
        shape = rng.integers(3)
        if shape == 0:
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.12) * size
            dx, dy = length * np.cos(angle), length * np.sin(angle)
            pen.line((x, y, x + dx, y + dy), fill=tone, width=max(1, size // 100))
            left, right = angle + 2.6, angle - 2.6
            tip = (x + dx, y + dy)
            ends = [(tip[0] + 0.4 * length * np.cos(a), tip[1] + 0.4 * length * np.sin(a)) for a in (left, right)]
            pen.polygon([tip, *ends], fill=tone)
        elif shape == 1:
            pen.text((x, y), chr(int(rng.integers(65, 91))), fill=tone, font_size=float(rng.uniform(0.05, 0.12) * size))
        else:
            w, h = rng.uniform(0.08, 0.3, 2) * size
            pen.rectangle((x, y, x + w, y + h), outline=tone, width=max(1, size // 150))
