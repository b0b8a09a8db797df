"""The lesions as a segmentation, for Slicer's Segment Editor, its statistics and DICOM export.

Codes: category *Morphologically Altered Structure* and anatomic region *Lung*, as in Slicer's own lists; type
*Lesion* (DICOM CID 7159), or *Ground glass opacity* (CID 6104) where all lesions of a segment are of this kind by
their HU. Consolidation has no code for the finding alone: SNOMED's "lung consolidation" is a disorder, which a
network does not diagnose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results import Analysis, Lesion
from .mrml import batch, ijk_to_ras, new_image, register_classes, slicer, vtk_matrix
from .ownership import ResultNodeFactory, drop_segments
from .restore import check_labels, read_record
from .stored_edits import ClusterEdits, Color, read_edits

if TYPE_CHECKING:
    from .scene_nodes import SceneNodes

# Scheme, value and meaning, as Slicer writes them.
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_LESION = "SCT^52988006^Lesion"
_GROUND_GLASS = "DCM^112120^Ground glass opacity"
_LUNG = "SCT^39607008^Lung"
_NOTHING = "^^"
_TYPES = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class _Part:
    """One segment to be made."""

    name: str
    color: Color
    lesions: Sequence[Lesion]
    value: int  # of its voxels


def make_segmentation(nodes: SceneNodes, by: str = "cluster") -> Any:
    """The lesions as a vtkMRMLSegmentationNode on the CT's grid; a second call replaces the first's segments.

    by: ``cluster``, a segment per cluster that has lesions, or ``lesion``, one per lesion.

    Raises ValueError where there are no lesions, for another ``by``, and as ``read_analysis``.
    """
    if by not in ("cluster", "lesion"):
        raise ValueError(f"Segments are made by 'cluster' or by 'lesion', not by {by!r}.")
    record = read_record(nodes)
    if not record.lesions:
        raise ValueError(f"No lesion was found in {nodes.ct.GetName()}: there is nothing to segment.")
    labels = check_labels(nodes)
    edits = read_edits(nodes.analysis) or ClusterEdits.none(record)
    parts = _by_cluster(record, edits) if by == "cluster" else _by_lesion(record, edits)
    image = _image(labels, ijk_to_ras(nodes.ct), parts)
    scene = nodes.ct.GetScene()
    register_classes(scene)
    with batch(scene):
        factory = ResultNodeFactory(scene, nodes.ct)
        node = factory.node("vtkMRMLSegmentationNode", "segmentation", f"{nodes.ct.GetName()} lesion segments")
        _fill(node, nodes.ct, image, parts)
        factory.finish(replace=False)
    return node


def _by_cluster(record: Analysis, edits: ClusterEdits) -> list[_Part]:
    parts = []
    for number, name in sorted(record.cluster_names.items()):
        lesions = [lesion for lesion in record.lesions if lesion.cluster == number]
        if lesions:
            parts.append(_Part(name, edits.color(number), lesions, len(parts) + 1))
    return parts


def _by_lesion(record: Analysis, edits: ClusterEdits) -> list[_Part]:
    return [_Part(edits.label(one), edits.color(one.cluster), [one], one.id) for one in record.lesions]


def _image(labels: np.ndarray, matrix: np.ndarray, parts: Sequence[_Part]) -> Any:
    """The voxels of all segments as one vtkOrientedImageData, cut to where lesions are; segments share it.

    Sharing costs time where Slicer parts the segments again, as it does for each one that is removed; but an
    image for each would cost more: on saving, Slicer unites them all.
    """
    place = _extent(labels)
    part = labels[place]
    values = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
    for one in parts:
        values[[lesion.id for lesion in one.lesions]] = one.value
    image, voxels = new_image(part.shape, labels.dtype, slicer.vtkOrientedImageData())
    np.take(values, part, out=voxels, mode="clip")  # no value is out of range: "clip" only spares a buffer
    k, j, i = place
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    image.SetGeometryFromImageToWorldMatrix(vtk_matrix(matrix))
    return image


def _extent(labels: np.ndarray) -> tuple[slice, ...]:
    """The slices of K, J and I that hold all lesions; the first voxel where there is no voxel of one."""
    plane = labels.any(axis=0)  # (J, I)
    if not plane.any():
        return (slice(0, 1),) * 3
    flags = (labels.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    ends = [np.flatnonzero(one)[[0, -1]] for one in flags]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)


def _fill(node: Any, ct: Any, image: Any, parts: Sequence[_Part]) -> None:
    node.SetAndObserveTransformNodeID(ct.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    drop_segments(node)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binary_labelmap())
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    for part in parts:
        segment = slicer.vtkSegment()
        segment.SetName(part.name)
        segment.SetColor(*part.color)
        segment.SetLabelValue(part.value)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology(part.lesions))
        segment.AddRepresentation(_binary_labelmap(), image)
        segmentation.AddSegment(segment)


def terminology(lesions: Sequence[Lesion]) -> str:
    """The codes of a segment in the form in which Slicer keeps them."""
    kind = _GROUND_GLASS if all(lesion.type == "GGO" for lesion in lesions) else _LESION
    return "~".join((_TYPES, _CATEGORY, kind, _NOTHING, _REGIONS, _LUNG, _NOTHING))


def _binary_labelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
