"""Applies the display settings of the panel to the scene: map, boxes, labels, peaks, legend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from LesionAnalysisLib import scene
from slicer.i18n import tr as _

_SETTINGS = ("lamOpacity", "lamThreshold", "colorScale", "showBoxes", "showLabels", "showPeaks", "showLegend")


def labelColorScales(comboBox: Any) -> None:
    """Replace the parameter's values in the combo box by what a user reads."""
    labels = {
        "jet": _("Jet (as in the paper)"),
        "viridis": _("Viridis (perceptually uniform)"),
        "inferno": _("Inferno (perceptually uniform)"),
        "clusters": _("Lesion clusters"),
    }
    for index in range(comboBox.count):
        comboBox.setItemText(index, labels[comboBox.itemText(index)])


class DisplayControls:
    """Applies only the settings that changed: redrawing hundreds of boxes takes time."""

    def __init__(self) -> None:
        self._applied: dict[str, Any] = {}

    def reset(self) -> None:
        """Apply all settings the next time, for other results are shown."""
        self._applied = {}

    def apply(self, nodes: Any, parameters: Any, visible: Iterable[int]) -> None:
        """Apply the settings of the parameter node to the results ``nodes``.

        visible: ids of the lesions that pass the filter of the table.
        """
        settings = {name: getattr(parameters, name) for name in _SETTINGS} | {"visible": frozenset(visible)}
        changed = {name for name, value in settings.items() if self._applied.get(name) != value}
        self._applied = settings
        byCluster = settings["colorScale"] == "clusters"
        if "lamThreshold" in changed:
            scene.set_lam_threshold(nodes, settings["lamThreshold"])
        if "colorScale" in changed:
            scene.show_clusters(nodes, byCluster)
            if not byCluster:
                scene.set_color_map(nodes, settings["colorScale"])
        if changed & {"lamOpacity", "colorScale"}:
            scene.set_lam_opacity(nodes, settings["lamOpacity"])
        if changed & {"showLegend", "colorScale"}:
            scene.set_legend_visible(nodes, settings["showLegend"] and not byCluster)
        if changed & {"showBoxes", "visible"}:
            scene.set_boxes_visible(nodes, settings["showBoxes"], settings["visible"])
        if "showLabels" in changed:
            scene.set_box_labels_visible(nodes, settings["showLabels"])
        if changed & {"showPeaks", "visible"}:
            scene.set_peaks_visible(nodes, settings["showPeaks"], settings["visible"])
