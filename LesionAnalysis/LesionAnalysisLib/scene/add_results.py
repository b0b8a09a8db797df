"""One analysis in a scene: all of its nodes, made in one go or step by step, or found again after loading."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from ..results import Analysis, Lesion
from ..steps import run_to_end
from .analysis_grid import keep_grid
from .boxes import MAX_BOXES, earlier_look, make_boxes, make_peaks, strongest
from .color_maps import check_color_map
from .labels import make_labels
from .mrml import batch, current_scene, register_classes
from .ownership import ResultNodeFactory, remove_nodes, remove_results
from .scene_nodes import SceneNodes
from .stored_edits import ClusterEdits, keep_edits, read_edits
from .table_nodes import make_chart, make_lesions_table, make_slices_table, make_texts
from .volume_nodes import check_ct, find_ct, make_ct, make_lam

_BOXES_AT_ONCE = 25  # so many are made in one step




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
    max_boxes: so many of the largest lesions get a box; the tables and the list of peaks hold all.

    The user's names and colors of clusters stay where the model is the same; exports made of earlier results
    (segmentation, color volume) are removed, for they no longer fit.

    No view is changed: see ``show_in_slice_views``. Raises ValueError when ``ct_node`` is not (or no longer)
    the volume that was analyzed, and RuntimeError when there is no scene. Nothing half-made is left then.
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
    """The same as a generator of (share done, what comes next), so that a window stays alive in between.

    The scene is in its batch-processing state within a step only. A step that fails, and a generator that is
    closed before its end, take all results of this CT with them. Raises as ``add_to_scene``, at once; and
    RuntimeError in a step where the CT was removed or the scene closed meanwhile.
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
            ct = ct_node or find_ct(scene, analysis)  # no volume is ever shown twice
            if ct is None:
                ct = new_ct = make_ct(scene, analysis)
            factory = ResultNodeFactory(scene, ct)
            filling = _Filling(factory, analysis, color_map, max_boxes)
        parts = filling.parts()
        for done, (message, part) in enumerate(parts):
            yield done / len(parts), message
            if not scene.IsNodePresent(ct):
                raise RuntimeError("The CT is no longer in the scene: its results were not added.")
            with batch(scene):
                part()
        return SceneNodes(**filling.made)
    except BaseException:
        with batch(scene):
            if factory is not None:
                remove_results(scene, factory.ct)
                remove_nodes(scene, factory.made)  # the user may have removed the CT
            remove_nodes(scene, [new_ct] if new_ct else [])
        raise




class _Filling:
    """The nodes of one analysis in the making; ``made`` are the fields of its ``SceneNodes``."""

    def __init__(self, factory: ResultNodeFactory, analysis: Analysis, color_map: str | None, max_boxes: int):
        self.factory, self.color_map = factory, color_map
        self.edits = _kept_edits(factory, analysis)
        self.analysis = self.edits.apply(analysis)
        self.shown = strongest(self.analysis.lesions, max_boxes)
        notes = analysis.warnings + _too_many(len(self.shown), len(analysis.lesions))
        self.look = earlier_look(factory)
        self.made: dict[str, Any] = {"ct": factory.ct, "boxes": {}, "notes": notes}

    def parts(self) -> list[tuple[str, Callable[[], None]]]:
        """What is to be done, in order: a message and a function for each part."""
        boxes = [self.shown[start : start + _BOXES_AT_ONCE] for start in range(0, len(self.shown), _BOXES_AT_ONCE)]
        return [
            ("Adding the lesion activation map", self._lam),
            ("Adding the lesion map", self._labels),
            ("Filling the tables", self._tables),
            ("Keeping the analysis", self._texts),
            *[("Drawing the boxes", lambda lesions=lesions: self._boxes(lesions)) for lesions in boxes],
            ("Tidying up", self._finish),
        ]

    def _lam(self) -> None:
        lam, colors, legend = make_lam(self.factory, self.analysis, self.color_map)
        self.made |= {"lam": lam, "colors": colors, "legend": legend}

    def _labels(self) -> None:
        labels, colors = make_labels(self.factory, self.analysis, self.edits)
        self.made |= {"labels": labels, "label_colors": colors}

    def _tables(self) -> None:
        slices = make_slices_table(self.factory, self.analysis)
        boxed = {lesion.id for lesion in self.shown}
        lesions = make_lesions_table(self.factory, self.analysis, boxed, self.edits)
        chart, series = make_chart(self.factory, self.analysis, slices)
        self.made |= {"slices": slices, "lesions": lesions, "chart": chart, "series": series}

    def _texts(self) -> None:
        text, warnings = make_texts(self.factory, self.analysis, self.made["notes"])
        keep_edits(text, self.edits)
        keep_grid(text, self.factory.ct)
        peaks = make_peaks(self.factory, self.analysis, self.edits)
        self.made |= {"analysis": text, "warnings": warnings, "peaks": peaks}

    def _boxes(self, lesions: Sequence[Lesion]) -> None:
        self.made["boxes"] |= make_boxes(self.factory, lesions, self.edits, self.look)

    def _finish(self) -> None:
        self.made["folder"] = self.factory.finish()


def _kept_edits(factory: ResultNodeFactory, analysis: Analysis) -> ClusterEdits:
    """The user's names and colors of an earlier run, as far as they fit the new one."""
    kept = next((read_edits(text) for text in factory.earlier("analysis")), None)
    return kept.carried_to(analysis) if kept else ClusterEdits.none(analysis)


def _too_many(shown: int, all_lesions: int) -> tuple[str, ...]:
    if shown == all_lesions:
        return ()
    return (f"Only the {shown} largest of {all_lesions} lesions have a box in the views; the table has all.",)
