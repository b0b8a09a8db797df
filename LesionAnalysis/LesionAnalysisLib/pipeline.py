"""The one path from a slice to its candidate lesions: backbone, log-odds, heatmap, regions, features.

Analysis, cluster learning and evaluation all take it, so that what is learned and measured is what users see.

    pipeline = SlicePipeline(network, 1, AnalysisConfig(), preprocessing)
    for batch in pipeline.run(slices, threshold=0.5):
        print(batch.log_odds, batch.lesions)
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from .config import AnalysisConfig
from .lesions.features import density_profiles, peak_features
from .lesions.refinement import known_gray_levels, refine
from .lesions.regions import Regions, find_regions, split_merged
from .lungs import LungSlice, Preprocessing
from .model.out_of_distribution import channel_means
from .network.devices import Runner, choose_device
from .network.fecnn import FeCNN
from .network.folding import FoldedFeCNN
from .network.saliency import geometric_mean, heatmaps, log_odds


@dataclass(frozen=True, eq=False)
class SliceLesions:
    """The candidate lesions of one slice."""

    regions: Regions
    features: np.ndarray  # (n, F) float32, by which clusters tell them apart


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """What the network says about n slices."""

    slices: Sequence[LungSlice]
    logits: np.ndarray  # (n, C) float32, divided by the temperature
    log_odds: np.ndarray  # (n,) of the positive class
    channel_means: np.ndarray  # (n, K) of C3, see ``out_of_distribution``
    maps: tuple[Tensor, ...] = field(repr=False)  # C3, C4, C5, each (n, K, h, w), on the device
    lesions: dict[int, SliceLesions] = field(default_factory=dict)  # by position, of slices at or above the threshold


class SlicePipeline:
    """Runs a network on slices and finds the candidate lesions of the positive ones.

    Args:
        positive: index of the class whose lesions are mapped.
        config: how lesions are mapped, and where the network runs.
        preprocessing: with which the slices are cut.
        temperature: the logits are divided by it.

    Raises ValueError where the device or the precision is not available.
    """

    def __init__(self, network: FeCNN, positive: int, config: AnalysisConfig, preprocessing: Preprocessing,
                 temperature: float = 1.0) -> None:  # fmt: skip
        self.positive, self.config, self.preprocessing = positive, config, preprocessing
        self.temperature = temperature
        self.runner = Runner(network, choose_device(config.device), config.precision, config.batch_size)
        self.timing: dict[str, float] = defaultdict(float)  # seconds by stage: "network", "maps"

    def run(self, slices: Sequence[LungSlice], threshold: float | None) -> Iterator[SliceBatch]:
        """Batches of ``slices`` with the lesions of those whose probability reaches ``threshold``; None maps none.

        Raises ValueError where the network returns NaN, MemoryError where memory does not suffice for a single slice.
        """
        def work(network: FoldedFeCNN, device: torch.device, portion: Sequence[LungSlice]) -> tuple:
            batch = self._diagnose(network, device, portion)
            with self.timed("maps"):
                shown = np.flatnonzero(expit(batch.log_odds) >= (np.inf if threshold is None else threshold))
                rows = torch.from_numpy(shown).to(device)
                maps = [m[rows] for m in batch.maps]
                return batch, shown, self._heatmaps(network, maps).cpu().numpy() if len(shown) else ()

        for portion, (batch, shown, found) in self.runner.batches(slices, work):
            with self.timed("maps"):
                for row, heatmap in zip(shown.tolist(), found, strict=True):
                    regions = self.regions(portion[row], heatmap)
                    features = self.features(portion[row], regions, batch.maps[2][row])
                    batch.lesions[row] = SliceLesions(regions, features)
            yield batch

    def heatmaps(self, batch: SliceBatch) -> np.ndarray:
        """(n, h, w) float32, not normalized, by the configured rule."""
        return self._heatmaps(self.runner.folded, batch.maps).cpu().numpy()

    def regions(self, piece: LungSlice, heatmap: np.ndarray) -> Regions:
        """The candidate lesions of a slice from a heatmap (h, w), by the configured steps (sections 3.2.1, 5.2)."""
        config, region = self.config, piece.region
        if config.refine:
            gray_levels = known_gray_levels(self.preprocessing, region.calibrated)
            return refine(heatmap, piece.image, region.lungs_on_cells(piece.crop), gray_levels, config.split_merged)
        if config.inside_lungs:
            heatmap = heatmap * (region.lung_share(piece.crop, heatmap.shape) > 0)
        regions = find_regions(heatmap, config.min_cells)
        return split_merged(regions, min_cells=config.min_cells) if config.split_merged else regions

    def features(self, piece: LungSlice, regions: Regions, activations: Tensor) -> np.ndarray:
        """(n, F) float32: the lesions' density, or ``activations``, C5 (K, h, w), at their peaks (equation 9)."""
        if self.config.cluster_by == "density":
            return density_profiles(piece.image, regions, piece.scale)
        return peak_features(activations, regions).float().cpu().numpy()

    def _diagnose(self, network: FoldedFeCNN, device: torch.device, portion: Sequence[LungSlice]) -> SliceBatch:
        with self.timed("network"), torch.inference_mode():
            images = torch.from_numpy(np.stack([s.image for s in portion]))[:, None]
            maps = network.backbone(images.to(device).float() / 255.0)
            logits = network.head(*maps).float() / self.temperature
            odds = log_odds(logits, self.positive).cpu().numpy()
            if not np.isfinite(odds).all():  # NaN is never above a threshold: every slice would pass for healthy
                raise ValueError("The model returned NaN: choose another model folder.")
            return SliceBatch(portion, logits.cpu().numpy(), odds, channel_means(maps), maps)

    def _heatmaps(self, network: FoldedFeCNN, maps: Sequence[Tensor]) -> Tensor:
        """A lesion head finds more and smaller lesions, saliency errs less: their geometric mean keeps both's."""
        config = self.config
        heat, _ = heatmaps(network.head, *maps, self.positive, config.saliency, fuse_scales=config.fuse_scales)
        if config.lesion_head and network.lesion_map is not None:
            with torch.inference_mode():
                heat = geometric_mean(network.lesion_map(*maps), heat)
        return heat

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of the block to ``timing[stage]``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.timing[stage] += time.perf_counter() - began
