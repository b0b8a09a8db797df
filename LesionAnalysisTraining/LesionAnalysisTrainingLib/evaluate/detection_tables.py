"""The counts of ``evaluate detection`` and the tables from them: 5 and 6 of the paper, and a table of scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..metrics import auc
from ..metrics.detection_metrics import RATIOS, THRESHOLDS, SliceCounts, auc_within, detection_estimates, summarize
from .evaluation_report import Table
from .mapper import REGIONS
from .settings import DetectionSettings

Rates = Mapping[str, Mapping[str, float]]
_OVER = {"box": "the map's box (section 4.3.2)", "iou": "the union of both boxes (section 5.2)"}
_COLUMNS = {"hit box 0.5": "hit .5 of box", "hit iou 0.5": "hit .5 of union",
            "precision box 0.5": "precision .5 of box", "precision iou 0.5": "precision .5 of union",
            "boxes a slice": "boxes a slice", "pointing": "pointing",
            "area hit": "area hit", "dice": "Dice", "share error": "error of lung share"}  # fmt: skip
_HEADINGS = {"hit .5 of box": "hit rate, .5 of box", "hit .5 of union": "hit rate, .5 of union",
             "precision .5 of box": "precision, .5 of box", "precision .5 of union": "precision, .5 of union",
             "boxes a slice": "boxes per slice", "pointing": "pointing-game accuracy", "area hit": "pixel recall",
             "error of lung share": "error of involved lung fraction", "boxes by": "boxes from"}  # fmt: skip
_PAPER = ("The paper's table 6, on its own data at a threshold of .5: LAM 63 to 68 %, CAM 36 to 46 %, Norm-grad 34 to "
          "43 %.")  # fmt: skip
_MEANING = ("Hit rate: fraction of lesions that a box overlaps by more than half, with its peak in the overlap. "
            "Precision: fraction of boxes that hit a lesion. Pointing-game accuracy: fraction of peaks on a lesion. "
            "Pixel recall: marked fraction of the lesions' pixels. Error of involved lung fraction: mean absolute "
            "difference between the marked and the segmented fraction of the lungs. The method enhanced has contours "
            "of its own in place of Otsu's threshold. The oracle map is an upper bound at grid resolution: the mask, "
            "averaged over the cells of the grid.")  # fmt: skip


@dataclass(eq=False)
class DetectionCounts:
    """Counts so far; all lists but ``classified`` run over the slices with lesions."""

    counts: dict[tuple[str, str], list[SliceCounts]]  # by method and step
    oracles: dict[str, list[SliceCounts]] = field(default_factory=dict)  # by name; the grid in use comes first
    missed: list[SliceCounts] = field(default_factory=list)  # as if no map were shown
    positive: list[bool] = field(default_factory=list)  # whether the model calls the slice positive
    patients: list[str] = field(default_factory=list)
    classified: list[tuple[str, float, bool]] = field(default_factory=list)  # all slices: patient, probability, lesions

    def of_positive_slices(self, key: tuple[str, str]) -> list[SliceCounts]:
        """The counts of a method when slices that are called negative show no map."""
        return [c if p else m for c, m, p in zip(self.counts[key], self.missed, self.positive, strict=True)]


def rates(found: DetectionCounts) -> dict[str, dict[str, float]]:
    """All figures of each row: methods with both steps on every slice with lesions, then the oracle maps.

    Between them the first method again, with the maps of slices called positive only.
    """
    rows = {", ".join(key): summarize(counts) for key, counts in found.counts.items()}
    first = next(iter(found.counts))
    rows[f"{first[0]}, positive slices only"] = summarize(found.of_positive_slices(first))
    return rows | {name: summarize(counts) for name, counts in found.oracles.items()}


def tables(found: DetectionCounts, figures: Rates, oracle: str, settings: DetectionSettings) -> list[Table]:
    """Table 6 for every slice with lesions and for those called positive, table 5 by both ratios, precision."""
    def cells(counts: list[SliceCounts]) -> list[dict[str, float | None]]:
        estimates = detection_estimates(counts, found.patients, settings.rounds, settings.seed)
        return [estimates[name].to_dict() for name in _COLUMNS]

    methods = [[*key, *cells(counts)] for key, counts in found.counts.items()]
    methods.append([oracle, REGIONS, *cells(found.oracles[oracle])])
    positive = [[key[0], *cells(found.of_positive_slices(key))] for key in found.counts if key[1] == REGIONS]
    names = {"hit": ("hits", "Hit rate by threshold (table 5)"), "precision": ("precision", "Precision by threshold")}
    return [
        Table("methods", "Every slice with lesions (table 6)", ["method", "boxes by", *_COLUMNS.values()], methods,
              f"{_MEANING} With 95 % intervals from a patient-level bootstrap. {_PAPER}", digits=2,
              headings=_HEADINGS),
        Table("positive_slices", f"The {sum(found.positive)} slices called positive only: what a user sees",
              ["method", *_COLUMNS.values()], positive,
              "Lesions of slices that are called negative count as missed.", digits=2, headings=_HEADINGS),
        *(_by_threshold(*names[figure], figure, ratio, figures) for figure in names for ratio in RATIOS),
    ]  # fmt: skip


def _by_threshold(name: str, title: str, figure: str, ratio: str, figures: Rates) -> Table:
    rows = [[row, *(float(values[f"{figure} {ratio} {t}"]) for t in THRESHOLDS)] for row, values in figures.items()]
    return Table(f"{name}_{ratio}", f"{title}: overlap over {_OVER[ratio]} above",
                 ["map", *(f"{t:.1f}" for t in THRESHOLDS)], rows, digits=2, printed=figure == "hit")  # fmt: skip


def scans(found: DetectionCounts, unseen: set[str], threshold: float) -> Table | None:
    """Slices with against those without lesions, scan by scan; None if every slice has lesions."""
    known = [entry for entry in found.classified if not np.isnan(entry[1])]
    lesions = np.array([entry[2] for entry in known], bool)
    if lesions.all():
        return None
    groups, scores = np.array([entry[0] for entry in known]), np.array([entry[1] for entry in known])

    def row(name: str, training: str | None, here: np.ndarray) -> list[Any]:
        true, called = lesions[here], scores[here] >= threshold
        return [name, training, int(true.sum()), int((~true).sum()), auc(true, scores[here]), _mean(called[true]),
                _mean(~called[~true])]  # fmt: skip

    names = np.unique(groups).tolist()
    rows = [row(name, "no" if name in unseen else "yes", groups == name) for name in names]
    if len(rows) == len(known):  # without patients every slice is its own scan
        rows = []
    rows.append(row("all", None, np.ones(len(known), bool)))
    rows.append(["pairs of one scan", None, None, None, auc_within(lesions, scores, groups), None, None])
    left_out = len(found.classified) - len(known)
    note = f"{left_out} slices without lungs are left out. " if left_out else ""
    note += ("The last row counts pairs of slices of the same scan only, so that differences between scans do not "
             "count. A scan counts as used for training unless the model or --unseen says otherwise.")  # fmt: skip
    columns = ["scan", "in training", "infected", "clean", "AUC", "sensitivity", "specificity"]
    return Table("scans", "Slices with lesions against slices without", columns, rows, note, digits=2,
                 headings={"infected": "slices with lesions", "clean": "slices without lesions"})  # fmt: skip


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
