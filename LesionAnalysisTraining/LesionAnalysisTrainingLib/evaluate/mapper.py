"""What a model sees in one picture: its probability, and the map of every saliency method (tables 5 and 6).

The network runs once for a picture; each method then works on the same activations. The method ``Mapper.shown`` with
its own regions gives what an analysis shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from LesionAnalysisLib.analyzer import LesionAnalyzer
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lesions.placement import Box2D, box_to_axial, cell_to_axial, place_heat
from LesionAnalysisLib.lesions.refinement import cell_size, known_gray_levels
from LesionAnalysisLib.lesions.regions import FOUR_NEIGHBORS, Regions, normalize_heat, split_regions
from LesionAnalysisLib.lungs import LungSlice, lung_slices, segment_lungs
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.network.saliency import SALIENCY, cam, heatmaps, log_odds
from LesionAnalysisLib.pipeline import lung_share, slice_heat, slice_regions
from LesionAnalysisLib.study import sigmoid
from LesionAnalysisLib.volume import ct_from_array
from scipy import ndimage
from torch import nn

from ..metrics.detection_metrics import SIZE, Candidates, perfect_map, resize_mask

ENHANCED = "enhanced"  # the maps of the preset of that name, with regions of their own
METHODS = {ENHANCED: ENHANCED, "lam": "grad++", "cam": "cam",
           **{name: name for name in SALIENCY if name != "grad++"}}  # fmt: skip
REGIONS, WHOLE = "Otsu, components", "20 % of the maximum"  # what makes boxes of a map
NO_CAM = ("CAM is left out: it needs a model whose head is pooling and one linear layer, and this model's head is "
          "another one.")  # fmt: skip
_PICTURE_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # rows run to the back, columns to the patient's left
_CAM_SHARE = 0.2  # of the map's maximum (Zhou 2016, section 3.2)


@dataclass(frozen=True, eq=False)
class Look:
    """One picture after the network, before any map."""

    probability: float
    lungs: np.ndarray  # (H, W) bool
    piece: LungSlice  # what the network saw
    cell: tuple[float, float]  # of a contour, in pixels
    maps: tuple[torch.Tensor, ...]  # C3, C4, C5 (1, K, h, w)

    @property
    def crop(self) -> Box2D:
        """Edges of what the network saw, in pixels."""
        return self.piece.crop

    @property
    def shown(self) -> np.ndarray:
        """(size, size) uint8: how it saw it."""
        return self.piece.image


class Mapper:
    """Runs a model on single pictures and maps them by any method.

    Args:
        bundle: the model.
        preset: ``enhanced`` or ``paper``, see ``AnalysisConfig``.
        device: as in ``AnalysisConfig``.
        min_cells: smallest region that counts.

    Raises:
        ValueError: no such preset or device.
    """

    def __init__(self, bundle: ModelBundle, preset: str = "enhanced", device: str = "auto", min_cells: int = 2) -> None:
        config = replace(AnalysisConfig.from_preset(preset), device=device, min_cells=min_cells)
        self.bundle, self.config, self.analyzer = bundle, config, LesionAnalyzer(bundle, config)
        self.class_weights = cam_weights(bundle.network(), bundle.positive)

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that model and preset allow."""
        refused = {"cam"} if self.class_weights is None else set()
        if self.config.preset != ENHANCED:
            refused.add(ENHANCED)
        return tuple(m for m in METHODS if m not in refused)

    @property
    def shown(self) -> str:
        """The method by which an analysis with this preset maps."""
        return self.methods[0]

    @property
    def cells(self) -> int:
        """Side of the maps' grid."""
        return self.analyzer.preprocessing.size // 32

    def look(self, name: str, picture: np.ndarray) -> Look | None:
        """Run the network on one picture (H, W) uint8; None where it shows no lungs."""
        ct = ct_from_array(picture[None], _PICTURE_TO_RAS, name, calibrated=False)
        try:
            lungs = segment_lungs(ct)
        except ValueError:
            return None
        cut = next(lung_slices(ct, lungs, self.analyzer.preprocessing), None)
        if cut is None:
            return None
        (_, (odds, maps)), *_ = self.analyzer.runner.batches([cut], self._forward)
        return Look(float(sigmoid(odds)), ct.axial().from_volume(lungs)[0], cut, cell_size(ct, 0), maps)

    def _forward(self, network, device: torch.device, portion: Sequence) -> tuple:
        with torch.inference_mode():
            pictures = torch.from_numpy(np.stack([s.image for s in portion]))[:, None]
            maps = network.backbone(pictures.to(device).float() / 255.0)
            logits = network.head(*maps) / self.analyzer.temperature
            return log_odds(logits, self.bundle.positive).cpu().numpy()[0], maps

    def heat(self, look: Look, method: str) -> np.ndarray:
        """(h, w) float, in the lungs only where the analysis keeps to them. Raises ValueError: an unknown method."""
        if method not in self.methods:
            raise ValueError(f"There is no map by {method!r} of this model: choose one of {', '.join(self.methods)}.")
        if method == ENHANCED:
            heat = slice_heat(self.analyzer.runner.folded, look.maps, self.bundle.positive, self.config)
            return heat[0].cpu().numpy()
        if method == "cam":
            heat = cam(look.maps[2], self.class_weights.to(look.maps[2].device))
        else:
            heat, _ = heatmaps(self.analyzer.runner.folded.head, *look.maps, self.bundle.positive, METHODS[method])
        values = heat[0].cpu().numpy()
        if self.config.inside_lungs:
            values = values * (lung_share(look.lungs, look.crop, values.shape) > 0)
        return values

    def regions(self, look: Look, method: str, heat: np.ndarray, step: str = REGIONS) -> Regions:
        """Boxes of a map: by the preset's own step or, for its rivals, Otsu's threshold and components as in the paper.

        With the step ``WHOLE`` one box as Zhou 2016 draws it.
        """
        if step == WHOLE:
            return largest_region(heat)
        if method == self.shown:
            return self.own_regions(look, heat, self.config)
        return split_regions(heat, self.config.min_cells)

    def own_regions(self, look: Look, heat: np.ndarray, config: AnalysisConfig) -> Regions:
        """What an analysis with ``config`` makes of a map."""
        gray_levels = known_gray_levels(self.analyzer.preprocessing, calibrated=False)
        return slice_regions(heat, look.piece, look.lungs, look.cell, config, gray_levels)

    def found(self, look: Look, method: str) -> Regions:
        """``regions`` of ``heat``."""
        return self.regions(look, method, self.heat(look, method))

    def place(self, look: Look, regions: Regions) -> tuple[np.ndarray, np.ndarray, tuple]:
        """Heat (H, W) 0..1 and region numbers (H, W) on the picture, and the regions of which a pixel counts."""
        heat, labels = place_heat(regions, look.crop, look.lungs.shape)
        if self.config.inside_lungs:
            labels[~look.lungs] = 0
            heat[labels == 0] = 0
        return heat, labels, tuple(r for r in regions if (labels == r.number).any())

    def candidates(self, look: Look, regions: Regions) -> Candidates:
        """The regions on 512 x 512."""
        _, labels, kept = self.place(look, regions)
        return _at_512(kept, look.crop, regions.labels.shape, labels > 0)

    def features(self, look: Look, regions: Regions) -> np.ndarray:
        """(n, F) of the regions, by which the analysis clusters them."""
        return self.analyzer.lesion_features(look.piece, regions, look.maps[2][0])


def cam_weights(network: nn.Module, positive: int) -> torch.Tensor | None:
    """The positive class's weights (K,) of CAM; None where the head is not average pooling and one linear layer."""
    holders = [m for m in network.head.modules() if any(True for _ in m.parameters(recurse=False))]
    channels = network.backbone_maps.channels
    if len(holders) != 1 or not isinstance(holders[0], nn.Linear) or holders[0].in_features != channels[-1]:
        return None
    generator = torch.Generator().manual_seed(0)
    sides = zip(channels, (8, 4, 2), strict=True)
    c3, c4, c5 = (torch.rand((1, k, side, side), generator=generator) for k, side in sides)
    with torch.inference_mode():
        pools = torch.allclose(network.head(c3, c4, c5), holders[0](c5.mean((2, 3))), atol=1e-4)
    return holders[0].weight[positive].detach().clone() if pools else None


def largest_region(heat: np.ndarray) -> Regions:
    """The largest component of what exceeds 20 % of the map's maximum (Zhou 2016): a map without the common step."""
    heat = normalize_heat(heat)
    labels, count = ndimage.label(heat > _CAM_SHARE, structure=FOUR_NEIGHBORS)
    if count:
        labels = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return Regions(labels.astype(np.int32), heat)


def perfect(mask: np.ndarray, crop: Box2D, cells: int, min_cells: int) -> Candidates:
    """The ceiling: what a map without fault shows of ``mask`` (H, W) on a grid of ``cells`` a side over ``crop``."""
    size = SIZE if SIZE % cells == 0 else 32 * cells  # of which whole cells can be cut
    regions = split_regions(perfect_map(resize_mask(mask, crop, size), cells), min_cells)
    return _at_512(tuple(regions), crop, (cells, cells), place_heat(regions, crop, mask.shape)[1] > 0)


def whole(picture: np.ndarray) -> Box2D:
    """The picture's own edges."""
    return -0.5, -0.5, picture.shape[0] - 0.5, picture.shape[1] - 0.5


def nothing_found() -> Candidates:
    """A slice without any map."""
    return Candidates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((SIZE, SIZE), bool))


def _at_512(kept: tuple, crop: Box2D, grid: tuple[int, int], area: np.ndarray) -> Candidates:
    boxes = np.array([box_to_axial(r.box, crop, grid, area.shape) for r in kept], float).reshape(-1, 4)
    peaks = np.array([cell_to_axial(*r.peak, crop, grid) for r in kept], float).reshape(-1, 2)
    scale = SIZE / np.array(area.shape)
    return Candidates((boxes + 0.5) * np.tile(scale, 2), (peaks + 0.5) * scale, resize_mask(area, whole(area)))
