"""One gray scale for every source: lung air and soft tissue are brought to the same gray levels.

Sources differ in window and exposure. Two anchors, the median of the dark and of the bright part of a lung crop,
are mapped linearly to fixed gray levels (docs/method.md, "Preprocessing").
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .image_lungs import otsu
from .lung_region import covered_pixels, crop_box

DARK_ANCHOR, BRIGHT_ANCHOR = 60.0, 190.0  # gray levels of lung air and soft tissue after anchoring
_AIR_HU, _TISSUE_HU = -1000, 40  # ends of the density scale: air outside the body, muscle
_AIR_PERCENT, _TISSUE_PERCENT = 0.1, 98  # percentiles that stand for these ends in images without HU
_MIN_CONTRAST = 8.0  # gray levels between the anchors; an image with less is left unchanged
_ANCHOR_SLICES = 24  # enough to measure the anchors of a volume

Anchors = tuple[float, float]


def gray_anchors(values: np.ndarray, lungs: np.ndarray | None = None) -> Anchors | None:
    """Gray levels (dark, bright) of lung air and soft tissue in ``values`` uint8; None without contrast.

    Otsu's threshold separates dark from bright; each anchor is the median of its part. With the mask ``lungs`` of
    the same shape, air outside the lungs is ignored; without one, pure black (padding) is.
    """
    threshold = otsu(values)
    if threshold is None:
        return None
    dark = values < threshold
    in_lungs = dark & lungs if lungs is not None else dark & (values > 0)
    dark_part = values[in_lungs if in_lungs.sum() >= 0.02 * dark.sum() else dark]
    low, high = float(np.median(dark_part)), float(np.median(values[values >= threshold]))
    return (low, high) if high - low >= _MIN_CONTRAST else None


def volume_anchors(hu: np.ndarray, mask: np.ndarray, kept: np.ndarray, preprocessing) -> Anchors | None:
    """``gray_anchors`` of a volume (S, R, C), over the lung boxes of up to 24 of its ``kept`` slices."""
    if len(kept) == 0:
        return None
    gray_levels, lungs = [], []
    for index in np.unique(kept[np.linspace(0, len(kept) - 1, _ANCHOR_SLICES).astype(int)]):
        rows, columns = covered_pixels(crop_box(mask[index], preprocessing.margin), mask.shape[1:])
        part = np.s_[index, rows.start:rows.stop:2, columns.start:columns.stop:2]
        gray_levels.append(window(hu[part], preprocessing.window_hu).ravel())
        lungs.append(mask[part].ravel())
    return gray_anchors(np.concatenate(gray_levels), np.concatenate(lungs))


def gray_table(anchors: Anchors | None) -> np.ndarray:
    """Lookup table (256,) uint8 that maps the anchors linearly to 60 and 190, clipped; the identity for None."""
    return np.clip(np.rint(_anchored(np.arange(256, dtype=np.float32), anchors)), 0, 255).astype(np.uint8)


def hu_scale(window_hu: tuple[float, float], anchors: Anchors | None) -> tuple[float, float]:
    """``LungSlice.scale`` of a volume: gray levels of air (-1000 HU) and soft tissue (40 HU) after anchoring."""
    return _scale(_windowed(np.array([_AIR_HU, _TISSUE_HU], dtype=float), window_hu), anchors)


def image_scale(image: np.ndarray, anchors: Anchors | None) -> tuple[float, float]:
    """``LungSlice.scale`` of an 8-bit image, from percentiles: its darkest pixels stand for air."""
    smooth = ndimage.uniform_filter(image.astype(np.float32), 3)  # noise would make the air darker
    return _scale((np.percentile(smooth, _AIR_PERCENT), np.percentile(image, _TISSUE_PERCENT)), anchors)


def window(hu: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    """``hu`` of any shape as gray levels uint8: the ends of the window become 0 and 255."""
    gray_levels = _windowed(np.asarray(hu, dtype=np.float32), window_hu)
    return np.clip(np.rint(gray_levels, out=gray_levels), 0, 255, out=gray_levels).astype(np.uint8)


def _windowed(hu, window_hu):
    low, high = window_hu
    return (hu - low) * (255.0 / (high - low))


def _anchored(gray_levels, anchors):
    if anchors is None:
        return gray_levels
    low, high = anchors
    return DARK_ANCHOR + (gray_levels - low) * ((BRIGHT_ANCHOR - DARK_ANCHOR) / (high - low))


def _scale(ends, anchors):
    return tuple(float(level) for level in _anchored(np.array(ends, dtype=float), anchors))
