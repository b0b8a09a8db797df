"""The labeled slices of ``../shared/data`` as one folder for the trainer: links and a manifest.csv, no copies."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from reproduction import ROOT

DATA = ROOT.parent / "shared" / "data"

LEFT_OUT = {"emphysema"}  # a test of false positives, not training data
VALIDATION_SCAN = "radiopaedia-8"  # slices with and without lesions of one patient
_COLUMNS = ("file", "slice", "label", "patient", "source", "split")
_LABELS = {"0": "NonCOVID", "1": "COVID"}


def link_slices(data: Path, folder: Path, left_out: set[str] = LEFT_OUT, judged: str = "val",
                volumes: Sequence[str] = (), held_out: set[str] | None = None) -> Path:  # fmt: skip
    """Fill ``folder`` with links to slices and radiopaedia of ``data`` and their ``manifest.csv``; returns it.

    Slices with lesion types (medseg) and the sources ``left_out`` are excluded. Of the volumes only the named ones are
    included, with the slices that a radiologist labeled.

    Args:
        judged: the split of the fixed validation data (COVID-CT's official list and ``VALIDATION_SCAN``).
        held_out: patients as "source/patient" for that split in addition to COVID-CT's list; everything else is
            training data. None leaves the choice to the trainer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("slices", "lesion-masks/radiopaedia", "volumes"):
        target = data / part
        link = folder / target.name
        if not link.exists():
            link.symlink_to(target.resolve(), target_is_directory=True)
    rows = [row for row in _slices(data / "slices") if row["source"] not in left_out]
    rows += _radiopaedia(data / "lesion-masks" / "radiopaedia") + _labeled_slices(data / "volumes", volumes)
    if held_out is not None:
        for row in rows:
            official = row["source"] == "covid-ct" and row["split"] == "val"
            held = official or f"{row['source']}/{row['patient']}" in held_out
            row["split"] = "val" if held else "train"
    rows = [{**row, "split": judged if row["split"] == "val" else row["split"]} for row in rows]
    write_rows(folder / "manifest.csv", rows, _COLUMNS)
    return folder


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Iterable[dict[str, str]], columns: Sequence[str]) -> None:
    """A CSV file with these columns; other keys of the rows are ignored."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def _slices(folder: Path) -> list[dict[str, str]]:
    return [{"file": f"slices/{row['file']}", "label": row["label"], "patient": row["patient"],
             "source": row["dataset"], "split": row["official_split"]}
            for row in read_rows(folder / "manifest.csv")]  # fmt: skip


def _radiopaedia(folder: Path) -> list[dict[str, str]]:
    """Whole slices of seven patients; COVID where the radiologist's mask is not empty."""
    return [{"file": f"radiopaedia/images/{row['slice']}.jpg", "patient": row["patient"], "source": "radiopaedia",
             "label": "COVID" if float(row["lesion_share_of_lung"]) > 0 else "NonCOVID",
             "split": "val" if row["patient"] == VALIDATION_SCAN else ""}
            for row in read_rows(folder / "slices.csv")]  # fmt: skip


def _labeled_slices(folder: Path, volumes: Sequence[str]) -> list[dict[str, str]]:
    """The slices of some volumes, by file name, that a radiologist labeled."""
    return [{"file": f"volumes/{row['volume']}", "slice": row["slice_index"], "label": _LABELS[row["infected"]],
             "patient": row["volume"].removesuffix(".nii.gz"), "source": "volume", "split": ""}
            for row in read_rows(folder / "slice_labels.csv")
            if row["volume"] in volumes and row["infected"]]  # fmt: skip
