"""Reads uncalibrated images of CT slices (PNG, JPEG, TIFF, BMP): gray levels without HU or voxel spacing."""

from __future__ import annotations

import re
import warnings as python_warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from ..text import utf8_safe
from .geometry import LPS_TO_RAS, CtVolume

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp")

UNCALIBRATED = ("Uncalibrated images: no HU, no voxel spacing; lengths, areas and positions are in pixels, volumes, "
                "densities and lesion types are not given.")  # fmt: skip


def natural_order(path: Path) -> tuple:
    """Sort key that puts slice2 before slice10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in parts if p), path.name


def read_images(paths: Sequence[Path], name: str, source: str) -> CtVolume:
    """The images as slices of one study, (K, J, I) uint8, in the given order.

    Columns run to the patient's left, rows posteriorly. Images of different sizes are placed in the upper left corner
    of a common black canvas. Raises OSError if one cannot be read, ValueError if one cannot be a CT slice.
    """
    slices = [gray for path in paths for gray in _gray_pages(path)]
    warnings = [UNCALIBRATED]
    deep = [gray for gray in slices if gray.dtype != np.uint8]
    if deep:  # scaled by their common range, so that slices stay comparable
        low, high = min(float(g.min()) for g in deep), max(float(g.max()) for g in deep)
        scale = 255.0 / (high - low) if high > low else 0.0
        slices = [g if g.dtype == np.uint8 else np.rint((g.astype(np.float64) - low) * scale).astype(np.uint8)
                  for g in slices]  # fmt: skip
        warnings += [f"Images of more than 8 bits were scaled from their full range, {low:g} to {high:g}, to 8 bits."]
    shapes = tuple(gray.shape for gray in slices)
    canvas = np.zeros((len(slices), *np.max(shapes, axis=0)), dtype=np.uint8)
    for target, gray in zip(canvas, slices, strict=True):
        target[:gray.shape[0], :gray.shape[1]] = gray
    same = len(set(shapes)) == 1
    return CtVolume(canvas, LPS_TO_RAS.copy(), name, source, False, tuple(warnings), None if same else shapes)


def _gray_pages(path: Path) -> list[np.ndarray]:
    """Each page of an image file as (R, C): uint8, or the stored values if they have more bits."""
    label = f"The image '{utf8_safe(path.name)}'"
    if path.stat().st_size == 0:
        raise OSError(f"{label} is empty: copy it again.")
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # Pillow's warnings about unusual metadata
            with Image.open(path) as image:
                pages = [_gray(page) for page in (ImageSequence.Iterator(image) if image.format == "TIFF" else [image])]
    except UnidentifiedImageError:
        raise OSError(f"{label} cannot be read: its content is not an image.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{label} is too large to be a CT slice.") from None
    except MemoryError:
        raise
    except Exception:  # each of Pillow's decoders raises its own exceptions for damaged data
        raise OSError(f"{label} cannot be read: it is damaged or incomplete.") from None
    for gray in pages:
        if min(gray.shape) < 2:
            raise ValueError(f"{label} has only {gray.shape[1]} x {gray.shape[0]} pixels, so it is not a CT slice.")
        if gray.dtype.kind == "f" and not np.isfinite(gray).all():
            raise ValueError(f"{label} has pixels that are NaN or infinite: save it as an 8-bit image.")
    return pages


def _gray(page: Image.Image) -> np.ndarray:
    page = ImageOps.exif_transpose(page)
    if page.mode in ("F", "I") or page.mode.startswith("I;"):
        return np.array(page)
    if "A" in page.getbands() or "transparency" in page.info:
        page = page.convert("RGBA")  # transparent becomes black
        page = Image.alpha_composite(Image.new("RGBA", page.size, (0, 0, 0, 255)), page)
    return np.array(page.convert("L"))
