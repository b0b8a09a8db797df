"""``evaluate diagnosis``: how well models classify slices (sections 4.3.1, 5.1 and 6.2)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from LesionAnalysisLib.model.bundle import ModelBundle

from .. import plots
from ..dataset.data_files import listed
from ..metrics import Estimate, diagnosis_figures, pr_curve, roc_curve
from ..metrics.diagnosis_metrics import class_figures, decide, threshold_table
from ..metrics.significance import auc_difference, delong, mcnemar
from .evaluation_report import Plot, Report, Table
from .settings import DiagnosisSettings
from .slice_predictions import LabeledSlices, labeled_slices, predict

_COLUMNS = {"accuracy": "accuracy", "sensitivity": "recall", "specificity": "specificity", "precision": "precision",
            "f1": "F1", "auc": "AUC", "ap": "AP"}  # fmt: skip
_READ = 0.1  # fraction of the time that reading takes
_INTERVALS = "95 % intervals from a patient-level bootstrap; none where a class has a single patient."


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's probabilities for n slices, in the classes of the data if it has them, else disease against rest."""

    name: str
    bundle: ModelBundle
    classes: tuple[str, ...]
    truth: np.ndarray  # (n,) indices of classes
    table: np.ndarray  # (n, C)
    positive: int
    threshold: float

    @property
    def given(self) -> np.ndarray:
        """(n,) the class given to each slice."""
        return decide(self.table, self.positive, self.threshold)


def evaluate_diagnosis(folders: Sequence[str | os.PathLike], bundles: Sequence[ModelBundle],
                       settings: DiagnosisSettings, progress: Callable[[float, str], None]) -> Report:  # fmt: skip
    """Measure models on labeled slices laid out as for ``train``.

    Raises ValueError if the data or a model cannot be used, in one sentence.
    """
    data = labeled_slices(folders, settings.split, settings.disease, settings.workers,
                          lambda f, m="": progress(_READ * f, m))  # fmt: skip
    step = (1 - _READ) / len(bundles)
    tables, reasons = [], [None] * len(data.samples)
    for i, bundle in enumerate(bundles):
        def part(fraction: float, message: str = "", i: int = i, bundle: ModelBundle = bundle) -> None:
            progress(_READ + step * (i + fraction), f"{bundle.id}: {message}")

        table, why = predict(bundle, data.samples, settings.device, settings.workers, part)
        tables.append(table)
        reasons = [one or other for one, other in zip(reasons, why, strict=True)]
    usable = np.array([reason is None for reason in reasons])
    notes = [*data.notes, *(f"{count} slices are left out: {reason}"
                            for reason, count in Counter(filter(None, reasons)).items())]  # fmt: skip
    if not usable.any():
        raise ValueError(f"No slice can be analyzed: {listed(dict.fromkeys(reasons))}")
    data = data.only(usable)
    predictions = [_predictions(name, bundle, table[usable], data, settings.threshold)
                   for name, bundle, table in zip(_names(bundles), bundles, tables, strict=True)]  # fmt: skip
    return _report(data, predictions, settings, notes)


def _names(bundles: Sequence[ModelBundle]) -> list[str]:
    """One name for each model; models of equal id get a number."""
    ids = [b.id for b in bundles]
    return [b.id if ids.count(b.id) == 1 else f"{b.id} ({1 + ids[:i].count(b.id)})" for i, b in enumerate(bundles)]


def _predictions(name: str, bundle: ModelBundle, table: np.ndarray, data: LabeledSlices,
                 threshold: float | None) -> Predictions:  # fmt: skip
    """Map a model's classes to those of the data."""
    threshold = bundle.threshold if threshold is None else threshold
    disease, last = bundle.positive, len(data.classes) - 1
    if len(bundle.classes) == len(data.classes) == 3:
        places = _matching(bundle.classes, data.classes, disease)
        return Predictions(name, bundle, data.classes, data.labels, table[:, places], last, threshold)
    probability = table[:, disease]
    if len(data.classes) == 2:
        classes, truth = data.classes, data.labels
    else:
        classes, truth = ("other", data.classes[last]), (data.labels == last).astype(int)
    return Predictions(name, bundle, classes, truth, np.column_stack([1 - probability, probability]), 1, threshold)


def _matching(own: Sequence[str], given: Sequence[str], disease: int) -> list[int]:
    """For each class of the data, its index in the model; the last, the disease, need not have the same name."""
    plain, wanted = (["".join(filter(str.isalnum, name.casefold())) for name in names] for names in (own, given[:-1]))
    places = [plain.index(name) if name in plain else disease for name in wanted]
    if disease in places:
        raise ValueError(f"The model's classes are {listed(own)}, those of the data {listed(given)}: name the "
                         "folders like the model's classes.")  # fmt: skip
    return [*places, disease]


def _report(data: LabeledSlices, predictions: list[Predictions], settings: DiagnosisSettings,
            notes: list[str]) -> Report:  # fmt: skip
    rounds, seed, sources = settings.rounds, settings.seed, sorted(set(data.sources.tolist()))
    figures = {one.name: diagnosis_figures(one.truth, one.table, data.patients, data.sources, one.positive,
                                           one.threshold, rounds, seed) for one in predictions}  # fmt: skip
    counts = ", ".join(f"{np.sum(data.labels == c)} {name}" for c, name in enumerate(data.classes))
    notes.append("The figures are unbiased only for slices untouched by training, which cannot be checked here.")
    unknown = len({s.path for s in data.samples if not s.patient_known})
    if unknown:
        notes.append(f"The patients of {unknown} files are unknown: each counts as a patient, so intervals may be too "
                     "narrow.")  # fmt: skip
    tables = [_overall(predictions, figures), *([_by_source(predictions, figures)] if len(sources) > 1 else []),
              _by_class(data, predictions, rounds, seed), _confusions(predictions, figures)]  # fmt: skip
    if len(predictions) > 1:
        tables.append(_compared(data, predictions, rounds, seed))
    tables += [_by_threshold(one) for one in predictions if len(one.classes) == 3]
    several = len(predictions) > 1
    return Report(
        "diagnosis", "Diagnosis of slices",
        [("slices", f"{len(data.samples)}: {counts}"), ("patients", str(len(np.unique(data.patients)))),
         ("sources", listed(sources)), ("split", settings.split),
         *(("model", f"{o.name}: {o.bundle.title}; threshold {o.threshold:g}; checksum {o.bundle.checksum[:16]}")
           for o in predictions)],
        tables, [plot for one in predictions for plot in _curves(data, one, several, rounds, seed)], notes,
        {"figures": figures},
    )  # fmt: skip


def _row(metrics: dict[str, Any]) -> list[Any]:
    return [metrics[name] for name in _COLUMNS]


def _overall(predictions: list[Predictions], figures: dict) -> Table:
    rows = []
    for one in predictions:
        whole = figures[one.name]["rows"][0]
        overall = whole.get("overall_accuracy") or whole["metrics"]["accuracy"]
        rows.append([one.name, whole["slices"], whole["patients"], overall, *_row(whole["metrics"])[1:]])
    last = predictions[0].classes[-1]
    note = f"{last} against the rest; with three classes the accuracy is that of all three. {_INTERVALS}"
    return Table("diagnosis", "All slices", ["model", "slices", "patients", *_COLUMNS.values()], rows, note)


def _by_source(predictions: list[Predictions], figures: dict) -> Table:
    rows = [[one.name, row["source"], row["slices"], row["positives"], *_row(row["metrics"])]
            for one in predictions for row in figures[one.name]["rows"][1:]]  # fmt: skip
    return Table("sources", "By source", ["model", "source", "slices", "positives", *_COLUMNS.values()], rows,
                 f"The disease against the rest. {_INTERVALS}")  # fmt: skip


def _by_class(data: LabeledSlices, predictions: list[Predictions], rounds: int, seed: int) -> Table:
    rows = []
    for one in predictions:
        found = class_figures(one.truth, one.table, data.patients, one.positive, one.threshold, rounds, seed)
        rows += [[one.name, one.classes[row["class"]], row["slices"], *_row(row["metrics"])] for row in found]
    return Table("classes", "By class", ["model", "class", "slices", *_COLUMNS.values()], rows,
                 f"Each class against the rest. {_INTERVALS}")  # fmt: skip


def _confusions(predictions: list[Predictions], figures: dict) -> Table:
    rows = []
    for one in predictions:
        confusion = figures[one.name]["rows"][0]["confusion"]
        rows += [[one.name, name, called, confusion[i][j]] for i, name in enumerate(one.classes)
                 for j, called in enumerate(one.classes)]  # fmt: skip
    return Table("confusion", "Confusion matrix", ["model", "is", "is called", "slices"], rows,
                 headings={"is": "true class", "is called": "predicted class"})  # fmt: skip


def _compared(data: LabeledSlices, predictions: list[Predictions], rounds: int, seed: int) -> Table:
    rows = []
    for first, second in combinations(predictions, 2):
        if len(first.classes) == len(second.classes):
            right = first.given == first.truth, second.given == second.truth
        else:  # disease against the rest
            sick = first.truth == first.positive
            right = tuple((one.given == one.positive) == sick for one in (first, second))
        mc = mcnemar(*right)
        truth = first.truth == first.positive
        scores = first.table[:, first.positive], second.table[:, second.positive]
        areas = delong(truth, *scores)
        independent = Estimate(areas.difference, areas.low, areas.high).to_dict()
        resampled = Estimate(*auc_difference(truth, *scores, data.patients, rounds, seed)[:3]).to_dict()
        rows.append([first.name, second.name, mc.first_only, mc.second_only, mc.p, independent, areas.p, resampled])
    return Table(
        "comparison", "Comparison of models",
        ["model", "other", "only model right", "only other right", "McNemar p", "AUC difference (DeLong)", "DeLong p",
         "AUC difference (patients)"], rows,
        "McNemar's exact test and DeLong's take slices as independent. The last column is from a patient-level "
        "bootstrap: models are significantly different if its 95 % CI excludes 0.", digits=4,
        headings={"only model right": "only model correct", "only other right": "only other correct"},
    )  # fmt: skip


def _by_threshold(one: Predictions) -> Table:
    rows = [[f"{row['threshold']:.1f}", *row["recognized"], *row["accuracy"]]
            for row in threshold_table(one.truth, one.table)]  # fmt: skip
    columns = ["threshold", *(f"{name} recognized" for name in one.classes),
               *(f"{name} accuracy" for name in one.classes)]  # fmt: skip
    return Table(f"thresholds_{_file(one.name)}", f"Three classes by threshold (table 8): {one.name}", columns, rows,
                 "Recognized: fraction of a class's slices whose largest probability is the class's and reaches the "
                 "threshold. Accuracy: of the class against the rest by the same rule.")  # fmt: skip


def _curves(data: LabeledSlices, one: Predictions, several: bool, rounds: int, seed: int) -> list[Plot]:
    """Figure 6: one panel for each source, and one for all of them."""
    truth, score = one.truth == one.positive, one.table[:, one.positive]
    sources = sorted(set(data.sources.tolist()))
    chosen = {source: data.sources == source for source in sources}
    if len(sources) > 1:
        chosen = {"all": np.ones(len(truth), bool), **chosen}
    found = []
    for name, title, curve, draw in (("pr", "PR curves", pr_curve, plots.draw_pr),
                                     ("roc", "ROC curves", roc_curve, plots.draw_roc)):  # fmt: skip
        curves = {source: curve(truth[here], score[here], data.patients[here], rounds, seed)
                  for source, here in chosen.items()}  # fmt: skip
        ending, words = (f"_{_file(one.name)}", f": {one.name}") if several else ("", "")
        found.append(Plot(f"{name}{ending}", f"{title} (figure 6){words}", partial(draw, curves=curves)))
    return found


def _file(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)
