"""Write ``docs/evidence.md`` from the measured figures beside the paper's.

    python -m reproduction.evidence.evidence_page [--convert DIR [--comparison DIR] [--split-leakage DIR]
                                                   [--three-classes DIR]]

Without options the page is written from ``reproduction/measured/*.csv``. ``--convert`` first turns the results of new
runs into these files: DIR is the folder of ``measure_evidence``, the others are those of ``compare_systems``,
``split_leakage`` and ``three_classes``. ``measured/roles.csv`` says which data took part in developing the model; edit
it by hand when a model is replaced. Every sentence about a figure follows from the figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproduction import ROOT

from . import classification_page, lesions_page
from .measured_csv import Tables, convert, read_measured
from .page_text import Goal, Section, counted, listed, table

MEASURED = Path(__file__).resolve().parents[1] / "measured"
PAGE = ROOT / "docs" / "evidence.md"
_INTRO = """# Evidence

The measurements of sections 5 and 6 of the paper (*Weakly-supervised lesion analysis with a CNN-based framework for \
COVID-19*), repeated on open data and shown beside the figures printed in the paper. \
`python -m reproduction.evidence.evidence_page` writes this page from `Testing/reproduction/measured`; the commands of \
the measurements are at its end. Parentheses contain 95 % confidence intervals from a patient-level bootstrap (over \
slices where patients are not known); a figure from a single patient has none.

**The data are not the paper's.** Own, CNCB and COVIDx2a are not available, and whether Radio-2 shares scans with the \
radiopaedia slices used here is unknown. The slices come from seven open sources with different windows and crops \
(images extracted from publications, screenshots, lung-window exports), four of which have a single class, and what \
counts as one lesion of a mask was decided here. The paper splits slices at random; here each patient is in one split \
only. A column "paper" therefore shows what was claimed there, not what should be obtained here. Printed figures that \
contradict others of the paper are left out: the accuracy of FeCNN on Own, the specificities of table 7, the \
sensitivities and specificities on CNCB, and the totals of the three-class data."""
_ROLES = """Each data set has one or more roles. *Trained*: the network learned from its slice-level labels. *Chose*: \
it selected the epoch, the temperature, the threshold or the study rule of this model, so that its figures are \
optimistically biased. *Development*: it informed the method or its constants. *Untouched*: none of these."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--convert", type=Path, metavar="DIR", help="results of measure_evidence to convert first")
    for name in ("comparison", "split-leakage", "three-classes"):
        add(f"--{name}", type=Path, metavar="DIR", help="with --convert; default: keep the figures that are there")
    add("--measured", type=Path, default=MEASURED, metavar="DIR", help="folder of the CSV files")
    add("--output", type=Path, default=PAGE, metavar="FILE")
    args = parser.parse_args()
    if args.convert:
        convert(args.convert, args.measured, comparison=args.comparison, split_leakage=args.split_leakage,
                three_classes=args.three_classes)  # fmt: skip
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(page(read_measured(args.measured)), encoding="utf-8")
    print(f"The page is {args.output}.")


def page(measured: Mapping[str, Tables]) -> str:
    """The page with all measured runs."""
    roles = measured.get("roles", {})
    others = {name: measured.get(name) for name in ("comparison", "split_leakage", "three_classes")}
    sections = [
        classification_page.classification(measured.get("diagnosis"), measured.get("held out", {}).get("slices", {}),
                                           roles.get("sources", {})),
        classification_page.comparison(others["comparison"]),
        classification_page.split_leakage(others["split_leakage"]),
        lesions_page.detection(_by_data(measured, "detection"), _by_data(measured, "cam"), roles.get("detection", {})),
        lesions_page.identification({(int(name.split("-")[1]), name.split("-")[2]): one
                                     for name, one in sorted(measured.items()) if name.startswith("identification-")}),
        classification_page.three_classes(others["three_classes"]),
        lesions_page.lungs({name.removeprefix("lungs-"): tables for name, tables in measured.items()
                            if name.startswith("lungs-")}),
    ]  # fmt: skip
    goals = [goal for section in sections for goal in section.goals]
    parts = [_INTRO, _models(measured), *([_roles(roles)] if roles else []), _goals(goals),
             *(section.text() for section in sections), _commands(measured, others)]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _by_data(measured: Mapping[str, Tables], kind: str) -> dict[tuple[str, str], Tables]:
    """By data set and preset: a run is called ``detection-held-out-scan-paper``."""
    found = {name.removeprefix(f"{kind}-").rpartition("-"): tables for name, tables in measured.items()
             if name.startswith(f"{kind}-") and "maps" in tables}  # fmt: skip
    return {(data, preset): tables for (data, _, preset), tables in found.items()}


def _models(measured: Mapping[str, Tables]) -> str:
    lines = [_model(measured["MODEL"])]
    if "CAM_MODEL" in measured:
        lines.append(f"For CAM: {_model(measured['CAM_MODEL'])}")
    return "\n\n".join(["## The model", *lines])


def _model(tables: Tables) -> str:
    """Which network the figures refer to, and how it was trained."""
    facts, training = tables["model"][""], tables.get("training", {}).get("", {})
    parts = [name for flag, name in (("fpn", "feature pyramid"), ("fusion", "ensemble fusion"),
                                     ("lesion_head", "a lesion head trained on synthetic lesions"))
             if facts[flag] == "True"]  # fmt: skip
    head = listed(parts) or ("pooling and one linear layer" if facts["linear_top"] == "True" else "dense layers")
    text = (f"**{facts['id']}** ({facts['title']}; {facts['license']}), checksum `{facts['checksum'][:16]}`: "
            f"{facts['backbone']} with {head}, {counted(facts['classes'], 'class', 'classes')}, "
            f"{counted(facts['clusters'], 'lesion cluster')}, images of {facts['size']} px, threshold "
            f"{facts['threshold'].value:.2g}.")  # fmt: skip
    text += f" {facts['note']}" if "note" in facts else ""
    if "phases" not in tables:
        return f"{text} Its model card describes the training."
    phases = listed(f"{counted(p['epochs'], 'epoch')} at {p['size']} px in batches of {p['batch']}"
                    for p in tables["phases"].values())  # fmt: skip
    drawn = training.get("samples_per_epoch")
    amount = f"{drawn} slices per epoch" if drawn else "all training slices in each epoch"
    split = "slices split at random" if training["split"] == "random" else "no patient in more than one split"
    sizes = (f" ({training['slices train']} slices for training, {training['slices val']} for validation)"
             if "slices val" in training else "")  # fmt: skip
    return f"{text} Trained for {phases}, {amount}, seed {training['seed']}; {split}{sizes}."


def _roles(roles: Tables) -> str:
    used = {"sources": "slice classification", "detection": "lesion detection"}
    rows = [[name, used[group], row["role"], row["reason"]] for group in used
            for name, row in roles.get(group, {}).items()]  # fmt: skip
    return "\n\n".join(["## Roles of the data", _ROLES, table(("data", "measured", "role", "reason"), rows)])


def _goals(goals: list[Goal]) -> str:
    section = Section("Goals")
    if not goals:
        section.parts.append("No goal was measured.")
        return section.text()
    section.parts.append("A goal is undecided where confidence intervals do not support a yes. The intervals of two "
                         "maps are marginal: where they overlap, the order of the maps is not established.")
    section.parts.append(table(("goal", "measured", "reached"), [[g.what, g.measured, g.answer] for g in goals]))
    reasons: dict[str, list[str]] = {}
    for goal in goals:
        if goal.reached is not True and goal.why:
            reasons.setdefault(goal.why, []).append(goal.what)
    if reasons:
        section.parts.append("Why goals are not reached or undecided, as far as the measurements tell:")
        section.parts.append("\n".join(f"* {'; '.join(what)}: {why}" for why, what in reasons.items()))
    return section.text()


def _commands(measured: Mapping[str, Tables], others: Mapping[str, Tables | None]) -> str:
    models = " --cam-model CAM_MODEL" if "CAM_MODEL" in measured else ""
    lines = [f"python -m reproduction.evidence.measure_evidence --output DIR --model MODEL{models}"]
    if others["comparison"]:
        lines.append(_compare_command(others["comparison"]))
    lines += [one["subject"][""]["command"] for name in ("split_leakage", "three_classes") if (one := others[name])]
    options = [f"--{name.replace('_', '-')} {name.upper()}" for name, one in others.items() if one]
    lines.append(" ".join(["python -m reproduction.evidence.evidence_page --convert DIR", *options]))
    steps = [tables["run"][""]["command"] for tables in measured.values() if "run" in tables]
    return "\n\n".join([
        "## How to repeat the measurements",
        "Run these commands in the folder `Testing`. DATA is `../shared/data`, seen from the repository; MODEL and "
        "CAM_MODEL are model folders; DIR and the other names in capitals are folders for results.",
        "```bash\n" + "\n".join(lines) + "\n```",
        "`measure_evidence` collects the slices that were not trained on in `DIR/held-out` and runs:",
        "```bash\n" + "\n".join(steps) + "\n```",
    ])  # fmt: skip


def _compare_command(tables: Tables) -> str:
    """The comparison with its budget."""
    phases, config = tables["phases"].values(), tables["config"][""]
    options: dict[str, Any] = {
        "--sizes": ",".join(str(p["size"]) for p in phases), "--epochs": ",".join(str(p["epochs"]) for p in phases),
        "--batch": ",".join(str(p["batch"]) for p in phases), "--slices-per-epoch": config.get("samples_per_epoch"),
        "--validation-share": config["validation_share"].value, "--test-share": config["test_share"].value,
        "--seed": config["seed"],
    }  # fmt: skip
    words = [f"{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(["python -m reproduction.comparison.compare_systems --output COMPARISON", *words])


if __name__ == "__main__":
    main()
