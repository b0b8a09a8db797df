"""An analysis into a scene: all of its nodes, at once or step by step."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..results import Analysis
from ..steps import run_to_end
from .analysis_grid import store_grid
from .boxes import MAX_BOXES, largest, make_boxes, make_peaks, previous_style
from .color_maps import check_color_map
from .labels import make_labels
from .mrml import batch, current_scene, register_classes
from .ownership import ResultNodeFactory, mark, remove_nodes, remove_results
from .scene_nodes import SceneNodes, find_in_scene
from .stored_edits import ClusterEdits, read_edits, store_edits
from .table_nodes import make_chart, make_lesions_table, make_slices_table, make_texts
from .volume_nodes import CT_ROLE, check_ct, find_ct, make_lam, node_from_ct

_BOXES_PER_STEP = 25

Steps = Generator[tuple[float, str], None, SceneNodes]


def add_to_scene(
    analysis: Analysis, scene: Any = None, ct_node: Any = None, *, color_map: str | None = None
) -> SceneNodes:
    """Add the results to a scene; those of an earlier run on the same CT are replaced, no other is touched.

    scene: vtkMRMLScene; default: the scene of ``ct_node``, or Slicer's.
    ct_node: the volume that was analyzed. None: a node is made from ``analysis.ct``, in a lung window.
    color_map: of the LAM, ``jet``, ``viridis`` or ``inferno``; None: as in an earlier run, else ``jet``.

    The ``MAX_BOXES`` largest lesions get a box; the tables and the list of peaks hold all. The user's names and
    colors of clusters are kept if the model is the same; exports made of earlier results (segmentation, color volume)
    are removed, since they no longer match.

    No view is changed: see ``show_in_slice_views``. Raises ValueError when ``ct_node`` is not (or no longer) the volume
    that was analyzed, and RuntimeError when there is no scene; partial results are then removed.
    """
    scene = scene or (ct_node.GetScene() if ct_node is not None else current_scene())
    steps = add_to_scene_steps(analysis, scene, ct_node, color_map=color_map)
    with batch(scene):
        return run_to_end(steps)


def add_to_scene_steps(
    analysis: Analysis, scene: Any = None, ct_node: Any = None, *, color_map: str | None = None
) -> Steps:
    """``add_to_scene`` as a generator of (fraction done, next step), so that Slicer stays responsive in between.

    The scene is in its batch-processing state within a step only. A step that fails, and a generator that is closed
    before its end, remove all results of this CT. Raises as ``add_to_scene``, at once; and RuntimeError in a step if
    the CT was removed or the scene closed meanwhile.
    """
    scene = scene or (ct_node.GetScene() if ct_node is not None else current_scene())
    register_classes(scene)
    if color_map is not None:
        check_color_map(color_map)
    check_ct(ct_node, analysis)
    return _steps(analysis, scene, ct_node, color_map)


def _steps(analysis: Analysis, scene: Any, ct_node: Any, color_map: str | None) -> Steps:
    factory = new_ct = None
    try:
        with batch(scene):
            ct = ct_node or find_ct(scene, analysis)  # no volume appears twice
            if ct is None:
                ct = new_ct = node_from_ct(scene, analysis.ct, analysis.name)
                mark(ct, CT_ROLE)
            factory = ResultNodeFactory(scene, ct)
            build = _build(factory, analysis, color_map)
            step = next(build)
        while True:
            yield step
            if not scene.IsNodePresent(ct):
                raise RuntimeError("The CT is no longer in the scene: its results were not added.")
            with batch(scene):
                try:
                    step = next(build)
                except StopIteration as end:
                    return end.value
    except BaseException:
        with batch(scene):
            if factory is not None:
                remove_results(scene, factory.ct)
                remove_nodes(scene, factory.made)  # the user may have removed the CT
            remove_nodes(scene, [new_ct] if new_ct else [])
        raise


def _build(factory: ResultNodeFactory, analysis: Analysis, color_map: str | None) -> Steps:
    """Make all nodes of an analysis."""
    previous = next((read_edits(text, analysis) for text in factory.earlier("analysis")), ClusterEdits.none(analysis))
    edits = previous.carried_to(analysis)
    analysis = edits.apply(analysis)
    boxed, total = largest(analysis.lesions, MAX_BOXES), len(analysis.lesions)
    box_style = previous_style(factory)
    notes = analysis.warnings
    if len(boxed) < total:
        notes += (f"Only the {len(boxed)} largest of {total} lesions have a box; the table has all.",)
    starts = range(0, len(boxed), _BOXES_PER_STEP)
    count = 5 + len(starts)

    yield 0.0, "Adding the lesion activation map"
    make_lam(factory, analysis, color_map)
    yield 1 / count, "Adding the lesion map"
    make_labels(factory, analysis, edits)
    yield 2 / count, "Adding the tables"
    slices = make_slices_table(factory, analysis)
    make_lesions_table(factory, analysis, {lesion.id for lesion in boxed}, edits)
    make_chart(factory, analysis, slices)
    yield 3 / count, "Storing the analysis"
    text = make_texts(factory, analysis, notes)
    store_edits(text, edits)
    store_grid(text, factory.ct)
    make_peaks(factory, analysis, edits)
    for number, start in enumerate(starts):
        yield (4 + number) / count, "Adding the boxes"
        make_boxes(factory, boxed[start : start + _BOXES_PER_STEP], edits, box_style)
    yield (count - 1) / count, "Removing outdated results"
    factory.finish()
    nodes = find_in_scene(factory.ct)
    if nodes is None:
        raise RuntimeError("Some results were removed while others were added: analyze the CT again.")
    return nodes
