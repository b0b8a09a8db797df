"""Report of a comparison: tables 3 and 4 with intervals beside the paper's figures, curves, one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.atomic_io import atomic_file
from LesionAnalysisTrainingLib import plots
from LesionAnalysisTrainingLib.checkpoint import json_bytes, write_atomically
from LesionAnalysisTrainingLib.dataset import TEST
from LesionAnalysisTrainingLib.evaluate.evaluation_report import Plot, Report, Table
from LesionAnalysisTrainingLib.evaluate.report_folder import page
from LesionAnalysisTrainingLib.metrics import diagnosis_figures, pr_curve, roc_curve
from LesionAnalysisTrainingLib.metrics.significance import Difference, auc_difference
from LesionAnalysisTrainingLib.plots.canvas import count
from LesionAnalysisTrainingLib.training_config import TrainingConfig

from reproduction.published import DATASETS, TABLE_4, published

from .comparison_data import QUICK_SLICES
from .comparison_runs import Compared, Result

OURS = "FeCNN"
FIGURES = {"accuracy": "accuracy", "precision": "precision", "recall": "sensitivity", "F1": "f1", "AUC": "auc",
           "AP": "ap"}  # fmt: skip
PAPER = tuple(f"paper, {name}" for name in DATASETS)
DIFFERENCE = (f"AUC - {OURS}", "p")
_PLACES = {"test": "the test slices", "val": "the validation slices"}


def make_report(compared: Compared) -> Report:
    """Tables, plots and notes with the metrics of every result; writes nothing."""
    rows = [_measure(compared, result, _ours(compared)) for result in compared.results]
    if not rows:
        raise ValueError("No system could be trained: there is nothing to compare.")
    where = _PLACES[compared.split]
    title = f"{compared.classes[compared.positive]}: {len(rows)} systems on {where}"
    tables = [_table_3(rows, where), _table_4(rows, where), _systems(compared.results)]
    return Report("comparison", title, _subject(compared), [t for t in tables if t.rows], _plots(compared),
                  _notes(compared), _metrics(compared, rows))  # fmt: skip


def budget(config: TrainingConfig) -> str:
    """The training budget of every system as text."""
    phases = " and ".join(f"{count(p.epochs, 'epoch')} at {p.size} px in batches of {p.batch}" for p in config.phases)
    drawn = config.samples_per_epoch if config.balance else None
    words = f"{drawn} slices per epoch" if drawn else "as many slices an epoch as there are for training"
    return f"{phases}, {words}"


def printed(report: Report) -> str:
    """Table 3 for a terminal, in three parts because of its width."""
    table = report.tables[0]
    parts = {
        table.title: ("accuracy", "precision", "recall", "F1"),
        f"Areas under the curves and their difference to {OURS}": ("AUC", "AP", *DIFFERENCE),
        "Accuracies printed in the paper, on its own data": PAPER,
    }
    return "\n".join(_only(table, ("system", *columns), title).text() for title, columns in parts.items())


def write(report: Report, folder: Path) -> None:
    """Write metrics.json, a CSV file for each table, the plots and report.html into ``folder``.

    Raises:
        OSError: writing failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    for plot in report.plots:
        for kind in ("png", "svg"):
            path = folder / "plots" / f"{plot.name}.{kind}"
            with atomic_file(path) as unfinished:
                plot.draw(unfinished)
    for table in report.tables:
        write_atomically(folder / f"{table.name}.csv", table.csv().encode())
    tables = {t.name: {"title": t.title, "note": t.note, "rows": t.records()} for t in report.tables}
    facts = {"schema": 1, "program": "compare_command", "notice": RESEARCH_NOTICE, "title": report.title,
             "subject": [list(row) for row in report.subject], "notes": report.notes, "tables": tables}  # fmt: skip
    write_atomically(folder / "metrics.json", json_bytes({**facts, **report.metrics}))
    write_atomically(folder / "report.html", page(report, folder / "plots").encode())


# -- measuring --------------------------------------------------------------------------------------------


def _ours(compared: Compared) -> np.ndarray | None:
    """Probability (n,) of the disease by FeCNN, if it is included."""
    found = [r.probabilities[:, compared.positive] for r in compared.results if r.system.name == OURS]
    return found[0] if found else None


def _measure(compared: Compared, result: Result, ours: np.ndarray | None) -> dict[str, Any]:
    figures = diagnosis_figures(compared.labels, result.probabilities, compared.patients, compared.sources,
                                compared.positive)  # fmt: skip
    difference: Difference | None = None
    if ours is not None and result.system.name != OURS:
        difference = auc_difference(compared.labels == compared.positive, result.probabilities[:, compared.positive],
                                    ours, compared.patients)  # fmt: skip
    return {"name": result.system.name, "figures": figures, "difference": difference, "result": result}


def _metrics(compared: Compared, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    systems = {}
    for row in rows:
        result, difference = row["result"], row["difference"]
        systems[row["name"]] = {
            "description": result.system.description, "reference": result.system.reference, "same_as": result.same_as,
            "figures": row["figures"], "difference_to_fecnn": difference and difference.to_dict(),
            "published_accuracy": dict(zip(DATASETS, published(row["name"]), strict=True)), "facts": result.facts,
        }  # fmt: skip
    return {
        "classes": list(compared.classes), "disease": compared.classes[compared.positive], "split": compared.split,
        "slices": compared.counts, "quick": compared.quick, "budget": budget(compared.config),
        "config": compared.config.to_publish(), "systems": systems, "failed": compared.failed,
        "data": {name: compared.report.get(name) for name in ("counts", "table", "warnings")},
    }  # fmt: skip


# -- tables -----------------------------------------------------------------------------------------------


def _cells(row: dict[str, Any]) -> list[Any]:
    metrics, difference = row["figures"]["rows"][0]["metrics"], row["difference"]
    cells: list[Any] = [metrics[name] for name in FIGURES.values()]
    if difference is None:
        return [*cells, None, None, *published(row["name"])]
    plain = difference.to_dict()
    p = plain.pop("p")
    return [*cells, plain, p, *published(row["name"])]


def _table_3(rows: Sequence[dict[str, Any]], where: str) -> Table:
    note = (f"Measured on {where} with a threshold of 0.5 as in section 5; 95 % intervals from a patient-level "
            f"bootstrap. p: paired bootstrap of the AUC difference to {OURS}. The paper's accuracies refer to its own "
            "data.")
    columns = ("system", *FIGURES, *DIFFERENCE, *PAPER)
    return Table("table3", f"Table 3: all systems on {where}", columns, [[r["name"], *_cells(r)] for r in rows], note)


def _table_4(rows: Sequence[dict[str, Any]], where: str) -> Table:
    named = {row["name"]: row for row in rows}
    cells = [[name, "yes" if fpn else "no", "yes" if fusion else "no", *_cells(named[name])]
             for name, (fpn, fusion, _) in TABLE_4.items() if name in named]  # fmt: skip
    columns = ("system", "FPN", "fusion", *FIGURES, *DIFFERENCE, *PAPER)
    return Table("table4", f"Table 4: the modules of {OURS} on {where}", columns, cells,
                 "Metrics, intervals and p as in table 3.")  # fmt: skip


def _systems(results: Sequence[Result]) -> Table:
    columns = ("system", "description", "reference", "initial weights", "parameters", "epochs", "chosen epoch",
               "seconds")  # fmt: skip
    rows = []
    for r in results:
        network = "epochs" in r.facts
        start = (r.facts.get("start") or "random") if network else "none"
        rows.append([r.system.name, r.system.description, r.system.reference, start, r.facts.get("parameters"),
                     r.facts.get("epochs"), r.facts.get("chosen_epoch"), f"{r.facts['seconds']:.0f}"])  # fmt: skip
    return Table("systems", "The systems and their training", columns, rows,
                 "The chosen epoch of a perceptron is one of its own 150 epochs.")  # fmt: skip


def _plots(compared: Compared) -> list[Plot]:
    if not plots.available():
        return []
    truth = compared.labels == compared.positive
    scores = {r.system.name: r.probabilities[:, compared.positive] for r in compared.results}
    rocs, prs = ({name: curve(truth, score, compared.patients) for name, score in scores.items()}
                 for curve in (roc_curve, pr_curve))  # fmt: skip
    return [Plot("roc", "ROC curves", lambda path: plots.draw_roc(path, rocs)),
            Plot("pr", "Precision-recall curves", lambda path: plots.draw_pr(path, prs))]  # fmt: skip


def _subject(compared: Compared) -> list[tuple[str, str]]:
    counts, labels = compared.counts, compared.labels
    counts_by_class = ", ".join(f"{int((labels == c).sum())} {name}" for c, name in enumerate(compared.classes))
    return [
        ("evaluated on", f"{_PLACES[compared.split]}: {counts_by_class}, {len(np.unique(compared.patients))} patients"),
        ("slices", f"{counts['train']} training, {counts['val']} validation, {counts['test']} test"),
        ("split", {"patients": "by patient", "random": "slices at random"}[compared.config.split]),
        ("budget of each system", budget(compared.config)), ("recipe", compared.config.recipe),
        ("seed", str(compared.config.seed)), ("backbone of FeCNN", compared.config.backbone),
    ]  # fmt: skip


def _notes(compared: Compared) -> list[str]:
    notes = []
    if compared.quick:
        notes.append(f"This was a quick run with at most {QUICK_SLICES['train']} training slices and a small budget: "
                     "it shows that everything works, not which system is better.")  # fmt: skip
    if compared.split != TEST:
        notes.append("No test split contains both classes, so all systems are evaluated on validation slices, which "
                     "also selected the epochs: systems with epochs are optimistically biased.")  # fmt: skip
    notes += [f"{name} is missing: {why}" for name, why in compared.failed.items()]
    notes += [f"{r.system.name} and {r.same_as} are the same network, trained once."
              for r in compared.results if r.same_as]  # fmt: skip
    starts = {bool(r.facts["start"]) for r in compared.results if "epochs" in r.facts}
    if len(starts) == 2:
        notes.append("Some networks have ImageNet weights and others random ones, which is a disadvantage with few "
                     "slices: see the table of the systems.")  # fmt: skip
    if any(r.system.name == "COVIDNet-CT" for r in compared.results):
        notes.append("COVIDNet-CT is a network with the published block design: the layers of the original were never "
                     "published as code.")  # fmt: skip
    notes.append("SVMs and perceptrons learn from the same slices as the networks, without augmentation.")
    notes.append(f"The paper's accuracy of {OURS} on its data set Own is left out because it is impossible: it exceeds "
                 "the accuracies of both classes.")  # fmt: skip
    return [*notes, *compared.report.get("warnings", ())]


def _only(table: Table, columns: Sequence[str], title: str) -> Table:
    places = [list(table.columns).index(name) for name in columns]
    return Table(table.name, title, columns, [[row[i] for i in places] for row in table.rows], digits=table.digits)
