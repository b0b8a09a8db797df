"""Access to MRML: its classes, and helpers for scenes, voxels, matrices and attributes.

The same classes come with 3D Slicer and with ``slicer-core`` from PyPI; no other module depends on which one is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

try:
    import slicer
    import vtk
    from slicer.util import NodeModify, arrayFromVTKMatrix, vtkMatrixFromArray  # noqa: F401  (used by other modules)
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    slicer.vtkMRMLScene  # noqa: B018  (PyPI also has an unrelated package named slicer)
except (ImportError, AttributeError) as error:
    raise RuntimeError(
        "The scene needs the MRML classes of 3D Slicer, which are not installed here: "
        'run pip install "LesionAnalysis[headless]", or continue without the scene.'
    ) from error

# Classes that the Markups, Colors and Segmentations modules register in Slicer.
_CLASSES = (
    "vtkMRMLMarkupsROINode",
    "vtkMRMLMarkupsROIDisplayNode",
    "vtkMRMLMarkupsROIJsonStorageNode",
    "vtkMRMLMarkupsFiducialNode",
    "vtkMRMLMarkupsFiducialDisplayNode",
    "vtkMRMLMarkupsFiducialStorageNode",
    "vtkMRMLMarkupsJsonStorageNode",
    "vtkMRMLColorLegendDisplayNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLSegmentationDisplayNode",
    "vtkMRMLSegmentationStorageNode",
)


def current_scene() -> Any:
    """Slicer's own scene. Raises RuntimeError if there is none."""
    scene = getattr(slicer, "mrmlScene", None)
    if scene is None:
        raise RuntimeError("There is no MRML scene to add the results to: pass one, or run inside 3D Slicer.")
    return scene


def register_classes(scene: Any) -> None:
    """Register the node classes of results, which a scene without an application needs to create and save them."""
    for name in _CLASSES:
        if not scene.IsNodeClassRegistered(name):
            scene.RegisterNodeClass(getattr(slicer, name)())


@contextmanager
def batch(scene: Any) -> Iterator[None]:
    """Batch processing: views and the data tree update once, at the end."""
    scene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    try:
        yield
    finally:
        scene.EndState(slicer.vtkMRMLScene.BatchProcessState)


def all_nodes(scene: Any) -> list[Any]:
    """Every node of a scene, in its order."""
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]


def nodes_by_class(scene: Any, class_name: str) -> list[Any]:
    """Every node of a class, in the scene's order."""
    count = scene.GetNumberOfNodesByClass(class_name)
    return [scene.GetNthNodeByClass(index, class_name) for index in range(count)]


def set_voxels(node: Any, array: np.ndarray, dtype: Any = None) -> None:
    """Give a volume node a copy of ``array`` (K, J, I), converted to ``dtype`` if given."""
    image, values = new_image(array.shape, dtype or array.dtype)
    np.copyto(values, array, casting="unsafe")
    node.SetAndObserveImageData(image)


def new_image(shape: tuple[int, ...], dtype: Any, image: Any = None) -> tuple[Any, np.ndarray]:
    """vtkImageData of (K, J, I) or (K, J, I, components) and a view of its voxels, which are not initialized.

    image: of a class derived from vtkImageData; by default a new vtkImageData.
    """
    image = image or vtk.vtkImageData()
    image.SetDimensions(shape[2::-1])
    image.AllocateScalars(get_vtk_array_type(np.dtype(dtype)), shape[3] if len(shape) > 3 else 1)
    return image, vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)


def voxels(node: Any) -> np.ndarray | None:
    """The voxels of a volume node as (K, J, I), a view; None if there are none."""
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    shape = image.GetDimensions()[::-1]
    return values.reshape(shape) if values.ndim == 1 else None


def ijk_to_ras(node: Any) -> np.ndarray:
    """(4, 4) matrix of a volume node, without its parent transform."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return arrayFromVTKMatrix(matrix)


def to_world(node: Any, point: Any) -> np.ndarray:
    """A position in ``node``'s own RAS, (3,) in mm, mapped to world coordinates by its parent transform, if any."""
    world = np.zeros(3)
    node.TransformPointToWorld([float(value) for value in point], world)
    return world


def from_world(node: Any, point: Any) -> np.ndarray:
    """The inverse of ``to_world``."""
    own = np.zeros(3)
    node.TransformPointFromWorld([float(value) for value in point], own)
    return own


def write_attribute(node: Any, name: str, value: Any) -> None:
    """Store plain data with a node, saved with it.

    MRML writes attributes into XML, separated by semicolons: only ASCII without ``;`` and ``%`` is read back unchanged
    by every version of Slicer.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    node.SetAttribute(name, text.replace(";", "\\u003b").replace("%", "\\u0025"))


def read_attribute(node: Any, name: str) -> Any:
    """What ``write_attribute`` stored; None if there is nothing, or if it cannot be read."""
    try:
        return json.loads(node.GetAttribute(name) or "null")
    except ValueError:
        return None
