"""Display of the results: colors, threshold, opacity, visibility, position of the slice views.

All settings are in MRML nodes, so that a panel, a script and a loaded scene agree. Only nodes of this analysis change,
and the slice views that show its CT.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .analysis_grid import analyzed_slices
from .mrml import from_world, nodes_by_class, to_world
from .restore import check_labels
from .scene_nodes import SceneNodes
from .slice_views import LAM_OPACITY
from .volume_nodes import fill_color_table

_DIMMED = 0.4  # opacity of the other boxes while one is emphasized
_FILL = 0.2  # opacity of the emphasized box's faces


def set_color_map(nodes: SceneNodes, name: str) -> None:
    """Color the LAM by ``jet``, ``viridis`` or ``inferno``. Raises ValueError for another name."""
    fill_color_table(nodes.colors, name)


def set_lam_threshold(nodes: SceneNodes, percent: float) -> None:
    """Hide the LAM below a percentage (0..100; 0 itself is always transparent). Raises ValueError."""
    if not 0 <= percent <= 100:
        raise ValueError(f"The threshold of the map must lie between 0 and 100 percent, not at {percent}.")
    display = nodes.lam.GetDisplayNode()
    display.SetThreshold(max(float(percent), 1.0), 100.0)
    display.SetApplyThreshold(True)


def set_lam_opacity(nodes: SceneNodes, opacity: float) -> None:
    """Set the opacity (0..1) in the slice views that show this LAM or its clusters. Raises ValueError."""
    if not 0 <= opacity <= 1:
        raise ValueError(f"An opacity must lie between 0 and 1, not at {opacity}.")
    ours = {nodes.lam.GetID(), nodes.labels.GetID()}
    for composite in nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() in ours:
            composite.SetForegroundOpacity(float(opacity))


def set_legend_visible(nodes: SceneNodes, visible: bool) -> None:
    """Show or hide the legend of the LAM."""
    nodes.legend.SetVisibility(bool(visible))


def show_clusters(nodes: SceneNodes, visible: bool) -> int:
    """Show the lesions in the colors of their clusters instead of the LAM in the views of the CT, or the LAM again.

    Returns the number of views that changed. Raises ValueError as ``check_labels``.
    """
    if visible:
        check_labels(nodes)
    old, new = (nodes.lam, nodes.labels) if visible else (nodes.labels, nodes.lam)
    changed = 0
    for composite in nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceCompositeNode"):
        shown = composite.GetForegroundVolumeID()
        ours = shown == old.GetID()
        if not ours and not (visible and composite.GetBackgroundVolumeID() == nodes.ct.GetID()):
            continue
        if shown != new.GetID():
            composite.SetForegroundVolumeID(new.GetID())
            if not ours:
                composite.SetForegroundOpacity(LAM_OPACITY)
            changed += 1
    nodes.legend.Modified()  # or views would not update their legends
    return changed


def set_boxes_visible(nodes: SceneNodes, visible: bool, lesion_ids: Collection[int] | None = None) -> None:
    """Show or hide the boxes. ``lesion_ids``: show only those of these lesions (default: all)."""
    for number, box in nodes.boxes.items():
        box.GetDisplayNode().SetVisibility(bool(visible and (lesion_ids is None or number in lesion_ids)))


def set_box_labels_visible(nodes: SceneNodes, visible: bool) -> None:
    """Show or hide the names beside the boxes."""
    for box in nodes.boxes.values():
        box.GetDisplayNode().SetPropertiesLabelVisibility(bool(visible))


def set_peaks_visible(nodes: SceneNodes, visible: bool, lesion_ids: Collection[int] | None = None) -> None:
    """Show or hide the peaks. ``lesion_ids``: show only those of these lesions (default: all)."""
    for index, number in enumerate(_lesion_ids(nodes)):
        nodes.peaks.SetNthControlPointVisibility(index, lesion_ids is None or number in lesion_ids)
    nodes.peaks.GetDisplayNode().SetVisibility(bool(visible))


def emphasize(nodes: SceneNodes, lesion_id: int | None) -> None:
    """Emphasize one box: it is filled, the others are dimmed. None, or a lesion without a box: no emphasis.

    The line width cannot show it: Slicer draws the edges of every ROI equally thick.
    """
    chosen = nodes.boxes.get(lesion_id)
    for box in nodes.boxes.values():
        display = box.GetDisplayNode()
        display.SetOpacity(_DIMMED if chosen is not None and box is not chosen else 1.0)
        display.SetFillOpacity(_FILL)
        display.SetFillVisibility(box is chosen)


def jump_to_lesion(nodes: SceneNodes, lesion_id: int) -> None:
    """Move all slice views to the peak of a lesion, without rotation or zoom. Raises ValueError."""
    ids = _lesion_ids(nodes)
    if lesion_id not in ids:
        raise ValueError(f"There is no lesion {lesion_id} in the results of {nodes.ct.GetName()}.")
    table, row = nodes.lesions.GetTable(), ids.index(lesion_id)
    peak = [table.GetColumnByName(f"peak_{letter}_mm").GetValue(row) for letter in "ras"]
    target = to_world(nodes.ct, peak)
    for view in nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceNode"):
        view.JumpSliceByOffsetting(*target)


def jump_to_slice(nodes: SceneNodes, index: int) -> None:
    """Move all slice views to a slice of the input, without rotation or zoom. Raises ValueError.

    Each view moves along the normal of the slice only: a view at a right angle to the slices stays.
    """
    grid = analyzed_slices(nodes)
    if not 0 <= index < len(grid.array):
        raise ValueError(f"{nodes.ct.GetName()} has slices 0 to {len(grid.array) - 1}, not {index}.")
    _, rows, columns = grid.array.shape
    column, row = (columns - 1) / 2, (rows - 1) / 2
    points = [(column, row), (column + 1, row), (column, row + 1)]
    middle, right, back = (to_world(nodes.ct, grid.to_ras(*point, index)) for point in points)
    normal = np.cross(right - middle, back - middle)
    normal /= np.linalg.norm(normal)
    for view in nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceNode"):
        matrix = view.GetSliceToRAS()
        here = np.array([matrix.GetElement(row, 3) for row in range(3)])
        view.JumpSliceByOffsetting(*(here + normal * (normal @ (middle - here))))


def slice_at(nodes: SceneNodes, ras: Collection[float]) -> int | None:
    """Index of the input slice at a position; None above and below the stack.

    ras: in world coordinates, mm; it may lie beside the slice.
    """
    grid = analyzed_slices(nodes)
    position = np.linalg.solve(grid.index_to_ras, [*from_world(nodes.ct, ras), 1.0])
    index = int(np.floor(position[2] + 0.5))
    return index if 0 <= index < len(grid.array) else None


def _lesion_ids(nodes: SceneNodes) -> list[int]:
    """Ids of all lesions, in the order of the table and of the peaks."""
    column = nodes.lesions.GetTable().GetColumnByName("id")
    return [int(column.GetValue(row)) for row in range(column.GetNumberOfValues())]
