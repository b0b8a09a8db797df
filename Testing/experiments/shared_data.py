"""The labeled slices of ../shared/data as one folder that the trainer reads: links and a manifest.csv, no copies."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LesionAnalysis"), str(ROOT / "LesionAnalysisTraining")]
DATA = ROOT.parent / "shared" / "data"

LEFT_OUT = {"emphysema"}  # a test of false alarms, not for training a model that is passed on
VALIDATION_SCAN = "radiopaedia-8"  # clean and infected slices of one patient
_COLUMNS = ("file", "label", "patient", "source", "split")


def link_slices(data: Path, folder: Path, left_out: set[str] = LEFT_OUT, judged: str = "val") -> Path:
    """Fill ``folder`` with links to slices and radiopaedia of ``data``, and their ``manifest.csv``; the folder.

    The volumes, the slices with lesion types, and the sources ``left_out`` take no part. What is fixed for validation
    (COVID-CT's official list, one scan with clean and infected slices) goes to the split ``judged``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in (("slices", data / "slices"), ("radiopaedia", data / "lesion-masks" / "radiopaedia")):
        link = folder / name
        if not link.exists():
            link.symlink_to(target.resolve(), target_is_directory=True)
    rows = [row for row in _slices(data / "slices") if row["source"] not in left_out]
    rows += _radiopaedia(data / "lesion-masks" / "radiopaedia")
    rows = [{**row, "split": judged if row["split"] == "val" else row["split"]} for row in rows]
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return folder


def _slices(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return [{"file": f"slices/{row['file']}", "label": row["label"], "patient": row["patient"],
                 "source": row["dataset"], "split": row["official_split"]} for row in csv.DictReader(file)]  # fmt: skip


def _radiopaedia(folder: Path) -> list[dict[str, str]]:
    """Whole slices of seven patients; infected where the radiologist's mask is not empty."""
    with open(folder / "slices.csv", newline="", encoding="utf-8") as file:
        return [{"file": f"radiopaedia/images/{row['slice']}.jpg", "patient": row["patient"], "source": "radiopaedia",
                 "label": "COVID" if float(row["lesion_share_of_lung"]) > 0 else "NonCOVID",
                 "split": "val" if row["patient"] == VALIDATION_SCAN else ""}
                for row in csv.DictReader(file)]  # fmt: skip
