"""Lesion contours by CT density within regions of high activation; not in the paper.

Lesions are denser than aerated lung, and they are not vessels. A gray opening of the network's input removes
structures as narrow as vessels; what remains denser than the lung's air is a candidate, and a lesion where the heatmap
is high. No manual segmentation was used: the constants are round values that hold on two sets of manually segmented
slices (docs/method.md).

    regions = refine(heatmap, image, region.lungs_on_cells(crop))
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from ..lungs import Preprocessing
from ..lungs.gray_scale import BRIGHT_ANCHOR, DARK_ANCHOR, gray_anchors
from .regions import FOUR_NEIGHBORS, Regions, keep_regions, normalize_heatmap, split_merged

GrayLevels = tuple[float, float]
ANCHORS: GrayLevels = (DARK_ANCHOR, BRIGHT_ANCHOR)
_LUNG_HU, _TISSUE_HU = -860, 40  # aerated lung with its small vessels, and muscle
_BLUR = 1.0  # cells (standard deviation), against noise
_VESSEL = 4  # cells: structures up to twice this wide, 13 mm with their blurred borders, are taken for vessels
_AIR_SHARE = 0.05  # the least dense share of the lung is aerated even in diseased lungs
_DENSER = 0.2  # share of the range from lung air to soft tissue, some 180 HU: lung denser by this is a candidate
_FULL = 4.0  # times that much: the density at which the map shows the full activation
_CLOSING = 2  # cells: gaps and holes in a lesion, such as its vessels, belong to it
_ACTIVE = 0.3  # share of the slice's highest activation that a lesion reaches somewhere
_FLOOR = 0.2  # share of the density shown in parts of a lesion without activation
_SMALLEST = 20  # cells: 8 mm across
_NECK = 2.0  # cells: lesions are split at a bridge whose half width is smaller than either's by this


def refine(
    heatmap: np.ndarray, image: np.ndarray, inside: np.ndarray, gray_levels: GrayLevels | None = ANCHORS,
    split: bool = True,
) -> Regions:  # fmt: skip
    """The candidate lesions of one slice, with contours by density.

    Args:
        heatmap: (h, w) of a saliency rule, any grid; it is normalized here.
        image: (size, size) uint8, the network's input (``LungSlice.image``).
        inside: (rows, columns) bool, the lungs on the grid of the contours (see ``LungRegion.lungs_on_cells``).
        gray_levels: of lung air and soft tissue in the image (see ``known_gray_levels``); None: estimated from it.
        split: separate lesions joined by narrow bridges.

    Returns:
        Regions on the grid of ``inside``, and in it; none for a map without information (see ``normalize_heatmap``)
        and for an image without contrast.
    """
    small = Image.fromarray(normalize_heatmap(heatmap))
    activation = np.where(inside, np.asarray(small.resize(inside.shape[::-1], Image.Resampling.BILINEAR)), 0)
    excess = density(image, inside, gray_levels)
    if excess is None or not activation.any():
        return Regions(np.zeros(inside.shape, np.int32), activation)
    activation /= activation.max()
    closed = ndimage.binary_closing(np.pad(excess > 1, _CLOSING), _disc(_CLOSING))
    filled = ndimage.binary_fill_holes(closed[_CLOSING:-_CLOSING, _CLOSING:-_CLOSING])
    labels = keep_regions(ndimage.label(filled & inside, FOUR_NEIGHBORS)[0], _SMALLEST)
    if split:
        depth = ndimage.distance_transform_edt(np.pad(labels > 0, 1))[1:-1, 1:-1]
        labels = split_merged(Regions(labels, depth), _NECK, _SMALLEST).labels
    peaks = np.asarray(ndimage.maximum(activation, labels, np.arange(labels.max() + 1)))
    labels = keep_regions(np.where(peaks[labels] >= _ACTIVE, labels, 0), 1)
    shown = np.clip(excess / _FULL, 0, 1) * (_FLOOR + (1 - _FLOOR) * activation)
    return Regions(labels, shown.astype(np.float32))


def density(image: np.ndarray, inside: np.ndarray, gray_levels: GrayLevels | None = ANCHORS) -> np.ndarray | None:
    """Density above lung air without vessels, in units of ``_DENSER``: of ``inside``'s shape; 0 outside.

    Air is the least dense twentieth of the lung in the slice, but no denser than in others: neither deep inspiration
    nor a lung without a healthy part misleads. None for an image without contrast.
    """
    small = np.asarray(Image.fromarray(image).resize(inside.shape[::-1], Image.Resampling.BOX))
    gray_levels = gray_levels or gray_anchors(small, inside)
    if gray_levels is None or not inside.any():
        return None
    weight = ndimage.gaussian_filter(inside.astype(np.float32), _BLUR)
    smooth = ndimage.gaussian_filter(small * inside.astype(np.float32), _BLUR) / np.maximum(weight, 1e-3)
    # outside is neither darker nor brighter: a rim of chest wall in the mask is removed like a vessel
    opened = ndimage.minimum_filter(np.where(inside, smooth, 255), footprint=_disc(_VESSEL))
    opened = ndimage.maximum_filter(np.where(inside, opened, 0), footprint=_disc(_VESSEL))
    air = min(np.quantile(opened[inside], _AIR_SHARE), gray_levels[0])
    return np.where(inside, (opened - air) / (_DENSER * (gray_levels[1] - gray_levels[0])), 0)


def known_gray_levels(preprocessing: Preprocessing, calibrated: bool) -> GrayLevels | None:
    """Lung air and soft tissue in the network's input: the anchors, or by HU and window; None: not known."""
    if preprocessing.anchor_gray_levels:
        return ANCHORS
    if not calibrated:
        return None
    low, high = preprocessing.window_hu
    return tuple(255 * (min(max(hu, low), high) - low) / (high - low) for hu in (_LUNG_HU, _TISSUE_HU))


def _disc(radius: int) -> np.ndarray:
    """A disc as a mask (2 radius + 1, 2 radius + 1)."""
    return np.hypot(*np.ogrid[-radius : radius + 1, -radius : radius + 1]) <= radius + 0.25
