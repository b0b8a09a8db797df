"""From the regions of single slices to measured, linked and named lesions of a CT.

Sections 3.2.2 and 3.2.3 of the paper treat every slice by itself; linking in 3D is not in the paper.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..results import Lesion, SliceLesion
from ..volume import CtVolume
from .clusters import LesionClusters
from .lesion_types import lesion_type
from .linking import link_slices
from .placement import Box2D, box_to_axial, cell_to_axial, place_heatmap
from .regions import Regions

_MAX_GAP_MM = 10.0  # lesions of thin slices are linked across dropped slices up to this distance


@dataclass(frozen=True, eq=False)
class SliceRegion:
    """One region on its axial slice, before it is linked."""

    lesion: SliceLesion
    box: Box2D  # edges in axial pixels
    pixels: int  # of the region's label


class Findings:
    """Collects the lesions of one CT slice by slice, then links them.

    Attributes:
        lam: (S, R, C) uint8, lesion activation map in percent.
        labels: (S, R, C) uint16; region numbers until ``link``, then lesion ids.
    """

    def __init__(self, ct: CtVolume, lungs: np.ndarray, clusters: LesionClusters, inside_lungs: bool) -> None:
        self.ct, self.view, self.lungs, self.clusters = ct, ct.axial(), lungs, clusters
        self.inside_lungs = inside_lungs
        self.lam = np.zeros(lungs.shape, np.uint8)
        self.labels = np.zeros(lungs.shape, np.uint16)
        self._regions: dict[int, list[SliceRegion]] = {}  # by slice

    def add(self, index: int, crop: Box2D, regions: Regions, features: np.ndarray, probability: float) -> None:
        """Place the regions of slice ``index`` on the CT and measure them.

        Args:
            crop: edges of the network's input in axial pixels (``LungSlice.crop``).
            features: (n, F) of the regions, in the feature space of the clusters.
            probability: of the slice, by which the normalized heatmap is multiplied (docs/method.md).
        """
        heatmap, labels = place_heatmap(regions, crop, self.labels.shape[1:])
        if self.inside_lungs:
            labels[~self.lungs[index]] = 0
            heatmap[labels == 0] = 0
        self.lam[index] = np.rint(100 * probability * heatmap).astype(np.uint8)
        self.labels[index] = labels
        clusters, scores = self.clusters.predict(features) + 1, self.clusters.predict_proba(features).max(axis=1)
        margins, paper_scores = self.clusters.margin(features), self.clusters.paper_score(features)
        view, grid = self.view, regions.labels.shape
        self._regions[index] = []
        for i, region in enumerate(regions):
            inside = labels == region.number
            pixels = int(np.count_nonzero(inside))
            if not pixels:  # without a pixel of lung it is no lesion
                continue
            box = box_to_axial(region.box, crop, grid, inside.shape)
            row, column = cell_to_axial(*region.peak, crop, grid)
            lesion = SliceLesion(
                slice_index=index, number=region.number, cluster=int(clusters[i]), score=float(scores[i]),
                margin=float(margins[i]), paper_score=float(paper_scores[i]),
                activation=float(region.activation * probability), peak_ras_mm=view.to_ras(column, row, index),
                box_ras_mm=view.box_to_ras(((box[1], box[0], index - 0.5), (box[3], box[2], index + 0.5))),
                area_mm2=float(view.spacing[0] * view.spacing[1] * pixels),
                mean_hu=_mean(self._hu(index, inside)),
            )  # fmt: skip
            self._regions[index].append(SliceRegion(lesion, box, pixels))

    def _hu(self, index: int, inside: np.ndarray) -> np.ndarray:
        """HU of the lesion's lung voxels (of all its voxels if none is in the lung); empty without HU."""
        if not self.ct.calibrated:
            return np.empty(0)
        lung = inside & self.lungs[index]
        return self.view.array[index][lung if lung.any() else inside]

    def slice_lesions(self, index: int) -> tuple[SliceLesion, ...]:
        """The lesions of one slice."""
        return tuple(region.lesion for region in self._regions.get(index, ()))

    def link(self, kept: list[int], min_ml: float = 0.0) -> tuple[tuple[Lesion, ...], dict[int, str]]:
        """Link the slice lesions of the ``kept`` slices into 3D lesions, largest first, and name the clusters.

        ``labels`` holds the lesions' ids afterwards. Lesions below ``min_ml`` are removed from it and from ``lam``.
        """
        spacing = self.view.spacing[2]
        gap = max(2.0 * spacing, _MAX_GAP_MM)
        if self.ct.slice_shapes is not None:
            gap = -1.0  # images of different sizes are no stack: link none
        elif not self.ct.calibrated:
            gap = np.inf
        regions = [self._regions.get(i, []) for i in kept]
        boxes = [[region.box for region in one] for one in regions]
        linked = link_slices(boxes, [i * spacing for i in kept], gap)
        groups = sorted(([regions[k][i] for k, i in group] for group in linked), key=lambda group: -_pixels(group))
        if self.ct.calibrated:
            groups = [group for group in groups if _pixels(group) >= min_ml / self.ct.voxel_ml]
        hu = self._relabel(groups)
        names = self._cluster_names(groups, hu)
        return tuple(self._lesion(i, *pair, names) for i, pair in enumerate(zip(groups, hu, strict=True), 1)), names

    def _relabel(self, groups: list[list[SliceRegion]]) -> list[np.ndarray]:
        """Write lesion ids into ``labels``; the HU of each lesion's voxels."""
        ids = {region: i for i, group in enumerate(groups, start=1) for region in group}
        hu: list[list[np.ndarray]] = [[] for _ in groups]
        for index, regions in self._regions.items():
            labels = self.labels[index].copy()
            self.labels[index] = 0
            for region in regions:
                inside, lesion = labels == region.lesion.number, ids.get(region)
                if lesion is None:
                    self.lam[index][inside] = 0
                    continue
                self.labels[index][inside] = lesion
                hu[lesion - 1].append(self._hu(index, inside))
            self._regions[index] = [region for region in regions if region in ids]
        return [np.concatenate(parts) for parts in hu]

    def _cluster_names(self, groups: list[list[SliceRegion]], hu: list[np.ndarray]) -> dict[int, str]:
        """Clusters named by the HU of this CT's lesions in them; by number only where there are no HU."""
        names = {}
        for cluster in range(1, len(self.clusters.cluster_centers_) + 1):
            members = [v for g, v in zip(groups, hu, strict=True) if _vote(g)[0] == cluster]
            type_ = lesion_type(np.concatenate(members)) if members else None
            name = "ground-glass opacity" if type_ == "GGO" else type_
            names[cluster] = f"Cluster {cluster}: {name}" if name else f"Cluster {cluster}"
        return names

    def _lesion(self, number: int, group: list[SliceRegion], hu: np.ndarray, names: dict[int, str]) -> Lesion:
        cluster, score = _vote(group)
        strongest = max((region.lesion for region in group), key=lambda lesion: lesion.activation)
        slices = [region.lesion.slice_index for region in group]
        boxes = np.array([region.box for region in group])
        low = tuple(map(float, (boxes[:, 1].min(), boxes[:, 0].min(), min(slices) - 0.5)))
        high = tuple(map(float, (boxes[:, 3].max(), boxes[:, 2].max(), max(slices) + 0.5)))
        return Lesion(
            id=number, cluster=cluster, cluster_name=names[cluster], type=lesion_type(hu),
            score=score, activation=strongest.activation, peak_ras_mm=strongest.peak_ras_mm,
            box_ras_mm=self.view.box_to_ras((low, high)), box_ijk=self.view.box_to_ijk((low, high)),
            first_slice=min(slices), last_slice=max(slices), mean_hu=_mean(hu),
            volume_ml=_pixels(group) * self.ct.voxel_ml if self.ct.calibrated else None,
            slice_lesions=tuple(region.lesion for region in group),
        )  # fmt: skip

    def involved_share(self) -> float | None:
        """Volume of the lesions in the lungs over that of the lungs; None without lungs."""
        lung = int(np.count_nonzero(self.lungs))
        involved = sum(int(np.count_nonzero(self.lungs[i] & (self.labels[i] > 0))) for i in self._regions)
        return involved / lung if lung else None


def _mean(hu: np.ndarray) -> float | None:
    return float(hu.mean()) if hu.size else None


def _pixels(group: list[SliceRegion]) -> int:
    return sum(region.pixels for region in group)


def _vote(group: list[SliceRegion]) -> tuple[int, float]:
    """Cluster of a 3D lesion: its slice lesions vote, weighted by their scores; and the mean score given to it."""
    votes: Counter[int] = Counter()
    for region in group:
        votes[region.lesion.cluster] += region.lesion.score
    cluster = min(votes, key=lambda c: (-votes[c], c))
    return cluster, votes[cluster] / len(group)
