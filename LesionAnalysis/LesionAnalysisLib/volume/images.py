"""Pictures of CT slices (PNG, JPEG, TIFF, BMP): gray values without HU and millimeters."""

from __future__ import annotations

import re
import warnings as python_warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from ..text import printable
from .geometry import CtVolume

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp")

UNCALIBRATED = (
    "Pictures have no Hounsfield units and no millimeters: lengths, areas and positions are in pixels, "
    "volumes and densities are not given."
)

# Columns to the patient's left and rows to the back: an axial slice stands upright in Slicer.
UPRIGHT = np.diag([-1.0, -1.0, 1.0, 1.0])


def natural_order(path: Path) -> tuple:
    """Sorting key by which slice2 comes before slice10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in parts if p), path.name


def read_images(paths: Sequence[Path], name: str, source: str) -> CtVolume:
    """One picture after the other as the slices of one study, (K, J, I) uint8.

    Pictures of different sizes lie in the upper left corner of a common black canvas.
    """
    slices = [gray for path in paths for gray in _gray_pages(path)]
    warnings = [UNCALIBRATED]
    if any(gray.dtype != np.uint8 for gray in slices):
        slices, warning = _to_8_bit(slices)
        warnings.append(warning)
    shapes = tuple((int(gray.shape[0]), int(gray.shape[1])) for gray in slices)
    canvas = np.zeros((len(slices), max(r for r, _ in shapes), max(c for _, c in shapes)), dtype=np.uint8)
    for target, gray in zip(canvas, slices, strict=True):
        target[: gray.shape[0], : gray.shape[1]] = gray
    same = len(set(shapes)) == 1
    return CtVolume(canvas, UPRIGHT.copy(), name, source, False, tuple(warnings), None if same else shapes)


def _gray_pages(path: Path) -> list[np.ndarray]:
    """Each page of a picture file as (R, C): uint8, or the stored values where they have more bits."""
    label = f"The picture '{printable(path.name)}'"
    if path.stat().st_size == 0:
        raise OSError(f"{label} is empty: copy it again.")
    pages = _load(path, label)
    for gray in pages:
        if min(gray.shape) < 2:
            size = f"{gray.shape[1]} x {gray.shape[0]}"
            raise ValueError(f"{label} has only {size} pixels, which is not a CT slice.")
        if gray.dtype.kind == "f" and not np.isfinite(gray).all():
            raise ValueError(f"{label} holds pixels that are not numbers: save it as an 8-bit picture.")
    return pages


def _load(path: Path, label: str) -> list[np.ndarray]:
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
            with Image.open(path) as picture:
                pages = ImageSequence.Iterator(picture) if picture.format == "TIFF" else [picture]
                return [_gray(page) for page in pages]
    except UnidentifiedImageError:
        raise OSError(f"{label} cannot be read: its content is not that of a picture.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{label} is too large to be a CT slice.") from None
    except MemoryError:
        raise
    except Exception:  # each of Pillow's decoders has its own way to fail on damaged data
        raise OSError(f"{label} cannot be read: it is damaged or incomplete.") from None


def _gray(page: Image.Image) -> np.ndarray:
    page = ImageOps.exif_transpose(page)
    if page.mode in ("F", "I") or page.mode.startswith("I;"):
        return np.array(page)
    if "A" in page.getbands() or "transparency" in page.info:
        page = page.convert("RGBA")  # what is transparent is black
        page = Image.alpha_composite(Image.new("RGBA", page.size, (0, 0, 0, 255)), page)
    return np.array(page.convert("L"))


def _to_8_bit(slices: list[np.ndarray]) -> tuple[list[np.ndarray], str]:
    """The range of all deep pictures together to 0..255, so that slices stay comparable."""
    deep = [gray for gray in slices if gray.dtype != np.uint8]
    low, high = min(float(g.min()) for g in deep), max(float(g.max()) for g in deep)
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = [
        g if g.dtype == np.uint8 else np.rint((g.astype(np.float64) - low) * scale).astype(np.uint8)
        for g in slices
    ]
    return (
        scaled,
        f"Pictures of more than 8 bits were scaled from their full range, {low:g} to {high:g}, to 8 bits.",
    )
