"""``summary.csv``: a row per case of a batch, rewritten atomically after every case."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..report.json_csv import unguarded, write_csv

COLUMNS = tuple(
    "case status probability diagnosis positive positive_slices lung_slices total_slices lesion_count "
    "lesions_by_cluster involved_lung_share seconds device model preset threshold input warnings error".split()
)


class Summary:
    """The table beside the case folders.

    ``done`` replaces every row of its case (the folder of that name now holds this result); ``failed`` replaces only
    earlier rows of the same case from the same input. The file is read again before each change, so that rows written
    by another batch in the meantime are kept.

    Raises ValueError when an existing ``summary.csv`` is some other table, OSError when it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows()

    def rows(self) -> list[dict[str, str]]:
        """The rows in the file; none if it does not exist."""
        if not self.path.exists():
            return []
        try:
            with open(self.path, newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream)
                fields = set(reader.fieldnames or ())
                rows = [{name: unguarded(row.get(name) or "") for name in COLUMNS} for row in reader]
        except (UnicodeDecodeError, csv.Error):
            fields = set()
        if not {"case", "status", "input"} <= fields:
            raise ValueError(
                f"{self.path} exists and is not a summary of LesionAnalysis: choose another output folder."
            )
        return rows

    def done(self, case: str, data: Mapping[str, Any], seconds: float | None = None) -> None:
        """Add a finished case. ``data`` is its ``analysis.json``."""
        summary, config = data["summary"], data["config"]
        clusters = (f"{name}: {count}" for name, count in summary["lesions_by_cluster"].items())
        row = {name: summary.get(name) for name in COLUMNS if name in summary}
        row |= {
            "case": case,
            "status": "done",
            "lesions_by_cluster": "; ".join(clusters),
            "seconds": None if seconds is None else round(seconds, 1),
            "device": data["device"],
            "model": data["model"].get("id"),
            "preset": config.get("preset"),
            "threshold": config.get("threshold"),
            "input": data["input"].get("path"),
            "warnings": " | ".join(data["warnings"]),
        }
        self._put(row, {"case": case})

    def failed(self, case: str, source: str, error: str) -> None:
        """Add a failed case with its error message."""
        row = {"case": case, "status": "failed", "input": source, "error": error}
        self._put(row, {"case": case, "input": source})

    def _put(self, row: dict[str, Any], replaced: dict[str, str]) -> None:
        """Write ``row`` at the place of the first row with the values ``replaced``, all of which are removed."""
        rows = [None if replaced.items() <= old.items() else old for old in self.rows()]
        rows.insert(rows.index(None) if None in rows else len(rows), row)
        write_csv(self.path, COLUMNS, [[one.get(name) for name in COLUMNS] for one in rows if one is not None])
