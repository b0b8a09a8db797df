"""``report.html`` of an evaluation: one self-contained page without scripts, in the look of the analysis' report."""

from __future__ import annotations

import base64
import time
from html import escape
from pathlib import Path

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.report.html_report import document
from LesionAnalysisLib.text import printable

from .evaluation_report import Plot, Report

# Plots are made for paper, white also in the dark, and not enlarged; wide tables of figures are kept narrow.
_OWN = """figure img { background:#fff; width:auto; max-width:100%; } figure { margin:0 0 12px; }
.lesions th { white-space:normal; vertical-align:bottom; } .lesions th,.lesions td { padding:6px 7px; }
.lesions small { font-size:11.5px; }
"""


def page(report: Report, plots: Path, created: str | None = None) -> str:
    """The page as text; the plots are read as ``plots``/<name>.png, and left out where they were not drawn."""
    created = created or time.strftime("%Y-%m-%d %H:%M")
    sections = [
        f'<header class="top"><div><div class="brand">LesionAnalysis &middot; evaluation</div>'
        f'<h1>{_text(report.title)}</h1></div><div class="meta">{_text(created)}</div></header>',
        f'<div class="notice" role="note">{_text(RESEARCH_NOTICE)}</div>',
        _notes(report.notes),
        *(_card(table.title, table.html()) for table in report.tables if table.printed),
        *(_figure(plot, plots / f"{plot.name}.png") for plot in report.plots),
        *(_card(table.title, table.html()) for table in report.tables if not table.printed),
        _card("What was measured", _subject(report.subject)),
        f"<footer>{_text(RESEARCH_NOTICE)}</footer>",
    ]
    return document(printable(report.title), sections, _OWN)


def _text(text: str) -> str:
    return escape(printable(str(text)))


def _card(title: str, body: str, kind: str = "long") -> str:
    return f'<section class="card {kind}"><h2>{_text(title)}</h2>{body}</section>'


def _notes(notes: list[str]) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return _card("Please note", f"<ul>{items}</ul>", "warnings") if notes else ""


def _figure(plot: Plot, path: Path) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    note = f"<figcaption>{_text(plot.note)}</figcaption>" if plot.note else ""
    image = f'<img alt="{_text(plot.title)}" src="data:image/png;base64,{data}">'
    return _card(plot.title, f"<figure>{image}{note}</figure>")


def _subject(rows: list[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>'
