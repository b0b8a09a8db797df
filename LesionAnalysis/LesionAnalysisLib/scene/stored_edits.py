"""What the user changed about the clusters: their names and colors, kept with the text of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..colors import cluster_color
from ..results import Analysis, Lesion
from .color_maps import rgb
from .mrml import read_attribute, write_attribute

CLUSTERS = "LesionAnalysis.Clusters"  # attribute of the text node

Color = tuple[float, float, float]  # red, green, blue, 0..1


@dataclass(frozen=True)
class ClusterEdits:
    """The user's names and colors of clusters; numbers that are missing have those of the analysis."""

    model: str  # id of the model whose clusters these are, and how they were made if not of its features
    originals: Mapping[int, str]  # the names that the analysis gave
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)

    @classmethod
    def none(cls, analysis: Analysis) -> ClusterEdits:
        """Nothing is changed."""
        by_density = analysis.config.get("cluster_by") == "density"
        return cls(str(analysis.model.get("id")) + " by density" * by_density, dict(analysis.cluster_names))

    def color(self, number: int) -> Color:
        """The user's color of a cluster, or its own."""
        return self.colors.get(number) or rgb(cluster_color(number))

    def label(self, lesion: Lesion) -> str:
        """What a box is called: ``L03 GGO 0.91``, or ``L03 <the user's name> 0.91``."""
        name = self.names.get(lesion.cluster)
        return f"L{lesion.id:02d} {name} {lesion.score:.2f}" if name else lesion.label

    def apply(self, analysis: Analysis) -> Analysis:
        """The same analysis with the user's names, or with its own again."""
        names = {number: self.names.get(number, name) for number, name in self.originals.items()}
        if names == analysis.cluster_names:
            return analysis
        lesions = tuple(
            replace(lesion, cluster_name=names.get(lesion.cluster, lesion.cluster_name)) for lesion in analysis.lesions
        )
        counts = {name: sum(lesion.cluster == number for lesion in lesions) for number, name in names.items()}
        summary = replace(analysis.summary, lesions_by_cluster=counts)
        return replace(analysis, cluster_names=names, lesions=lesions, summary=summary)

    def carried_to(self, analysis: Analysis) -> ClusterEdits:
        """The edits on a new analysis of the same CT: those of other clusters mean nothing there."""
        fresh = ClusterEdits.none(analysis)
        if fresh.model != self.model:
            return fresh
        names = {
            number: name
            for number, name in self.names.items()
            if number in fresh.originals and name not in fresh.originals.values()
        }
        return replace(fresh, names=names, colors=dict(self.colors))


def read_edits(text: Any) -> ClusterEdits | None:
    """The edits kept with a text node; None where it has none that can be read."""
    try:
        kept = read_attribute(text, CLUSTERS)
        return ClusterEdits(
            model=str(kept["model"]),
            originals={int(number): str(name) for number, name in kept["originals"].items()},
            names={int(number): str(name) for number, name in kept["names"].items()},
            colors={int(number): tuple(map(float, color)) for number, color in kept["colors"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # an earlier version, or somebody wrote into it
        return None


def keep_edits(text: Any, edits: ClusterEdits) -> None:
    """Keep the edits with the text node, saved with it."""
    kept = {name: getattr(edits, name) for name in ("model", "originals", "names", "colors")}
    write_attribute(text, CLUSTERS, kept)
