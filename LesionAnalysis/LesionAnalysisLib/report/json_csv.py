"""``analysis.json`` (schema version 1), there and back, and its two tables, ``slices.csv`` and ``lesions.csv``.

Units: millimeters in RAS, milliliters, HU, seconds; probabilities and scores are 0..1. What does not exist
(HU of a picture, the probability of a slice without lung) is ``null`` in JSON and an empty cell in CSV.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import RESEARCH_NOTICE
from ..atomic_io import whole_file
from ..results import (
    Analysis,
    Box,
    Lesion,
    Point,
    SliceDiagnosis,
    SliceLesion,
    StudySummary,
)

SCHEMA = 1
_FORMULA = re.compile(r"'*[=+\-@\t\n]")  # apostrophes in front count, so that one more can be taken off again


def to_json(analysis: Analysis, card: bool = False) -> dict[str, Any]:
    """The whole analysis without its arrays, as plain JSON types and without NaN.

    card: with the model's card, a page of text. Files leave it out: it stands in the report and beside the
    weights. A scene keeps it, because a report can be written from the scene alone.
    """
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
            "model": {key: value for key, value in analysis.model.items() if card or key != "card"},
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
        "type": lesion.type,
        "score": lesion.score,
        "activation": lesion.activation,
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
        "activation": part.activation,
        "peak_ras_mm": part.peak_ras_mm,
        "box_ras_mm": _box(part.box_ras_mm),
        "area_mm2": part.area_mm2,
        "mean_hu": part.mean_hu,
    }


def _box(box: Box) -> dict[str, Any]:
    return {"min": box[0], "max": box[1]}


def plain(value: Any) -> Any:
    """``value`` in JSON's own types: NaN and infinity become null, floats keep seven significant digits."""
    kind = type(value)
    if kind is float:  # an analysis has tens of thousands of them
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if kind is tuple or kind is list:
        return [plain(item) for item in value]
    if kind is dict:
        return {key if type(key) is str else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def from_json(
    data: Any,
    ct: Any = None,
    lam: np.ndarray | None = None,
    lesion_labels: np.ndarray | None = None,
    lung_mask: np.ndarray | None = None,
) -> Analysis:
    """The analysis of which ``to_json`` made ``data``: ``to_json(from_json(data)) == data`` but for the card.

    The arrays, which JSON does not hold, are handed over as they are; see ``Analysis`` for their shapes.
    Raises ValueError where ``data`` is damaged, or was written by a newer version.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("schema"), int):
        raise ValueError("This is not the text of an analysis, or it is damaged.")
    if data["schema"] > SCHEMA:
        raise ValueError(
            f"This analysis was written by a newer version of LesionAnalysis (schema {data['schema']}, "
            f"here {SCHEMA}): update the extension to read it."
        )
    try:
        return _analysis(data, ct, lam, lesion_labels, lung_mask)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"The text of the analysis is damaged: {type(error).__name__} at {error}.") from None


def _analysis(data: Mapping[str, Any], ct: Any, lam: Any, lesion_labels: Any, lung_mask: Any) -> Analysis:
    lesions = tuple(_to_lesion(one) for one in data["lesions"])
    parts = {(part.slice_index, part.number): part for lesion in lesions for part in lesion.slice_lesions}
    summary = {one.name: data["summary"][one.name] for one in fields(StudySummary)}
    summary["lesions_by_cluster"] = dict(summary["lesions_by_cluster"])
    return Analysis(
        name=str(data["name"]),
        input=dict(data["input"]),
        model=dict(data["model"]),
        config=dict(data["config"]),
        device=str(data["device"]),
        timing_s=dict(data["timing_s"]),
        summary=StudySummary(**summary),
        slices=tuple(_to_slice(one, parts) for one in data["slices"]),
        lesions=lesions,
        cluster_names={int(number): str(name) for number, name in data["cluster_names"].items()},
        warnings=tuple(map(str, data["warnings"])),
        ct=ct,
        lam=lam,
        lesion_labels=lesion_labels,
        lung_mask=lung_mask,
    )


def _to_slice(data: Mapping[str, Any], parts: Mapping[tuple[int, int], SliceLesion]) -> SliceDiagnosis:
    index = int(data["index"])
    return SliceDiagnosis(
        index=index,
        position_mm=_optional(data["position_mm"]),
        lung=bool(data["lung"]),
        probability=_optional(data["probability"]),
        diagnosis=str(data["diagnosis"]),
        positive=bool(data["positive"]),
        lesions=tuple(parts.get((index, int(one["number"]))) or _unlinked(one, index) for one in data["lesions"]),
    )


def _unlinked(data: Mapping[str, Any], index: int) -> SliceLesion:
    """A slice lesion that belongs to no 3D lesion: only its number, cluster and score are on record."""
    nowhere = (math.nan,) * 3
    return SliceLesion(
        slice_index=index,
        number=int(data["number"]),
        cluster=int(data["cluster"]),
        score=_number(data["score"]),
        margin=math.nan,
        paper_score=math.nan,
        activation=math.nan,
        peak_ras_mm=nowhere,
        box_ras_mm=(nowhere, nowhere),
        area_mm2=math.nan,
        mean_hu=None,
    )


def _to_lesion(data: Mapping[str, Any]) -> Lesion:
    return Lesion(
        id=int(data["id"]),
        cluster=int(data["cluster"]),
        cluster_name=str(data["cluster_name"]),
        type=None if data["type"] is None else str(data["type"]),
        score=_number(data["score"]),
        activation=_number(data["activation"]),
        peak_ras_mm=_point(data["peak_ras_mm"]),
        box_ras_mm=_to_box(data["box_ras_mm"]),
        box_ijk=_to_box(data["box_ijk"]),
        first_slice=int(data["first_slice"]),
        last_slice=int(data["last_slice"]),
        mean_hu=_optional(data["mean_hu"]),
        volume_ml=_optional(data["volume_ml"]),
        slice_lesions=tuple(_to_slice_lesion(part) for part in data["slice_lesions"]),
    )


def _to_slice_lesion(data: Mapping[str, Any]) -> SliceLesion:
    return SliceLesion(
        slice_index=int(data["slice_index"]),
        number=int(data["number"]),
        cluster=int(data["cluster"]),
        score=_number(data["score"]),
        margin=_number(data["margin"]),
        paper_score=_number(data["paper_score"]),
        activation=_number(data["activation"]),
        peak_ras_mm=_point(data["peak_ras_mm"]),
        box_ras_mm=_to_box(data["box_ras_mm"]),
        area_mm2=_number(data["area_mm2"]),
        mean_hu=_optional(data["mean_hu"]),
    )


def _to_box(data: Mapping[str, Any]) -> Box:
    return _point(data["min"]), _point(data["max"])


def _point(data: Sequence[Any]) -> Point:
    x, y, z = data
    return _number(x), _number(y), _number(z)


def _number(value: Any) -> float:
    """Null stands for what is not a number."""
    return math.nan if value is None else float(value)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def write_json(analysis: Analysis, path: str | Path) -> None:
    """Write ``analysis.json``. Raises OSError."""
    text = json.dumps(to_json(analysis), ensure_ascii=False, allow_nan=False, indent=1)
    with whole_file(Path(path)) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


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
    header = ["id", "name", "cluster", "cluster_name", "type", "score", "activation"]
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
    """UTF-8, comma, one line per row; None is an empty cell, booleans are 1 and 0, texts are ``guarded``."""
    with whole_file(Path(path)) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([_cell(cell) for cell in row])


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    return int(value) if isinstance(value, bool) else value


def guarded(text: str) -> str:
    """``text`` with an apostrophe before what a spreadsheet would compute, such as a file's name that begins with =.

    Returns become line feeds: ``csv`` writes them without quotes, and a reader begins a new row at each.
    """
    text = text.replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The inverse of ``guarded``, but for returns."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
