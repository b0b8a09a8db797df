"""Analysis -> MRML: the nodes that a radiologist sees, in Slicer's scene or in a bundle that Slicer opens.

    nodes = add_to_scene(analysis, slicer.mrmlScene, volumeNode)    # in Slicer
    write_mrb(analysis, "scene.mrb")                                # anywhere, also in Slicer

Everything works on the real MRML classes, which come with Slicer and with ``slicer-core``. Importing this package where
neither is installed raises RuntimeError, which says how to get them.

Positions of an analysis are those of the CT node itself, before its parent transform; results get the same parent
transform, so that they follow the CT.

What the user sets about the results (names and colors of clusters, color map, threshold, visibility) is stored in the
nodes: it survives saving, loading and, where it still fits, a second run.
"""

from .add_results import add_to_scene, add_to_scene_steps
from .cluster_edits import SceneCluster, clusters_in_scene, recolor_cluster, rename_cluster
from .color_volume import make_color_volume
from .display import (
    emphasize,
    jump_to_lesion,
    jump_to_slice,
    set_box_labels_visible,
    set_boxes_visible,
    set_color_map,
    set_lam_opacity,
    set_lam_threshold,
    set_legend_visible,
    set_peaks_visible,
    show_clusters,
    slice_at,
)
from .masks import mask_from_node
from .mrb import write_mrb
from .ownership import remove_results
from .restore import read_analysis, read_record
from .scene_nodes import SceneNodes, find_in_scene
from .segments import make_segmentation
from .slice_views import LAM_OPACITY, show_in_slice_views
from .volume_nodes import ct_from_node, is_result, node_from_ct, set_lung_window

__all__ = [
    "LAM_OPACITY",
    "SceneCluster",
    "SceneNodes",
    "add_to_scene",
    "add_to_scene_steps",
    "clusters_in_scene",
    "ct_from_node",
    "emphasize",
    "find_in_scene",
    "is_result",
    "jump_to_lesion",
    "jump_to_slice",
    "make_color_volume",
    "make_segmentation",
    "mask_from_node",
    "node_from_ct",
    "read_analysis",
    "read_record",
    "recolor_cluster",
    "remove_results",
    "rename_cluster",
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
    "write_mrb",
]
