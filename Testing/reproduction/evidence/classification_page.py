"""Sections about slices: classification by source, competing systems (tables 3, 4), split leakage, three classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reproduction.published import (
    CLASSIFICATION,
    DATASETS,
    TABLE_4,
    TABLE_8,
    THREE_CLASSES,
    THREE_WAY_ACCURACY,
    published,
)

from .measured_csv import Tables
from .page_text import NOTHING, Goal, Section, counted, listed, missing, number, percent, ranged, table

OURS = "FeCNN"
OFFICIAL = "covid-ct"  # the source with an official validation list
_METRICS = {"accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "auc": "AUC",
            "ap": "AP"}  # fmt: skip
_NAMES = {"covid-ct": "covid-ct (official validation list)"}
Rows = Mapping[str, Mapping[str, Any]]


# -- one model, source by source -------------------------------------------------------------------------------


def classification(tables: Tables | None, held_out: Rows, roles: Rows) -> Section:
    """Held-out slices by source beside the areas under the curves that the paper printed (figure 6).

    Args:
        held_out: slices of the splits ``val`` and ``test`` by source.
        roles: what a source was used for; where it is not listed, validation slices chose and others are untouched.
    """
    title = "Slice classification (section 5.1, figure 6)"
    if tables is None:
        return missing(title, "`measure_evidence`")
    rows = tables["sources"]

    def role(source: str) -> str:
        if source in roles:
            return roles[source]["role"]
        return "mixed" if source == "all" else "chose" if held_out[source]["val"] else "untouched"

    cells = [[_NAMES.get(source, source), role(source), row["slices"], row["patients"], row["positives"],
              *(row.get(name) for name in _METRICS)] for source, row in rows.items()]  # fmt: skip
    cells += [[f"paper: {name}", NOTHING, *[NOTHING] * 6, *areas] for name, areas in CLASSIFICATION.items()]
    chose, untouched = (sum(row["slices"] for source, row in rows.items() if source != "all" and hit(role(source)))
                        for hit in (lambda r: "chose" in r, "untouched".__eq__))  # fmt: skip
    left = (f"{untouched} are untouched by any selection." if untouched else
            "no slice is untouched by every selection, so that all figures are optimistically biased.")  # fmt: skip
    return Section(title, [
        f"Slices of patients who were not in the training data, at the model's threshold "
        f"({number(tables['subject']['']['threshold'], 2)}). {counted(chose, 'slice')} helped to choose the epoch, the "
        f"temperature, the threshold or the study rule; {left}",
        table(("source", "role", "slices", "patients", "with COVID-19", *_METRICS.values()), cells),
        " ".join(_classification_text(rows)),
    ])  # fmt: skip


def _classification_text(rows: Rows) -> list[str]:
    text = []
    if OFFICIAL in rows:
        text.append("On COVID-CT's official validation list, images extracted from publications, the AUC is "
                    f"{ranged(rows[OFFICIAL]['auc'])}.")  # fmt: skip
    both = {name: row["auc"].value for name, row in rows.items() if name != "all" and "auc" in row}
    if len(both) > 1:
        best, worst = max(both, key=both.get), min(both, key=both.get)
        text.append(f"Among the sources with both classes, the AUC is highest on {best} ({number(both[best])}) and "
                    f"lowest on {worst} ({number(both[worst])}).")  # fmt: skip
    single = {name: row for name, row in rows.items() if name != "all" and name not in both}
    alarms = {name: 1 - row["specificity"].value for name, row in single.items() if not row["positives"]}
    if alarms:
        worst = max(alarms, key=alarms.get)
        text.append(f"In sources without COVID-19, at most {percent(alarms[worst])} of the slices are false positives "
                    f"({worst}).")  # fmt: skip
    if single:
        text.append(f"The row for all slices includes {counted(len(single), 'source')} with a single class, where "
                    "recognizing the source is enough; it does not predict clinical performance.")  # fmt: skip
    return text


# -- competing systems -----------------------------------------------------------------------------------------


def comparison(tables: Tables | None) -> Section:
    """Tables 3 and 4: every system on the same split with the same budget, beside the paper's accuracies."""
    title = "FeCNN and competing systems (tables 3 and 4)"
    if tables is None:
        return missing(title, "`compare_systems` and pass its folder as `--comparison`")
    systems, subject = tables["systems"], tables["subject"][""]
    where = {"test": "test slices, which were not used for training or for selecting epochs",
             "val": "validation slices, which also selected the epochs"}  # fmt: skip
    split = "**slices split at random**" if subject["split by"] == "random" else "no patient in more than one split"
    section = Section(title, [
        f"Every system is trained on the same slices with the same budget ({subject['budget']}), {split}, and "
        f"evaluated on the same {where[subject['split']]} ({subject['evaluated on'].split(': ', 1)[-1]}), with a "
        "threshold of .5. p: paired patient-level bootstrap of the difference in AUC. The paper's accuracies refer "
        "to its own data.",
    ])  # fmt: skip
    if subject["quick"] == "True":
        section.parts.append("**This was a quick run: it shows that everything works, not which system is better.**")
    columns = ("system", "initial weights", "accuracy", "F1", "AUC", "AP", f"AUC difference to {OURS}", "p",
               *(f"paper, {name}" for name in DATASETS))  # fmt: skip
    rows = [[name, _START[one["start"]], *(one.get(f) for f in ("accuracy", "f1", "auc", "ap")), *_difference(one),
             *published(name)] for name, one in systems.items()]  # fmt: skip
    section.parts += [table(columns, rows), " ".join(_comparison_text(systems))]
    modules = {name: systems[name] for name in TABLE_4 if name in systems}
    if len(modules) > 1:
        section.parts += ["The modules (table 4):", _module_table(modules), _module_text(modules)]
    section.goals = [_comparison_goal(systems)] if OURS in systems and len(systems) > 1 else []
    section.parts += [f"{name} and {one['same as']} are the same network, trained once."
                      for name, one in systems.items() if "same as" in one]  # fmt: skip
    section.parts += [f"{name} is missing: {one['reason']}" for name, one in tables.get("failed", {}).items()]
    return section


_START = {"no weights": "none (classical)", "ImageNet": "ImageNet", "random": "random"}


def _difference(system: Mapping[str, Any]) -> tuple[Any, Any]:
    return system.get("AUC difference", NOTHING), system.get("p", NOTHING)


def _module_table(modules: Rows) -> str:
    rows = [[*("yes" if used else "no" for used in TABLE_4[name][:2]), *(one[f] for f in ("accuracy", "auc")),
             *_difference(one), *TABLE_4[name][2]] for name, one in modules.items()]  # fmt: skip
    columns = ("FPN", "fusion", "accuracy", "AUC", f"AUC difference to {OURS}", "p",
               *(f"paper, {name}" for name in DATASETS))  # fmt: skip
    return table(columns, rows)


def _ahead(systems: Rows) -> list[str]:
    """Competing systems with a higher AUC, the best first; variants of FeCNN itself do not compete."""
    areas = {name: one["auc"].value for name, one in systems.items() if name not in TABLE_4}
    return sorted((name for name, area in areas.items() if area > systems[OURS]["auc"].value),
                  key=lambda name: -areas[name])  # fmt: skip


def _significant(system: Mapping[str, Any]) -> bool:
    """Whether the confidence interval of the difference excludes 0."""
    found = system.get("AUC difference")
    return found is not None and found.low is not None and (found.low > 0 or found.high < 0)


def _comparison_text(systems: Rows) -> list[str]:
    if OURS not in systems:
        return ["FeCNN did not take part."]
    ahead = _ahead(systems)
    behind = [name for name in systems if name not in TABLE_4 and name not in ahead]
    sure = [name for name in behind if _significant(systems[name])]
    text = [f"FeCNN's AUC is {ranged(systems[OURS]['auc'])}."]
    if behind:
        text.append(f"{counted(len(behind), 'competing system does', 'competing systems do')} not exceed it; the 95 % "
                    f"CI of the difference excludes 0 for {listed(sure) or 'none of them'}.")  # fmt: skip
    text += _why(systems, ahead)
    if {"ImageNet", "random"} <= {one["start"] for one in systems.values()}:
        text.append("Networks with random initial weights are at a disadvantage with this budget: their rows show what "
                    "they learn here, not what their authors achieved.")  # fmt: skip
    return text


def _why(systems: Rows, ahead: Sequence[str]) -> list[str]:
    """One sentence for each competing system with a higher AUC."""
    text = []
    for name in ahead:
        one = systems[name]
        if not _significant(one):
            reason = "not significantly different (95 % CI includes 0)"
        elif one["start"] == systems[OURS]["start"]:
            reason = "with the same initial weights: within this budget it fits these data better"
        else:
            reason = f"although its initial weights are {_START[one['start']]} and FeCNN's are ImageNet"
        text.append(f"{name} is ahead by {ranged(one['AUC difference'])}, {reason}.")
    return text


def _comparison_goal(systems: Rows) -> Goal:
    ahead = _ahead(systems)
    own = ranged(systems[OURS]["auc"])
    what = "FeCNN's AUC at or above that of every competing system, or the difference explained"
    if not ahead:
        return Goal(what, f"{own}, the highest", True)
    sure = any(_significant(systems[name]) for name in ahead)
    return Goal(what, f"{own}; higher: {listed(ahead)}", False if sure else None, " ".join(_why(systems, ahead)),
                "" if sure else "no significant difference")  # fmt: skip


def _module_text(modules: Rows) -> str:
    areas = {name: one["auc"].value for name, one in modules.items()}
    best = max(areas, key=areas.get)
    if OURS not in modules:
        return f"{best} has the highest AUC ({number(areas[best])})."
    without = [name for name in modules if name != OURS]
    helped = [name for name in without if areas[name] < areas[OURS]]
    sure = [name for name in without if _significant(modules[name])]
    told = (f"the 95 % CI of the difference excludes 0 for {listed(sure)}" if sure else
            "no difference is significant")  # fmt: skip
    return (f"With both modules the AUC exceeds that of {len(helped)} of the {len(without)} variants without one or "
            f"both; {told}." + ("" if best == OURS else f" {best} has the highest AUC ({number(areas[best])})."))


# -- split leakage ---------------------------------------------------------------------------------------------


def split_leakage(tables: Tables | None) -> Section:
    """The same network with the paper's random split of slices and with a split by patient."""
    title = "Slice-level split leakage"
    if tables is None:
        return missing(title, "`split_leakage` and pass its folder as `--split-leakage`")
    splits, subject = tables["splits"], tables["subject"][""]
    names = {"random": "slices at random, as in the paper", "patients": "by patient"}
    rows = [[names[name], *(one[key] for key in ("slices", "patients", "auc", "accuracy", "nearest neighbor"))]
            for name, one in splits.items()]  # fmt: skip
    columns = ("split", "test slices", "patients", "AUC", "accuracy", "accuracy of the nearest neighbor")
    return Section(title, [
        f"The same FeCNN ({subject['backbone']}) on {subject['source']}, whose patients are estimated by grouping "
        f"similar slices; {subject['budget']}, evaluated on a fifth of the slices, which were not used for training or "
        "for selecting epochs. The nearest neighbor assigns the label of the training slice that is most similar at "
        "32 x 32 pixels.",
        table(columns, rows), _leakage_text(splits),
    ])  # fmt: skip


def _leakage_text(splits: Rows) -> str:
    random, by_patient = (splits[name]["auc"] for name in ("random", "patients"))
    neighbor = [percent(splits[name]["nearest neighbor"].value) for name in ("random", "patients")]
    gain = random.value - by_patient.value
    known = (f"The nearest neighbor, which knows nothing about the disease, is right for {neighbor[0]} of the slices "
             f"with the random split and for {neighbor[1]} with the split by patient.")  # fmt: skip
    if gain <= 0:
        return f"With this budget the random split does not raise the AUC (difference {number(gain)}). {known}"
    return (f"The random split alone raises the AUC by {number(gain)}, from {ranged(by_patient)} to {ranged(random)}: "
            f"that part of a published figure may be recognition of the patient. {known}")  # fmt: skip


# -- three classes ---------------------------------------------------------------------------------------------


def three_classes(tables: Tables | None) -> Section:
    """Table 8 on data that synthetic slices extend by a third class, real and synthetic slices apart."""
    title = "Three classes, one of them synthetic (section 6.2, table 8)"
    if tables is None:
        return missing(title, "`three_classes` and pass its folder as `--three-classes`")
    subject, classes = tables["subject"][""], [one["name"] for one in tables["classes"].values()]
    sizes = "; ".join(f"{origin}: {listed(f'{n} {name}' for name, n in part.items())}"
                      for origin, part in tables["slices"].items())  # fmt: skip
    confusion = {source: [[tables["confusion"][f"{source}; {name}"][called] for called in classes] for name in classes]
                 for source in tables["sources"]}  # fmt: skip
    return Section(title, [
        f"**The third class, {subject['synthetic']}, is synthetic**, because no available open source has another "
        "pneumonia in several patients. All three classes contain synthetic slices, so that being synthetic does not "
        "reveal the class; but synthetic patients resemble each other more than real ones, which makes their slices "
        f"easier. Slices: {sizes}. Training: {subject['budget']}.",
        _by_source(tables["sources"], confusion, classes),
        _three_class_text(tables["sources"], confusion, classes.index(subject["synthetic"])),
        "By threshold: the proportion of a class's slices that are still recognized and, in parentheses, the accuracy "
        "of that class against the rest. The paper's figures refer to COVIDx2a, with "
        f"{number(THREE_WAY_ACCURACY, 2)} over all classes:",
        _by_threshold(tables, [classes[-1], *classes[:-1]]), _real_pneumonia(tables["volume"], classes, subject),
    ])  # fmt: skip


def _by_source(sources: Rows, confusion: Mapping[str, list[list[int]]], classes: Sequence[str]) -> str:
    rows = []
    for source, row in sources.items():
        correct = [f"{line[i]} of {sum(line)}" if sum(line) else NOTHING for i, line in enumerate(confusion[source])]
        rows.append([source, row["slices"], row["patients"], row["overall accuracy"], row.get("auc"), *correct])
    columns = ("source of the test slices", "slices", "patients", "accuracy", "AUC of COVID-19 against the rest",
               *(f"correct: {name}" for name in classes))  # fmt: skip
    return table(columns, rows)


def _three_class_text(sources: Rows, confusion: Mapping[str, list[list[int]]], synthetic: int) -> str:
    """``synthetic`` is the index of the synthetic class."""
    real = [source for source in sources if source not in ("all", "phantom")]
    count = sum(sources[source]["slices"] for source in real)
    text = []
    if count:
        correct = sum(line[i] for source in real for i, line in enumerate(confusion[source]))
        text.append(f"Of the real slices, {percent(correct / count)} are classified correctly.")
    if "phantom" in sources:
        accuracy = percent(sources["phantom"]["overall accuracy"].value)
        text.append(f"Of the synthetic ones, which are of all three classes, {accuracy} are.")
        if count:
            called = sum(line[synthetic] for source in real for i, line in enumerate(confusion[source])
                         if i != synthetic)  # fmt: skip
            text.append(f"{counted(called, 'real slice')} of {count} {'is' if called == 1 else 'are'} classified as "
                        "the synthetic pneumonia.")  # fmt: skip
    return " ".join(text)


def _by_threshold(tables: Tables, classes: Sequence[str]) -> str:
    """Table 8; ``classes`` begin with COVID-19, as the paper's do."""
    both = tables["thresholds, all"], tables["thresholds, phantom"]
    rows = []
    for t, printed in TABLE_8.items():
        cells = [f"{number(part[str(t)][f'{name} recognized'])} ({number(part[str(t)][f'{name} accuracy'])})"
                 for part in both for name in classes]  # fmt: skip
        rows.append([str(t), *cells, *printed])
    columns = ("threshold", *(f"all: {name}" for name in classes), *(f"synthetic: {name}" for name in classes),
               *(f"paper: {name}" for name in THREE_CLASSES))  # fmt: skip
    return table(columns, rows)


def _real_pneumonia(volume: Rows, classes: Sequence[str], subject: Mapping[str, Any]) -> str:
    """How the model classifies a real volume with another pneumonia."""
    pneumonia, text = subject["synthetic"], []
    for group in ("with lesions", "without lesions"):
        part = volume[group]
        if part["slices"]:
            named = listed(f"{part[f'called {name}']} as {name}" for name in classes if part[f"called {name}"])
            text.append(f"{counted(part['slices'], 'slice')} {group} {named} (mean probability of the pneumonia "
                        f"{number(part[f'mean probability {pneumonia}'], 2)})")  # fmt: skip
    if not text:
        return "No slice of the real pneumonia showed enough lung to analyze."
    sick = volume["with lesions"]
    share = sick[f"called {pneumonia}"] / sick["slices"] if sick["slices"] else 0.0
    verdict = ("What it learned from synthetic pneumonia transfers to this one real pneumonia, in slices that it never "
               "saw." if share > 0.5 else
               "What it learned from synthetic pneumonia does not transfer to this one real pneumonia.")  # fmt: skip
    return (f"In a real community-acquired pneumonia ({volume['']['name']}, not trained on) it classifies "
            f"{', and '.join(text)}. {verdict}")  # fmt: skip


