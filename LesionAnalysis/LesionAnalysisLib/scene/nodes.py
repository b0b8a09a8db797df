"""One analysis in a scene: all of its nodes, made in one go or found again after the scene was loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..results import Analysis
from .colors import check_color_map
from .lesions import LESION, MAX_BOXES, make_boxes, make_peaks, restore_description, strongest
from .mrml import batch, current_scene, register_classes
from .ownership import Workshop, find_folder, own_nodes, remove_nodes, remove_results, role_of
from .tables import make_chart, make_lesions_table, make_slices_table, make_texts
from .volumes import check_ct, find_ct, make_ct, make_lam


@dataclass(frozen=True)
class SceneNodes:
    """The MRML nodes of one analysis."""

    ct: Any  # vtkMRMLScalarVolumeNode: the user's, or ours where none was given
    lam: Any  # vtkMRMLScalarVolumeNode, unsigned char, percent
    colors: Any  # vtkMRMLColorTableNode of the LAM
    legend: Any  # vtkMRMLColorLegendDisplayNode
    boxes: dict[int, Any]  # lesion id -> vtkMRMLMarkupsROINode
    peaks: Any  # vtkMRMLMarkupsFiducialNode: one point per lesion, in the order of the lesions
    slices: Any  # vtkMRMLTableNode
    lesions: Any  # vtkMRMLTableNode
    chart: Any  # vtkMRMLPlotChartNode
    series: Any  # vtkMRMLPlotSeriesNode
    analysis: Any  # vtkMRMLTextNode with the content of analysis.json
    warnings: Any = None  # vtkMRMLTextNode, None where there is nothing to warn of
    folder: int = 0  # item of the subject hierarchy
    notes: tuple[str, ...] = field(default=(), compare=False)  # lines of ``warnings``


def add_to_scene(
    analysis: Analysis,
    scene: Any = None,
    ct_node: Any = None,
    *,
    color_map: str = "jet",
    max_boxes: int = MAX_BOXES,
) -> SceneNodes:
    """Add the results to a scene; those of an earlier run on the same CT are replaced, no other is touched.

    scene: vtkMRMLScene; default: the scene of ``ct_node``, or Slicer's.
    ct_node: the volume that was analyzed. None: a node is made from ``analysis.ct``, in a lung window.
    color_map: of the LAM, ``jet``, ``viridis`` or ``inferno``.
    max_boxes: so many of the largest lesions get a box; the tables and the list of peaks hold all.

    No view is changed: see ``show_in_slice_views``. Raises ValueError when ``ct_node`` is not (or no longer)
    the volume that was analyzed, and RuntimeError when there is no scene. Nothing half-made is left then.
    """
    scene = scene or (ct_node.GetScene() if ct_node is not None else current_scene())
    register_classes(scene)
    check_color_map(color_map)
    check_ct(ct_node, analysis)
    with batch(scene):
        ct = ct_node or find_ct(scene, analysis)  # no volume is ever shown twice
        new_ct = None if ct else make_ct(scene, analysis)
        try:
            return _fill(Workshop(scene, ct or new_ct), analysis, color_map, max_boxes)
        except BaseException:
            remove_results(scene, ct or new_ct)
            remove_nodes(scene, [new_ct] if new_ct else [])
            raise


def find_in_scene(ct_node: Any) -> SceneNodes | None:
    """The results of ``ct_node``, for instance after a scene was loaded; None where they are not complete."""
    scene = ct_node.GetScene()
    found = {role_of(node): node for node in own_nodes(scene, ct_node) if role_of(node) != "box"}
    boxes = {
        int(node.GetAttribute(LESION)): node
        for node in own_nodes(scene, ct_node)
        if role_of(node) == "box" and node.GetAttribute(LESION)
    }
    roles = ("lam", "colors", "legend", "peaks", "slices", "lesions", "chart", "series", "analysis")
    if any(role not in found for role in roles):
        return None
    for box in boxes.values():
        restore_description(box)
    warnings = found.get("warnings")
    return SceneNodes(
        ct=ct_node,
        boxes=boxes,
        warnings=warnings,
        folder=find_folder(scene, ct_node),
        notes=tuple(warnings.GetText().splitlines()) if warnings else (),
        **{role: found[role] for role in roles},
    )


def _fill(workshop: Workshop, analysis: Analysis, color_map: str, max_boxes: int) -> SceneNodes:
    shown = strongest(analysis.lesions, max_boxes)
    notes = analysis.warnings + _too_many(len(shown), len(analysis.lesions))
    lam, colors, legend = make_lam(workshop, analysis, color_map)
    slices = make_slices_table(workshop, analysis)
    lesions = make_lesions_table(workshop, analysis, {lesion.id for lesion in shown})
    chart, series = make_chart(workshop, analysis, slices)
    text, warnings = make_texts(workshop, analysis, notes)
    peaks = make_peaks(workshop, analysis)
    boxes = make_boxes(workshop, shown)
    return SceneNodes(
        ct=workshop.ct,
        lam=lam,
        colors=colors,
        legend=legend,
        boxes=boxes,
        peaks=peaks,
        slices=slices,
        lesions=lesions,
        chart=chart,
        series=series,
        analysis=text,
        warnings=warnings,
        folder=workshop.finish(f"{workshop.ct.GetName()} lesion analysis"),
        notes=notes,
    )


def _too_many(shown: int, all_lesions: int) -> tuple[str, ...]:
    if shown == all_lesions:
        return ()
    return (f"Only the {shown} largest of {all_lesions} lesions have a box in the views; the table has all.",)
