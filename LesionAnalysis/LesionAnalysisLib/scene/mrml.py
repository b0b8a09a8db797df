"""The door to MRML: the classes themselves, and the few things that every other file of this room needs.

The same classes come with 3D Slicer and with ``slicer-core`` from PyPI; which of the two is here does not
matter, and nobody else in the library looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

try:
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    slicer.vtkMRMLScene  # noqa: B018  (PyPI also has an unrelated package named slicer)
except (ImportError, AttributeError) as error:
    raise RuntimeError(
        "The scene needs the MRML classes of 3D Slicer, which are not installed here: "
        'run pip install "LesionAnalysis[headless]", or go on without the scene.'
    ) from error

# What a scene does not know before the Markups and Colors modules have introduced themselves.
_CLASSES = (
    "vtkMRMLMarkupsROINode",
    "vtkMRMLMarkupsROIDisplayNode",
    "vtkMRMLMarkupsROIJsonStorageNode",
    "vtkMRMLMarkupsFiducialNode",
    "vtkMRMLMarkupsFiducialDisplayNode",
    "vtkMRMLMarkupsFiducialStorageNode",
    "vtkMRMLMarkupsJsonStorageNode",
    "vtkMRMLColorLegendDisplayNode",
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


def set_voxels(node: Any, array: np.ndarray) -> None:
    """Give a volume node a copy of ``array`` (K, J, I), int16 or uint8."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    node.SetAndObserveImageData(image)


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
