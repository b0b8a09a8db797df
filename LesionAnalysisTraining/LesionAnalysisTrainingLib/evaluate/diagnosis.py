"""``evaluate diagnosis``: how well models tell slices apart (sections 4.3.1, 5.1 and 6.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from LesionAnalysisLib.model.bundle import ModelBundle

from .. import plots
from ..dataset.data_files import listed
from ..metrics import diagnosis_figures, pr_curve, roc_curve
from ..metrics.paired_bootstrap import auc_difference
from ..metrics.per_class import class_figures, decide, threshold_table
from ..metrics.significance import delong, mcnemar
from .evaluation_report import Plot, Report
from .report_tables import Ranged, Table
from .slice_predictions import Labeled, labeled_slices, predict

Progress = Callable[[float, str], None]
_COLUMNS = {"accuracy": "accuracy", "sensitivity": "recall", "specificity": "specificity", "precision": "precision",
            "f1": "F1", "auc": "AUC", "ap": "AP"}  # fmt: skip
_READ = 0.1  # share of the time that reading takes
INTERVALS = "With 95 % intervals over redrawn patients; none where a class has a single patient."


@dataclass(frozen=True, eq=False)
class Judged:
    """What one model says of n slices, in the classes of the data where it has them, else disease against the rest."""

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


def evaluate_diagnosis(folders: Sequence[str | os.PathLike], bundles: Sequence[ModelBundle], *, split: str = "all",
                       disease: str | None = None, threshold: float | None = None, device: str = "auto",
                       workers: int = 1, rounds: int = 400, seed: int = 0,
                       progress: Progress = lambda *_: None) -> Report:  # fmt: skip
    """Measure models on labeled slices laid out as for ``train``.

    Args:
        split: all, or the part of the manifest that is meant.
        disease: the class that is the disease; None: the one called like COVID-19.
        threshold: probability from which on a slice is positive; None: each model's own.
        rounds, seed: of the bootstrap over patients.

    Raises:
        ValueError: the data or a model cannot be used, in one sentence.
    """
    data = labeled_slices(folders, split, disease, workers, lambda f, m="": progress(_READ * f, m))
    step = (1 - _READ) / len(bundles)
    tables = []
    for i, bundle in enumerate(bundles):
        def part(fraction: float, message: str = "", i: int = i, bundle: ModelBundle = bundle) -> None:
            progress(_READ + step * (i + fraction), f"{bundle.id}: {message}")

        tables.append(predict(bundle, data.samples, device, workers, part))
    seen = np.all([np.isfinite(t).all(axis=1) for t in tables], axis=0)
    notes = list(data.notes)
    if not seen.all():
        notes.append(f"{np.count_nonzero(~seen)} slices in which a model finds no lungs to judge are left out.")
    if not seen.any():
        raise ValueError("No slice shows lungs that the models could judge.")
    data = data.only(seen)
    names = _names(bundles)
    judged = [_judged(name, bundle, table[seen], data, threshold)
              for name, bundle, table in zip(names, bundles, tables, strict=True)]  # fmt: skip
    return _report(data, judged, split, notes, rounds, seed)


def _names(bundles: Sequence[ModelBundle]) -> list[str]:
    """One name for each model; those of the same id are told apart by number."""
    ids = [b.id for b in bundles]
    return [b.id if ids.count(b.id) == 1 else f"{b.id} ({1 + ids[:i].count(b.id)})" for i, b in enumerate(bundles)]


def _judged(name: str, bundle: ModelBundle, table: np.ndarray, data: Labeled, threshold: float | None) -> Judged:
    """Bring a model's classes and those of the data together."""
    threshold = bundle.threshold if threshold is None else threshold
    disease, last = bundle.positive, len(data.classes) - 1
    if len(bundle.classes) == len(data.classes) == 3:
        places = _matching(bundle.classes, data.classes, disease)
        return Judged(name, bundle, data.classes, data.labels, table[:, places], last, threshold)
    probability = table[:, disease]
    if len(data.classes) == 2:
        classes, truth = data.classes, data.labels
    else:
        classes, truth = ("other", data.classes[last]), (data.labels == last).astype(int)
    return Judged(name, bundle, classes, truth, np.column_stack([1 - probability, probability]), 1, threshold)


def _matching(own: Sequence[str], given: Sequence[str], disease: int) -> list[int]:
    """For each class of the data, the index of the model's; the disease is the last and need not be called alike."""
    plain = ["".join(c for c in name.casefold() if c.isalnum()) for name in own]
    places = []
    for name in given[:-1]:
        text = "".join(c for c in name.casefold() if c.isalnum())
        if text not in plain or plain.index(text) == disease:
            raise ValueError(f"The model's classes are {listed(own)}, those of the data {listed(given)}: name the "
                             "folders like the model's classes.")  # fmt: skip
        places.append(plain.index(text))
    return [*places, disease]


def _report(data: Labeled, judged: list[Judged], split: str, notes: list[str], rounds: int, seed: int) -> Report:
    figures = {one.name: diagnosis_figures(one.truth, one.table, data.patients, data.sources, one.positive,
                                           one.threshold, rounds, seed) for one in judged}  # fmt: skip
    counts = ", ".join(f"{np.sum(data.labels == c)} {name}" for c, name in enumerate(data.classes))
    report = Report(
        "diagnosis", "Diagnosis of slices",
        [("slices", f"{len(data.samples)}: {counts}"), ("patients", str(len(np.unique(data.patients)))),
         ("sources", listed(sorted(set(data.sources.tolist())))), ("split", split),
         *(("model", f"{o.name}: {o.bundle.title}; positive from {o.threshold:g} on; checksum {o.bundle.checksum[:16]}")
           for o in judged)],
        notes=notes + _seen_notes(data, judged), metrics={"figures": figures},
    )  # fmt: skip
    report.tables = [_over_all(judged, figures), _by_class(data, judged, rounds, seed), _confusions(judged, figures)]
    if len(set(data.sources.tolist())) > 1:
        report.tables.insert(1, _by_source(judged, figures))
    if len(judged) > 1:
        report.tables.append(_compared(data, judged, rounds, seed))
    report.tables += [_by_threshold(one) for one in judged if len(one.classes) == 3]
    report.plots = [plot for one in judged for plot in _curves(data, one, len(judged) > 1, rounds, seed)]
    return report


def _seen_notes(data: Labeled, judged: list[Judged]) -> list[str]:
    """A model's own validation patients are held out; whether others were trained on, nothing in it says."""
    unknown = len({s.path for s in data.samples if not s.patient_known})
    notes = ["Figures hold for slices that took no part in a model's training; nothing here can check that."]
    if unknown:
        notes.append(f"The patients of {unknown} files are unknown: each counts as a patient, so intervals may be too "
                     "narrow.")  # fmt: skip
    return notes


def _row(metrics: dict[str, Any]) -> list[Ranged]:
    return [Ranged.of(metrics[name]) for name in _COLUMNS]


def _over_all(judged: list[Judged], figures: dict) -> Table:
    rows = []
    for one in judged:
        whole = figures[one.name]["rows"][0]
        overall = whole.get("overall_accuracy") or whole["metrics"]["accuracy"]
        rows.append([one.name, whole["slices"], whole["patients"], Ranged.of(overall), *_row(whole["metrics"])[1:]])
    last = judged[0].classes[-1]
    note = f"{last} against the rest; of three classes the accuracy is that of all three. {INTERVALS}"
    return Table("diagnosis", "Over all slices", ["model", "slices", "patients", *_COLUMNS.values()], rows, note)


def _by_source(judged: list[Judged], figures: dict) -> Table:
    rows = [[one.name, row["source"], row["slices"], row["positives"], *_row(row["metrics"])]
            for one in judged for row in figures[one.name]["rows"][1:]]  # fmt: skip
    return Table("sources", "By source", ["model", "source", "slices", "positives", *_COLUMNS.values()], rows,
                 f"The disease against the rest. {INTERVALS}")  # fmt: skip


def _by_class(data: Labeled, judged: list[Judged], rounds: int, seed: int) -> Table:
    rows = []
    for one in judged:
        found = class_figures(one.truth, one.table, data.patients, one.positive, one.threshold, rounds, seed)
        rows += [[one.name, one.classes[row["class"]], row["slices"], *_row(row["metrics"])] for row in found]
    return Table("classes", "By class", ["model", "class", "slices", *_COLUMNS.values()], rows,
                 f"Each class against the rest. {INTERVALS}")  # fmt: skip


def _confusions(judged: list[Judged], figures: dict) -> Table:
    rows = []
    for one in judged:
        confusion = figures[one.name]["rows"][0]["confusion"]
        rows += [[one.name, name, called, confusion[i][j]] for i, name in enumerate(one.classes)
                 for j, called in enumerate(one.classes)]  # fmt: skip
    return Table("confusion", "Confusion", ["model", "is", "is called", "slices"], rows)


def _compared(data: Labeled, judged: list[Judged], rounds: int, seed: int) -> Table:
    rows = []
    for first, second in combinations(judged, 2):
        if len(first.classes) == len(second.classes):
            right = first.given == first.truth, second.given == second.truth
        else:  # disease against the rest
            sick = first.truth == first.positive
            right = tuple((one.given == one.positive) == sick for one in (first, second))
        mc = mcnemar(*right)
        truth = first.truth == first.positive
        scores = first.table[:, first.positive], second.table[:, second.positive]
        areas = delong(truth, *scores)
        difference = Ranged.of(auc_difference(truth, *scores, data.patients, rounds, seed))
        known = {name: None if np.isnan(value) else value for name, value in asdict(areas).items()}
        rows.append([first.name, second.name, mc.first_only, mc.second_only, mc.p,
                     Ranged(known["difference"], known["low"], known["high"]), known["p"], difference])  # fmt: skip
    return Table(
        "comparison", "Models against each other",
        ["model", "other", "only model right", "only other right", "McNemar p", "AUC difference (DeLong)", "DeLong p",
         "AUC difference (patients)"], rows,
        "McNemar's exact test and DeLong's take slices as independent; the last column redraws patients, which is the "
        "safer judgment.", digits=4,
    )  # fmt: skip


def _by_threshold(one: Judged) -> Table:
    rows = [[f"{row['threshold']:.1f}", *row["recognized"], *row["accuracy"]]
            for row in threshold_table(one.truth, one.table)]  # fmt: skip
    columns = ["threshold", *(f"{name} recognized" for name in one.classes),
               *(f"{name} accuracy" for name in one.classes)]  # fmt: skip
    return Table(f"thresholds_{_file(one.name)}", f"Three classes by threshold (table 8): {one.name}", columns, rows,
                 "Recognized: share of a class's slices whose largest probability is the class's and reaches the "
                 "threshold. Accuracy: of the class against the rest by the same rule.")  # fmt: skip


def _curves(data: Labeled, one: Judged, several: bool, rounds: int, seed: int) -> list[Plot]:
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
