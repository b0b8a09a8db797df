"""A lung mask of the user, a segmentation or a label map, resampled to the grid of the CT."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mrml import slicer, vtk, vtk_to_numpy

_LUNG_WORDS = ("lung", "lobe", "pulmo", "lunge", "poumon")


def mask_from_node(node: Any, ct: Any) -> np.ndarray:
    """The lung mask (K, J, I) bool of a node on the grid of the volume node ``ct``.

    node: vtkMRMLSegmentationNode, whose segments named after lungs or lobes are used (all, if there are none), or
    vtkMRMLLabelMapVolumeNode, whose labels are all used. It may have any geometry and parent transform.

    Raises ValueError if the mask is empty within the CT.
    """
    reference = _oriented_image(ct, node.GetParentTransformNode())
    image = slicer.vtkOrientedImageData()
    if node.IsA("vtkMRMLSegmentationNode"):
        extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
        done = node.GenerateMergedLabelmapForAllSegments(image, extent, reference, _lung_segments(node))
    else:
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        own = node.GetImageData() and _oriented_image(node, node.GetParentTransformNode())
        done = own is not None and resample(own, reference, image, False)
    values = image.GetPointData().GetScalars() if done else None
    mask = vtk_to_numpy(values).reshape(image.GetDimensions()[::-1]) > 0 if values is not None else np.zeros(1, bool)
    if not mask.any():
        raise ValueError(f"'{node.GetName()}' marks no lungs within {ct.GetName()}: choose another one, or none.")
    return mask


def _oriented_image(volume: Any, frame: Any) -> Any:
    """The volume with its geometry relative to the transform node ``frame`` (None: the world)."""
    image = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(volume, frame)
    image.UnRegister(None)  # the logic returned it with a reference that Python does not count
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
