"""Analysis -> MRML: the nodes that a radiologist sees, in Slicer's scene or in a bundle that Slicer opens.

    nodes = add_to_scene(analysis, slicer.mrmlScene, volumeNode)    # in Slicer
    write_mrb(analysis, "scene.mrb")                                # anywhere, also in Slicer

Everything works on the real MRML classes, which come with Slicer and with ``slicer-core``. Importing this
room where neither is installed raises RuntimeError with one sentence that says how to get them.

Positions of an analysis are those of the CT node itself, before its parent transform; results get the same
parent transform, so that they follow the CT wherever it is moved.

``ownership`` knows which nodes are ours, ``volumes``, ``lesions`` and ``tables`` make them, ``views`` shows
them, ``bundle`` writes them.
"""

from .bundle import write_mrb
from .colors import COLOR_MAPS
from .lesions import CLUSTER, LESION, MAX_BOXES
from .nodes import SceneNodes, add_to_scene, find_in_scene
from .ownership import CT_REFERENCE, ROLE, remove_results, role_of
from .views import LAM_OPACITY, show_in_slice_views
from .volumes import ct_from_node

__all__ = [
    "CLUSTER",
    "COLOR_MAPS",
    "CT_REFERENCE",
    "LAM_OPACITY",
    "LESION",
    "MAX_BOXES",
    "ROLE",
    "SceneNodes",
    "add_to_scene",
    "ct_from_node",
    "find_in_scene",
    "remove_results",
    "role_of",
    "show_in_slice_views",
    "write_mrb",
]
