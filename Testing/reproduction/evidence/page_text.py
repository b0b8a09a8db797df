"""Markdown for the evidence page: numbers with confidence intervals, tables, goals and sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .measured_csv import Figure

NOTHING = "–"


@dataclass(frozen=True)
class Goal:
    """A target and its outcome. ``reached`` None: not measured, or the measurement does not decide it."""

    what: str
    measured: str
    reached: bool | None
    why: str = ""  # where it is not reached
    note: str = ""  # qualifies the answer

    @property
    def answer(self) -> str:
        word = {True: "yes", False: "no", None: "undecided"}[self.reached]
        return f"{word} ({self.note})" if self.note else word


@dataclass
class Section:
    """A heading with its Markdown paragraphs and tables, and the goals that they decide."""

    title: str
    parts: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def text(self) -> str:
        return "\n\n".join([f"## {self.title}", *self.parts])


def missing(title: str, how: str) -> Section:
    """A section without measurements."""
    return Section(title, [f"Not measured for this page: run {how}."])


def number(value: Any, digits: int = 3) -> str:
    """Fractions without their leading zero, integers and text unchanged, a dash for None and NaN."""
    value = value.value if isinstance(value, Figure) else value
    if value is None or value != value:
        return NOTHING
    if isinstance(value, str | int):
        return str(value)
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def ranged(value: Any, digits: int = 3) -> str:
    """``.86 (.75 to .95)`` for a ``Figure`` with an interval; a plain number otherwise."""
    if not isinstance(value, Figure) or value.low is None:
        return number(value, digits)
    return f"{number(value, digits)} ({number(value.low, digits)} to {number(value.high, digits)})"


def overlap(first: Figure, second: Figure) -> bool | None:
    """Whether two confidence intervals overlap; None where one is missing."""
    if None in (first.low, first.high, second.low, second.high):
        return None
    return first.low <= second.high and first.high >= second.low


def at_least(what: str, value: Figure, least: float, why: str = "", digits: int = 2) -> Goal:
    """A goal for a figure; an interval that includes the target is named in the answer."""
    reached: bool | None = (value.value or 0.0) >= least
    includes = value.low is not None and value.low < least <= value.high
    note = f"95 % CI includes {number(least, digits)}" if includes else ""
    return Goal(what, ranged(value, digits), None if reached and includes else reached, why, note)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 3) -> str:
    """A Markdown table; columns of numbers are right-aligned, the first column and columns of text are not."""
    rows = [list(row) for row in rows]
    text = [i == 0 or all(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    lines = [_line(columns), _line("---" if left else "---:" for left in text)]
    return "\n".join(lines + [_line(ranged(cell, digits).replace("|", "\\|") for cell in row) for row in rows])


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
