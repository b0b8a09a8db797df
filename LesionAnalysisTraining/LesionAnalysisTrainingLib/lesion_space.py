"""What the trained network sees in plain views, and the clusters of the lesions in it (section 3.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lesions.clusters import KChoice, LesionClusters, choose_k
from LesionAnalysisLib.lesions.density import PERCENTILES, density_profiles
from LesionAnalysisLib.lesions.refinement import known_gray_levels
from LesionAnalysisLib.lesions.regions import Regions, peak_features
from LesionAnalysisLib.lungs import LungSlice
from LesionAnalysisLib.model.out_of_distribution import channel_means
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.network.folding import FoldedFeCNN
from LesionAnalysisLib.network.saliency import log_odds
from LesionAnalysisLib.pipeline import slice_heat, slice_regions

from .augmentation import view
from .data_loading import Views, loader, plain_batches
from .dataset import Prepared, Sample
from .training_config import TrainingConfig

_BATCH = 8
_ANALYSIS = AnalysisConfig()  # clusters are learned from lesions as users see them
_CELLS = 144  # of the contour across a view: some 2 mm, as in an analysis
_ELBOW_LESIONS, _ELBOW_K, _ELBOW_BOOTSTRAPS = 1500, 10, 5  # more lesions do not move the elbow, and take minutes


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network made of n slices with m lesions, those of slices called positive."""

    order: np.ndarray  # (n,) indices of the slices
    logits: np.ndarray  # (n, C) float32
    means: np.ndarray  # (n, K) channel means of C3
    features: np.ndarray  # (m, K) activations of C5 at the lesions' peaks
    profiles: np.ndarray  # (m, 5) of their density
    slice: np.ndarray  # (m,) position in ``order`` of each lesion's slice
    boxes: np.ndarray  # (m, 4) r0, c0, r1, c1 as shares of the view

    def only(self, chosen: np.ndarray) -> Seen:
        """With the lesions of those slices alone for which ``chosen`` (n,) is True; all slices stay."""
        rows = np.flatnonzero(np.asarray(chosen, bool)[self.slice]) if len(self.slice) else self.slice
        return replace(self, features=self.features[rows], profiles=self.profiles[rows], slice=self.slice[rows],
                       boxes=self.boxes[rows])  # fmt: skip


def look(network: FeCNN, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray,
         config: TrainingConfig, positive: int, device: torch.device, dtype: torch.dtype,
         masked: bool | None = None, size: int | None = None, least_odds: float = 0.0,
         progress: Callable[[float], None] = lambda _: None) -> Seen:  # fmt: skip
    """Run the network on plain views of the slices in ``order`` and map the positive ones.

    Args:
        masked: as in ``Views``.
        size: of the views; None is that of the last phase.
        least_odds: log-odds, before any temperature, from which on a slice is positive.
        progress: hears the share done.
    """
    size = size or config.phases[-1].size
    folded = FoldedFeCNN(network, dtype).to(device)
    views = Views(pictures, samples, order, size, config, masked=masked)
    logits, means, features, profiles, origin, boxes = [], [], [], [], [], []
    for batch, (shown, _) in enumerate(loader(views, plain_batches(len(order), _BATCH), 0)):
        with torch.inference_mode():
            maps = folded.backbone(shown.to(device).float() / 255.0)
            scores = folded.head(*maps)
        positives = (log_odds(scores, positive) >= least_odds).nonzero()[:, 0]
        if len(positives):
            heat = slice_heat(folded, [m[positives] for m in maps], positive, _ANALYSIS).cpu().numpy()
        first = batch * _BATCH
        for k, i in enumerate(positives.tolist()):
            picture, seen = pictures[int(order[first + i])], shown[i, 0].numpy()
            regions = _regions(heat[k], picture, seen, config)
            if len(regions):
                profiles.append(density_profiles(seen, regions, picture.scale))
                features.append(peak_features(maps[2][i].float(), regions).cpu().numpy())
                origin += [first + i] * len(regions)
                boxes += _shares(regions)
        logits.append(scores.float().cpu().numpy())
        means.append(channel_means(maps))
        progress((first + len(shown)) / len(order))
    channels, classes = network.backbone_maps.channels, network.settings["classes"]
    return Seen(
        np.asarray(order), np.concatenate([np.zeros((0, classes), np.float32), *logits]),
        np.concatenate([np.zeros((0, channels[0]), np.float32), *means]),
        np.concatenate([np.zeros((0, channels[-1]), np.float32), *features]),
        np.concatenate([np.zeros((0, len(PERCENTILES)), np.float32), *profiles]),
        np.array(origin, int), np.array(boxes, float).reshape(-1, 4),
    )  # fmt: skip


def learn_clusters(features: np.ndarray, count: int | None, seed: int) -> tuple[LesionClusters, KChoice | None, int]:
    """The lesion clusters, the figures by which their number can be judged, and the number that was asked for.

    ``count`` None takes the elbow's. There are never more clusters than different lesions: fewer lesions give
    fewer clusters. ``features`` (m, K) must not be empty.
    """
    sample = features[np.linspace(0, len(features) - 1, min(len(features), _ELBOW_LESIONS)).astype(int)]
    choice = choose_k(sample, k_max=_ELBOW_K, n_init=4, n_bootstraps=_ELBOW_BOOTSTRAPS, random_state=seed)
    wanted = count or choice.k
    for k in range(min(wanted, len(features)), 0, -1):
        try:
            return LesionClusters(k, random_state=seed).fit(features), choice, wanted
        except ValueError:  # fewer different lesions than clusters
            continue
    raise ValueError("There is no lesion to learn clusters from.")


def density_clusters(profiles: np.ndarray, count: int, seed: int) -> LesionClusters | None:
    """``count`` clusters of the lesions' density profiles (m, 5); None of fewer different lesions."""
    try:
        return LesionClusters(count, random_state=seed).fit(profiles)
    except ValueError:
        return None


def _regions(heat: np.ndarray, picture: Prepared, shown: np.ndarray, config: TrainingConfig) -> Regions:
    """The lesions that an analysis would find in the view ``shown`` (size, size), on a grid over it."""
    size = len(shown)
    lungs = np.ones(shown.shape, bool)
    if picture.found:
        white = replace(picture, gray_levels=picture.lungs.astype(np.uint8) * 255)
        lungs = view(white, size, config.margin, None, None) > 127
    piece = LungSlice(0, shown, (-0.5, -0.5, size - 0.5, size - 0.5))
    gray_levels = known_gray_levels(config.preprocessing(), picture.calibrated)
    return slice_regions(heat, piece, lungs, (size / _CELLS,) * 2, _ANALYSIS, gray_levels)


def _shares(regions: Regions) -> list[tuple[float, ...]]:
    rows, columns = regions.labels.shape
    return [tuple(edge / length for edge, length in zip(region.box, (rows, columns) * 2, strict=True))
            for region in regions]  # fmt: skip
