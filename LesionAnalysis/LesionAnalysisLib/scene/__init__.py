"""Analysis -> MRML: the nodes that a radiologist sees, in Slicer's scene or in a bundle that Slicer opens.

    nodes = add_to_scene(analysis, slicer.mrmlScene, volumeNode)    # in Slicer
    write_mrb(analysis, "scene.mrb")                                # anywhere, also in Slicer

Everything works on the real MRML classes, which come with Slicer and with ``slicer-core``. Importing this
room where neither is installed raises RuntimeError with one sentence that says how to get them.

Positions of an analysis are those of the CT node itself, before its parent transform; results get the same
parent transform, so that they follow the CT wherever it is moved.

What the user sets about the results (names and colors of clusters, color map, threshold, visibility) is kept
in the nodes, too: it survives saving, loading and, where it still fits, a second run.

``ownership`` knows which nodes are ours; ``volumes``, ``labels``, ``lesions`` and ``tables`` make them,
``nodes`` puts them together, ``restore`` reads an analysis back from them; ``views`` and ``display`` show
them, ``clusters`` names and colors them; ``segments`` and ``color_volume`` export them, ``bundle`` writes them.
"""

from .add_results import add_to_scene, add_to_scene_steps
from .boxes import CLUSTER, LESION, MAX_BOXES
from .cluster_edits import SceneCluster, clusters_in_scene, recolor_cluster, rename_cluster, reset_clusters
from .color_maps import COLOR_MAPS
from .color_volume import make_color_volume
from .display import (
    box_labels_visible,
    clusters_shown,
    color_map_of,
    emphasize,
    emphasized,
    jump_to_lesion,
    jump_to_slice,
    lam_opacity,
    lam_threshold,
    legend_visible,
    peaks_visible,
    set_box_labels_visible,
    set_boxes_visible,
    set_color_map,
    set_lam_opacity,
    set_lam_threshold,
    set_legend_visible,
    set_peaks_visible,
    show_clusters,
    slice_at,
    visible_boxes,
)
from .masks import mask_from_node
from .mrb import write_mrb
from .ownership import CT_REFERENCE, ROLE, remove_results, role_of
from .restore import read_analysis, read_record
from .scene_nodes import SceneNodes, find_in_scene
from .segments import make_segmentation
from .slice_views import LAM_OPACITY, show_in_slice_views
from .volume_nodes import ct_from_node, is_result, node_from_ct, set_lung_window

__all__ = [
    "CLUSTER",
    "COLOR_MAPS",
    "CT_REFERENCE",
    "LAM_OPACITY",
    "LESION",
    "MAX_BOXES",
    "ROLE",
    "SceneCluster",
    "SceneNodes",
    "add_to_scene",
    "add_to_scene_steps",
    "box_labels_visible",
    "clusters_in_scene",
    "clusters_shown",
    "color_map_of",
    "ct_from_node",
    "emphasize",
    "emphasized",
    "find_in_scene",
    "is_result",
    "jump_to_lesion",
    "jump_to_slice",
    "lam_opacity",
    "lam_threshold",
    "legend_visible",
    "make_color_volume",
    "make_segmentation",
    "mask_from_node",
    "node_from_ct",
    "peaks_visible",
    "read_analysis",
    "read_record",
    "recolor_cluster",
    "remove_results",
    "rename_cluster",
    "reset_clusters",
    "role_of",
    "set_box_labels_visible",
    "set_boxes_visible",
    "set_color_map",
    "set_lam_opacity",
    "set_lam_threshold",
    "set_legend_visible",
    "set_lung_window",
    "set_peaks_visible",
    "show_clusters",
    "show_in_slice_views",
    "slice_at",
    "visible_boxes",
    "write_mrb",
]
