"""From coarse heat to the lesion's contour, by what is known about lungs; not in the paper.

A lesion is denser than aerated lung, and it is no vessel. So in the picture that the network saw, what is as wide as
a vessel or narrower is taken away (a gray opening), and what remains dense against the lung's own air is a candidate.
The network then decides which candidates are lesions: those that its heat reaches. No lesion was drawn for this; the
constants are round values that hold on two sets of drawn slices (``Testing/reproduction/enhanced_maps.py``).

    regions = refine(heat, image, on_grid(lungs[index], crop, cell_size(ct, index)))
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from ..lungs import Preprocessing, anchor_gray_levels
from ..lungs.preprocessing import BRIGHT_ANCHOR, DARK_ANCHOR
from ..volume import CtVolume
from .placement import Box2D
from .regions import FOUR_NEIGHBORS, Regions, keep_regions, normalize_heat, split_merged

GrayLevels = tuple[float, float]
ANCHORS: GrayLevels = (DARK_ANCHOR, BRIGHT_ANCHOR)
_CELL_MM = 1.6  # side of a cell of the contour
_PICTURE_CELLS = 224  # the same for pictures, which have no millimeters: so many along the longer side
_AIR_HU, _TISSUE_HU = -860, 40  # of healthy lung with its small vessels, and of muscle
_BLUR = 1.0  # cells (standard deviation) against noise
_VESSEL = 4  # cells: structures up to twice this wide, 13 mm with their blurred borders, are taken for vessels
_AIR_SHARE = 0.05  # the least dense share of the lung is air even in a diseased one
_DENSER = 0.2  # of the way from lung air to soft tissue, some 180 HU: from there on lung is a candidate
_FULL = 4.0  # times that much: the density at which the map shows all of the heat
_CLOSING = 2  # cells: gaps and holes in a lesion, such as its vessels, belong to it
_WARM = 0.3  # of the slice's most heat: a candidate that the heat does not reach is no lesion
_FLOOR = 0.2  # of the map where a lesion is without heat
_SMALLEST = 20  # cells: 8 mm across
_NECK = 2.0  # cells: lesions that hang together by a neck thinner by this than either (at its half width) are parted


def refine(
    heat: np.ndarray, image: np.ndarray, inside: np.ndarray, gray_levels: GrayLevels | None = ANCHORS, part: bool = True
) -> Regions:
    """The candidate lesions of one slice, drawn by density where the heat is.

    Args:
        heat: (h, w) as a saliency rule gives it, any grid; it is normalized here.
        image: (size, size) uint8, what the network saw (``LungSlice.image``).
        inside: (rows, columns) bool, the lungs on the grid of the contour (see ``on_grid``).
        gray_levels: of lung air and soft tissue in the image (see ``known_gray_levels``); None: measured in it.
        part: part lesions that hang together by a neck.

    Returns:
        Regions on the grid of ``inside``, and in it; none for a map that says nothing there (see ``normalize_heat``)
        and for an image without contrast.
    """
    warmth = Image.fromarray(normalize_heat(heat)).resize(inside.shape[::-1], Image.Resampling.BILINEAR)
    warmth = np.where(inside, np.asarray(warmth), 0)
    excess = density(image, inside, gray_levels)
    if excess is None or not warmth.any():
        return Regions(np.zeros(inside.shape, np.int32), warmth)
    warmth /= warmth.max()
    labels, _ = ndimage.label(_closed(excess > 1) & inside, FOUR_NEIGHBORS)
    labels = keep_regions(labels, _SMALLEST)
    if part:
        depth = ndimage.distance_transform_edt(np.pad(labels > 0, 1))[1:-1, 1:-1]
        labels = split_merged(Regions(labels, depth), _NECK, _SMALLEST).labels
    shown = np.clip(excess / _FULL, 0, 1) * (_FLOOR + (1 - _FLOOR) * warmth)
    return Regions(_warm(labels, warmth), shown.astype(np.float32))


def density(image: np.ndarray, inside: np.ndarray, gray_levels: GrayLevels | None = ANCHORS) -> np.ndarray | None:
    """How much denser than lung air, vessels taken away, in steps of ``_DENSER``: of ``inside``'s shape; 0 outside.

    Air is the least dense twentieth of the lung in this very slice, at most as dense as in others, so that neither a
    deep breath nor a lung without a healthy part misleads. None for an image without contrast.
    """
    small = np.asarray(Image.fromarray(image).resize(inside.shape[::-1], Image.Resampling.BOX))
    gray_levels = gray_levels or anchor_gray_levels(small, inside)
    if gray_levels is None or not inside.any():
        return None
    weight = ndimage.gaussian_filter(inside.astype(np.float32), _BLUR)
    smooth = ndimage.gaussian_filter(small * inside.astype(np.float32), _BLUR) / np.maximum(weight, 1e-3)
    # outside counts as neither darker nor brighter: a rim of chest wall in the mask is as thin as a vessel
    opened = ndimage.minimum_filter(np.where(inside, smooth, 255), footprint=disc(_VESSEL))
    opened = ndimage.maximum_filter(np.where(inside, opened, 0), footprint=disc(_VESSEL))
    air = min(np.quantile(opened[inside], _AIR_SHARE), gray_levels[0])
    return np.where(inside, (opened - air) / (_DENSER * (gray_levels[1] - gray_levels[0])), 0)


def known_gray_levels(preprocessing: Preprocessing, calibrated: bool) -> GrayLevels | None:
    """Lung air and soft tissue in what the network sees: at the anchors, or by HU and window; None: not known."""
    if preprocessing.anchor_gray_levels:
        return ANCHORS
    if not calibrated:
        return None
    low, high = preprocessing.window_hu
    return tuple(255 * (min(max(hu, low), high) - low) / (high - low) for hu in (_AIR_HU, _TISSUE_HU))


def cell_size(ct: CtVolume, index: int) -> tuple[float, float]:
    """Height and width of a cell of the contour in pixels of the axial slice ``index``."""
    if ct.calibrated:
        across, down, _ = ct.axial().spacing
        return _CELL_MM / down, _CELL_MM / across
    shape = ct.slice_shapes[index] if ct.slice_shapes else ct.axial().array.shape[1:]
    return (max(shape) / _PICTURE_CELLS,) * 2


def on_grid(lungs: np.ndarray, crop: Box2D, cell: tuple[float, float]) -> np.ndarray:
    """``lungs`` (R, C) bool of an axial slice on the grid of the contour, (rows, columns) bool.

    The grid covers ``crop`` with cells of about the size ``cell`` in pixels; the lungs at their centers count.
    """
    nearest = []
    for low, high, side, length in zip(crop[:2], crop[2:], cell, lungs.shape, strict=True):
        count = max(1, round((high - low) / side))
        centers = low + (np.arange(count) + 0.5) * (high - low) / count
        nearest.append(np.clip(np.rint(centers).astype(int), 0, length - 1))
    return lungs[np.ix_(*nearest)]


def disc(radius: int) -> np.ndarray:
    """A disc as a mask (2 radius + 1, 2 radius + 1)."""
    return np.hypot(*np.ogrid[-radius : radius + 1, -radius : radius + 1]) <= radius + 0.25


def _warm(labels: np.ndarray, warmth: np.ndarray) -> np.ndarray:
    """Only the regions that the heat reaches."""
    hottest = ndimage.maximum(warmth, labels, np.arange(labels.max() + 1))
    return keep_regions(np.where(np.asarray(hottest)[labels] >= _WARM, labels, 0), 1)


def _closed(mask: np.ndarray) -> np.ndarray:
    """Without its gaps and holes."""
    wide = ndimage.binary_closing(np.pad(mask, _CLOSING), disc(_CLOSING))
    return ndimage.binary_fill_holes(wide[_CLOSING:-_CLOSING, _CLOSING:-_CLOSING])
