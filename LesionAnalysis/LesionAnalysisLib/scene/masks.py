"""A lung mask that the user made: a segmentation or a label map, brought onto the grid of the CT."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mrml import slicer, vtk, vtk_to_numpy

_LUNG_WORDS = ("lung", "lobe", "pulmo", "lunge", "poumon")


def mask_from_node(node: Any, ct: Any) -> np.ndarray:
    """Where a node says that the lungs are, (K, J, I) bool on the grid of the volume node ``ct``.

    node: vtkMRMLSegmentationNode, of which segments named after lungs or lobes count (all, if none is), or
    vtkMRMLLabelMapVolumeNode, of which every label counts. It may have any geometry and parent transform.

    Raises ValueError where the node holds nothing within the CT.
    """
    reference = _oriented_image(ct, node.GetParentTransformNode())
    image = slicer.vtkOrientedImageData()
    if node.IsA("vtkMRMLSegmentationNode"):
        extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
        found = node.GenerateMergedLabelmapForAllSegments(image, extent, reference, _lung_segments(node))
    else:
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        own = node.GetImageData() and _oriented_image(node, node.GetParentTransformNode())
        found = own is not None and resample(own, reference, image, False)
    values = image.GetPointData().GetScalars() if found else None
    mask = vtk_to_numpy(values).reshape(image.GetDimensions()[::-1]) > 0 if values is not None else np.zeros(1, bool)
    if not mask.any():
        raise ValueError(f"'{node.GetName()}' marks no lungs within {ct.GetName()}: choose another one, or none.")
    return mask


def _oriented_image(volume: Any, frame: Any) -> Any:
    """The volume with its geometry in the frame of the transform node ``frame`` (None: the world)."""
    image = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(volume, frame)
    image.UnRegister(None)  # Python holds it now
    return image


def _lung_segments(node: Any) -> Any:
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    names = {one: segmentation.GetSegment(one).GetName().casefold() for one in ids}
    lungs = [one for one in ids if any(word in names[one] for word in _LUNG_WORDS)]
    chosen = vtk.vtkStringArray()
    for one in lungs or ids:
        chosen.InsertNextValue(one)
    return chosen
