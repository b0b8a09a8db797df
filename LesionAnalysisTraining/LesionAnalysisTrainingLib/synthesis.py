"""Synthetic lesions in lungs without disease, so that the source of a slice does not predict its label.

Fluid replaces air: where it fills a share f of the air, the gray level rises from g toward that of soft tissue by
f (tissue - g). Vessels stay visible in ground glass (small f) and vanish in consolidation (f near 1), as the two are
defined (Hansell 2008, Fleischner glossary). Foci lie where those of COVID-19 often do: multifocal, subpleural,
posterior (section 1 of the paper).
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

_TISSUE = 190.0  # gray level of soft tissue on the common scale (LesionAnalysisLib.lungs)
_STEP = 4  # pixels of the grid on which centers of foci are drawn
_MIN_LUNG = 400  # pixels
_VISIBLE = 0.1  # share of air replaced from which a lesion counts as visible


def add_lesions(gray_levels: np.ndarray, lungs: np.ndarray,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:  # fmt: skip
    """The slice with one or several foci of ground glass or consolidation in its lungs.

    Args:
        gray_levels: (H, W) uint8 on the common gray scale.
        lungs: (H, W) bool.
        rng: draws number, place, size, shape and density.

    Returns:
        The slice (H, W) uint8 and the mask of its visible lesions (H, W) bool; None where there is too little lung.
    """
    if lungs.sum() < _MIN_LUNG:
        return None
    rows, columns = np.nonzero(lungs)
    side = float(max(np.ptp(rows), 0.7 * np.ptp(columns)) + 1)
    filled = np.zeros(gray_levels.shape, np.float32)
    dense = rng.random() < 0.35  # some slices hold consolidations
    coarse = lungs[::_STEP, ::_STEP]
    likely = _likelihood(coarse, side / _STEP, rng)
    for _ in range(1 + rng.geometric(0.4)):
        spot = rng.choice(coarse.size, p=likely)
        center = np.array(np.unravel_index(spot, coarse.shape)) * _STEP + rng.uniform(0, _STEP, 2)
        radius = side * float(np.clip(rng.lognormal(np.log(0.07), 0.6), 0.02, 0.3))
        share = rng.uniform(0.65, 1.0) if dense and rng.random() < 0.6 else rng.uniform(0.15, 0.55)
        _grow(filled, center, radius, share, rng)
    inside = ndimage.uniform_filter(lungs.astype(np.float32), 3)  # no hard edge at the pleura
    uneven = 0.4 * _cloud(gray_levels.shape, max(4, round(side / rng.uniform(4, 16))), rng)
    uneven += rng.uniform(0, 0.6) * _cloud(gray_levels.shape, max(2, round(side / rng.uniform(60, 120))), rng)
    filled *= inside * (0.6 + uneven)
    filled = np.clip(filled, 0, 1)
    air = gray_levels.astype(np.float32)
    changed = np.rint(air + filled * np.clip(_TISSUE - air, 0, None)).astype(np.uint8)
    return changed, filled > _VISIBLE


def _likelihood(lungs: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    """Probability of each cell to be the center of a focus: higher near the pleura and posteriorly."""
    depth = ndimage.distance_transform_edt(lungs)
    height = np.linspace(0, 1, lungs.shape[0])[:, None]
    weights = (0.3 + np.exp(-depth / (0.06 * side))) * (0.3 + height * rng.uniform(0, 1.5)) * lungs
    return (weights / weights.sum()).ravel()


def _grow(filled: np.ndarray, center: np.ndarray, radius: float, share: float, rng: np.random.Generator) -> None:
    """Fill ``share`` of the air in an irregular blob, more in its center, with a soft or a sharp edge."""
    stretch, angle = rng.uniform(0.6, 1.6), rng.uniform(0, np.pi)
    reach = int(np.ceil(2.2 * radius * max(stretch, 1 / stretch)))
    r0, c0 = (max(0, int(x) - reach) for x in center)
    r1, c1 = (min(n, int(x) + reach + 1) for x, n in zip(center, filled.shape, strict=True))
    y, x = np.ogrid[r0 - center[0] : r1 - center[0], c0 - center[1] : c1 - center[1]]
    u = (x * np.cos(angle) + y * np.sin(angle)) * stretch
    v = (y * np.cos(angle) - x * np.sin(angle)) / stretch
    height = 1.7 - np.hypot(u, v)[: r1 - r0, : c1 - c0] / radius
    height = height + 1.2 * (_cloud(height.shape, max(3, round(radius / rng.uniform(1.5, 4))), rng) - 0.5)
    edge = rng.uniform(0.2, 0.8) if share > 0.6 else rng.uniform(0.3, 1.5)
    part = share * np.clip((height - 0.4) / edge, 0, 1)
    filled[r0:r1, c0:c1] = np.maximum(filled[r0:r1, c0:c1], part)


def _cloud(shape: tuple[int, int], grain: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in 0..1 whose waves are about ``grain`` pixels long."""
    small = rng.random((shape[0] // grain + 3, shape[1] // grain + 3), np.float32)
    width, height = small.shape[1] - 2, small.shape[0] - 2
    image = Image.fromarray(small)
    return np.clip(np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC, (1, 1, 1 + width, 1 + height))), 0, 1)
