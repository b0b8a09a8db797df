"""Markdown: numbers with their intervals, tables, and what sentences need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = "–"
INTERVAL = ("value", "low", "high")


@dataclass(frozen=True)
class Goal:
    """One of the issue's goals. ``reached`` None: not measured, or the measurement cannot tell."""

    what: str
    measured: str
    reached: bool | None
    why: str = ""  # where it is not reached

    @property
    def answer(self) -> str:
        return {True: "yes", False: "no", None: "not shown"}[self.reached]


@dataclass
class Section:
    """A heading, paragraphs and tables in Markdown, and the goals that they speak of."""

    title: str
    parts: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def text(self) -> str:
        return "\n\n".join([f"## {self.title}", *self.parts])


def missing(title: str, how: str) -> Section:
    """A section of what was not measured yet."""
    return Section(title, [f"Not measured for this page: run {how}."])


def number(value: Any, digits: int = 3) -> str:
    """Shares without their leading zero, counts as they are, a dash for nothing."""
    if value is None or value != value:
        return NOTHING
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def ranged(estimate: Any, digits: int = 3) -> str:
    """``.86 (.75 to .95)`` of a mapping of value, low and high; a plain number where it has no interval."""
    if not isinstance(estimate, Mapping):
        return number(estimate, digits)
    value, low, high = (estimate.get(name) for name in INTERVAL)
    if value is None or low is None:
        return number(value, digits)
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"


def value_of(estimate: Any) -> float | None:
    return estimate.get("value") if isinstance(estimate, Mapping) else estimate


def overlap(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool | None:
    """Whether two intervals overlap; None where one is missing."""
    ends = [first.get("low"), first.get("high"), second.get("low"), second.get("high")]
    if any(end is None for end in ends):
        return None
    return ends[0] <= ends[3] and ends[2] <= ends[1]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 3) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right unless they are text."""
    rows = [list(row) for row in rows]
    words = [i == 0 or all(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    lines = [_line(columns), _line("---" if left else "---:" for left in words)]
    return "\n".join(lines + [_line(_cell(cell, digits) for cell in row) for row in rows])


def _cell(cell: Any, digits: int) -> str:
    return ranged(cell, digits).replace("|", "\\|")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 slice``, ``2 slices``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
