"""The lesions as a segmentation, for Slicer's Segment Editor, Segment Statistics and DICOM export.

Codes: category *Morphologically Altered Structure* and anatomic region *Lung*, as in Slicer's own lists; type *Lesion*
(DICOM CID 7159), or *Ground glass opacity* (CID 6104) if all lesions of a segment are of this type by their HU.
Consolidation has no code for the finding alone: SNOMED's "lung consolidation" is a disorder, which a network does not
diagnose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..results import Lesion
from .mrml import batch, ijk_to_ras, new_image, register_classes, slicer, vtkMatrixFromArray
from .ownership import ResultNodeFactory, drop_segments
from .restore import check_labels, read_record
from .scene_nodes import SceneNodes
from .stored_edits import Color, read_edits

# Scheme, value and meaning, as Slicer writes them.
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_LESION = "SCT^52988006^Lesion"
_GROUND_GLASS = "DCM^112120^Ground glass opacity"
_LUNG = "SCT^39607008^Lung"
_NO_CODE = "^^"
_TYPES = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class _Segment:
    """One segment of the result."""

    name: str
    color: Color
    lesions: Sequence[Lesion]
    value: int  # of its voxels


def make_segmentation(nodes: SceneNodes, by: str = "cluster") -> Any:
    """The lesions as a vtkMRMLSegmentationNode on the CT's grid; a second call replaces the first's segments.

    by: ``cluster``, a segment per cluster that has lesions, or ``lesion``, one per lesion.

    Raises ValueError if there are no lesions, for another ``by``, and as ``read_analysis``.
    """
    if by not in ("cluster", "lesion"):
        raise ValueError(f"Segments are made by 'cluster' or by 'lesion', not by {by!r}.")
    record = read_record(nodes)
    if not record.lesions:
        raise ValueError(f"No lesions were found in {nodes.ct.GetName()}: there is nothing to segment.")
    labels = check_labels(nodes)
    edits = read_edits(nodes.analysis, record)
    if by == "lesion":
        segments = [_Segment(edits.label(one), edits.color(one.cluster), [one], one.id) for one in record.lesions]
    else:
        segments = [
            _Segment(name, edits.color(number), lesions, number)
            for number, name in sorted(record.cluster_names.items())
            if (lesions := [lesion for lesion in record.lesions if lesion.cluster == number])
        ]
    image = _shared_image(labels, ijk_to_ras(nodes.ct), segments)
    scene = nodes.ct.GetScene()
    register_classes(scene)
    with batch(scene):
        factory = ResultNodeFactory(scene, nodes.ct)
        node = factory.node("vtkMRMLSegmentationNode", "segmentation", f"{nodes.ct.GetName()} lesion segments")
        _fill(node, nodes.ct, image, segments)
        factory.finish(replace=False)
    return node


def _shared_image(labels: np.ndarray, matrix: np.ndarray, segments: Sequence[_Segment]) -> Any:
    """The voxels of all segments as one vtkOrientedImageData, cropped to the lesions; the segments share it.

    With one image per segment, removing a segment would be faster, but saving slower: Slicer then merges all images.
    """
    box = _extent(labels)
    cropped = labels[box]
    value_of = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
    for segment in segments:
        value_of[[lesion.id for lesion in segment.lesions]] = segment.value
    image, voxels = new_image(cropped.shape, labels.dtype, slicer.vtkOrientedImageData())
    np.take(value_of, cropped, out=voxels, mode="clip")  # no value is out of range: "clip" only saves a buffer
    k, j, i = box
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    image.SetGeometryFromImageToWorldMatrix(vtkMatrixFromArray(matrix))
    return image


def _extent(labels: np.ndarray) -> tuple[slice, ...]:
    """The slices of K, J and I that hold all lesions; the first voxel if there are none."""
    plane = labels.any(axis=0)  # (J, I)
    if not plane.any():
        return (slice(0, 1),) * 3
    flags = (labels.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    ends = [np.flatnonzero(one)[[0, -1]] for one in flags]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)


def _fill(node: Any, ct: Any, image: Any, segments: Sequence[_Segment]) -> None:
    node.SetAndObserveTransformNodeID(ct.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    drop_segments(node)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binary_labelmap())
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    for one in segments:
        segment = slicer.vtkSegment()
        segment.SetName(one.name)
        segment.SetColor(*one.color)
        segment.SetLabelValue(one.value)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), _terminology(one.lesions))
        segment.AddRepresentation(_binary_labelmap(), image)
        segmentation.AddSegment(segment)


def _terminology(lesions: Sequence[Lesion]) -> str:
    """The codes of a segment in Slicer's format."""
    code = _GROUND_GLASS if all(lesion.type == "GGO" for lesion in lesions) else _LESION
    return "~".join((_TYPES, _CATEGORY, code, _NO_CODE, _REGIONS, _LUNG, _NO_CODE))


def _binary_labelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
