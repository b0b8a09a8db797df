"""The tables of ``evaluate detection``: 5 and 6 of the paper, and infected against clean slices of each scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics import auc
from ..metrics.detection_metrics import RATIOS, THRESHOLDS, auc_within, detection_estimates, summarize
from .mapper import REGIONS
from .report_tables import Ranged, Table

if TYPE_CHECKING:
    from .detection_results import Found

Rates = Mapping[str, Mapping[str, float]]
_OVER = {"box": "the map's box (section 4.3.2)", "iou": "the union of both boxes (section 5.2)"}
_FIGURES = {"hit box 0.5": "hit .5 of box", "hit iou 0.5": "hit .5 of union",
            "precision box 0.5": "precision .5 of box", "precision iou 0.5": "precision .5 of union",
            "boxes a slice": "boxes a slice", "pointing": "pointing",
            "area hit": "area hit", "dice": "Dice", "share error": "error of lung share"}  # fmt: skip
_PAPER = ("The paper's table 6, on its own data at a threshold of .5: LAM 63 to 68 %, CAM 36 to 46 %, Norm-grad 34 to "
          "43 %.")  # fmt: skip
_MEANING = ("Hit: share of lesions that a box overlaps by more than half and whose peak lies in the overlap. Pointing: "
            "share of peaks on a lesion. Area hit: share of the lesions' pixels that are marked. Error of lung share: "
            "mean absolute difference between the marked and the drawn share of the lungs. The step of the method "
            "enhanced is its contours in place of Otsu's threshold.")  # fmt: skip


def row_name(method: str, step: str) -> str:
    """How a method with a step is called in the tables."""
    return f"{method}, {step}"


def rates(found: Found) -> dict[str, dict[str, float]]:
    """All figures of every row: methods with both steps on every slice with lesions, then the ceilings.

    Between them stands the first method once more, with the maps of slices called positive only.
    """
    rows = {row_name(*key): summarize(counts) for key, counts in found.counts.items()}
    first = next(iter(found.counts))
    rows[f"{first[0]}, positive slices only"] = summarize(_called(found, first))
    return rows | {name: summarize(counts) for name, counts in found.ceilings.items()}


def tables(found: Found, figures: Rates, ceiling: str, rule: tuple[int, int]) -> list[Table]:
    """Table 6 for every slice with lesions and for those called positive, table 5 by both ratios, precision."""
    found_tables = [_methods(found, ceiling, rule), _positive(found, rule)]
    found_tables += [_thresholds("hits", "hit", "share of lesions hit (table 5)", ratio, figures) for ratio in RATIOS]
    for ratio in RATIOS:
        found_tables.append(_thresholds("precision", "precision", "share of boxes that hit", ratio, figures))
    return found_tables


def _methods(found: Found, ceiling: str, rule: tuple[int, int]) -> Table:
    rows = [[method, step, *_cells(counts, found.patients, rule)] for (method, step), counts in found.counts.items()]
    rows.append([ceiling, REGIONS, *_cells(found.ceilings[ceiling], found.patients, rule)])
    return Table("methods", "Every slice with lesions (table 6)", ["method", "boxes by", *_FIGURES.values()], rows,
                 f"{_MEANING} With 95 % intervals over patients. {_PAPER}", digits=2)  # fmt: skip


def _positive(found: Found, rule: tuple[int, int]) -> Table:
    rows = []
    for method, step in found.counts:
        if step == REGIONS:
            rows.append([method, *_cells(_called(found, (method, step)), found.patients, rule)])
    return Table("positive_slices", f"Maps of the {sum(found.positive)} slices called positive only: what a user sees",
                 ["method", *_FIGURES.values()], rows,
                 "Lesions of slices that are called negative count as missed.", digits=2)  # fmt: skip


def _called(found: Found, key: tuple[str, str]) -> list:
    """The counts of a method where slices that are called negative show nothing."""
    return [c if p else m for c, m, p in zip(found.counts[key], found.missed, found.positive, strict=True)]


def _cells(counts: list, patients: list[str], rule: tuple[int, int]) -> list[Ranged]:
    estimates = detection_estimates(counts, patients, *rule)
    return [Ranged.of(estimates[name]) for name in _FIGURES]


def _thresholds(name: str, kind: str, meaning: str, ratio: str, figures: Rates) -> Table:
    rows = [[row, *(float(values[f"{kind} {ratio} {t}"]) for t in THRESHOLDS)] for row, values in figures.items()]
    return Table(f"{name}_{ratio}", f"{meaning[0].upper()}{meaning[1:]}: overlap over {_OVER[ratio]} above",
                 ["map", *(f"{t:.1f}" for t in THRESHOLDS)], rows, digits=2, printed=kind == "hit")  # fmt: skip


def scans(found: Found, unseen: set[str], threshold: float) -> Table | None:
    """Infected against clean slices of each scan; None where no slice is clean."""
    judged = [entry for entry in found.judged if not np.isnan(entry[1])]
    infected = np.array([entry[2] for entry in judged], bool)
    if infected.all():
        return None
    groups, scores = np.array([entry[0] for entry in judged]), np.array([entry[1] for entry in judged])
    rows = [_scan(name, "no" if name in unseen else "yes", groups == name, infected, scores, threshold)
            for name in np.unique(groups).tolist()]  # fmt: skip
    if len(rows) == len(judged):  # without patients every slice is its own scan
        rows = []
    rows.append(_scan("all", None, np.ones(len(judged), bool), infected, scores, threshold))
    rows.append(["pairs of one scan", None, None, None, auc_within(infected, scores, groups), None, None])
    left_out = len(found.judged) - len(judged)
    note = f"{left_out} slices without lungs are left out. " if left_out else ""
    note += ("The last row counts pairs of slices of the same scan only: scans of other brightness do not compete. A "
             "scan counts as trained on unless the model or --unseen says otherwise.")  # fmt: skip
    columns = ["scan", "in training", "infected", "clean", "AUC", "sensitivity", "specificity"]
    return Table("scans", "Infected against clean slices", columns, rows, note, digits=2)


def _scan(name: str, training: str | None, here: np.ndarray, infected: np.ndarray, scores: np.ndarray,
          threshold: float) -> list[Any]:  # fmt: skip
    sick, called = infected[here], scores[here] >= threshold
    return [name, training, int(sick.sum()), int((~sick).sum()), auc(sick, scores[here]), _mean(called[sick]),
            _mean(~called[~sick])]  # fmt: skip


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
