"""The user's names and colors of clusters, stored with the text of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..colors import cluster_color
from ..results import Analysis, Lesion
from .color_maps import rgb
from .mrml import read_attribute, write_attribute

CLUSTERS = "LesionAnalysis.Clusters"  # attribute of the text node

Color = tuple[float, float, float]  # red, green, blue, 0..1


@dataclass(frozen=True)
class ClusterEdits:
    """The user's names and colors of clusters; clusters without an entry have those of the analysis."""

    model: str  # id of the model whose clusters these are, with " by density" unless they are of its features
    originals: Mapping[int, str]  # the names in the analysis
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)

    @classmethod
    def none(cls, analysis: Analysis) -> ClusterEdits:
        """No changes."""
        by_density = analysis.config.get("cluster_by") == "density"
        return cls(str(analysis.model.get("id")) + " by density" * by_density, dict(analysis.cluster_names))

    def color(self, number: int) -> Color:
        """The user's color of a cluster, or its own."""
        return self.colors.get(number) or rgb(cluster_color(number))

    def label(self, lesion: Lesion) -> str:
        """Name of a box: ``L03 GGO 0.91``, or ``L03 <the user's name> 0.91``."""
        name = self.names.get(lesion.cluster)
        return f"L{lesion.id:02d} {name} {lesion.activation:.2f}" if name else lesion.label

    def apply(self, analysis: Analysis) -> Analysis:
        """The analysis with the user's names, or with its own names restored."""
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
        """The edits for a new analysis of the same CT, without those of other clusters."""
        fresh = ClusterEdits.none(analysis)
        if fresh.model != self.model:
            return fresh
        names = {
            number: name
            for number, name in self.names.items()
            if number in fresh.originals and name not in fresh.originals.values()
        }
        return replace(fresh, names=names, colors=dict(self.colors))


def read_edits(text: Any, analysis: Analysis) -> ClusterEdits:
    """The edits stored with the text node of ``analysis``; no changes if they cannot be read."""
    try:
        stored = read_attribute(text, CLUSTERS)
        return ClusterEdits(
            model=str(stored["model"]),
            originals={int(number): str(name) for number, name in stored["originals"].items()},
            names={int(number): str(name) for number, name in stored["names"].items()},
            colors={int(number): tuple(map(float, color)) for number, color in stored["colors"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # another program changed the attribute
        return ClusterEdits.none(analysis)


def store_edits(text: Any, edits: ClusterEdits) -> None:
    """Store the edits with the text node, saved with it."""
    write_attribute(text, CLUSTERS, asdict(edits))
