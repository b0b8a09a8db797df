"""Lesions and lungs: detection (tables 5 and 6), identification (table 7), Dice of the lungs.

Methods and figures are those that the measurements hold. The first method of a preset is what an analysis shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .page_text import NOTHING, Goal, Section, listed, missing, number, overlap, percent, ranged, table, value_of
from .published_page import CNCB_LESIONS, CNCB_RIGHT, DETECTION_DATA, LUNG_DICE, TABLE_5, TABLE_6, TABLE_7, TYPES

Metrics = Mapping[str, Any]
LAM, RIVALS = "lam", ("cam", "normgrad")
PAPER = "paper"  # the preset
COMMON = "Otsu, components"  # the step that methods share
HIT, POINTING, AREA, BOXES = "hit .5 of box", "pointing", "area hit", "boxes a slice"
_NO_FIGURES = ("method", "boxes by", "precision .5 of union")  # columns that this page leaves out or has elsewhere
_NAMES = {"lam": "LAM", "cam": "CAM", "normgrad": "NormGrad", "gradcam++": "Grad-CAM++", "layercam": "LayerCAM",
          "hirescam": "HiResCAM"}  # fmt: skip
_DATA = {"medseg": "medseg", "radiopaedia": "radiopaedia, all scans", "held-out-scan": "radiopaedia, held-out scan"}
_SAID = {"medseg": "50 slices cropped to the lungs, of a set that takes no part in any training here",
         "radiopaedia": "whole slices of seven patients",
         "held-out-scan": "the slices of those patients of radiopaedia who took no part in the training"}  # fmt: skip
GOALS = {HIT: ("hit rate at .5 of the box", 0.40), AREA: (AREA, 0.75), POINTING: (POINTING, 0.60)}
BALANCED = 0.75


def name_of(method: str) -> str:
    """A method as readers know it."""
    return _NAMES.get(method, f"the {method} map")


def shown_by(metrics: Metrics) -> str:
    """The method by which an analysis with the preset maps."""
    return metrics["tables"]["methods"]["rows"][0]["method"]


# -- detection -------------------------------------------------------------------------------------------------


def detection(found: Mapping[tuple[str, str], Metrics], cams: Mapping[tuple[str, str], Metrics]) -> Section:
    """Tables 5 and 6.

    Args:
        found: of FeCNN, by data and preset.
        cams: CAM's of the second network, which has the head that it needs.
    """
    title = "Detection of lesions (section 5.2, tables 5 and 6)"
    if not found:
        return missing(title, "`evidence.py`")
    section = Section(title, [_detection_intro(bool(cams))])
    for (data, preset), metrics in found.items():
        rows = methods_of(metrics, cams.get((data, preset)))
        section.parts += [f"### {_DATA.get(data, data)}, preset `{preset}`", _subject(data, metrics),
                          _methods_table(metrics, rows), " ".join(_detection_words(metrics, rows))]  # fmt: skip
        if "scans" in metrics["tables"] and preset != PAPER:
            section.parts += [_scans(metrics["tables"]["scans"])]
    section.parts += ["### Hit rate by threshold (table 5)", *_by_threshold(found)]
    section.goals = [goal for key, metrics in found.items() for goal in _detection_goals(key, metrics, cams.get(key))]
    return section


def _detection_intro(cam: bool) -> str:
    words = ("Hit: share of the lesions that a box of the map overlaps by more than half, the map's peak being in the "
             "overlap. The paper defines the ratio twice: over the map's box (section 4.3.2) and over the union of "
             "both boxes (section 5.2); its table 5 is plausible for the first only. Pointing: share of peaks on a "
             "lesion. Area hit: share of the lesions' pixels that are marked. Maps become boxes by the same step for "
             "all (Otsu, components), then without it, by one box around what exceeds 20 % of the maximum (Zhou 2016); "
             "the enhanced map, which is not the paper's, has regions of its own. The ceiling is a map without fault "
             "on the grid of the last block, through the same step. ")  # fmt: skip
    return words + (
        "CAM needs pooling and one linear layer on the last block, which FeCNN does not have: its rows are "
        "of the second network above."
        if cam
        else "CAM is not measured: it needs a network with pooling and one linear layer (`--cam-model`)."
    )


def methods_of(metrics: Metrics, cam: Metrics | None) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Figures by method and step; CAM's come from its own network's measurement. The ceiling has the key ceiling."""
    rows = {(row["method"], row["boxes by"]): row for row in metrics["tables"]["methods"]["rows"]}
    ceiling = rows.pop((metrics["ceiling"], COMMON))
    for row in cam["tables"]["methods"]["rows"] if cam else ():
        if row["method"] == "cam":
            rows["cam", row["boxes by"]] = row
    ordered = sorted(rows, key=lambda key: key[1] != COMMON)  # stable: the common step first
    return {key: rows[key] for key in ordered} | {("ceiling", COMMON): ceiling}


def _subject(data: str, metrics: Metrics) -> str:
    facts = dict(metrics["subject"])
    words = [f"{_SAID[data].capitalize()}."] if data in _SAID else []
    scans = metrics["tables"].get("scans", {"rows": ()})["rows"]
    told = sum(row["in training"] == "yes" for row in scans)
    if told:
        words.append(f"Of {told} scans the network was told in its training which slices are infected, never where.")
    words.append(f"Slices with lesions: {facts['slices with lesions']}; lesions: {facts['lesions']}.")
    return " ".join([*words, *(note for note in metrics["notes"] if note.startswith("Only "))])


def _methods_table(metrics: Metrics, rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    figures = [name for name in next(iter(rows.values())) if name not in _NO_FIGURES]
    preset, cells = dict(metrics["subject"])["preset"], []
    for (method, step), row in rows.items():
        printed = TABLE_6.get(method) if step == COMMON else None
        label = metrics["ceiling"] if method == "ceiling" else name_of(method)
        step = "its own regions" if method == preset and step == COMMON else step
        cells.append([label, step, *(row.get(name) for name in figures), *(printed or [NOTHING] * len(DETECTION_DATA))])
    return table(("map", "boxes by", *figures, *(f"paper, {name}" for name in DETECTION_DATA)), cells, digits=2)


def _detection_words(metrics: Metrics, rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    common = {method: row for (method, step), row in rows.items() if step == COMMON and method != "ceiling"}
    words = [_rank(common)]
    lead = max(common, key=lambda m: value_of(common[m][HIT]) or 0.0)
    if lead != LAM:
        words.append(f"The highest hit rate has {name_of(lead)}, {ranged(common[lead][HIT], 2)}.")
    shown = shown_by(metrics)
    words += [reasons(metrics, rows, method) for method in dict.fromkeys((shown, LAM))]
    positive = next(row for row in metrics["tables"]["positive_slices"]["rows"] if row["method"] == shown)
    words.append(
        f"A user sees maps of positive slices only ({dict(metrics['subject'])['called positive']}); counting "
        f"lesions of the others as missed, {name_of(shown)} hits {number(value_of(positive[HIT]), 2)}."
    )
    return words


def _rank(common: Mapping[str, Mapping[str, Any]]) -> str:
    """LAM against the rivals that the paper names, with the same step."""
    own, others = common[LAM][HIT], [m for m in RIVALS if m in common]
    if not others:
        return f"LAM hits {ranged(own)}."
    each = listed(f"{name_of(m)} {ranged(common[m][HIT])}" for m in others)
    behind = [m for m in others if (own["value"] or 0) > (common[m][HIT]["value"] or 0)]
    unsure = [name_of(m) for m in others if overlap(own, common[m][HIT])]
    order = (f"ahead of {listed(map(name_of, behind))}" if len(behind) == len(others) else
             f"ahead of {listed(map(name_of, behind))} only" if behind else "ahead of neither" if len(others) > 1 else
             "not ahead")  # fmt: skip
    tail = f"; the intervals of LAM and {listed(unsure)} overlap" if unsure else ""
    return f"With the same step LAM hits {ranged(own)}, {each}: LAM is {order}{tail}."


def reasons(metrics: Metrics, rows: Mapping[tuple[str, str], Mapping[str, Any]], method: str) -> str:
    """Where the missing hits of a method go, as far as the figures tell."""
    facts, rates, row = dict(metrics["subject"]), metrics["rates"][f"{method}, {COMMON}"], rows[method, COMMON]
    lesions, boxes = int(facts["lesions"]) / int(facts["slices with lesions"].split()[0]), value_of(row[BOXES])
    touched, hit, pointing = rates["hit box 0.1"], rates["hit box 0.5"], value_of(row[POINTING])
    parts = []
    if method != facts["preset"]:  # the enhanced map has another grid
        parts.append(f"a faultless map on this grid hits {number(value_of(rows['ceiling', COMMON][HIT]), 2)}")
    if boxes is not None and boxes < lesions:
        parts.append(f"there are {boxes:.1f} boxes a slice for {lesions:.1f} lesions, so that several lesions share a "
                     "box or have none")  # fmt: skip
    if pointing is not None:
        parts.append(f"{percent(1 - pointing)} of the peaks lie on no lesion")
    parts.append(f"{percent(1 - value_of(row[AREA]))} of the lesions' pixels are not marked")
    if touched - hit > 0.05:
        parts.append(f"{percent(touched - hit)} of the lesions are met, with the peak in place, by a box of which less "
                     "than half lies on them")  # fmt: skip
    return f"What {name_of(method)} misses: {'; '.join(parts)}."


def _scans(scans: Mapping[str, Any]) -> str:
    columns = ("scan", "in training", "infected", "clean", "AUC", "sensitivity", "specificity")
    rows = [[row["scan"], *(row[name] or NOTHING if name == "in training" else row[name] for name in columns[1:])]
            for row in scans["rows"]]  # fmt: skip
    return f"Infected against clean slices, scan by scan:\n\n{table(columns, rows, digits=2)}"


def _by_threshold(found: Mapping[tuple[str, str], Metrics]) -> list[str]:
    """Table 5 by both ratios: what is shown, LAM and the ceiling of every data set and preset."""
    parts = []
    for ratio, words in (("box", "over the map's box (section 4.3.2)"), ("iou", "over the union (section 5.2)")):
        heads, series = [], []
        for (data, preset), metrics in found.items():
            named = {f"{m}, {COMMON}": name_of(m) for m in (shown_by(metrics), LAM)} | {metrics["ceiling"]: "ceiling"}
            heads += [f"{name}, {data}, {preset}" for name in named.values()]
            series += [[metrics["rates"][key][f"hit {ratio} {t}"] for t in TABLE_5] for key in named]
        rows = [[str(t), *(s[i] for s in series), *TABLE_5[t]] for i, t in enumerate(TABLE_5)]
        columns = ("threshold", *heads, *(f"paper, {name}" for name in DETECTION_DATA))
        parts += [f"Overlap {words}:", table(columns, rows, digits=2)]
    drops = {data: metrics["rates"][f"{LAM}, {COMMON}"] for (data, preset), metrics in found.items()
             if preset == PAPER}  # fmt: skip
    told = listed(f"from {number(r['hit box 0.1'], 2)} to {number(r['hit box 0.9'], 2)} on {data}"
                  for data, r in drops.items())  # fmt: skip
    if told:
        parts.append(
            f"As the threshold rises from .1 to .9, LAM's hit rate by the box falls {told}; the paper's falls "
            f"from {number(TABLE_5[0.1][0], 2)} to {number(TABLE_5[0.9][0], 2)} on {DETECTION_DATA[0]}."
        )
    return parts


def _detection_goals(key: tuple[str, str], metrics: Metrics, cam: Metrics | None) -> list[Goal]:
    """Of data with intervals: a figure of a single patient decides nothing."""
    rows, (data, preset), shown = methods_of(metrics, cam), key, shown_by(metrics)
    lam, best = rows[LAM, COMMON], rows[shown, COMMON]
    if lam[HIT]["low"] is None:
        return []
    where, name = f"{_DATA.get(data, data)}, preset `{preset}`", name_of(shown)
    why = reasons(metrics, rows, shown)
    goals = []
    for figure, (what, least) in GOALS.items():
        words = f"{name[0].upper()}{name[1:]}: {what} at least {number(least, 2)} ({where})"
        goals.append(Goal(words, ranged(best[figure], 2), (value_of(best[figure]) or 0.0) >= least, why))
    others = {m: rows[m, COMMON][HIT] for m in RIVALS if (m, COMMON) in rows}
    ahead = all((lam[HIT]["value"] or 0) > (other["value"] or 0) for other in others.values())
    reached = ahead if len(others) == len(RIVALS) or not ahead else None
    absent = [name_of(m) for m in RIVALS if m not in others]
    measured = listed([f"LAM {number(lam[HIT]['value'])}",
                       *(f"{name_of(m)} {number(other['value'])}" for m, other in others.items()),
                       *(f"{one} not measured" for one in absent)])  # fmt: skip
    better = listed(name_of(m) for m, other in others.items() if (other["value"] or 0) >= (lam[HIT]["value"] or 0))
    reason = f"{better} hits at least as many; {_rank_reason(rows, others)}" if better else ""
    return [Goal(f"LAM ahead of CAM and NormGrad, same step ({where})", measured, reached, reason), *goals]


def _rank_reason(rows: Mapping[tuple[str, str], Mapping[str, Any]], others: Mapping[str, Any]) -> str:
    """How LAM and the best rival differ beside their hits."""
    lam, best = rows[LAM, COMMON], max(others, key=lambda m: others[m]["value"] or 0.0)
    row = rows[best, COMMON]
    shown = [f"{number(value_of(lam[name]), 2)} against {number(value_of(row[name]), 2)} ({name})"
             for name in (BOXES, POINTING, AREA)]  # fmt: skip
    tie = overlap(lam[HIT], row[HIT])
    told = "" if tie is False else ", and the intervals overlap" if tie else ""
    return f"LAM and {name_of(best)} show {listed(shown)}{told}."


# -- identification --------------------------------------------------------------------------------------------


def identification(found: Mapping[tuple[int, str], Metrics]) -> Section:
    """Table 7: clusters against drawn types, by number of clusters and preset."""
    title = "Identification of lesions (section 5.3, table 7)"
    if not found:
        return missing(title, "`evidence.py`")
    types = max((metrics["types"] for metrics in found.values()), key=len)
    rows = [[str(k), preset, *_identified(metrics, types)] for (k, preset), metrics in found.items()]
    rows += [["3", "paper, Own", *_printed(types)],
             ["2", "paper, CNCB", str(CNCB_LESIONS), NOTHING, CNCB_RIGHT / CNCB_LESIONS, NOTHING,
              *[NOTHING] * 2 * len(types)]]  # fmt: skip
    columns = ("K", "preset", "lesions", "balanced accuracy", "accuracy", "balanced, same lesions",
               *(f"{figure}, {name}" for name in types for figure in ("sensitivity", "specificity")))  # fmt: skip
    section = Section(title, [
        "Lesions that an analysis finds on medseg have the type of what the radiologist drew in them. Which type a "
        "cluster stands for is learnt on one half of the slices and measured on the other; \"same lesions\" does both "
        "on all of them, as the paper does. The paper's figures are computed from its counts, since the printed "
        "specificities contradict them; of CNCB the counts give the accuracy only.",
        table(columns, rows, digits=2),
        *(identified_words(k, preset, metrics) for (k, preset), metrics in found.items()),
    ])  # fmt: skip
    section.goals = [_identification_goal(preset, metrics) for (k, preset), metrics in found.items() if k == 2]
    return section


def _identified(metrics: Metrics, types: Sequence[str]) -> list[Any]:
    (whole,) = metrics["tables"]["identification"]["rows"]
    each = {row["type"]: row for row in metrics["tables"]["types"]["rows"]}
    figures = [each[name][figure] if name in each else NOTHING for name in types
               for figure in ("sensitivity", "specificity")]  # fmt: skip
    return [str(whole["on drawn lesions"]), whole["balanced accuracy"], whole["accuracy"],
            whole["balanced, same lesions"], *figures]  # fmt: skip


def _printed(types: Sequence[str]) -> list[Any]:
    """Own's figures from the counts of table 7, whose columns are the truth."""
    count = sum(map(sum, TABLE_7))
    right = [TABLE_7[i][i] for i in range(3)]
    true = [sum(row[i] for row in TABLE_7) for i in range(3)]
    called = [sum(row) for row in TABLE_7]
    sensitivity = {name: right[i] / true[i] for i, name in enumerate(TYPES)}
    specificity = {name: 1 - (called[i] - right[i]) / (count - true[i]) for i, name in enumerate(TYPES)}
    each = [one.get(name, NOTHING) for name in types for one in (sensitivity, specificity)]
    return [str(count), NOTHING, sum(right) / count, sum(sensitivity.values()) / 3, *each]


def identified_words(k: int, preset: str, metrics: Metrics) -> str:
    """What a measurement says: above chance or not, and why no more."""
    (whole,) = metrics["tables"]["identification"]["rows"]
    balanced, chance = whole["balanced accuracy"], 1 / len(metrics["types"])
    low = balanced["low"]
    level = (
        "above chance"
        if low is not None and low > chance
        else "not told apart from chance"
        if balanced["high"] is None or balanced["high"] >= chance
        else "below chance"
    )
    by = "by density" if metrics.get("clustered_by") == "density" else "by the network's features"
    return (f"K = {k}, preset `{preset}`, clusters {by}: balanced accuracy {ranged(balanced, 2)}, {level} "
            f"({number(chance, 2)}). {cluster_reasons(metrics)}")  # fmt: skip


def cluster_reasons(metrics: Metrics) -> str:
    """What the clusters hold, and what follows."""
    types, clusters = metrics["types"], metrics["tables"]["clusters"]["rows"]
    (whole,) = metrics["tables"]["identification"]["rows"]
    holds = listed(f"{row['cluster']} holds {listed(f'{row[name]} of {name}' for name in types)}" for row in clusters)
    words = [f"{holds[0].upper()}{holds[1:]}."]
    most = {max(types, key=lambda name, row=row: row[name]) for row in clusters}
    if len(most) == 1:
        words.append(f"Every cluster holds more of {most.pop()} than of anything else: clusters and types agree in "
                     "part only.")  # fmt: skip
    unstable = [row["cluster"] for row in clusters if row["by first half"] != row["by second half"]]
    if unstable:
        words.append(f"What {listed(unstable)} stands for changes from one half of the slices to the other.")
    same = whole["balanced, same lesions"]
    if same < BALANCED:
        words.append(f"Even matched and measured on the same lesions they reach only {number(same, 2)}.")
    return " ".join(words)


def _identification_goal(preset: str, metrics: Metrics) -> Goal:
    (whole,) = metrics["tables"]["identification"]["rows"]
    balanced = whole["balanced accuracy"]
    reached = (balanced["value"] or 0.0) >= BALANCED
    what = f"Balanced accuracy of ground glass against consolidation at least {number(BALANCED, 2)} (K = 2, `{preset}`)"
    return Goal(what, ranged(balanced, 2), reached, "" if reached else cluster_reasons(metrics))


# -- lungs -----------------------------------------------------------------------------------------------------


def lungs(found: Mapping[str, Metrics]) -> Section:
    """Dice of the lung segmentation, which needs no model."""
    title = "Segmentation of the lungs (section 6.1)"
    if not found:
        return missing(title, "`evidence.py`")
    rows = [[name, one["cases"], one["mean"], one["median"], one["worst"], one["mean_absolute_volume_error"]]
            for name, metrics in found.items() for one in [metrics["summary"]]]  # fmt: skip
    rows.append(["paper, its own data", NOTHING, LUNG_DICE, NOTHING, NOTHING, NOTHING])
    columns = ("data", "cases", "Dice, mean", "median", "worst", "mean absolute volume error")
    means = {name: metrics["summary"]["mean"] for name, metrics in found.items()}
    above = [name for name, mean in means.items() if mean > LUNG_DICE]
    verdict = (f"above the paper's {number(LUNG_DICE, 2)} on {listed(above)}" if above else
               f"nowhere above the paper's {number(LUNG_DICE, 2)}")  # fmt: skip
    notes = [note for metrics in found.values() for note in metrics["notes"] if "counts as Dice 0" in note]
    section = Section(title, [
        "Morphology alone, no learnt model. The masks are of other patients than the paper's, most of them without "
        "COVID-19; lungs full of consolidation are harder.",
        table(columns, rows), f"The mean Dice is {verdict}.", *notes,
    ])  # fmt: skip
    worst = min(means, key=means.get)
    what = f"Lungs: mean Dice above the paper's {number(LUNG_DICE, 2)}"
    section.goals = [Goal(what, f"{number(means[worst])} ({worst})", means[worst] > LUNG_DICE)]
    return section


def split_name(step: str) -> tuple[str, str] | None:
    """Data and preset of a detection's name such as ``detection-medseg-paper``; None for others."""
    match = re.fullmatch(r"(?:detection|cam)-(.+)-([^-]+)", step)
    return (match[1], match[2]) if match else None
