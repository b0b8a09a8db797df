"""The door to MRML: the classes themselves, and the few things that every other file of this room needs.

The same classes come with 3D Slicer and with ``slicer-core`` from PyPI; which of the two is here does not
matter, and nobody else in the library looks.
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
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    slicer.vtkMRMLScene  # noqa: B018  (PyPI also has an unrelated package named slicer)
except (ImportError, AttributeError) as error:
    raise RuntimeError(
        "The scene needs the MRML classes of 3D Slicer, which are not installed here: "
        'run pip install "LesionAnalysis[headless]", or go on without the scene.'
    ) from error

# What a scene does not know before the Markups, Colors and Segmentations modules have introduced themselves.
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
    """Slicer's own scene. Raises RuntimeError where there is none."""
    scene = getattr(slicer, "mrmlScene", None)
    if scene is None:
        raise RuntimeError("There is no MRML scene to add the results to: pass one, or run inside 3D Slicer.")
    return scene


def register_classes(scene: Any) -> None:
    """Let a scene without application (a private one) make and save every node of this room."""
    for name in _CLASSES:
        if not scene.IsNodeClassRegistered(name):
            scene.RegisterNodeClass(getattr(slicer, name)())


@contextmanager
def batch(scene: Any) -> Iterator[None]:
    """Views and the data tree update once, at the end."""
    scene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    try:
        yield
    finally:
        scene.EndState(slicer.vtkMRMLScene.BatchProcessState)


def all_nodes(scene: Any) -> list[Any]:
    """Every node of a scene, in its order."""
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]


@contextmanager
def one_change(node: Any) -> Iterator[None]:
    """Whoever observes ``node`` hears of many changes once, at the end."""
    state = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(state)


def nodes_by_class(scene: Any, class_name: str) -> list[Any]:
    """Every node of a class, in the scene's order."""
    count = scene.GetNumberOfNodesByClass(class_name)
    return [scene.GetNthNodeByClass(index, class_name) for index in range(count)]


def set_voxels(node: Any, array: np.ndarray, dtype: Any = None) -> None:
    """Give a volume node a copy of ``array`` (K, J, I) or (K, J, I, components), as ``dtype`` or as it is."""
    image, values = new_image(array.shape, dtype or array.dtype)
    np.copyto(values, array, casting="unsafe")
    node.SetAndObserveImageData(image)


def new_image(shape: tuple[int, ...], dtype: Any, image: Any = None) -> tuple[Any, np.ndarray]:
    """vtkImageData of (K, J, I) or (K, J, I, components) and its voxels, not yet set: a view to write into.

    image: of a class derived from vtkImageData; by default a new one of that class itself.
    """
    image = image or vtk.vtkImageData()
    image.SetDimensions(shape[2::-1])
    image.AllocateScalars(get_vtk_array_type(np.dtype(dtype)), shape[3] if len(shape) > 3 else 1)
    return image, vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)


def voxels(node: Any) -> np.ndarray | None:
    """The voxels of a volume node as (K, J, I), a view; None where it has none."""
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
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def vtk_matrix(array: np.ndarray) -> Any:
    """(4, 4) or (3, 3) numbers as a vtkMatrix4x4 or vtkMatrix3x3."""
    matrix = vtk.vtkMatrix4x4() if len(array) == 4 else vtk.vtkMatrix3x3()
    for row, numbers in enumerate(np.asarray(array, dtype=float)):
        for column, number in enumerate(numbers):
            matrix.SetElement(row, column, float(number))
    return matrix


def to_world(node: Any, point: Any) -> np.ndarray:
    """A position of ``node``'s own RAS where its parent transform, if it has one, puts it; (3,) in mm."""
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld([float(value) for value in point], world)
    return np.array(world)


def from_world(node: Any, point: Any) -> np.ndarray:
    """The inverse of ``to_world``."""
    own = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld([float(value) for value in point], own)
    return np.array(own)


def write_attribute(node: Any, name: str, value: Any) -> None:
    """Keep plain data with a node, saved with it.

    MRML writes attributes into XML, separated by semicolons: nothing but ASCII, and neither ``;`` nor ``%``,
    comes back unchanged from every version of Slicer.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    node.SetAttribute(name, text.replace(";", "\\u003b").replace("%", "\\u0025"))


def read_attribute(node: Any, name: str) -> Any:
    """What ``write_attribute`` kept; None where there is nothing, or nothing that can be read."""
    try:
        return json.loads(node.GetAttribute(name) or "null")
    except ValueError:
        return None
