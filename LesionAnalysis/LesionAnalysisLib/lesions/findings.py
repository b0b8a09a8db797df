"""From the regions of single slices to measured, linked and named lesions of a CT.

Sections 3.2.2 and 3.2.3 of the paper judge every slice by itself; linking in 3D goes past it.
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
from .placement import Box2D, box_to_axial, cell_to_axial, place_heat
from .regions import Regions

_TYPE_NAMES = {
    "GGO": "ground-glass opacity",
    "partial consolidation": "partial consolidation",
    "consolidation": "consolidation",
}
_MAX_GAP_MM = 10.0  # thin slices: lesions on both sides of a gap up to this are still one


@dataclass(frozen=True, eq=False)
class Found:
    """One region on its axial slice, before it is part of a 3D lesion."""

    lesion: SliceLesion
    box: Box2D  # edges in axial pixels
    region: int  # its number in the slice's labels
    pixels: int  # those that count: in the lung where the analysis keeps to it


class Findings:
    """Collects the lesions of one CT slice by slice, then links them.

    Attributes:
        lam: (S, R, C) uint8, percent.
        labels: (S, R, C) uint16; region numbers until ``link``, then lesion ids.
    """

    def __init__(self, ct: CtVolume, lungs: np.ndarray, clusters: LesionClusters, inside_lungs: bool) -> None:
        self.ct, self.view, self.lungs, self.clusters = ct, ct.axial(), lungs, clusters
        self.inside_lungs = inside_lungs
        self.lam = np.zeros(lungs.shape, np.uint8)
        self.labels = np.zeros(lungs.shape, np.uint16)
        self._found: dict[int, list[Found]] = {}

    def add(self, index: int, crop: Box2D, regions: Regions, features: np.ndarray, probability: float) -> None:
        """Place the regions of slice ``index`` on the CT and measure them.

        Args:
            crop: edges of the network's picture in axial pixels (``LungSlice.crop``).
            features: (n, F) of the regions, in the space of the clusters.
            probability: of the slice; the map says where, this how much (METHOD, "Grad++ and the LAHm").
        """
        shape = self.labels.shape[1:]
        heat, labels = place_heat(regions, crop, shape)
        if self.inside_lungs:
            labels[~self.lungs[index]] = 0
            heat[labels == 0] = 0
        pixels = np.bincount(labels.ravel(), minlength=len(regions) + 1)
        scores = self.clusters.scores(features) if len(regions) else np.zeros((0, 1))
        found = []
        for region, feature_scores in zip(regions, scores, strict=True):
            if pixels[region.number] == 0:  # a region without a single pixel of lung is no lesion of it
                continue
            found.append(self._measure(index, crop, regions, region, feature_scores, labels, probability))
        self.lam[index] = np.rint(100 * probability * heat).astype(np.uint8)
        self.labels[index] = labels
        self._found[index] = found

    def _measure(self, index, crop, regions, region, scores, labels, probability) -> Found:
        view, shape = self.view, self.labels.shape[1:]
        grid = regions.labels.shape
        box = box_to_axial(region.box, crop, grid, shape)
        peak = cell_to_axial(*region.peak, crop, grid)
        inside = labels == region.number
        pixels = int(np.count_nonzero(inside))
        values = self._values(index, inside)
        best = np.sort(scores)[::-1]
        area = view.spacing[0] * view.spacing[1] * pixels
        lesion = SliceLesion(
            slice_index=index, number=region.number, cluster=int(scores.argmax()) + 1, score=float(best[0]),
            margin=float(best[0] - best[1]) if len(best) > 1 else float(best[0]),
            paper_score=float(best[-1]), activation=float(region.activation * probability),
            peak_ras_mm=view.to_ras(peak[1], peak[0], index),
            box_ras_mm=view.box_to_ras(((box[1], box[0], index - 0.5), (box[3], box[2], index + 0.5))),
            area_mm2=float(area), mean_hu=float(values.mean()) if values is not None and values.size else None,
        )  # fmt: skip
        return Found(lesion, box, region.number, pixels)

    def _values(self, index: int, inside: np.ndarray) -> np.ndarray | None:
        """HU of the lesion's lung voxels (of all its voxels where it has none in the lung); None for pictures."""
        if not self.ct.calibrated:
            return None
        lung = inside & self.lungs[index]
        return self.view.array[index][lung if lung.any() else inside]

    def slice_lesions(self, index: int) -> tuple[SliceLesion, ...]:
        """The lesions of one slice."""
        return tuple(f.lesion for f in self._found.get(index, ()))

    def link(self, kept: list[int], min_ml: float = 0.0) -> tuple[tuple[Lesion, ...], dict[int, str]]:
        """Link the slice lesions of the ``kept`` slices into 3D lesions, largest first, and name the clusters.

        ``labels`` holds the lesions' ids afterwards. A lesion below ``min_ml`` is left out, with its heat.
        """
        spacing = self.view.spacing[2]
        boxes = [[f.box for f in self._found.get(i, ())] for i in kept]
        positions = [i * spacing for i in kept]
        # pictures of different sizes are no stack: their pixels do not lie over each other
        gap = max(2.0 * spacing, _MAX_GAP_MM) if self.ct.slice_shapes is None else -1.0
        if not self.ct.calibrated and gap > 0:
            positions, gap = None, np.inf
        groups = [[self._found[kept[k]][i] for k, i in g] for g in link_slices(boxes, positions, gap)]
        sized = sorted(((sum(f.pixels for f in g), g) for g in groups), key=lambda pair: -pair[0])
        minimum = min_ml / self.ct.voxel_ml if self.ct.calibrated else 0.0
        kept_groups = [g for size, g in sized if size >= minimum]
        values = self._relabel(kept_groups)
        names = self._cluster_names(kept_groups, values)
        lesions = tuple(
            self._lesion(i, group, hu, names)
            for i, (group, hu) in enumerate(zip(kept_groups, values, strict=True), start=1)
        )
        return lesions, names

    def _relabel(self, groups: list[list[Found]]) -> list[np.ndarray | None]:
        """Lesion ids into ``labels``; the HU of each lesion's voxels."""
        ids = {(f.lesion.slice_index, f.region): i for i, g in enumerate(groups, start=1) for f in g}
        parts: dict[int, list[np.ndarray]] = {}
        for index, found in self._found.items():
            labels = self.labels[index].copy()
            self.labels[index] = 0
            for f in found:
                inside = labels == f.region
                lesion = ids.get((index, f.region), 0)
                if lesion == 0:
                    self.lam[index][inside] = 0
                    continue
                self.labels[index][inside] = lesion
                values = self._values(index, inside)
                if values is not None:
                    parts.setdefault(lesion, []).append(values)
            self._found[index] = [f for f in found if (index, f.region) in ids]
        return [np.concatenate(parts[i]) if i in parts else None for i in range(1, len(groups) + 1)]

    def _cluster_names(self, groups: list[list[Found]], values: list[np.ndarray | None]) -> dict[int, str]:
        """Clusters named by the HU of this CT's lesions in them; numbers only where there are no HU."""
        names = {}
        for cluster in range(1, len(self.clusters.centers_) + 1):
            members = [v for g, v in zip(groups, values, strict=True) if _vote(g)[0] == cluster and v is not None]
            type_ = lesion_type(np.concatenate(members)) if members else None
            names[cluster] = f"Cluster {cluster}" + (f": {_TYPE_NAMES[type_]}" if type_ else "")
        return names

    def _lesion(self, number: int, group: list[Found], hu: np.ndarray | None, names: dict[int, str]) -> Lesion:
        cluster, score = _vote(group)
        strongest = max(group, key=lambda f: f.lesion.activation).lesion
        slices = [f.lesion.slice_index for f in group]
        boxes = np.array([f.box for f in group])
        low = (boxes[:, 1].min(), boxes[:, 0].min(), min(slices) - 0.5)
        high = (boxes[:, 3].max(), boxes[:, 2].max(), max(slices) + 0.5)
        low, high = tuple(map(float, low)), tuple(map(float, high))
        calibrated = self.ct.calibrated
        return Lesion(
            id=number, cluster=cluster, cluster_name=names[cluster],
            type=lesion_type(hu) if hu is not None else None, score=score, activation=strongest.activation,
            peak_ras_mm=strongest.peak_ras_mm, box_ras_mm=self.view.box_to_ras((low, high)),
            box_ijk=self.view.box_to_ijk((low, high)), first_slice=min(slices), last_slice=max(slices),
            mean_hu=float(hu.mean()) if hu is not None and hu.size else None,
            volume_ml=sum(f.pixels for f in group) * self.ct.voxel_ml if calibrated else None,
            slice_lesions=tuple(f.lesion for f in group),
        )  # fmt: skip

    def involved_share(self) -> float | None:
        """Volume of the lesions in the lungs over that of the lungs; None without lungs."""
        lung = int(np.count_nonzero(self.lungs))
        touched = sum(int(np.count_nonzero(self.lungs[i] & (self.labels[i] > 0))) for i in self._found)
        return touched / lung if lung else None


def _vote(group: list[Found]) -> tuple[int, float]:
    """Cluster of a 3D lesion: its slice lesions vote, weighted by their scores; and the mean score given to it."""
    votes: Counter[int] = Counter()
    for f in group:
        votes[f.lesion.cluster] += f.lesion.score
    cluster = min(votes, key=lambda c: (-votes[c], c))
    return cluster, votes[cluster] / len(group)
