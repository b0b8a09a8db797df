"""Measured figures as tidy CSV: one line per figure with ``run,table,row,metric,value,low,high``.

``convert`` turns the ``metrics.json`` of new runs into these files; ``read_measured`` reads them for the evidence page.
``low`` and ``high`` are 95 % confidence limits, empty where none was computed. Undefined figures have no line.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = ("run", "table", "row", "metric", "value", "low", "high")
OTSU, MAXIMUM = "Otsu, components", "20 % of the maximum"  # how a map becomes boxes
HIT, UNION, PRECISION = "hit rate (box)", "hit rate (union)", "box precision"
BOXES, POINTING, RECALL = "boxes per slice", "pointing accuracy", "pixel recall"
THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 10))
ORACLE = "oracle"

Line = tuple[str, str, str, Any]  # table, row, metric, value
Tables = dict[str, dict[str, dict[str, Any]]]  # table -> row -> metric -> Figure, int or text


class Figure(NamedTuple):
    """A measured value with its 95 % confidence limits, which are None where none were computed."""

    value: float | None
    low: float | None = None
    high: float | None = None


# -- reading and writing --------------------------------------------------------------------------------------


def read_measured(folder: Path) -> dict[str, Tables]:
    """The tables of every run in the CSV files of ``folder``."""
    found: dict[str, Tables] = {}
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                rows = found.setdefault(line["run"], {}).setdefault(line["table"], {})
                rows.setdefault(line["row"], {})[line["metric"]] = _parsed(line)
    return found


def _parsed(line: Mapping[str, str]) -> Any:
    """An int, a ``Figure`` for a decimal number, or text."""
    text = line["value"]
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        return Figure(*(float(line[name]) if line[name] else None for name in ("value", "low", "high")))
    except ValueError:
        return text


def write_measured(path: Path, runs: Mapping[str, Sequence[Line]]) -> None:
    """One CSV file with the lines of several runs."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for run, lines in runs.items():
            for table, row, metric, value in lines:
                low = high = None
                if isinstance(value, Mapping):
                    value, low, high = (value[name] for name in ("value", "low", "high"))
                if value is not None and value == value and value != "":
                    writer.writerow([run, table, row, metric, *map(_written, (value, low, high))])


def _written(value: Any) -> Any:
    """Floats with seven digits and always a decimal point, which tells them from counts."""
    if not isinstance(value, float):
        return value
    text = f"{value:.7g}"
    return text if "." in text or "e" in text else f"{text}.0"


# -- conversion of metrics.json -------------------------------------------------------------------------------


def convert(folder: Path, target: Path, **others: Path | None) -> None:
    """Write the results of ``measure_evidence`` in ``folder`` and of ``others`` as CSV files into ``target``.

    Args:
        others: folders of ``comparison``, ``split_leakage`` and ``three_classes``; None leaves their file as it is.

    Raises:
        OSError: a result is missing.
    """
    record = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    checksums = {facts["checksum"] for facts in record["models"].values()}
    current = {name: step for name, step in record["steps"].items() if step["model"] in {None, *checksums}}
    files: dict[str, dict[str, list[Line]]] = defaultdict(dict)
    files["runs"] = {name: list(_model(facts)) for name, facts in record["models"].items()}
    files["runs"]["held out"] = [("slices", source, split, count) for source, counts in record["held_out"].items()
                                 for split, count in counts.items()]  # fmt: skip
    for name, step in current.items():
        files["runs"][name] = [("run", "", key, step[key]) for key in ("command", "model", "seconds")]
        kind = name.split("-")[0].replace("cam", "detection")
        files[kind][name] = list(_CONVERTERS[kind](_metrics(folder / name)))
    for name, place in others.items():
        if place is not None:
            files[name] = {name: list(_CONVERTERS[name](_metrics(place)))}
    for name, runs in files.items():
        write_measured(target / f"{name}.csv", runs)


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _model(facts: Mapping[str, Any]) -> Iterator[Line]:
    training, fecnn = facts["training"], facts["fecnn"]
    for name in ("id", "title", "license", "checksum", "threshold", "size", "clusters"):
        yield "model", "", name, facts[name]
    for name in ("backbone", "classes", "fpn", "fusion", "linear_top", "lesion_head"):
        yield "model", "", name, str(value) if isinstance(value := fecnn.get(name, False), bool) else value
    config = training.get("config", {})
    for name in ("samples_per_epoch", "seed", "split"):
        yield "training", "", name, config.get(name)
    for i, phase in enumerate(config.get("phases", ()), 1):
        for name in ("epochs", "size", "batch"):
            yield "phases", str(i), name, phase[name]
    for name in ("chosen_epoch", "training_s", "device", "torch"):
        yield "training", "", name, training.get(name)
    for split, count in (training.get("slices") or {}).items():
        yield "training", "", f"slices {split}", count


def _judged(table: str, row: str, figures: Mapping[str, Any]) -> Iterator[Line]:
    """Counts and metrics of one data source in ``evaluate diagnosis``."""
    for name in ("slices", "patients", "positives"):
        yield table, row, name, figures[name]
    for name, value in figures["metrics"].items():
        yield table, row, name, value


def _diagnosis(metrics: Mapping[str, Any]) -> Iterator[Line]:
    (figures,) = metrics["figures"].values()
    for row in figures["rows"]:
        yield from _judged("sources", row["source"], row)
    yield "subject", "", "threshold", float(figures["threshold"])


def _detection(metrics: Mapping[str, Any]) -> Iterator[Line]:
    facts, oracle, tables = dict(metrics["subject"]), metrics["ceiling"], metrics["tables"]
    with_lesions, slices = _numbers(facts["slices with lesions"])
    positive, threshold = _numbers(facts["called positive"])
    counts = {"slices": int(slices), "slices with lesions": int(with_lesions), "lesions": int(facts["lesions"]),
              "positive slices with lesions": int(positive), "threshold": float(threshold), "preset": facts["preset"],
              "oracle grid": re.search(r"\d+x\d+", oracle)[0]}  # fmt: skip
    limit = next((_numbers(note) for note in metrics["notes"] if note.startswith("Only ")), None)
    counts |= {"files": int(limit[1])} if limit else {}
    yield from (("subject", "", name, value) for name, value in counts.items())
    for row in tables["methods"]["rows"]:
        name = f"{ORACLE if row['method'] == oracle else row['method']}; {row['boxes by']}"
        yield from (("maps", name, _FIGURES[key], value) for key, value in row.items() if key in _FIGURES)
    shown = tables["methods"]["rows"][0]["method"]
    if shown == "cam":  # the comparison network: its maps are all that the page shows
        return
    yield "positive slices", shown, HIT, tables["positive_slices"]["rows"][0]["hit .5 of box"]
    for series in dict.fromkeys((shown, "lam", oracle)):
        rates = metrics["rates"][series if series == oracle else f"{series}, {OTSU}"]
        for table, ratio in ((HIT, "box"), (UNION, "iou")):
            for t in THRESHOLDS:
                yield table, ORACLE if series == oracle else series, str(t), float(rates[f"hit {ratio} {t}"])
    for name, rates in metrics["rates"].items():
        if name.startswith("oracle map") and name != oracle:
            yield "other oracle grids", name.removeprefix("oracle map "), HIT, float(rates["hit box 0.5"])
    for row in tables.get("scans", {"rows": ()})["rows"]:
        yield from (("scans", row["scan"], _FIGURES.get(name, name), value) for name, value in row.items()
                    if name != "scan")  # fmt: skip


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


# what evaluate detection calls a figure -> metric
_FIGURES = {"hit .5 of box": HIT, "hit .5 of union": UNION, "precision .5 of box": PRECISION, "boxes a slice": BOXES,
            "pointing": POINTING, "area hit": RECALL, "Dice": "Dice",
            "error of lung share": "error of lung involvement", "infected": "with lesions",
            "clean": "without lesions"}  # fmt: skip


def _identification(metrics: Mapping[str, Any]) -> Iterator[Line]:
    tables = metrics["tables"]
    (whole,) = tables["identification"]["rows"]
    named = {"clusters": "clusters", "lesions found": "lesions detected", "on drawn lesions": "lesions matched",
             "balanced accuracy": "balanced accuracy", "accuracy": "accuracy",
             "balanced, same lesions": "balanced accuracy, same lesions"}  # fmt: skip
    for old, name in named.items():
        yield "summary", "", name, whole[old]
    yield "summary", "", "clustered by", metrics.get("clustered_by", "features")
    for name, key in (("types", "type"), ("confusion", "drawn"), ("clusters", "cluster")):
        for row in tables[name]["rows"]:
            yield from ((name, row[key], metric, value) for metric, value in row.items() if metric != key)


def _lungs(metrics: Mapping[str, Any]) -> Iterator[Line]:
    summary = metrics["summary"]
    for name in ("cases", "mean", "median", "worst", "mean_volume_error", "mean_absolute_volume_error"):
        yield "summary", "", name.replace("_", " "), summary[name]
    for row in metrics["tables"]["cases"]["rows"]:
        yield "cases", row["case"], "Dice", row["Dice"]
    for i, note in enumerate(metrics["notes"]):
        if "counts as Dice 0" in note:
            yield "notes", str(i), "note", note


def _comparison(metrics: Mapping[str, Any]) -> Iterator[Line]:
    config, facts = metrics["config"], dict(metrics["subject"])
    for name, value in (("evaluated on", facts["evaluated on"]), ("split", metrics["split"]),
                        ("budget", metrics["budget"]), ("split by", config["split"]),
                        ("quick", str(bool(metrics.get("quick"))))):  # fmt: skip
        yield "subject", "", name, value
    for split, count in metrics["slices"].items():
        yield "subject", "", f"slices {split}", count
    for name in ("samples_per_epoch", "validation_share", "test_share", "seed"):
        yield "config", "", name, config[name]
    for i, phase in enumerate(config["phases"], 1):
        for name in ("epochs", "size", "batch"):
            yield "phases", str(i), name, phase[name]
    for system, one in metrics["systems"].items():
        for row in one["figures"]["rows"]:
            if row["source"] == "all":
                yield from (("systems", system, name, value) for name, value in row["metrics"].items())
            elif row["metrics"]["auc"]["value"] is not None:
                yield "AUC by source", system, row["source"], row["metrics"]["auc"]
        difference, facts = one["difference_to_fecnn"], one["facts"]
        if difference:
            yield "systems", system, "AUC difference", difference
            yield "systems", system, "p", difference["p"]
        start = (facts["start"] and "ImageNet" or "random") if "epochs" in facts else "no weights"
        yield "systems", system, "start", start
        yield "systems", system, "same as", one["same_as"]
        for name in ("slices", "parameters", "chosen_epoch", "seconds"):
            yield "training", system, name, facts.get(name)
    yield from (("failed", system, "reason", why) for system, why in metrics.get("failed", {}).items())


def _split_leakage(metrics: Mapping[str, Any]) -> Iterator[Line]:
    for name in ("source", "budget", "backbone", "start", "seed", "command"):
        yield "subject", "", name, metrics[name]
    for split, one in metrics["splits"].items():
        yield from _judged("splits", split, one["test"])
        yield "splits", split, "nearest neighbor", one["neighbor"]
        yield from (("slices", split, name, count) for name, count in one["slices"].items())


def _three_classes(metrics: Mapping[str, Any]) -> Iterator[Line]:
    classes, volume = metrics["classes"], metrics["volume"]
    for name in ("synthetic", "budget", "start", "command"):
        yield "subject", "", name, metrics[name]
    yield from (("classes", str(i), "name", name) for i, name in enumerate(classes))
    for origin, counts in metrics["counts"].items():
        yield from (("slices", origin, name, count) for name, count in counts.items())
    for origin, part in metrics["evaluations"].items():
        for row in part["rows"] if origin == "all" else ():
            yield from _judged("sources", row["source"], row)
            yield "sources", row["source"], "overall accuracy", row["overall_accuracy"]
            for name, line in zip(classes, row["confusion"], strict=True):
                yield from (("confusion", f"{row['source']}; {name}", called, count)
                            for called, count in zip(classes, line, strict=True))  # fmt: skip
        for row in part["thresholds"]:
            yield from ((f"thresholds, {origin}", row["threshold"], name, value) for name, value in row.items()
                        if name != "threshold")  # fmt: skip
    yield "volume", "", "name", volume["name"]
    for group in ("with lesions", "without lesions"):
        yield "volume", group, "slices", volume[group]["slices"]
        for metric, key in (("called", "called"), ("mean probability", "probabilities")):  # empty without slices
            values = zip(classes, volume[group][key], strict=False)
            yield from (("volume", group, f"{metric} {name}", value) for name, value in values)


_CONVERTERS: dict[str, Callable[[Mapping[str, Any]], Iterator[Line]]] = {
    "diagnosis": _diagnosis, "detection": _detection, "identification": _identification, "lungs": _lungs,
    "comparison": _comparison, "split_leakage": _split_leakage, "three_classes": _three_classes,
}  # fmt: skip
