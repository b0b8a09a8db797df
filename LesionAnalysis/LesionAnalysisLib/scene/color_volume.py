"""The LAM as an RGBA volume, for programs without color tables: four bytes per voxel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mrml import batch, new_image, voxels
from .ownership import ResultNodeFactory
from .scene_nodes import SceneNodes


def make_color_volume(nodes: SceneNodes) -> Any:
    """``<CT> LAM RGBA``, a vtkMRMLVectorVolumeNode of unsigned char on the CT's grid; a second call updates it.

    Colors and threshold are those of the displayed LAM; opacity is the LAM (100 percent: 255), and 0 below the
    threshold. Raises ValueError if the LAM has no voxels.
    """
    lam = voxels(nodes.lam)
    if lam is None:
        raise ValueError(f"The voxels of {nodes.lam.GetName()} are missing: analyze the CT again.")
    image, colors = new_image((*lam.shape, 4), np.uint8)
    # Each voxel is looked up once, as one 32-bit number.
    np.take(_rgba(nodes).view(np.uint32)[:, 0], lam, out=colors.view(np.uint32)[..., 0], mode="clip")
    scene = nodes.ct.GetScene()
    with batch(scene):
        factory = ResultNodeFactory(scene, nodes.ct)
        node = factory.node("vtkMRMLVectorVolumeNode", "rgba", "LAM RGBA")
        node.SetDescription("Lesion activation map in color; opacity is its value in percent.")
        node.SetVoxelVectorType(node.VoxelVectorTypeColorRGBA)
        node.SetAndObserveImageData(image)
        node.CreateDefaultDisplayNodes()
        factory.finish(replace=False)
    return node


def _rgba(nodes: SceneNodes) -> np.ndarray:
    """(101, 4) uint8: color and opacity of 0..100 percent."""
    table = nodes.colors.GetLookupTable()
    last = table.GetNumberOfTableValues() - 1
    rgba = np.array([table.GetTableValue(round(percent * last / 100)) for percent in range(101)])
    rgba[:, 3] = np.arange(101) / 100
    rgba[np.arange(101) < nodes.lam.GetDisplayNode().GetLowerThreshold(), 3] = 0
    return np.ascontiguousarray(np.rint(255 * rgba).astype(np.uint8))
