"""One slice from the backbone's maps to its candidate lesions, as a configuration wants it.

The analysis and its evaluation both go this way, so that what is measured is what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .config import AnalysisConfig
from .lesions.refinement import GrayLevels, on_grid, refine
from .lesions.regions import Regions, split_merged, split_regions
from .lungs import LungSlice
from .network.folding import FoldedFeCNN
from .network.saliency import geometric_mean, heatmaps


def slice_heat(network: FoldedFeCNN, maps: Sequence[Tensor], positive: int, config: AnalysisConfig) -> Tensor:
    """Heat (N, h, w) float32 of slices with the maps C3, C4, C5 (N, K, h, w); not normalized.

    A lesion head sees more and smaller lesions, saliency points with fewer errors: their geometric mean is hot where
    both are (``Testing/reproduction/enhanced_maps.py`` has the figures).
    """
    fine = network.fine_c5(maps[1]) if config.stride16 else None
    heat, _ = heatmaps(network.head, *maps, positive, config.saliency, fine, config.fuse_scales)
    if config.lesion_head and network.lesion_map is not None:
        with torch.inference_mode():
            heat = geometric_mean(network.lesion_heat(*maps), heat)
    return heat


def slice_regions(
    heat: np.ndarray, piece: LungSlice, lungs: np.ndarray, cell: tuple[float, float], config: AnalysisConfig,
    gray_levels: GrayLevels | None,
) -> Regions:  # fmt: skip
    """Candidate lesions of one slice.

    Args:
        heat: (h, w) of any saliency rule.
        piece: the slice as the network saw it.
        lungs: (R, C) bool, on the axial slice.
        cell: height and width of a cell of the contour in axial pixels (see ``cell_size``).
        gray_levels: of lung air and soft tissue in ``piece`` (see ``known_gray_levels``).
    """
    if config.refine:
        return refine(heat, piece.image, on_grid(lungs, piece.crop, cell), gray_levels, config.split_merged)
    if config.inside_lungs:
        heat = heat * (lung_share(lungs, piece.crop, heat.shape) > 0)
    regions = split_regions(heat, config.min_cells)
    return split_merged(regions, min_cells=config.min_cells) if config.split_merged else regions


def lung_share(lungs: np.ndarray, crop: tuple, grid: tuple[int, int]) -> np.ndarray:
    """Share of lung in every cell of the heatmap, (h, w): the lungs averaged over the cells."""
    rows = np.linspace(crop[0], crop[2], grid[0] + 1)
    columns = np.linspace(crop[1], crop[3], grid[1] + 1)
    edges = [np.clip(np.rint(e + 0.5).astype(int), 0, n) for e, n in zip((rows, columns), lungs.shape, strict=True)]
    sums = np.zeros((lungs.shape[0] + 1, lungs.shape[1] + 1), np.int32)
    sums[1:, 1:] = lungs.cumsum(0, dtype=np.int32).cumsum(1)
    cells = sums[np.ix_(edges[0], edges[1])]
    counts = cells[1:, 1:] - cells[:-1, 1:] - cells[1:, :-1] + cells[:-1, :-1]
    areas = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    return counts / np.maximum(areas, 1)
