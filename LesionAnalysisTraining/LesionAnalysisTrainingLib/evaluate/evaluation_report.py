"""What an evaluation found: tables, plots and notes, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .report_tables import Table


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure that ``draw`` writes to the path it is given, as PNG or SVG by its ending."""

    name: str  # of its files
    title: str
    draw: Callable[[Path], Any]
    note: str = ""


@dataclass(eq=False)
class Report:
    """Everything about one evaluation that is written and shown."""

    kind: str  # diagnosis, detection, identification, lungs
    title: str
    subject: list[tuple[str, str]]  # what was measured, with what: rows of name and value
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader must know, such as what was left out
    metrics: dict[str, Any] = field(default_factory=dict)  # beside the tables, for programs


def model_rows(bundle: Any) -> list[tuple[str, str]]:
    """What identifies a model, for ``Report.subject``."""
    return [("model", f"{bundle.title} ({bundle.id})"), ("model checksum", bundle.checksum[:16]),
            ("model license", bundle.license)]  # fmt: skip
