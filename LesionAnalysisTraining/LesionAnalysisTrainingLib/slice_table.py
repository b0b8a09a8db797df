"""Every slice's split and probability as a CSV beside the model folder.

It is not in the model folder, which is shared, since file names may identify patients.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from LesionAnalysisLib.report.json_csv import guarded
from LesionAnalysisLib.text import utf8_safe

from .checkpoint import write_atomically
from .dataset import Sample

COLUMNS = ("number", "file", "slice", "label", "patient", "source", "split", "probability", "left_out")


def write_slice_table(path: Path, samples: Sequence[Sample], classes: Sequence[str], probabilities: Mapping[int, float],
                      left_out: Sequence[Mapping[str, Any]] = ()) -> None:  # fmt: skip
    """One row per slice with its split and, for validation and test slices, its probability of the disease.

    Args:
        probabilities: by the index of the slice in ``samples``.
        left_out: ``file``, ``slice`` and ``reason`` of slices that were not used.
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
    write_atomically(path, text.getvalue().encode())


def _cell(text: str) -> str:
    return guarded(utf8_safe(text))
