"""Sections about lesions and lungs: detection (tables 5 and 6), lesion types (table 7), Dice of the lungs.

Maps and metrics are those that were measured. The first map of a preset is the one that an analysis shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from reproduction.published import (
    CNCB_CORRECT,
    CNCB_LESIONS,
    DETECTION_DATA,
    LUNG_DICE,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TYPES,
)

from .measured_csv import BOXES, HIT, ORACLE, OTSU, POINTING, RECALL, UNION, Tables
from .page_text import NOTHING, Goal, Section, at_least, listed, missing, number, overlap, percent, ranged, table

LAM, RIVALS, PAPER = "lam", ("cam", "normgrad"), "paper"
_NAMES = {"lam": "LAM", "cam": "CAM", "normgrad": "NormGrad", "gradcam++": "Grad-CAM++", "layercam": "LayerCAM",
          "hirescam": "HiResCAM", ORACLE: "oracle map"}  # fmt: skip
_DATA = {"medseg": "medseg", "radiopaedia": "radiopaedia, all scans", "held-out-scan": "radiopaedia, held-out scan"}
_DESCRIPTIONS = {"medseg": "50 slices cropped to the lungs, from a data set that is in no training data here.",
                 "radiopaedia": "Whole slices of seven patients.",
                 "held-out-scan": "The slices of radiopaedia patients who were not in the training data."}  # fmt: skip
GOALS = {HIT: ("hit rate at .5 of the box", 0.40), RECALL: (RECALL, 0.75), POINTING: (POINTING, 0.60)}
BALANCED = 0.75
Maps = Mapping[tuple[str, str], Mapping[str, Any]]  # by map and how it becomes boxes


def name_of(method: str) -> str:
    """A map as readers know it."""
    return _NAMES.get(method, f"the {method} map")


def shown_by(tables: Tables) -> str:
    """The map that an analysis with the preset shows."""
    return next(iter(tables["maps"])).split("; ")[0]


# -- detection -------------------------------------------------------------------------------------------------


def detection(found: Mapping[tuple[str, str], Tables], cams: Mapping[tuple[str, str], Tables],
              roles: Mapping[str, Mapping[str, Any]]) -> Section:  # fmt: skip
    """Tables 5 and 6.

    Args:
        found: of FeCNN, by data set and preset.
        cams: CAM of the second network, which has the head that CAM needs.
        roles: what a data set was used for.
    """
    title = "Lesion detection (section 5.2, tables 5 and 6)"
    if not found:
        return missing(title, "`measure_evidence`")
    section = Section(title, [_detection_intro(bool(cams))])
    for (data, preset), tables in found.items():
        maps = maps_of(tables, cams.get((data, preset)))
        section.parts += [f"### {_DATA.get(data, data)}, preset `{preset}`", _subject(data, tables, roles),
                          _maps_table(tables, maps), " ".join(_detection_text(tables, maps))]  # fmt: skip
        if "scans" in tables and preset != PAPER:
            section.parts.append(_scans(tables["scans"]))
    section.parts += ["### Hit rate by threshold (table 5)", *_by_threshold(found)]
    section.goals = [goal for key, tables in found.items() for goal in _detection_goals(key, tables, cams.get(key))]
    return section


def _detection_intro(cam: bool) -> str:
    return (
        "Hit rate: proportion of manually segmented lesions that a box of the map overlaps by more than half, with "
        "the peak of the map inside the overlap. The paper defines the ratio in two ways: relative to the map's box "
        "(section 4.3.2) and relative to the union of both boxes (section 5.2); its table 5 is plausible for the first "
        "only. Pointing accuracy: proportion of peaks that lie on a lesion. Pixel recall: proportion of lesion pixels "
        "that are marked. Maps are converted to boxes in the same way (Otsu threshold, connected components), then by "
        "one box around what exceeds 20 % of the maximum (Zhou 2016); the enhanced map, which is not part of the "
        "paper, has its own contours. The oracle map is the upper bound at grid resolution: the manual segmentation on "
        "the grid of the last block, through the same steps. "
        + ("CAM needs pooling and one linear layer on the last block, which FeCNN does not have: its rows are from the "
           "second network above."
           if cam else "CAM was not measured: it needs a network with pooling and one linear layer (`--cam-model`).")
    )  # fmt: skip


def maps_of(tables: Tables, cam: Tables | None) -> Maps:
    """Metrics by map and conversion to boxes, common conversion first, oracle last; CAM's come from its own network."""
    rows = {tuple(row.split("; ")): one for row, one in tables["maps"].items()}
    rows |= {key: one for row, one in (cam or {"maps": {}})["maps"].items()
             if (key := tuple(row.split("; ")))[0] == "cam"}  # fmt: skip
    oracle = rows.pop((ORACLE, OTSU))
    ordered = sorted(rows, key=lambda key: key[1] != OTSU)  # stable
    return {key: rows[key] for key in ordered} | {(ORACLE, OTSU): oracle}


def _subject(data: str, tables: Tables, roles: Mapping[str, Mapping[str, Any]]) -> str:
    facts = tables["subject"][""]
    text = [_DESCRIPTIONS[data]] if data in _DESCRIPTIONS else []
    if data in roles:
        text.append(f"Role: {roles[data]['role']} ({roles[data]['reason']}).")
    trained = sum(row.get("in training") == "yes" for row in tables.get("scans", {}).values())
    if trained:
        text.append(f"The network was trained with slice-level labels of {trained} of the scans, never with their "
                    "segmentations.")  # fmt: skip
    text.append(f"Slices with lesions: {facts['slices with lesions']} of {facts['slices']}; lesions: "
                f"{facts['lesions']}.")  # fmt: skip
    if "files" in facts:
        text.append(f"{facts['slices']} of {facts['files']} slices, evenly spaced, were analyzed.")
    return " ".join(text)


def _maps_table(tables: Tables, maps: Maps) -> str:
    facts, cells = tables["subject"][""], []
    metrics = list(next(iter(maps.values())))
    for (method, step), row in maps.items():
        printed = TABLE_6.get(method) if step == OTSU else None
        label = f"{name_of(method)} {facts['oracle grid']}" if method == ORACLE else name_of(method)
        step = "own contours" if method == facts["preset"] and step == OTSU else step
        cells.append([label, step, *(row.get(name) for name in metrics),
                      *(printed or [NOTHING] * len(DETECTION_DATA))])  # fmt: skip
    return table(("map", "boxes from", *metrics, *(f"paper, {name}" for name in DETECTION_DATA)), cells, digits=2)


def _detection_text(tables: Tables, maps: Maps) -> list[str]:
    common = {method: row[HIT] for (method, step), row in maps.items() if step == OTSU and method != ORACLE}
    text = [_rank(common)]
    lead = max(common, key=lambda m: common[m].value or 0.0)
    if lead != LAM:
        text.append(f"The highest hit rate is that of {name_of(lead)}, {ranged(common[lead], 2)}.")
    shown, facts = shown_by(tables), tables["subject"][""]
    text += [reasons(tables, maps, method) for method in dict.fromkeys((shown, LAM))]
    positive = tables["positive slices"][shown][HIT]
    text.append(f"Users see maps of positive slices only ({facts['positive slices with lesions']} of the slices with "
                f"lesions, with a threshold of {number(facts['threshold'], 2)}); if lesions in the others count as "
                f"missed, the hit rate of {name_of(shown)} is {number(positive, 2)}.")  # fmt: skip
    return text


def _rank(common: Mapping[str, Any]) -> str:
    """LAM against the maps that the paper compares with, converted to boxes in the same way."""
    own, others = common[LAM], [m for m in RIVALS if m in common]
    if not others:
        return f"The hit rate of LAM is {ranged(own)}."
    each = listed([f"LAM {ranged(own)}", *(f"{name_of(m)} {ranged(common[m])}" for m in others)])
    higher = [name_of(m) for m in others if own.value > common[m].value]
    unsure = [name_of(m) for m in others if overlap(own, common[m])]
    order = ("LAM has the highest value" if len(higher) == len(others) else
             f"LAM exceeds {higher[0]} only" if higher else "LAM exceeds neither" if len(others) > 1 else
             "LAM does not exceed it")  # fmt: skip
    verb = "overlaps that" if len(unsure) == 1 else "overlaps those"
    tail = f", but its interval {verb} of {listed(unsure)}, so that the order is undecided" if unsure else ""
    return f"Hit rates with the same conversion to boxes: {each}. {order}{tail}."


def reasons(tables: Tables, maps: Maps, method: str) -> str:
    """Where the missing hits of a map go, as far as the measurements tell."""
    facts, rates, row = tables["subject"][""], tables[HIT][method], maps[method, OTSU]
    lesions, boxes = facts["lesions"] / facts["slices with lesions"], row[BOXES].value
    touched, hit = rates["0.1"].value, rates["0.5"].value
    parts = []
    if method != facts["preset"]:  # the enhanced map has another grid
        parts.append(f"the oracle map on this grid reaches only {number(maps[ORACLE, OTSU][HIT], 2)}")
    if boxes < lesions:
        parts.append(f"there are {boxes:.1f} boxes per slice for {lesions:.1f} lesions, so that several lesions share "
                     "a box or have none")  # fmt: skip
    if POINTING in row:
        parts.append(f"{percent(1 - row[POINTING].value)} of the peaks lie on no lesion")
    parts.append(f"{percent(1 - row[RECALL].value)} of the lesion pixels are not marked")
    if touched - hit > 0.05:
        parts.append(f"for {percent(touched - hit)} of the lesions the peak is correct, but less than half of the box "
                     "lies on the lesion")  # fmt: skip
    return f"What {name_of(method)} misses: {'; '.join(parts)}."


def _scans(scans: Mapping[str, Mapping[str, Any]]) -> str:
    columns = ("in training", "with lesions", "without lesions", "AUC", "sensitivity", "specificity")
    rows = [[name, row.get("in training", NOTHING), *(row.get(metric) for metric in columns[1:])]
            for name, row in scans.items()]  # fmt: skip
    return f"Slices with and without lesions, by scan:\n\n{table(('scan', *columns), rows, digits=2)}"


def _by_threshold(found: Mapping[tuple[str, str], Tables]) -> list[str]:
    """Table 5 with both ratios: the displayed map, LAM and the oracle map of every data set and preset."""
    parts = []
    for ratio, text in ((HIT, "relative to the map's box (section 4.3.2)"), (UNION, "relative to the union (section "
                                                                            "5.2)")):  # fmt: skip
        heads = [f"{name_of(method)}, {data}, {preset}"
                 for (data, preset), tables in found.items() for method in tables[ratio]]  # fmt: skip
        series = [row for tables in found.values() for row in tables[ratio].values()]
        rows = [[str(t), *(row[str(t)].value for row in series), *TABLE_5[t]] for t in TABLE_5]
        columns = ("threshold", *heads, *(f"paper, {name}" for name in DETECTION_DATA))
        parts += [f"Overlap {text}:", table(columns, rows, digits=2)]
    drops = listed(f"from {number(row['0.1'], 2)} to {number(row['0.9'], 2)} on {data}"
                   for (data, preset), tables in found.items() if preset == PAPER for row in [tables[HIT][LAM]])
    if drops:
        parts.append(f"As the threshold rises from .1 to .9, LAM's hit rate by the box falls {drops}; the paper's "
                     f"falls from {number(TABLE_5[0.1][0], 2)} to {number(TABLE_5[0.9][0], 2)} on {DETECTION_DATA[0]}."
                     )  # fmt: skip
    return parts


def _detection_goals(key: tuple[str, str], tables: Tables, cam: Tables | None) -> list[Goal]:
    """Of data with confidence intervals: a figure from a single patient decides nothing."""
    maps, (data, preset), shown = maps_of(tables, cam), key, shown_by(tables)
    if maps[LAM, OTSU][HIT].low is None:
        return []
    where, name = f"{_DATA.get(data, data)}, preset `{preset}`", name_of(shown)
    why = reasons(tables, maps, shown)
    return [_order_goal(maps, where),
            *(at_least(f"{name[0].upper()}{name[1:]}: {what} at least {number(least, 2)} ({where})",
                       maps[shown, OTSU][metric], least, why) for metric, (what, least) in GOALS.items())]  # fmt: skip


def _order_goal(maps: Maps, where: str) -> Goal:
    """LAM against CAM and NormGrad; overlapping intervals leave the order undecided."""
    lam = maps[LAM, OTSU][HIT]
    others = {m: maps[m, OTSU][HIT] for m in RIVALS if (m, OTSU) in maps}
    absent = [name_of(m) for m in RIVALS if m not in others]
    better = [m for m, other in others.items() if other.value >= lam.value]
    overlapping = any(overlap(lam, other) for other in others.values())
    reached = False if better else None if absent or overlapping else True
    measured = listed([f"LAM {number(lam)}", *(f"{name_of(m)} {number(o)}" for m, o in others.items()),
                       *(f"{name} not measured" for name in absent)])  # fmt: skip
    why = ""
    if better:
        best = max(better, key=lambda m: others[m].value)
        own, row = maps[LAM, OTSU], maps[best, OTSU]
        pairs = listed(f"{number(own[name], 2)} against {number(row[name], 2)} ({name})"
                       for name in (BOXES, POINTING, RECALL))  # fmt: skip
        why = (f"{listed(map(name_of, better))} {'hits' if len(better) == 1 else 'hit'} at least as many lesions; LAM "
               f"and {name_of(best)} show {pairs}{', and the intervals overlap' if overlap(lam, row[HIT]) else ''}.")
    note = "intervals overlap" if overlapping and not better else f"{listed(absent)} not measured" if absent else ""
    return Goal(f"LAM ahead of CAM and NormGrad ({where})", measured, reached, why, note)


# -- lesion types ----------------------------------------------------------------------------------------------


def identification(found: Mapping[tuple[int, str], Tables]) -> Section:
    """Table 7: clusters against the radiologist's lesion types, by number of clusters and preset."""
    title = "Lesion types (section 5.3, table 7)"
    if not found:
        return missing(title, "`measure_evidence`")
    types = max((list(tables["types"]) for tables in found.values()), key=len)
    rows = [[str(k), preset, *_identified(tables, types)] for (k, preset), tables in found.items()]
    rows += [["3", "paper, Own", *_printed(types)],
             ["2", "paper, CNCB", str(CNCB_LESIONS), NOTHING, CNCB_CORRECT / CNCB_LESIONS, NOTHING,
              *[NOTHING] * 2 * len(types)]]  # fmt: skip
    columns = ("K", "preset", "lesions", "balanced accuracy", "accuracy", "balanced accuracy, same lesions",
               *(f"{metric}, {name}" for name, metric in product(types, ("sensitivity", "specificity"))))  # fmt: skip
    section = Section(title, [
        "A lesion that an analysis detects on medseg has the type of what the radiologist segmented there. Clusters "
        "are assigned to types on one half of the slices and evaluated on the other; \"same lesions\" does both on all "
        "slices, as the paper does. The paper's figures are computed from its counts, because the printed "
        "specificities contradict them; for CNCB the counts yield the accuracy only.",
        table(columns, rows, digits=2),
        *(identification_text(k, preset, tables) for (k, preset), tables in found.items()),
    ])  # fmt: skip
    what = f"Balanced accuracy of ground glass against consolidation at least {number(BALANCED, 2)}"
    section.goals = [at_least(f"{what} (K = 2, `{preset}`)", tables["summary"][""]["balanced accuracy"], BALANCED,
                              cluster_reasons(tables)) for (k, preset), tables in found.items() if k == 2]  # fmt: skip
    return section


def _identified(tables: Tables, types: Sequence[str]) -> list[Any]:
    whole, each = tables["summary"][""], tables["types"]
    rates = [each.get(name, {}).get(metric, NOTHING) for name, metric in product(types, ("sensitivity", "specificity"))]
    return [str(whole["lesions matched"]), whole["balanced accuracy"], whole["accuracy"],
            whole["balanced accuracy, same lesions"], *rates]  # fmt: skip


def _printed(types: Sequence[str]) -> list[Any]:
    """Own's figures from the counts of table 7, whose columns are the truth."""
    count = sum(map(sum, TABLE_7))
    correct = [TABLE_7[i][i] for i in range(3)]
    true = [sum(row[i] for row in TABLE_7) for i in range(3)]
    predicted = [sum(row) for row in TABLE_7]
    sensitivity = {name: correct[i] / true[i] for i, name in enumerate(TYPES)}
    specificity = {name: 1 - (predicted[i] - correct[i]) / (count - true[i]) for i, name in enumerate(TYPES)}
    each = [one.get(name, NOTHING) for name in types for one in (sensitivity, specificity)]
    return [str(count), NOTHING, sum(correct) / count, sum(sensitivity.values()) / 3, *each]


def identification_text(k: int, preset: str, tables: Tables) -> str:
    """Whether a measurement differs from chance, and what the clusters contain."""
    whole, chance = tables["summary"][""], 1 / len(tables["types"])
    balanced = whole["balanced accuracy"]
    level = ("above chance" if balanced.low is not None and balanced.low > chance else
             "below chance" if balanced.high is not None and balanced.high < chance else
             "not significantly different from chance")  # fmt: skip
    by = "by density" if whole["clustered by"] == "density" else "by the network's features"
    return (f"K = {k}, preset `{preset}`, clusters {by}: balanced accuracy {ranged(balanced, 2)}, {level} "
            f"({number(chance, 2)}). {cluster_reasons(tables)}")  # fmt: skip


def cluster_reasons(tables: Tables) -> str:
    """What the clusters contain, and what follows."""
    types, clusters = list(tables["types"]), tables["clusters"]
    contents = "; ".join(f"{name} contains {listed(f'{row[one]} {one}' for one in types)}"
                         for name, row in clusters.items())  # fmt: skip
    text = [f"{contents[0].upper()}{contents[1:]}."]
    most = {max(types, key=lambda one, row=row: row[one]) for row in clusters.values()}
    if len(most) == 1:
        text.append(f"{most.pop().capitalize()} is the majority in every cluster: clusters agree with types only in "
                    "part.")  # fmt: skip
    unstable = [name for name, row in clusters.items() if row["by first half"] != row["by second half"]]
    if unstable:
        text.append(f"The type assigned to {listed(unstable)} differs between the two halves of the slices.")
    same = tables["summary"][""]["balanced accuracy, same lesions"].value
    if same < BALANCED:
        text.append(f"Even assigned and evaluated on the same lesions, the balanced accuracy is {number(same, 2)}.")
    return " ".join(text)


# -- lungs -----------------------------------------------------------------------------------------------------


def lungs(found: Mapping[str, Tables]) -> Section:
    """Dice of the lung segmentation, which needs no model."""
    title = "Lung segmentation (section 6.1)"
    if not found:
        return missing(title, "`measure_evidence`")
    names = ("cases", "mean", "median", "worst", "mean absolute volume error")
    rows = [[data, *(tables["summary"][""][name] for name in names)] for data, tables in found.items()]
    rows.append(["paper, its own data", NOTHING, LUNG_DICE, NOTHING, NOTHING, NOTHING])
    means = {data: tables["summary"][""]["mean"].value for data, tables in found.items()}
    above = [data for data, mean in means.items() if mean > LUNG_DICE]
    verdict = (f"above the paper's {number(LUNG_DICE, 2)} on {listed(above)}" if above else
               f"nowhere above the paper's {number(LUNG_DICE, 2)}")  # fmt: skip
    notes = [row["note"] for tables in found.values() for row in tables.get("notes", {}).values()]
    worst = min(means, key=means.get)
    section = Section(title, [
        "Morphology only, without a trained model. The masks are of other patients than the paper's, most of them "
        "without COVID-19; lungs with extensive consolidation are harder to segment.",
        table(("data", "cases", "Dice, mean", *names[2:]), rows), f"The mean Dice is {verdict}.", *notes,
    ])  # fmt: skip
    section.goals = [Goal(f"Lungs: mean Dice above the paper's {number(LUNG_DICE, 2)}",
                          f"{number(means[worst])} ({worst})", means[worst] > LUNG_DICE)]  # fmt: skip
    return section


