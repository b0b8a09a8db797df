"""The result of an evaluation before it is written: tables (as CSV, text and HTML), plots and notes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from LesionAnalysisLib.report.json_csv import guarded
from LesionAnalysisLib.text import utf8_safe

UNDEFINED = "-"


@dataclass(frozen=True)
class Table:
    """One table; a cell is text, an integer, a real number, None, or an interval as ``Estimate.to_dict`` gives it."""

    name: str  # of its CSV file
    title: str
    columns: Sequence[str]  # keys in metrics.json
    rows: Sequence[Sequence[Any]]
    note: str = ""  # how to read it
    digits: int = 3
    printed: bool = True  # False: a detail, omitted on the terminal and last on the page
    headings: Mapping[str, str] = field(default_factory=dict)  # by column, where a heading differs from the key

    @property
    def heads(self) -> list[str]:
        """The displayed headings."""
        return [utf8_safe(str(self.headings.get(name, name))) for name in self.columns]

    def csv(self) -> str:
        """All digits; an interval takes two more columns, ``... low`` and ``... high``."""
        ranged = [any(isinstance(row[i], dict) for row in self.rows) for i in range(len(self.columns))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([_csv_cell(f"{name}{end}") for name, wide in zip(self.heads, ranged, strict=True)
                         for end in (("", " low", " high") if wide else ("",))])  # fmt: skip
        for row in self.rows:
            parts = [[cell] if not wide else cell.values() if isinstance(cell, dict) else [cell, None, None]
                     for cell, wide in zip(row, ranged, strict=True)]  # fmt: skip
            writer.writerow([_csv_cell(value) for part in parts for value in part])
        return text.getvalue()

    def text(self, width: int = 150) -> str:
        """Aligned columns under the title; without intervals where lines would be longer than ``width``."""
        lines = self._lines(self.rows)
        if max(map(len, lines)) > width:
            lines = self._lines([[cell["value"] if isinstance(cell, dict) else cell for cell in row]
                                 for row in self.rows])  # fmt: skip
        return "\n".join([self.title, *lines])

    def _lines(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        cells = [self.heads, *([self.shown(c) for c in row] for row in rows)]
        columns = []
        for i, column in enumerate(zip(*cells, strict=True)):
            width = max(map(len, column))
            columns.append([cell.ljust(width) if self._is_text(i) else cell.rjust(width) for cell in column])
        return [f"  {'  '.join(row)}".rstrip() for row in zip(*columns, strict=True)]

    def html(self) -> str:
        """A table element with its note; every text in it is escaped."""
        attributes = ["" if self._is_text(i) else " class=num" for i in range(len(self.columns))]
        head = "".join(f"<th{a}>{escape(name)}</th>" for name, a in zip(self.heads, attributes, strict=True))
        body = ""
        for row in self.rows:
            cells = (f"<td{a}>{self._html(cell)}</td>" for cell, a in zip(row, attributes, strict=True))
            body += f"<tr>{''.join(cells)}</tr>"
        note = f"<p><small>{escape(self.note)}</small></p>" if self.note else ""
        table = f"<table class=lesions><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"{note}<div class=scroll>{table}</div>"

    def _html(self, cell: Any) -> str:
        """A cell; its interval on a line of its own, so that tables stay narrow."""
        if isinstance(cell, dict) and cell["low"] is not None:
            value, low, high = map(self.shown, cell.values())
            return f"{value}<br><small>{low}–{high}</small>"
        return escape(self.shown(cell))

    def records(self) -> list[dict[str, Any]]:
        """Rows as mappings for JSON; intervals as value, low and high."""
        return [dict(zip(map(str, self.columns), row, strict=True)) for row in self.rows]

    def shown(self, cell: Any) -> str:
        """A cell as displayed text."""
        if isinstance(cell, dict):
            value, low, high = map(self.shown, cell.values())
            return value if cell["low"] is None else f"{value} ({low} to {high})"
        if cell is None or (isinstance(cell, float) and cell != cell):
            return UNDEFINED
        return f"{cell:.{self.digits}f}" if isinstance(cell, float) else utf8_safe(str(cell))

    def _is_text(self, column: int) -> bool:
        return all(isinstance(row[column], str) or row[column] is None for row in self.rows)


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure that ``draw`` writes to the path it is given, as PNG or SVG by its extension."""

    name: str  # of its files
    title: str
    draw: Callable[[Path], Any]
    note: str = ""


@dataclass(eq=False)
class Report:
    """Everything about one evaluation that is written and shown."""

    type: str  # diagnosis, detection, identification, lungs
    title: str
    subject: list[tuple[str, str]]  # what was measured, with what: rows of name and value
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # for the reader, such as what was left out
    metrics: dict[str, Any] = field(default_factory=dict)  # for programs, in addition to the tables


def model_rows(bundle: Any) -> list[tuple[str, str]]:
    """The rows of ``Report.subject`` that identify a model."""
    return [("model", f"{bundle.title} ({bundle.id})"), ("model checksum", bundle.checksum[:16]),
            ("model license", bundle.license)]  # fmt: skip


def _csv_cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return guarded(utf8_safe(value)) if isinstance(value, str) else value
