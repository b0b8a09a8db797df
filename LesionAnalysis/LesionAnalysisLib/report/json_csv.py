"""``analysis.json`` (schema version 1), written and read, and its two tables, ``slices.csv`` and ``lesions.csv``.

Units: millimeters in RAS, milliliters, HU, seconds; probabilities, scores and activations are 0..1. A missing value
(HU of an uncalibrated image, the probability of a slice without lung) is ``null`` in JSON and an empty cell in CSV.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from .. import RESEARCH_NOTICE
from ..atomic_io import atomic_file
from ..results import Analysis, Box, Lesion, Point, SliceDiagnosis, SliceLesion, StudySummary

SCHEMA = 1
_type_hints = cache(get_type_hints)
_FORMULA = re.compile(r"'*[=+\-@\t\n]")  # after any apostrophes, so that ``unguarded`` can remove the added one


def to_json(analysis: Analysis, card: bool = False) -> dict[str, Any]:
    """The whole analysis without its arrays, as plain JSON types and without NaN.

    card: include the model card, a page of text. Files leave it out, since it is in the report and beside the
    weights; a scene keeps it, because a report can be written from the scene alone.
    """
    lesion_of = {(part.slice_index, part.number): one.id for one in analysis.lesions for part in one.slice_lesions}
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
            "summary": vars(analysis.summary),
            "cluster_names": analysis.cluster_names,
            "slices": [_slice(one, lesion_of) for one in analysis.slices],
            "lesions": [_lesion(one) for one in analysis.lesions],
            "warnings": analysis.warnings,
        }
    )


def _slice(diagnosis: SliceDiagnosis, lesion_of: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """One slice; its lesions in short, since ``lesions[].slice_lesions`` holds them in full."""
    parts = []
    for part in diagnosis.lesions:
        lesion = lesion_of.get((part.slice_index, part.number))
        parts.append({"number": part.number, "lesion": lesion, "cluster": part.cluster, "score": part.score})
    return vars(diagnosis) | {"lesions": parts}


def _lesion(lesion: Lesion) -> dict[str, Any]:
    parts = [vars(part) | {"box_ras_mm": _box(part.box_ras_mm)} for part in lesion.slice_lesions]
    boxes = {"box_ras_mm": _box(lesion.box_ras_mm), "box_ijk": _box(lesion.box_ijk)}
    return {"id": lesion.id, "name": lesion.label} | vars(lesion) | boxes | {"slice_lesions": parts}


def _box(box: Box) -> dict[str, Any]:
    return {"min": box[0], "max": box[1]}


def plain(value: Any) -> Any:
    """``value`` in JSON's own types: NaN and infinity become null, floats keep seven significant digits."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def from_json(data: Any) -> Analysis:
    """The analysis of which ``to_json`` made ``data``: ``to_json(from_json(data)) == data`` but for the card.

    Its arrays, which JSON does not hold, are None. Raises ValueError where ``data`` is damaged or of another schema.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("schema"), int):
        raise ValueError("This is not the text of an analysis, or it is damaged.")
    if data["schema"] != SCHEMA:
        raise ValueError(
            f"This analysis was written by another version of LesionAnalysis (schema {data['schema']}, "
            f"here {SCHEMA}): update the extension, or analyze the CT again."
        )
    try:
        return _analysis(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"The text of the analysis is damaged: {type(error).__name__} at {error}.") from None


def _analysis(data: Mapping[str, Any]) -> Analysis:
    lesions = tuple(_read(Lesion, one) for one in data["lesions"])
    parts = {(part.slice_index, part.number): part for lesion in lesions for part in lesion.slice_lesions}
    slices = []
    for one in data["slices"]:
        index = int(one["index"])
        linked = [parts.get((index, int(part["number"]))) or _unlinked(part, index) for part in one["lesions"]]
        slices.append(_read(SliceDiagnosis, {**one, "lesions": linked}))
    return Analysis(
        name=str(data["name"]),
        **{name: dict(data[name]) for name in ("input", "model", "config", "timing_s")},
        device=str(data["device"]),
        summary=_read(StudySummary, data["summary"]),
        slices=tuple(slices),
        lesions=lesions,
        cluster_names={int(number): str(name) for number, name in data["cluster_names"].items()},
        warnings=tuple(map(str, data["warnings"])),
        ct=None,
        lam=None,
        lesion_labels=None,
        lung_mask=None,
    )


def _read(record: type, data: Mapping[str, Any]) -> Any:
    """A dataclass of ``results`` from its JSON, each value converted to the type of its field."""
    return record(**{name: _CONVERTERS[hint](data[name]) for name, hint in _type_hints(record).items()})


def _unlinked(data: Mapping[str, Any], index: int) -> SliceLesion:
    """A slice lesion that belongs to no 3D lesion: only its number, cluster and score are stored."""
    nan, nowhere = math.nan, (math.nan,) * 3
    number, cluster, score = int(data["number"]), int(data["cluster"]), _number(data["score"])
    return SliceLesion(index, number, cluster, score, nan, nan, nan, nowhere, (nowhere, nowhere), nan, None)


def _number(value: Any) -> float:
    """Null stands for NaN."""
    return math.nan if value is None else float(value)


def _point(data: Sequence[Any]) -> Point:
    x, y, z = map(_number, data)
    return x, y, z


_CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    bool: bool,
    int: int,
    float: _number,
    float | None: lambda value: None if value is None else float(value),
    str: str,
    str | None: lambda value: None if value is None else str(value),
    Point: _point,
    Box: lambda data: (_point(data["min"]), _point(data["max"])),
    dict[str, int]: dict,
    tuple[SliceLesion, ...]: lambda parts: tuple(
        part if isinstance(part, SliceLesion) else _read(SliceLesion, part) for part in parts
    ),
}


def write_json(analysis: Analysis, path: str | Path) -> None:
    """Write ``analysis.json``. Raises OSError."""
    text = json.dumps(to_json(analysis), ensure_ascii=False, allow_nan=False, indent=1)
    with atomic_file(Path(path)) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def write_slices_csv(analysis: Analysis, path: str | Path) -> None:
    """One row per slice of the input, in the order of the file. Raises OSError."""
    names = ["index", "position_mm", "lung", "probability", "diagnosis", "positive"]
    rows = []
    for one in to_json(analysis)["slices"]:
        ids = sorted({part["lesion"] for part in one["lesions"]} - {None})
        rows.append([*(one[name] for name in names), len(one["lesions"]), " ".join(map(str, ids))])
    write_csv(path, [*names, "lesions", "lesion_ids"], rows)


def write_lesions_csv(analysis: Analysis, path: str | Path) -> None:
    """One row per 3D lesion. Raises OSError."""
    first = ["id", "name", "cluster", "cluster_name", "type", "score", "activation"]
    places = [f"{name}_{axis}_mm" for name in ("peak", "min", "max") for axis in "ras"]
    last = ["first_slice", "last_slice", "mean_hu", "volume_ml"]
    rows = []
    for one in to_json(analysis)["lesions"]:
        row = [*(one[name] for name in first), *one["peak_ras_mm"]]
        row += [*one["box_ras_mm"]["min"], *one["box_ras_mm"]["max"], *(one[name] for name in last)]
        rows.append([*row, len(one["slice_lesions"])])
    write_csv(path, [*first, *places, *last, "slice_lesions"], rows)


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """UTF-8, commas, one line per row; None is an empty cell, booleans are 1 and 0, texts are ``guarded``."""
    with atomic_file(Path(path)) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(cell) for cell in row] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    return int(value) if isinstance(value, bool) else value


def guarded(text: str) -> str:
    """``text`` with an apostrophe in front if a spreadsheet would take it for a formula, such as a file name with =.

    Carriage returns become line feeds: ``csv`` writes them without quotes, and a reader begins a new row at each.
    """
    text = text.replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The inverse of ``guarded``, except for carriage returns."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
