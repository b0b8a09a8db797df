"""``analysis.json`` (schema version 1) and its two tables, ``slices.csv`` and ``lesions.csv``.

Units: millimeters in RAS, milliliters, HU, seconds; probabilities and scores are 0..1. What does not exist
(HU of a picture, the probability of a slice without lung) is ``null`` in JSON and an empty cell in CSV.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..results import RESEARCH_NOTICE, Analysis, Box, Lesion, SliceDiagnosis, SliceLesion

SCHEMA = 1


def to_json(analysis: Analysis) -> dict[str, Any]:
    """The whole analysis without its arrays, as plain JSON types and without NaN."""
    lesion_of = {
        (part.slice_index, part.number): lesion.id for lesion in analysis.lesions for part in lesion.slice_lesions
    }
    summary = analysis.summary
    return plain(
        {
            "schema": SCHEMA,
            "name": analysis.name,
            "notice": RESEARCH_NOTICE,
            "input": analysis.input,
            # The card is a page of text: it stands in the report and beside the weights, not in every result.
            "model": {key: value for key, value in analysis.model.items() if key != "card"},
            "config": analysis.config,
            "device": analysis.device,
            "timing_s": analysis.timing_s,
            "summary": {
                "probability": summary.probability,
                "diagnosis": summary.diagnosis,
                "positive": summary.positive,
                "positive_slices": summary.positive_slices,
                "lung_slices": summary.lung_slices,
                "total_slices": summary.total_slices,
                "lesion_count": summary.lesion_count,
                "lesions_by_cluster": summary.lesions_by_cluster,
                "involved_lung_share": summary.involved_lung_share,
            },
            "cluster_names": analysis.cluster_names,
            "slices": [_slice(one, lesion_of) for one in analysis.slices],
            "lesions": [_lesion(one) for one in analysis.lesions],
            "warnings": list(analysis.warnings),
        }
    )


def _slice(diagnosis: SliceDiagnosis, lesion_of: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """One slice; its lesions in short, since each stands in full under ``lesions[].slice_lesions``."""
    return {
        "index": diagnosis.index,
        "position_mm": diagnosis.position_mm,
        "lung": diagnosis.lung,
        "probability": diagnosis.probability,
        "diagnosis": diagnosis.diagnosis,
        "positive": diagnosis.positive,
        "lesions": [
            {
                "number": part.number,
                "lesion": lesion_of.get((part.slice_index, part.number)),
                "cluster": part.cluster,
                "score": part.score,
            }
            for part in diagnosis.lesions
        ],
    }


def _lesion(lesion: Lesion) -> dict[str, Any]:
    return {
        "id": lesion.id,
        "name": lesion.label,
        "cluster": lesion.cluster,
        "cluster_name": lesion.cluster_name,
        "kind": lesion.kind,
        "score": lesion.score,
        "heat": lesion.heat,
        "peak_ras_mm": lesion.peak_ras_mm,
        "box_ras_mm": _box(lesion.box_ras_mm),
        "box_ijk": _box(lesion.box_ijk),
        "first_slice": lesion.first_slice,
        "last_slice": lesion.last_slice,
        "mean_hu": lesion.mean_hu,
        "volume_ml": lesion.volume_ml,
        "slice_lesions": [_slice_lesion(part) for part in lesion.slice_lesions],
    }


def _slice_lesion(part: SliceLesion) -> dict[str, Any]:
    return {
        "slice_index": part.slice_index,
        "number": part.number,
        "cluster": part.cluster,
        "score": part.score,
        "margin": part.margin,
        "paper_score": part.paper_score,
        "heat": part.heat,
        "peak_ras_mm": part.peak_ras_mm,
        "box_ras_mm": _box(part.box_ras_mm),
        "area_mm2": part.area_mm2,
        "mean_hu": part.mean_hu,
    }


def _box(box: Box) -> dict[str, Any]:
    return {"min": box[0], "max": box[1]}


def plain(value: Any) -> Any:
    """``value`` in JSON's own types: NaN and infinity become null, floats keep seven significant digits."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def write_json(analysis: Analysis, path: str | Path) -> None:
    """Write ``analysis.json``. Raises OSError."""
    text = json.dumps(to_json(analysis), ensure_ascii=False, allow_nan=False, indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def write_slices_csv(analysis: Analysis, path: str | Path) -> None:
    """One row per slice of the input, in the order of the file. Raises OSError."""
    data = to_json(analysis)
    header = ["index", "position_mm", "lung", "probability", "diagnosis", "positive", "lesions", "lesion_ids"]
    rows = []
    for one in data["slices"]:
        ids = sorted({part["lesion"] for part in one["lesions"]} - {None})
        row = [one[name] for name in header[:6]]
        rows.append([*row, len(one["lesions"]), " ".join(map(str, ids))])
    write_csv(path, header, rows)


def write_lesions_csv(analysis: Analysis, path: str | Path) -> None:
    """One row per 3D lesion. Raises OSError."""
    header = ["id", "name", "cluster", "cluster_name", "kind", "score", "heat"]
    header += ["peak_r_mm", "peak_a_mm", "peak_s_mm"]
    header += [f"{end}_{axis}_mm" for end in ("min", "max") for axis in "ras"]
    header += ["first_slice", "last_slice", "mean_hu", "volume_ml", "slice_lesions"]
    rows = []
    for one in to_json(analysis)["lesions"]:
        row = [one[name] for name in header[:7]]
        row += [*one["peak_ras_mm"], *one["box_ras_mm"]["min"], *one["box_ras_mm"]["max"]]
        row += [one["first_slice"], one["last_slice"], one["mean_hu"], one["volume_ml"]]
        rows.append([*row, len(one["slice_lesions"])])
    write_csv(path, header, rows)


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """UTF-8, comma, one line per row; None is an empty cell, booleans are 1 and 0."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([int(cell) if isinstance(cell, bool) else cell for cell in row])
