"""Clusters as the user sees them: renamed and recolored; boxes, lesion map, tables and text follow.

Names and colors belong to the results of one CT. They are saved with the scene, and a second run on the same CT with
the same model keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..results import Analysis
from .boxes import describe_peaks, style_box
from .labels import color_labels
from .restore import read_record
from .scene_nodes import SceneNodes
from .stored_edits import ClusterEdits, Color, read_edits, store_edits
from .table_nodes import name_lesions, write_record


@dataclass(frozen=True)
class SceneCluster:
    """One cluster of the results of a CT."""

    number: int  # 1, 2, ...
    name: str
    color: Color  # red, green, blue, 0..1
    lesion_count: int


def clusters_in_scene(nodes: SceneNodes) -> tuple[SceneCluster, ...]:
    """All clusters of the model by number, also those without a lesion in this CT."""
    record = read_record(nodes)
    edits = read_edits(nodes.analysis, record)
    return tuple(
        SceneCluster(number, name, edits.color(number), sum(one.cluster == number for one in record.lesions))
        for number, name in sorted(record.cluster_names.items())
    )


def rename_cluster(nodes: SceneNodes, number: int, name: str) -> None:
    """Give a cluster another name; its original name undoes a renaming.

    Raises ValueError for a cluster that does not exist, and for a name that is empty, has more than one line or is
    that of another cluster, since counts and tables identify clusters by name. Double quotation marks become single
    ones, because Slicer cannot read them back from a table that it saved.
    """
    record = read_record(nodes)
    edits = _edits_of(nodes, record, number)
    name = name.strip().replace('"', "'")
    if not name:
        raise ValueError("The name of a cluster must not be empty.")
    if not name.isprintable():
        raise ValueError("The name of a cluster must be one line of text.")
    for other, used in record.cluster_names.items():
        if other != number and used.casefold() == name.casefold():
            raise ValueError(f"Cluster {other} is already called '{used}': choose another name.")
    names = {**edits.names, number: name}
    if name == edits.originals.get(number):
        del names[number]
    _apply(nodes, record, replace(edits, names=names))


def recolor_cluster(nodes: SceneNodes, number: int, rgb: Sequence[float]) -> None:
    """Give a cluster another color, three numbers 0..1. Raises ValueError for other colors and clusters."""
    record = read_record(nodes)
    edits = _edits_of(nodes, record, number)
    color = tuple(float(channel) for channel in rgb)
    if len(color) != 3 or not all(0 <= channel <= 1 for channel in color):
        raise ValueError("A color has three numbers from 0 to 1: red, green and blue.")
    _apply(nodes, record, replace(edits, colors={**edits.colors, number: color}))


def _edits_of(nodes: SceneNodes, record: Analysis, number: int) -> ClusterEdits:
    if number not in record.cluster_names:
        known = ", ".join(str(one) for one in sorted(record.cluster_names))
        raise ValueError(f"There is no cluster {number} here: choose one of {known}.")
    return read_edits(nodes.analysis, record)


def _apply(nodes: SceneNodes, record: Analysis, edits: ClusterEdits) -> None:
    """Update every node that depends on names and colors."""
    record = edits.apply(record)
    write_record(nodes.analysis, record)
    store_edits(nodes.analysis, edits)
    for lesion in record.lesions:
        if lesion.id in nodes.boxes:
            style_box(nodes.boxes[lesion.id], lesion, edits)
    describe_peaks(nodes.peaks, record, edits)
    name_lesions(nodes.lesions, record, edits)
    color_labels(nodes.label_colors, record, edits)
