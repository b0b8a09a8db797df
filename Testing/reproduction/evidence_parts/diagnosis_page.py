"""Slices: the diagnosis by source, the rivals (tables 3 and 4), the leak, three classes (table 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reproduction.comparison.published import DATASETS, TABLE_4, published

from .page_text import NOTHING, Goal, Section, counted, listed, missing, number, percent, ranged, table
from .published_page import AREAS, TABLE_8, THREE_CLASSES, THREE_WAY_ACCURACY

OURS = "FeCNN"
OFFICIAL = "covid-ct"  # the source with an official validation list
_RATES = {"accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "auc": "AUC", "ap": "AP"}
_NAMES = {"covid-ct": "covid-ct (official validation list)"}


# -- one model, source by source -------------------------------------------------------------------------------


def diagnosis(metrics: Mapping[str, Any] | None, held_out: Mapping[str, Mapping[str, int]]) -> Section:
    """Held-out slices by source beside the areas that the paper printed (figure 6)."""
    title = "Diagnosis of slices (section 5.1, figure 6)"
    if metrics is None:
        return missing(title, "`evidence.py`")
    (figures,) = metrics["figures"].values()
    rows = figures["rows"]
    cells = [[_NAMES.get(row["source"], row["source"]), row["slices"], row["patients"], row["positives"],
              *(row["metrics"][name] for name in _RATES)] for row in rows]  # fmt: skip
    cells += [[f"paper: {name}", *[NOTHING] * 6, *areas] for name, areas in AREAS.items()]
    chosen = sum(count["val"] for count in held_out.values())
    untouched = sum(count["test"] for count in held_out.values())
    columns = ("source", "slices", "patients", "with COVID-19", *_RATES.values())
    return Section(title, [
        f"Slices of patients who were not trained on. {counted(chosen, 'of these slices', 'of these slices')} "
        "belong to validation patients, by whom a training chooses its epoch, temperature or threshold; "
        f"{untouched} are of sources or patients that chose nothing.",
        table(columns, cells), " ".join(_diagnosis_words(rows)),
    ])  # fmt: skip


def _diagnosis_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    named = {row["source"]: row for row in rows}
    words = []
    if OFFICIAL in named:
        auc = named[OFFICIAL]["metrics"]["auc"]
        words.append(f"On COVID-CT's official validation list, figures cut out of papers, the AUC is {ranged(auc)}.")
    both = {name: row["metrics"]["auc"]["value"] for name, row in named.items()
            if name != "all" and row["metrics"]["auc"]["value"] is not None}  # fmt: skip
    if len(both) > 1:
        best, worst = max(both, key=both.get), min(both, key=both.get)
        words.append(f"Of the sources with both classes, {best} is the easiest ({number(both[best])}) and {worst} the "
                     f"hardest ({number(both[worst])}).")  # fmt: skip
    single = [row for name, row in named.items() if name != "all" and name not in both]
    healthy = [row for row in single if not row["positives"]]
    if healthy:
        alarms = {row["source"]: 1 - row["metrics"]["specificity"]["value"] for row in healthy}
        worst = max(alarms, key=alarms.get)
        words.append(f"Sources without COVID-19 show false alarms: at most {percent(alarms[worst])} of the slices "
                     f"({worst}).")  # fmt: skip
    if single:
        words.append(f"The row of all slices mixes in {counted(len(single), 'source')} of a single class, on which "
                     "telling sources apart helps; it is no estimate for a clinic.")  # fmt: skip
    return words


# -- the rivals ------------------------------------------------------------------------------------------------


def rivals(metrics: Mapping[str, Any] | None) -> Section:
    """Tables 3 and 4: every system on the same split with the same budget, beside the paper's accuracies."""
    title = "FeCNN against its rivals (tables 3 and 4)"
    if metrics is None:
        return missing(title, "`compare_systems.py`, and give its folder with `--compare`")
    systems = metrics["systems"]
    where = {"test": "test slices, which chose nothing", "val": "validation slices, which also chose the epochs"}
    split = "**slices split at random**" if metrics["config"].get("split") == "random" else "no patient on both sides"
    section = Section(title, [
        f"Every system learns from the same slices with the same budget ({metrics['budget']}), {split}, and is judged "
        f"on the same {where[metrics['split']]} ({_judged(metrics)}), positive from .5 on. p: of no "
        "difference in AUC, by redrawn patients. The paper's accuracies are of its own data.",
    ])  # fmt: skip
    if metrics.get("quick"):
        section.parts.append("**This was a quick try, which says that everything works, not which system is better.**")
    section.parts += [_rival_table(systems), " ".join(_rival_words(systems))]
    modules = {name: systems[name] for name in TABLE_4 if name in systems}
    if len(modules) > 1:
        section.parts += ["The modules (table 4):", _module_table(modules), _module_words(modules)]
    section.goals = [_rival_goal(systems)] if OURS in systems and len(systems) > 1 else []
    section.parts += [f"{name} and {one['same_as']} are the same network, trained once."
                      for name, one in systems.items() if one.get("same_as")]  # fmt: skip
    section.parts += [f"{name} is missing: {why}" for name, why in metrics.get("failed", {}).items()]
    return section


def _judged(metrics: Mapping[str, Any]) -> str:
    """How many slices and patients."""
    return dict(metrics["subject"])["judged on"].split(": ", 1)[-1]


def _figures(system: Mapping[str, Any]) -> Mapping[str, Any]:
    return system["figures"]["rows"][0]["metrics"]


def _start(system: Mapping[str, Any]) -> str:
    facts = system["facts"]
    if "epochs" not in facts:
        return "no weights"
    return "ImageNet" if facts.get("start") else "random numbers"


def _difference(system: Mapping[str, Any]) -> tuple[Any, Any]:
    found = system.get("difference_to_fecnn")
    return (found, found["p"]) if found else (NOTHING, NOTHING)


def _rival_table(systems: Mapping[str, Any]) -> str:
    columns = ("system", "starts from", "accuracy", "F1", "AUC", "AP", "AUC less FeCNN's", "p",
               *(f"paper, {name}" for name in DATASETS))  # fmt: skip
    rows = [[name, _start(one), *(_figures(one)[f] for f in ("accuracy", "f1", "auc", "ap")), *_difference(one),
             *published(name)] for name, one in systems.items()]  # fmt: skip
    return table(columns, rows)


def _module_table(modules: Mapping[str, Any]) -> str:
    rows = [["yes" if TABLE_4[name][0] else "no", "yes" if TABLE_4[name][1] else "no",
             *(_figures(one)[f] for f in ("accuracy", "auc")), *_difference(one), *TABLE_4[name][2]]
            for name, one in modules.items()]  # fmt: skip
    columns = ("FPN", "fusion", "accuracy", "AUC", "AUC less FeCNN's", "p", *(f"paper, {name}" for name in DATASETS))
    return table(columns, rows)


def _ahead(systems: Mapping[str, Any]) -> list[str]:
    """Rivals with a higher AUC, the best first; the forms of FeCNN itself are no rivals."""
    own = _figures(systems[OURS])["auc"]["value"]
    areas = {name: _figures(one)["auc"]["value"] for name, one in systems.items() if name not in TABLE_4}
    return sorted((name for name, area in areas.items() if area > own), key=lambda name: -areas[name])


def _sure(system: Mapping[str, Any]) -> bool:
    """Whether the interval of the difference leaves out 0."""
    found = system.get("difference_to_fecnn")
    return bool(found) and found["low"] is not None and (found["low"] > 0 or found["high"] < 0)


def _rival_words(systems: Mapping[str, Any]) -> list[str]:
    if OURS not in systems:
        return ["FeCNN did not take part."]
    ahead = _ahead(systems)
    behind = [name for name in systems if name not in TABLE_4 and name not in ahead]
    sure = [name for name in behind if _sure(systems[name])]
    words = [f"FeCNN's AUC is {ranged(_figures(systems[OURS])['auc'])}."]
    if behind:
        told = f"for {listed(sure)}" if sure else "for none of them"
        words.append(f"{counted(len(behind), 'rival has', 'rivals have')} no higher one; {told} the interval of the "
                     "difference leaves out 0.")  # fmt: skip
    words += _why(systems, ahead)
    starts = {_start(one) for name, one in systems.items()} - {"no weights"}
    if len(starts) > 1:
        words.append("Networks that start from random numbers are at a disadvantage with this budget: their rows say "
                     "what they learn here, not what their authors reached.")  # fmt: skip
    return words


def _why(systems: Mapping[str, Any], ahead: Sequence[str]) -> list[str]:
    """What the figures say of each rival with a higher AUC."""
    words = []
    for name in ahead:
        one = systems[name]
        gain = one["difference_to_fecnn"]
        if not _sure(one):
            reason = "an interval with 0 in it: these slices cannot tell the two apart"
        elif _start(one) == _start(systems[OURS]):
            reason = "and the same start, so that within this budget its layers learn these data better"
        else:
            reason = f"though it starts from {_start(one)} and FeCNN from {_start(systems[OURS])}"
        words.append(f"{name} is ahead by {ranged(gain)}, {reason}.")
    return words


def _rival_goal(systems: Mapping[str, Any]) -> Goal:
    ahead = _ahead(systems)
    own = ranged(_figures(systems[OURS])["auc"])
    what = "FeCNN's AUC at or above every rival's, or the difference explained"
    if not ahead:
        return Goal(what, f"{own}, the highest", True)
    sure = [name for name in ahead if _sure(systems[name])]
    return Goal(what, f"{own}; higher: {listed(ahead)}", False if sure else None, " ".join(_why(systems, ahead)))


def _module_words(modules: Mapping[str, Any]) -> str:
    areas = {name: _figures(one)["auc"]["value"] for name, one in modules.items()}
    best = max(areas, key=areas.get)
    if OURS not in modules:
        return f"{best} has the highest AUC ({number(areas[best])})."
    without = {name: one for name, one in modules.items() if name != OURS}
    helped = [name for name in without if areas[name] < areas[OURS]]
    sure = [name for name in without if _sure(modules[name])]
    told = f"for {listed(sure)} the interval leaves out 0" if sure else "no interval of a difference leaves out 0"
    return (f"Both modules together are ahead of {len(helped)} of the {len(without)} forms without one or both; {told}."
            + ("" if best == OURS else f" The highest AUC has {best} ({number(areas[best])})."))  # fmt: skip


# -- the leak --------------------------------------------------------------------------------------------------


def leak(metrics: Mapping[str, Any] | None) -> Section:
    """The same network by the paper's split and by patient."""
    title = "The leak: slices split at random"
    if metrics is None:
        return missing(title, "`leak.py`, and give its folder with `--leak`")
    splits = metrics["splits"]
    rows = []
    for name, one in splits.items():
        test, words = one["test"], {"random": "at random, as in the paper", "patients": "by patient"}[name]
        rows.append([words, test["slices"], test["patients"], test["metrics"]["auc"], test["metrics"]["accuracy"],
                     one["neighbor"]])  # fmt: skip
    columns = ("split", "test slices", "patients", "AUC", "accuracy", "accuracy of the nearest thumbnail")
    return Section(title, [
        f"The same FeCNN ({metrics['backbone']}) on {metrics['source']}, whose patients are estimated by grouping "
        f"look-alikes; {metrics['budget']}, judged on a fifth of the slices that chose nothing. The nearest thumbnail "
        "gives a slice the label of the training slice that is most similar at 32 x 32 pixels.",
        table(columns, rows), _leak_words(splits),
    ])  # fmt: skip


def _leak_words(splits: Mapping[str, Any]) -> str:
    drawn, kept = (splits[name]["test"]["metrics"]["auc"] for name in ("random", "patients"))
    gain = drawn["value"] - kept["value"]
    names = [splits[name]["neighbor"]["value"] for name in ("random", "patients")]
    thumbnails = (f"Looking up the nearest thumbnail, which knows nothing of the disease, is right for "
                  f"{percent(names[0])} of the slices by the random split and for {percent(names[1])} by patient"
                  )  # fmt: skip
    if gain <= 0:
        return f"No gain by the random split shows at this budget ({number(gain)} AUC). {thumbnails}."
    return (f"The random split alone lifts the AUC by {number(gain)}, from {ranged(kept)} to {ranged(drawn)}: so much "
            f"of a published figure may be memory of the patient. {thumbnails}.")  # fmt: skip


# -- three classes ---------------------------------------------------------------------------------------------


def three_classes(metrics: Mapping[str, Any] | None) -> Section:
    """Table 8 on data that synthetic slices extend by a third class, real and synthetic slices apart."""
    title = "Three classes, one of them synthetic (section 6.2, table 8)"
    if metrics is None:
        return missing(title, "`three_classes.py`, and give its folder with `--three-classes`")
    classes, counts = metrics["classes"], metrics["counts"]
    sizes = "; ".join(f"{kind}: {listed(f'{n} {name}' for name, n in part.items())}" for kind, part in counts.items())
    every, synthetic = (metrics["evaluations"][kind] for kind in ("all", "phantom"))
    section = Section(title, [
        f"**The third class, {metrics['synthetic']}, is synthetic**, as no open source at hand has another pneumonia "
        "of several patients. Synthetic slices are in all three classes, so that being synthetic does not give the "
        "class away; but synthetic patients resemble each other more than real ones do, which makes their slices the "
        f"easier ones. Slices: {sizes}. Trained for {metrics['budget']}.",
        _by_source(every["rows"], classes), _three_words(every["rows"], classes.index(metrics["synthetic"])),
        "By threshold, the share of a class's slices that are still recognized, in parentheses the accuracy of that "
        f"class against the rest. The paper's are of COVIDx2a, with {number(THREE_WAY_ACCURACY, 2)} over all classes:",
        _by_threshold(every["thresholds"], synthetic["thresholds"], [classes[-1], *classes[:-1]]), _asked(metrics),
    ])  # fmt: skip
    return section


def _by_source(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> str:
    cells = []
    for row in rows:
        called = [f"{line[i]} of {sum(line)}" if sum(line) else NOTHING for i, line in enumerate(row["confusion"])]
        cells.append([row["source"], row["slices"], row["patients"], row["overall_accuracy"], row["metrics"]["auc"],
                      *called])  # fmt: skip
    columns = ("source of the test slices", "slices", "patients", "accuracy", "AUC of COVID-19 against the rest",
               *(f"right: {name}" for name in classes))  # fmt: skip
    return table(columns, cells)


def _three_words(rows: Sequence[Mapping[str, Any]], place: int) -> str:
    """``place`` is the index of the synthetic class."""
    made = next((row for row in rows if row["source"] == "phantom"), None)
    real = [row for row in rows if row["source"] not in ("all", "phantom")]
    right = sum(row["confusion"][i][i] for row in real for i in range(len(row["confusion"])))
    count = sum(row["slices"] for row in real)
    words = []
    if count:
        words.append(f"Of the real slices {percent(right / count)} get their class.")
    if made:
        words.append(f"Of the synthetic ones {percent(made['overall_accuracy']['value'])} do, where all three classes "
                     "are at stake.")  # fmt: skip
    if made and count:
        strayed = sum(line[place] for row in real for i, line in enumerate(row["confusion"]) if i != place)
        words.append(f"The synthetic pneumonia is called on {counted(strayed, 'real slice')} of {count}.")
    return " ".join(words)


def _by_threshold(every: Sequence[Mapping[str, Any]], made: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> str:
    """Table 8; ``classes`` begin with the disease, as the paper's do."""
    rows = []
    for whole, part in zip(every, made, strict=True):
        cells = [f"{number(t[f'{name} recognized'])} ({number(t[f'{name} accuracy'])})"
                 for t in (whole, part) for name in classes]  # fmt: skip
        rows.append([whole["threshold"], *cells, *TABLE_8[float(whole["threshold"])]])
    columns = ("threshold", *(f"all: {name}" for name in classes), *(f"synthetic: {name}" for name in classes),
               *(f"paper: {name}" for name in THREE_CLASSES))  # fmt: skip
    return table(columns, rows)


def _asked(metrics: Mapping[str, Any]) -> str:
    """What the model says of the real volume with another pneumonia."""
    classes, volume = metrics["classes"], metrics["volume"]
    place = classes.index(metrics["synthetic"])
    words = []
    for kind in ("infected", "clean"):
        part = volume[kind]
        if part["slices"]:
            named = listed(f"{n} as {name}" for name, n in zip(classes, part["called"], strict=True) if n)
            words.append(f"the {counted(part['slices'], f'{kind} slice')} {named} (mean probability of the pneumonia "
                         f"{number(part['probabilities'][place], 2)})")  # fmt: skip
    if not words:
        return "No slice of the real pneumonia showed enough lung to be judged."
    sick = volume["infected"]
    share = sick["called"][place] / sick["slices"] if sick["slices"] else 0.0
    verdict = ("it does carry over to this one real pneumonia, in slices that it never saw" if share > 0.5 else
               "what it learned of synthetic pneumonia does not carry over to this one real pneumonia")  # fmt: skip
    return (f"Of a real community-acquired pneumonia ({volume['name']}, not trained on) it calls "
            f"{' and '.join(words)}: {verdict}.")  # fmt: skip
