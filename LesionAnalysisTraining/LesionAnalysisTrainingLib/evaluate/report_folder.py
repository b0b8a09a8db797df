"""The folder of an evaluation: metrics, CSV tables, plots and a self-contained HTML page, written atomically."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.atomic_io import atomic_folder
from LesionAnalysisLib.report.html_report import document
from LesionAnalysisLib.report.json_csv import plain
from LesionAnalysisLib.text import utf8_safe

from .. import plots
from .evaluation_report import Plot, Report

SCHEMA = 1
METRICS = "metrics.json"
NO_PLOTS = "No plots were drawn, since matplotlib is missing: install it to get them."
_PROGRAM = "lesion-analysis evaluate"  # identifies the folder of an evaluation
# plots have a white background also in dark mode, and are not enlarged; wide tables are kept narrow
_STYLE = """figure img { background:#fff; width:auto; max-width:100%; } figure { margin:0 0 12px; }
.lesions th { white-space:normal; vertical-align:bottom; } .lesions th,.lesions td { padding:6px 7px; }
.lesions small { font-size:11.5px; }
"""


def check_output(output: Path, overwrite: bool) -> None:
    """Raise FileExistsError, with a sentence, if the evaluation may not be written to ``output``."""
    if not os.path.lexists(output):
        return
    name = utf8_safe(str(output))
    if not output.is_dir() or output.is_symlink():
        raise FileExistsError(f"The output {name} exists and is not a folder: choose another one.")
    if not any(output.iterdir()):
        return
    if not _is_evaluation(output):
        raise FileExistsError(f"The folder {name} holds other files than an evaluation's, so it is not replaced: "
                              "choose another one.")  # fmt: skip
    if not overwrite:
        raise FileExistsError(f"{name} already holds an evaluation: choose another folder, or add --overwrite to "
                              "replace it.")  # fmt: skip


def write_report(report: Report, output: Path, overwrite: bool = False,
                 progress: Callable[[float, str], None] = lambda *_: None) -> None:  # fmt: skip
    """Write ``metrics.json``, a CSV file for each table, plots as PNG and SVG, and ``report.html``.

    Raises FileExistsError as ``check_output``, and OSError if the folder cannot be written.
    """
    check_output(output, overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    if report.plots and not plots.available():
        report = replace(report, plots=[], notes=[*report.notes, NO_PLOTS])
    with atomic_folder(output) as folder:
        text = json.dumps(plain(_metrics(report)), indent=1, ensure_ascii=False)
        (folder / METRICS).write_text(utf8_safe(text) + "\n", encoding="utf-8")
        for table in report.tables:
            (folder / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
        (folder / "plots").mkdir()
        for done, plot in enumerate(report.plots):
            progress(done / len(report.plots), f"Drawing {plot.title}")
            for ending in ("png", "svg"):
                plot.draw(folder / "plots" / f"{plot.name}.{ending}")
        (folder / "report.html").write_text(page(report, folder / "plots"), encoding="utf-8")
    progress(1.0, "Done")


def page(report: Report, plots_folder: Path) -> str:
    """``report.html``: a page without scripts in the style of the analysis report.

    Plots are read as ``plots_folder``/<name>.png, and left out where they were not drawn.
    """
    notes = "".join(f"<li>{_text(note)}</li>" for note in report.notes)
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in report.subject)
    sections = [
        f'<header class="top"><div><div class="brand">LesionAnalysis &middot; evaluation</div>'
        f'<h1>{_text(report.title)}</h1></div><div class="meta">{time.strftime("%Y-%m-%d %H:%M")}</div></header>',
        f'<div class="notice" role="note">{_text(RESEARCH_NOTICE)}</div>',
        _card("Please note", f"<ul>{notes}</ul>", "warnings") if notes else "",
        *(_card(table.title, table.html()) for table in report.tables if table.printed),
        *(_figure(plot, plots_folder / f"{plot.name}.png") for plot in report.plots),
        *(_card(table.title, table.html()) for table in report.tables if not table.printed),
        _card("What was measured", f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'),
        f"<footer>{_text(RESEARCH_NOTICE)}</footer>",
    ]
    return document(utf8_safe(report.title), sections, _STYLE)


def _text(text: str) -> str:
    return escape(utf8_safe(str(text)))


def _card(title: str, body: str, style: str = "long") -> str:
    return f'<section class="card {style}"><h2>{_text(title)}</h2>{body}</section>'


def _figure(plot: Plot, path: Path) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    note = f"<figcaption>{_text(plot.note)}</figcaption>" if plot.note else ""
    image = f'<img alt="{_text(plot.title)}" src="data:image/png;base64,{data}">'
    return _card(plot.title, f"<figure>{image}{note}</figure>")


def _metrics(report: Report) -> dict:
    tables = {table.name: {"title": table.title, "note": table.note, "rows": table.records()}
              for table in report.tables}  # fmt: skip
    return {
        "schema": SCHEMA, "program": _PROGRAM, "kind": report.type, "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "notice": RESEARCH_NOTICE, "subject": [list(row) for row in report.subject], "notes": report.notes,
        "tables": tables, **report.metrics,
    }  # fmt: skip


def _is_evaluation(folder: Path) -> bool:
    try:
        return json.loads((folder / METRICS).read_text(encoding="utf-8")).get("program") == _PROGRAM
    except (OSError, ValueError, AttributeError):
        return False
