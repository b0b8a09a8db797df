"""An analysis into a scene: all of its nodes, at once or step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from ..results import Analysis, Lesion
from ..steps import run_to_end
from .analysis_grid import store_grid
from .boxes import MAX_BOXES, largest, make_boxes, make_peaks, previous_style
from .color_maps import check_color_map
from .labels import make_labels
from .mrml import batch, current_scene, register_classes
from .ownership import ResultNodeFactory, remove_nodes, remove_results
from .scene_nodes import SceneNodes
from .stored_edits import ClusterEdits, read_edits, store_edits
from .table_nodes import make_chart, make_lesions_table, make_slices_table, make_texts
from .volume_nodes import check_ct, find_ct, make_ct, make_lam

_BOXES_PER_STEP = 25

Steps = Generator[tuple[float, str], None, SceneNodes]


def add_to_scene(
    analysis: Analysis,
    scene: Any = None,
    ct_node: Any = None,
    *,
    color_map: str | None = None,
    max_boxes: int = MAX_BOXES,
) -> SceneNodes:
    """Add the results to a scene; those of an earlier run on the same CT are replaced, no other is touched.

    scene: vtkMRMLScene; default: the scene of ``ct_node``, or Slicer's.
    ct_node: the volume that was analyzed. None: a node is made from ``analysis.ct``, in a lung window.
    color_map: of the LAM, ``jet``, ``viridis`` or ``inferno``; None: as in an earlier run, else ``jet``.
    max_boxes: the most lesions, largest first, that get a box; the tables and the list of peaks hold all.

    The user's names and colors of clusters are kept if the model is the same; exports made of earlier results
    (segmentation, color volume) are removed, since they no longer match.

    No view is changed: see ``show_in_slice_views``. Raises ValueError when ``ct_node`` is not (or no longer) the volume
    that was analyzed, and RuntimeError when there is no scene; partial results are then removed.
    """
    scene = scene or (ct_node.GetScene() if ct_node is not None else current_scene())
    steps = add_to_scene_steps(analysis, scene, ct_node, color_map=color_map, max_boxes=max_boxes)
    with batch(scene):
        return run_to_end(steps)


def add_to_scene_steps(
    analysis: Analysis,
    scene: Any = None,
    ct_node: Any = None,
    *,
    color_map: str | None = None,
    max_boxes: int = MAX_BOXES,
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
    return _steps(analysis, scene, ct_node, color_map, max_boxes)


def _steps(analysis: Analysis, scene: Any, ct_node: Any, color_map: str | None, max_boxes: int) -> Steps:
    factory = new_ct = None
    try:
        with batch(scene):
            ct = ct_node or find_ct(scene, analysis)  # no volume appears twice
            if ct is None:
                ct = new_ct = make_ct(scene, analysis)
            factory = ResultNodeFactory(scene, ct)
            builder = _SceneBuilder(factory, analysis, color_map, max_boxes)
        steps = builder.steps()
        for done, (message, step) in enumerate(steps):
            yield done / len(steps), message
            if not scene.IsNodePresent(ct):
                raise RuntimeError("The CT is no longer in the scene: its results were not added.")
            with batch(scene):
                step()
        return SceneNodes(**builder.nodes)
    except BaseException:
        with batch(scene):
            if factory is not None:
                remove_results(scene, factory.ct)
                remove_nodes(scene, factory.made)  # the user may have removed the CT
            remove_nodes(scene, [new_ct] if new_ct else [])
        raise


class _SceneBuilder:
    """Makes the nodes of one analysis; ``nodes`` are the fields of its ``SceneNodes`` so far."""

    def __init__(self, factory: ResultNodeFactory, analysis: Analysis, color_map: str | None, max_boxes: int):
        self.factory, self.color_map = factory, color_map
        unchanged = ClusterEdits.none(analysis)
        previous = next((read_edits(text, analysis) for text in factory.earlier("analysis")), unchanged)
        self.edits = previous.carried_to(analysis)
        self.analysis = self.edits.apply(analysis)
        self.boxed = largest(self.analysis.lesions, max_boxes)
        self.box_style = previous_style(factory)
        notes, total = analysis.warnings, len(analysis.lesions)
        if len(self.boxed) < total:
            notes += (f"Only the {len(self.boxed)} largest of {total} lesions have a box; the table has all.",)
        self.nodes: dict[str, Any] = {"ct": factory.ct, "boxes": {}, "notes": notes}

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """A message and a function for each step, in order."""
        starts = range(0, len(self.boxed), _BOXES_PER_STEP)
        boxes = [self.boxed[start : start + _BOXES_PER_STEP] for start in starts]
        return [
            ("Adding the lesion activation map", self._lam),
            ("Adding the lesion map", self._labels),
            ("Adding the tables", self._tables),
            ("Storing the analysis", self._texts),
            *[("Adding the boxes", lambda lesions=lesions: self._boxes(lesions)) for lesions in boxes],
            ("Removing outdated results", self._finish),
        ]

    def _lam(self) -> None:
        lam, colors, legend = make_lam(self.factory, self.analysis, self.color_map)
        self.nodes |= {"lam": lam, "colors": colors, "legend": legend}

    def _labels(self) -> None:
        labels, colors = make_labels(self.factory, self.analysis, self.edits)
        self.nodes |= {"labels": labels, "label_colors": colors}

    def _tables(self) -> None:
        slices = make_slices_table(self.factory, self.analysis)
        boxed = {lesion.id for lesion in self.boxed}
        lesions = make_lesions_table(self.factory, self.analysis, boxed, self.edits)
        chart, series = make_chart(self.factory, self.analysis, slices)
        self.nodes |= {"slices": slices, "lesions": lesions, "chart": chart, "series": series}

    def _texts(self) -> None:
        text, warnings = make_texts(self.factory, self.analysis, self.nodes["notes"])
        store_edits(text, self.edits)
        store_grid(text, self.factory.ct)
        peaks = make_peaks(self.factory, self.analysis, self.edits)
        self.nodes |= {"analysis": text, "warnings": warnings, "peaks": peaks}

    def _boxes(self, lesions: Sequence[Lesion]) -> None:
        self.nodes["boxes"] |= make_boxes(self.factory, lesions, self.edits, self.box_style)

    def _finish(self) -> None:
        self.nodes["folder"] = self.factory.finish()
