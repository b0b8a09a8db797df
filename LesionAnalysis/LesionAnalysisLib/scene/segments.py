"""The lesions as a segmentation, for Slicer's Segment Editor, Segment Statistics and DICOM export.

Codes: category *Morphologically Altered Structure* and anatomic region *Lung*, as in Slicer's own lists; type *Lesion*
(DICOM CID 7159), or *Ground glass opacity* (CID 6104) if all lesions of a segment are of this type by their HU.
Consolidation has no code for the finding alone: SNOMED's "lung consolidation" is a disorder, which a network does not
diagnose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..results import Lesion
from .mrml import batch, ijk_to_ras, new_image, register_classes, slicer, vtkMatrixFromArray
from .ownership import ResultNodeFactory, drop_segments
from .restore import check_labels, read_record
from .scene_nodes import SceneNodes
from .stored_edits import read_edits

_REPRESENTATION = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()

# Scheme, value and meaning, as Slicer writes them; ^^ is no code.
_LESION = "SCT^52988006^Lesion"
_GROUND_GLASS = "DCM^112120^Ground glass opacity"
_TYPES = "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
_REGIONS = "^^~Anatomic codes - DICOM master list~SCT^39607008^Lung~^^"


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
    names = {one.id: edits.label(one) for one in record.lesions} if by == "lesion" else record.cluster_names
    key = "id" if by == "lesion" else "cluster"
    groups = {value: [one for one in record.lesions if getattr(one, key) == value] for value in sorted(names)}
    groups = {value: lesions for value, lesions in groups.items() if lesions}  # value of a segment's voxels -> lesions
    image = _shared_image(labels, ijk_to_ras(nodes.ct), groups)
    scene = nodes.ct.GetScene()
    register_classes(scene)
    with batch(scene):
        factory = ResultNodeFactory(scene, nodes.ct)
        node = factory.node("vtkMRMLSegmentationNode", "segmentation", "lesion segments")
        node.CreateDefaultDisplayNodes()
        drop_segments(node)
        node.GetSegmentation().SetSourceRepresentationName(_REPRESENTATION)
        node.SetReferenceImageGeometryParameterFromVolumeNode(nodes.ct)
        for value, lesions in groups.items():
            code = _GROUND_GLASS if all(lesion.type == "GGO" for lesion in lesions) else _LESION
            segment = slicer.vtkSegment()
            segment.SetName(names[value])
            segment.SetColor(*edits.color(lesions[0].cluster))
            segment.SetLabelValue(value)
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), f"{_TYPES}~{code}~{_REGIONS}")
            segment.AddRepresentation(_REPRESENTATION, image)
            node.GetSegmentation().AddSegment(segment)
        factory.finish(replace=False)
    return node


def _shared_image(labels: np.ndarray, matrix: np.ndarray, groups: Mapping[int, Sequence[Lesion]]) -> Any:
    """The voxels of all segments as one vtkOrientedImageData, cropped to the lesions; the segments share it.

    With one image per segment, removing a segment would be faster, but saving slower: Slicer then merges all images.
    """
    box = _extent(labels)
    cropped = labels[box]
    value_of = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
    for value, lesions in groups.items():
        value_of[[lesion.id for lesion in lesions]] = value
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
