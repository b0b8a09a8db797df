"""Tables of figures: as CSV for programs, as text for the terminal, as HTML for the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from LesionAnalysisLib.report.json_csv import guarded
from LesionAnalysisLib.text import printable

NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """One table; a cell is text, a whole number, a share or other real number, a ``Ranged``, or None."""

    name: str  # of its CSV file
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""  # what a reader must know to read it
    digits: int = 3
    printed: bool = True  # False: a detail, which the terminal leaves out and the page shows last

    def csv(self) -> str:
        """All digits; an interval takes two more columns, ``... low`` and ``... high``."""
        ranged = [any(isinstance(row[i], Ranged) for row in self.rows) for i in range(len(self.columns))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = [[name, f"{name} low", f"{name} high"] if wide else [name]
                for name, wide in zip(self.columns, ranged, strict=True)]  # fmt: skip
        writer.writerow([_cell(name) for names in head for name in names])
        for row in self.rows:
            parts = [_spread(cell) if wide else [cell] for cell, wide in zip(row, ranged, strict=True)]
            writer.writerow([_cell(value) for part in parts for value in part])
        return text.getvalue()

    def text(self, width: int = 150) -> str:
        """Aligned columns under the title; without intervals where lines would be longer than ``width``."""
        lines = self._lines(self.rows)
        if max(map(len, lines)) > width:
            bare = [[cell.value if isinstance(cell, Ranged) else cell for cell in row] for row in self.rows]
            lines = self._lines(bare)
        return "\n".join([self.title, *lines])

    def _lines(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        cells = [[printable(str(name)) for name in self.columns], *([self.shown(c) for c in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        left = [self._words(i) for i in range(len(self.columns))]
        lines = []
        for row in cells:
            places = zip(row, widths, left, strict=True)
            parts = [cell.ljust(width) if words else cell.rjust(width) for cell, width, words in places]
            lines.append(f"  {'  '.join(parts)}".rstrip())
        return lines

    def html(self) -> str:
        """A table element with its note; every text in it is escaped."""
        kinds = ["" if self._words(i) else " class=num" for i in range(len(self.columns))]
        head = "".join(f"<th{kind}>{escape(str(name))}</th>" for name, kind in zip(self.columns, kinds, strict=True))
        body = ""
        for row in self.rows:
            cells = (f"<td{kind}>{self._html(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
            body += f"<tr>{''.join(cells)}</tr>"
        note = f"<p><small>{escape(self.note)}</small></p>" if self.note else ""
        table = f"<table class=lesions><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"{note}<div class=scroll>{table}</div>"

    def _html(self, cell: Any) -> str:
        """A cell; its interval in a line of its own, so that tables stay narrow."""
        if isinstance(cell, Ranged) and cell.low is not None:
            return f"{self.shown(cell.value)}<br><small>{self.shown(cell.low)}–{self.shown(cell.high)}</small>"
        return escape(self.shown(cell))

    def records(self) -> list[dict[str, Any]]:
        """Rows as mappings for JSON; intervals as value, low and high."""
        return [{str(name): cell.to_dict() if isinstance(cell, Ranged) else cell
                 for name, cell in zip(self.columns, row, strict=True)} for row in self.rows]  # fmt: skip

    def shown(self, cell: Any) -> str:
        """A cell for people."""
        if isinstance(cell, Ranged):
            value = self.shown(cell.value)
            return value if cell.low is None else f"{value} ({self.shown(cell.low)} to {self.shown(cell.high)})"
        if cell is None or (isinstance(cell, float) and cell != cell):
            return NOTHING
        if isinstance(cell, bool) or not isinstance(cell, float):
            return printable(str(cell))
        return f"{cell:.{self.digits}f}"

    def _words(self, column: int) -> bool:
        return all(isinstance(row[column], str) or row[column] is None for row in self.rows)


@dataclass(frozen=True)
class Ranged:
    """A figure with the ends of its interval; None where it has none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, estimate: Any) -> Ranged:
        """From an ``evaluation.Estimate``, or from its mapping of value, low and high."""
        values = estimate if isinstance(estimate, Mapping) else estimate.to_dict()
        return cls(values["value"], values["low"], values["high"])

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def _spread(cell: Any) -> list[Any]:
    return [cell.value, cell.low, cell.high] if isinstance(cell, Ranged) else [cell, None, None]


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return guarded(printable(value))
    return value
