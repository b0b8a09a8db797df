"""The folder of an evaluation: written beside its place and renamed, so that it is there as a whole or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.atomic_io import replaced
from LesionAnalysisLib.report.json_csv import plain
from LesionAnalysisLib.text import printable

from .. import plots
from .evaluation_report import Report
from .html_page import page

SCHEMA = 1
METRICS = "metrics.json"
_PROGRAM = "lesion-analysis evaluate"  # by which a folder is known as an evaluation's
NO_PLOTS = "There are no plots, since matplotlib is missing: install it to have them."


def check_output(output: Path, overwrite: bool) -> None:
    """Raise FileExistsError, with a sentence, where the evaluation may not be written to ``output``."""
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise FileExistsError(f"The output {printable(str(output))} exists and is not a folder: choose another one.")
    if not any(output.iterdir()):
        return
    if not _is_evaluation(output):
        raise FileExistsError(f"The folder {printable(str(output))} holds other files than an evaluation's, so it is "
                              "not replaced: choose another one.")  # fmt: skip
    if not overwrite:
        raise FileExistsError(f"{printable(str(output))} holds an evaluation already: choose another folder, or add "
                              "--overwrite to replace it.")  # fmt: skip


def write_report(report: Report, output: Path, overwrite: bool = False,
                 progress: Callable[[float, str], None] = lambda *_: None) -> None:  # fmt: skip
    """Write ``metrics.json``, a CSV file for each table, plots as PNG and SVG, and ``report.html``.

    Raises:
        FileExistsError: as ``check_output``.
        OSError: the folder cannot be written.
    """
    check_output(output, overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    if report.plots and not plots.available():
        report = replace(report, plots=[], notes=[*report.notes, NO_PLOTS])
    with replaced(output) as folder:
        text = json.dumps(plain(_metrics(report)), indent=1, ensure_ascii=False)
        (folder / METRICS).write_text(printable(text) + "\n", encoding="utf-8")
        for table in report.tables:
            (folder / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
        (folder / "plots").mkdir()
        for done, plot in enumerate(report.plots):
            progress(done / len(report.plots), f"Drawing {plot.title}")
            for kind in ("png", "svg"):
                plot.draw(folder / "plots" / f"{plot.name}.{kind}")
        (folder / "report.html").write_text(page(report, folder / "plots"), encoding="utf-8")
    progress(1.0, "Done")


def _metrics(report: Report) -> dict:
    tables = {table.name: {"title": table.title, "note": table.note, "rows": table.records()}
              for table in report.tables}  # fmt: skip
    return {
        "schema": SCHEMA, "program": _PROGRAM, "kind": report.kind, "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "notice": RESEARCH_NOTICE, "subject": [list(row) for row in report.subject], "notes": report.notes,
        "tables": tables, **report.metrics,
    }  # fmt: skip


def _is_evaluation(folder: Path) -> bool:
    try:
        return json.loads((folder / METRICS).read_text(encoding="utf-8")).get("program") == _PROGRAM
    except (OSError, ValueError, AttributeError):
        return False
