"""Which slice took what part in a training, for those who trained: a CSV beside the model, never in it.

A model folder is passed on, and names of files may be names of patients; so they stay in this table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from LesionAnalysisLib.report.json_csv import guarded
from LesionAnalysisLib.text import printable

from .checkpoint import write_whole
from .dataset import Sample

COLUMNS = ("number", "file", "slice", "label", "patient", "source", "split", "probability", "left_out")


def write_slice_table(path: Path, samples: Sequence[Sample], classes: Sequence[str], probabilities: Mapping[int, float],
                      left_out: Sequence[Mapping[str, Any]] = ()) -> None:  # fmt: skip
    """One row for each slice: with its split and, where it was held out, its probability of the disease.

    Args:
        probabilities: by the index of the slice in ``samples``.
        left_out: ``file``, ``slice`` and ``reason`` of those that took no part.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for i, sample in enumerate(samples):
        probability = f"{probabilities[i]:.4f}" if i in probabilities else ""
        table.writerow({
            "number": i, "file": _cell(sample.path), "slice": "" if sample.slice is None else sample.slice,
            "label": _cell(classes[sample.label]), "patient": _cell(sample.patient), "source": _cell(sample.source),
            "split": sample.split, "probability": probability,
        })  # fmt: skip
    for one in left_out:
        index = one.get("slice")
        table.writerow({"file": _cell(one["file"]), "slice": "" if index is None else index,
                        "left_out": _cell(one["reason"])})  # fmt: skip
    write_whole(path, text.getvalue().encode())


def _cell(text: str) -> str:
    return guarded(printable(text))
