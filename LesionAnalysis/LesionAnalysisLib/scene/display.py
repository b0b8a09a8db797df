"""How the results are shown: colors, threshold, opacity, what is visible, where the slice views stand.

Everything is read from and written to MRML nodes, so that a panel, a script and a loaded scene agree. Only
nodes of this analysis change, and the slice views that show its CT.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .analysis_grid import analyzed_slices
from .color_maps import COLOR_MAPS
from .mrml import from_world, nodes_by_class, to_world
from .restore import check_labels
from .slice_views import LAM_OPACITY, composites
from .volume_nodes import COLOR_MAP, fill_color_table

if TYPE_CHECKING:
    from .scene_nodes import SceneNodes

_DIMMED = 0.4  # opacity of the other boxes while one is emphasized
_FILL = 0.2  # opacity of the emphasized box's inside


# --- the lesion activation map ------------------------------------------------------------------------------


def set_color_map(nodes: SceneNodes, name: str) -> None:
    """Color the LAM by ``jet``, ``viridis`` or ``inferno``. Raises ValueError for another name."""
    fill_color_table(nodes.colors, name)


def color_map_of(nodes: SceneNodes) -> str:
    """Name of the LAM's color map; "" in results of earlier versions that were loaded."""
    name = nodes.colors.GetAttribute(COLOR_MAP) or nodes.colors.GetDescription() or ""
    return name if name in COLOR_MAPS else ""


def set_lam_threshold(nodes: SceneNodes, percent: float) -> None:
    """Hide the LAM below so many percent (0..100; 0 percent itself is never shown). Raises ValueError."""
    if not 0 <= percent <= 100:
        raise ValueError(f"The threshold of the map lies between 0 and 100 percent, not at {percent}.")
    display = nodes.lam.GetDisplayNode()
    display.SetThreshold(max(float(percent), 1.0), 100.0)
    display.SetApplyThreshold(True)


def lam_threshold(nodes: SceneNodes) -> float:
    """Percent below which the LAM is hidden; at least 1."""
    return max(float(nodes.lam.GetDisplayNode().GetLowerThreshold()), 1.0)


def set_lam_opacity(nodes: SceneNodes, opacity: float) -> None:
    """Opacity (0..1) in the slice views that show this LAM, or its clusters, over the CT. Raises ValueError."""
    if not 0 <= opacity <= 1:
        raise ValueError(f"An opacity lies between 0 and 1, not at {opacity}.")
    for composite in _showing(nodes, nodes.lam, nodes.labels):
        composite.SetForegroundOpacity(float(opacity))


def lam_opacity(nodes: SceneNodes) -> float | None:
    """Opacity in the first slice view that shows this LAM or its clusters; None where none does."""
    return next((one.GetForegroundOpacity() for one in _showing(nodes, nodes.lam, nodes.labels)), None)


def set_legend_visible(nodes: SceneNodes, visible: bool) -> None:
    """Show or hide the legend of the LAM."""
    nodes.legend.SetVisibility(bool(visible))


def legend_visible(nodes: SceneNodes) -> bool:
    """Whether the legend is shown where the LAM is."""
    return bool(nodes.legend.GetVisibility())


def show_clusters(nodes: SceneNodes, visible: bool) -> int:
    """In the slice views that show the CT: the lesions in their clusters' colors instead of the LAM, or back.

    Returns in how many views something changed. Raises ValueError where there is no lesion map to show.
    """
    if visible:
        check_labels(nodes)
    old, new = (nodes.lam, nodes.labels) if visible else (nodes.labels, nodes.lam)
    changed = 0
    for composite in composites(nodes.ct.GetScene()):
        shown = composite.GetForegroundVolumeID()
        ours = old is not None and shown == old.GetID()
        if not ours and not (visible and composite.GetBackgroundVolumeID() == nodes.ct.GetID()):
            continue
        if shown != new.GetID():
            composite.SetForegroundVolumeID(new.GetID())
            if not ours:
                composite.SetForegroundOpacity(LAM_OPACITY)
            changed += 1
    nodes.legend.Modified()  # views do not look at their legends when a program changes what they show
    return changed


def clusters_shown(nodes: SceneNodes) -> bool:
    """Whether a slice view shows the clusters instead of the LAM."""
    return next(_showing(nodes, nodes.labels), None) is not None


def _showing(nodes: SceneNodes, *volumes: Any) -> Iterator[Any]:
    ids = {volume.GetID() for volume in volumes if volume is not None}
    return (one for one in composites(nodes.ct.GetScene()) if one.GetForegroundVolumeID() in ids)


# --- boxes and peaks ----------------------------------------------------------------------------------------


def set_boxes_visible(nodes: SceneNodes, visible: bool, lesion_ids: Collection[int] | None = None) -> None:
    """Show or hide the boxes. ``lesion_ids``: only those of these lesions are shown (by default, all)."""
    for number, box in nodes.boxes.items():
        box.GetDisplayNode().SetVisibility(bool(visible and (lesion_ids is None or number in lesion_ids)))


def visible_boxes(nodes: SceneNodes) -> set[int]:
    """Ids of the lesions whose box is shown."""
    return {number for number, box in nodes.boxes.items() if box.GetDisplayNode().GetVisibility()}


def set_box_labels_visible(nodes: SceneNodes, visible: bool) -> None:
    """Show or hide the names beside the boxes."""
    for box in nodes.boxes.values():
        box.GetDisplayNode().SetPropertiesLabelVisibility(bool(visible))


def box_labels_visible(nodes: SceneNodes) -> bool:
    """Whether boxes are shown with their names; True where there are none."""
    return all(box.GetDisplayNode().GetPropertiesLabelVisibility() for box in nodes.boxes.values())


def set_peaks_visible(nodes: SceneNodes, visible: bool, lesion_ids: Collection[int] | None = None) -> None:
    """Show or hide the peaks. ``lesion_ids``: only those of these lesions are shown (by default, all)."""
    for index, number in enumerate(_lesion_ids(nodes)):
        nodes.peaks.SetNthControlPointVisibility(index, lesion_ids is None or number in lesion_ids)
    nodes.peaks.GetDisplayNode().SetVisibility(bool(visible))


def peaks_visible(nodes: SceneNodes) -> bool:
    """Whether peaks are shown, all or some."""
    return bool(nodes.peaks.GetDisplayNode().GetVisibility())


def emphasize(nodes: SceneNodes, lesion_id: int | None) -> None:
    """Make one box stand out: it is tinted, the others step back. None: all are equal again.

    Slicer draws the edges of every ROI equally thick, whatever its display node says. A lesion without a box
    leaves all boxes as they are without emphasis.
    """
    chosen = nodes.boxes.get(lesion_id)
    for box in nodes.boxes.values():
        display = box.GetDisplayNode()
        display.SetOpacity(_DIMMED if chosen is not None and box is not chosen else 1.0)
        display.SetFillOpacity(_FILL)
        display.SetFillVisibility(box is chosen)


def emphasized(nodes: SceneNodes) -> int | None:
    """Id of the lesion whose box stands out; None where none does."""
    filled = (number for number, box in nodes.boxes.items() if box.GetDisplayNode().GetFillVisibility())
    return next(filled, None)


# --- places -------------------------------------------------------------------------------------------------


def jump_to_lesion(nodes: SceneNodes, lesion_id: int) -> None:
    """Move all slice views through the peak of a lesion, without turning or zooming. Raises ValueError."""
    ids = _lesion_ids(nodes)
    if lesion_id not in ids:
        raise ValueError(f"There is no lesion {lesion_id} in the results of {nodes.ct.GetName()}.")
    table, row = nodes.lesions.GetTable(), ids.index(lesion_id)
    peak = [table.GetColumnByName(f"peak_{letter}_mm").GetValue(row) for letter in "ras"]
    target = to_world(nodes.ct, peak)
    for view in _slice_views(nodes):
        view.JumpSliceByOffsetting(*target)


def jump_to_slice(nodes: SceneNodes, index: int) -> None:
    """Move all slice views onto a slice of the input, without turning or zooming. Raises ValueError.

    Each view moves only as far as the slice asks: one that cuts the slices at a right angle stays.
    """
    grid = analyzed_slices(nodes)
    if not 0 <= index < len(grid.array):
        raise ValueError(f"{nodes.ct.GetName()} has slices 0 to {len(grid.array) - 1}, not {index}.")
    _, rows, columns = grid.array.shape
    middle, right, back = (
        to_world(nodes.ct, grid.to_ras(column, row, index))
        for column, row in (
            ((columns - 1) / 2, (rows - 1) / 2),
            ((columns + 1) / 2, (rows - 1) / 2),
            ((columns - 1) / 2, (rows + 1) / 2),
        )
    )
    normal = np.cross(right - middle, back - middle)
    normal /= np.linalg.norm(normal)
    for view in _slice_views(nodes):
        matrix = view.GetSliceToRAS()
        here = np.array([matrix.GetElement(row, 3) for row in range(3)])
        view.JumpSliceByOffsetting(*(here + normal * (normal @ (middle - here))))


def slice_at(nodes: SceneNodes, ras: Collection[float]) -> int | None:
    """Index of the slice of the input in which a position of the views lies; None above and below the stack.

    ras: in world coordinates, mm; where it lies within the slice, or beside it, does not matter.
    """
    grid = analyzed_slices(nodes)
    place = np.linalg.solve(grid.index_to_ras, [*from_world(nodes.ct, ras), 1.0])
    index = int(np.floor(place[2] + 0.5))
    return index if 0 <= index < len(grid.array) else None


def _lesion_ids(nodes: SceneNodes) -> list[int]:
    """Ids of all lesions, in the order of the table and of the peaks."""
    column = nodes.lesions.GetTable().GetColumnByName("id")
    return [int(column.GetValue(row)) for row in range(column.GetNumberOfValues())]


def _slice_views(nodes: SceneNodes) -> list[Any]:
    return nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceNode")
