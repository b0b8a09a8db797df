"""From the display settings of the panel to the scene: map, boxes, labels, peaks, legend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from LesionAnalysisLib import scene

from .choices import COLOR_SCALES

_SETTINGS = ("lamOpacity", "lamThreshold", "colorScale", "showBoxes", "showLabels", "showPeaks", "showLegend")


class Display:
    """Applies what changed since the last time; a scene with hundreds of boxes is not redrawn for nothing."""

    def __init__(self) -> None:
        self._applied: dict[str, Any] = {}

    def forget(self) -> None:
        """Apply everything the next time: other results are shown now."""
        self._applied = {}

    def apply(self, nodes: Any, parameters: Any, shown: Iterable[int]) -> None:
        """Bring the results ``nodes`` to the settings of the parameter node.

        shown: ids of the lesions that the filter of the table lets through.
        """
        settings = {name: getattr(parameters, name) for name in _SETTINGS}
        settings["shown"] = frozenset(shown)
        changed = {name for name, value in settings.items() if self._applied.get(name) != value}
        self._applied = settings
        if "lamThreshold" in changed:
            scene.set_lam_threshold(nodes, settings["lamThreshold"])
        if "colorScale" in changed:
            self._color(nodes, COLOR_SCALES[settings["colorScale"]])
        if changed & {"lamOpacity", "colorScale"}:
            scene.set_lam_opacity(nodes, settings["lamOpacity"])
        if changed & {"showLegend", "colorScale"}:
            byHeat = COLOR_SCALES[settings["colorScale"]] != "clusters"
            scene.set_legend_visible(nodes, settings["showLegend"] and byHeat)
        if changed & {"showBoxes", "shown"}:
            scene.set_boxes_visible(nodes, settings["showBoxes"], settings["shown"])
        if "showLabels" in changed:
            scene.set_box_labels_visible(nodes, settings["showLabels"])
        if changed & {"showPeaks", "shown"}:
            scene.set_peaks_visible(nodes, settings["showPeaks"], settings["shown"])

    @staticmethod
    def _color(nodes: Any, scale: str) -> None:
        scene.show_clusters(nodes, scale == "clusters")
        if scale != "clusters":
            scene.set_color_map(nodes, scale)
