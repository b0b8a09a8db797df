"""What a model sees in one image: its probability, and the map of each saliency method (tables 5 and 6).

The network runs once for an image; each method then maps the same activations. The method ``Mapper.shown`` with its
own regions is what an analysis shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from LesionAnalysisLib.analyzer import LesionAnalyzer
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lesions.placement import box_to_axial, cell_to_axial, place_heatmap
from LesionAnalysisLib.lesions.regions import FOUR_NEIGHBORS, Regions, find_regions, normalize_heatmap
from LesionAnalysisLib.lungs import NoLungsError, lung_slices, segment_lungs
from LesionAnalysisLib.lungs.lung_region import Box2D, LungSlice
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.network.saliency import SALIENCY, cam, heatmaps
from LesionAnalysisLib.pipeline import SliceBatch
from LesionAnalysisLib.volume import ct_from_array
from scipy import ndimage
from scipy.special import expit
from torch import nn

from ..metrics.detection_metrics import SIZE, Candidates, oracle_map, resize_mask

ENHANCED = "enhanced"  # the maps of the preset of that name, with regions of their own
METHODS = {ENHANCED: ENHANCED, "lam": "grad++", "cam": "cam",
           **{name: name for name in SALIENCY if name != "grad++"}}  # fmt: skip
REGIONS, WHOLE = "Otsu, components", "20 % of the maximum"  # what makes boxes of a map
NO_CAM = ("CAM is left out: it needs a model whose head is pooling and one linear layer, and this model's head is "
          "another one.")  # fmt: skip
_IMAGE_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # rows run to the back, columns to the patient's left
_CAM_SHARE = 0.2  # of the map's maximum (Zhou 2016, section 3.2)


@dataclass(frozen=True, eq=False)
class ImageResult:
    """One image after the network, before any map."""

    lungs: np.ndarray  # (H, W) bool
    batch: SliceBatch  # of one slice

    @property
    def piece(self) -> LungSlice:
        """The image as the network saw it."""
        return self.batch.slices[0]

    @property
    def probability(self) -> float:
        """Of the positive class."""
        return float(expit(self.batch.log_odds[0]))

    @property
    def crop(self) -> Box2D:
        """Edges of what the network saw, in pixels."""
        return self.piece.crop


class Mapper:
    """Runs a model on single images and maps them by any method; ``preset`` and the rest as in ``AnalysisConfig``.

    Raises ValueError if there is no such preset or device.
    """

    def __init__(self, bundle: ModelBundle, preset: str = "enhanced", device: str = "auto", min_cells: int = 2) -> None:
        self.config = replace(AnalysisConfig.from_preset(preset), device=device, min_cells=min_cells)
        self.bundle, self.analyzer = bundle, LesionAnalyzer(bundle, self.config)
        self.pipeline = self.analyzer.pipeline
        self.class_weights = cam_weights(self.pipeline.runner.network, bundle.positive)

    @property
    def methods(self) -> tuple[str, ...]:
        """Each method that model and preset allow."""
        allowed = {"cam": self.class_weights is not None, ENHANCED: self.config.preset == ENHANCED}
        return tuple(m for m in METHODS if allowed.get(m, True))

    @property
    def shown(self) -> str:
        """The method by which an analysis with this preset maps."""
        return self.methods[0]

    @property
    def cells(self) -> int:
        """Side of the maps' grid."""
        return self.analyzer.preprocessing.size // 32

    def analyze(self, name: str, image: np.ndarray) -> ImageResult | None:
        """Run the network on one image (H, W) uint8; None where no lungs are found in it."""
        ct = ct_from_array(image[None], _IMAGE_TO_RAS, name, calibrated=False)
        try:
            lungs = segment_lungs(ct)
        except NoLungsError:
            return None
        piece = next(lung_slices(ct, lungs, self.analyzer.preprocessing), None)
        if piece is None:
            return None
        (batch,) = self.pipeline.run([piece], threshold=None)
        return ImageResult(ct.axial().from_volume(lungs)[0], batch)

    def heatmap(self, result: ImageResult, method: str) -> np.ndarray:
        """(h, w) float of any of ``methods``, else ValueError; in the lungs only where the analysis keeps to them."""
        if method not in self.methods:
            raise ValueError(f"This model has no map by {method!r}: choose one of {', '.join(self.methods)}.")
        if method == ENHANCED:
            return self.pipeline.heatmaps(result.batch)[0]
        maps = result.batch.maps
        if method == "cam":
            heat = cam(maps[2], self.class_weights.to(maps[2].device))
        else:
            heat, _ = heatmaps(self.pipeline.runner.folded.head, *maps, self.bundle.positive, METHODS[method])
        values = heat[0].cpu().numpy()
        if self.config.inside_lungs:
            values = values * (result.piece.region.lung_share(result.crop, values.shape) > 0)
        return values

    def regions(self, result: ImageResult, method: str, heatmap: np.ndarray, step: str = REGIONS) -> Regions:
        """By the preset's own step or, for its rivals, as in the paper; ``WHOLE`` gives one box as in Zhou 2016."""
        if step == WHOLE:
            return largest_region(heatmap)
        if method == self.shown:
            return self.pipeline.regions(result.piece, heatmap)
        return find_regions(heatmap, self.config.min_cells)

    def lesions(self, result: ImageResult, method: str) -> Regions:
        """``regions`` of ``heatmap``."""
        return self.regions(result, method, self.heatmap(result, method))

    def place(self, result: ImageResult, regions: Regions) -> tuple[np.ndarray, np.ndarray, tuple]:
        """Heat (H, W) 0..1 and region numbers (H, W) on the image, and the regions of which a pixel counts."""
        heat, labels = place_heatmap(regions, result.crop, result.lungs.shape)
        if self.config.inside_lungs:
            labels[~result.lungs] = 0
            heat[labels == 0] = 0
        return heat, labels, tuple(r for r in regions if (labels == r.number).any())

    def candidates(self, result: ImageResult, regions: Regions) -> Candidates:
        """The regions on 512 x 512."""
        _, labels, kept = self.place(result, regions)
        return _at_512(kept, result.crop, regions.labels.shape, labels > 0)

    def features(self, result: ImageResult, regions: Regions) -> np.ndarray:
        """(n, F) of the regions, by which the analysis clusters them."""
        return self.pipeline.features(result.piece, regions, result.batch.maps[2][0])


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
    heat = normalize_heatmap(heat)
    labels, count = ndimage.label(heat > _CAM_SHARE, structure=FOUR_NEIGHBORS)
    if count:
        labels = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return Regions(labels.astype(np.int32), heat)


def oracle_candidates(mask: np.ndarray, crop: Box2D, cells: int, min_cells: int) -> Candidates:
    """The oracle map of ``mask`` (H, W), an upper bound at the resolution of ``cells`` x ``cells`` over ``crop``."""
    size = SIZE if SIZE % cells == 0 else 32 * cells  # of which whole cells can be cut
    regions = find_regions(oracle_map(resize_mask(mask, crop, size), cells), min_cells)
    return _at_512(tuple(regions), crop, (cells, cells), place_heatmap(regions, crop, mask.shape)[1] > 0)


def whole(image: np.ndarray) -> Box2D:
    """The edges of the image."""
    return -0.5, -0.5, image.shape[0] - 0.5, image.shape[1] - 0.5


def nothing_found() -> Candidates:
    """A slice without any map."""
    return Candidates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((SIZE, SIZE), bool))


def _at_512(kept: tuple, crop: Box2D, grid: tuple[int, int], area: np.ndarray) -> Candidates:
    boxes = np.array([box_to_axial(r.box, crop, grid, area.shape) for r in kept], float).reshape(-1, 4)
    peaks = np.array([cell_to_axial(*r.peak, crop, grid) for r in kept], float).reshape(-1, 2)
    scale = SIZE / np.array(area.shape)
    return Candidates((boxes + 0.5) * np.tile(scale, 2), (peaks + 0.5) * scale, resize_mask(area, whole(area)))
