"""What a trained network says about prepared slices, and the clusters of the lesions it maps (section 3.2.2).

    pipeline = SlicePipeline(network, positive, AnalysisConfig.paper(), Preprocessing.paper(), temperature)
    output = run_on_regions(pipeline, store, order, threshold)      # lesions as the preset ``paper`` shows them
    learned = learn_clusters(output.features, count=None, seed=0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from LesionAnalysisLib.lesions.clusters import KChoice, LesionClusters, choose_k
from LesionAnalysisLib.lesions.features import PERCENTILES
from LesionAnalysisLib.lesions.regions import Regions
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.pipeline import SlicePipeline

_PORTION = 32  # slices that are cut before the network runs
_ELBOW_LESIONS, _ELBOW_K, _ELBOW_BOOTSTRAPS = 1500, 10, 5  # more lesions take minutes and do not move the elbow


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What the network says about n slices, with the m lesions of those at or above the threshold."""

    order: np.ndarray  # (n,) indices of the slices
    logits: np.ndarray  # (n, C) float32, divided by the pipeline's temperature
    channel_means: np.ndarray  # (n, K) of C3
    features: np.ndarray  # (m, F) of the lesions, by which the pipeline's preset clusters them
    slice: np.ndarray  # (m,) position in ``order`` of each lesion's slice
    boxes: np.ndarray  # (m, 4) r0, c0, r1, c1 as shares of the network's input

    def only(self, chosen: np.ndarray) -> NetworkOutput:
        """With the lesions of those slices alone for which ``chosen`` (n,) is True; all slices stay."""
        rows = np.flatnonzero(np.asarray(chosen, bool)[self.slice])
        return replace(self, features=self.features[rows], slice=self.slice[rows], boxes=self.boxes[rows])


def run_on_regions(pipeline: SlicePipeline, regions: Sequence[LungRegion], order: np.ndarray, threshold: float | None,
                   masked: bool | None = None, progress: Callable[[float], None] = lambda _: None
                   ) -> NetworkOutput:  # fmt: skip
    """Run ``pipeline`` on the slices in ``order`` as an analysis with its preprocessing shows them.

    Args:
        regions: prepared with the pipeline's preprocessing.
        threshold: slices with this probability or more are mapped; None maps none.
        masked: black out everything but the lungs, or nothing; None follows the preprocessing.
        progress: called with the share done.
    """
    settings = pipeline.preprocessing
    if masked is not None:
        settings = replace(settings, mask_lungs=masked, mask_images=masked)
    network = pipeline.runner.network
    logits = [np.zeros((0, network.settings["classes"]), np.float32)]
    means = [np.zeros((0, network.backbone_maps.channels[0]), np.float32)]
    width = len(PERCENTILES) if pipeline.config.cluster_by == "density" else network.backbone_maps.channels[-1]
    features, origin, boxes = [np.zeros((0, width), np.float32)], [], []
    for start in range(0, len(order), _PORTION):
        chosen = [regions[int(i)] for i in order[start : start + _PORTION]]
        slices = [region.network_input(settings) for region in chosen]
        first = start
        for batch in pipeline.run(slices, threshold):
            for row, lesions in batch.lesions.items():
                features.append(lesions.features)
                origin += [first + row] * len(lesions.regions)
                boxes += _shares(lesions.regions)
            logits.append(batch.logits)
            means.append(batch.channel_means)
            first += len(batch.slices)
            progress(first / len(order))
    return NetworkOutput(np.asarray(order), *map(np.concatenate, (logits, means, features)), np.array(origin, int),
                         np.array(boxes, float).reshape(-1, 4))  # fmt: skip


@dataclass(frozen=True, eq=False)
class LearnedClusters:
    """Clusters of lesions and how their number came about."""

    clusters: LesionClusters
    choice: KChoice | None  # by which the number can be judged; None without lesions
    wanted: int  # the number that was asked for; there may be fewer different lesions


def learn_clusters(features: np.ndarray, count: int | None, seed: int) -> LearnedClusters:
    """Cluster lesions by their features (m, F).

    ``count`` None: by the elbow method. There are never more clusters than different lesions; without any lesion there
    is one cluster, around 0, which means nothing.
    """
    if not len(features):
        return LearnedClusters(LesionClusters(1).fit(np.zeros((1, features.shape[1]))), None, count or 1)
    sample = features[np.linspace(0, len(features) - 1, min(len(features), _ELBOW_LESIONS)).astype(int)]
    choice = choose_k(sample, k_max=_ELBOW_K, n_init=4, n_bootstraps=_ELBOW_BOOTSTRAPS, random_state=seed)
    wanted = count or choice.k
    possible = min(wanted, len(np.unique(features, axis=0)))
    return LearnedClusters(LesionClusters(possible, random_state=seed).fit(features), choice, wanted)


def _shares(regions: Regions) -> list[tuple[float, ...]]:
    rows, columns = regions.labels.shape
    return [tuple(edge / length for edge, length in zip(region.box, (rows, columns) * 2, strict=True))
            for region in regions]  # fmt: skip
