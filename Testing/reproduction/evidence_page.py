"""One Markdown page of all measured tables beside the paper's figures: EVIDENCE.md.

    python -m reproduction.evidence_page DIR [--compare DIR] [--leak DIR] [--three-classes DIR] [--output FILE]

DIR is what ``evidence.py`` wrote; the others are folders of ``compare_systems.py`` (or ``lesion-analysis compare``),
``leak.py`` and ``three_classes.py``. Every sentence about a figure follows from the figure, so that the page of another
model is written by the same command.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproduction.evidence_parts import diagnosis_page as diagnosis
from reproduction.shared_data import ROOT

from reproduction.evidence_parts import lesions_page as lesions  # isort: skip
from reproduction.evidence_parts.model_page import about
from reproduction.evidence_parts.page_text import Goal, Section, table

PAGE = ROOT / "EVIDENCE.md"
_INTRO = """# Evidence

Everything that sections 5 and 6 of the paper (*Weakly-supervised lesion analysis with a CNN-based framework for \
COVID-19*) measure, measured again on open data, beside the figures that the paper printed. \
`Testing/reproduction/evidence_page.py` writes this page from the measurements; the commands are at its end. In \
parentheses: 95 % intervals over redrawn patients (over slices where nobody knows whose they are); none where a figure \
rests on a single patient.

**The data are not the paper's.** Own, CNCB and COVIDx2a are not at hand, and whether Radio-2 shares scans with the \
radiopaedia slices here is not known. Here slices come from seven open sources of different windows and crops (figures \
of papers, screenshots, lung-window exports), four of which have a single class, and what counts as one lesion of a \
mask is a choice of ours. The paper splits slices at random, here patients stay on one side. So a column "paper" says \
what was claimed there, not what ought to come out here. Printed figures that contradict others of the \
paper are left out: the accuracy of FeCNN on Own, the specificities of table 7, the sensitivities and specificities of \
CNCB, the totals of the three-way data."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("evidence", type=Path, metavar="DIR")
    add("--compare", type=Path, metavar="DIR")
    add("--leak", type=Path, metavar="DIR")
    add("--three-classes", type=Path, metavar="DIR")
    add("--output", type=Path, default=PAGE, metavar="FILE")
    args = parser.parse_args()
    others = {name: metrics_of(folder) for name, folder in
              (("compare", args.compare), ("leak", args.leak), ("three", args.three_classes))}  # fmt: skip
    args.output.write_text(page(args.evidence, **others), encoding="utf-8")
    print(f"The page is {args.output}.")


def metrics_of(folder: Path | None) -> dict[str, Any] | None:
    """``metrics.json`` of a folder; None without a folder. Raises OSError where the file is missing."""
    return None if folder is None else json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def page(folder: Path, compare: Mapping[str, Any] | None = None, leak: Mapping[str, Any] | None = None,
         three: Mapping[str, Any] | None = None) -> str:  # fmt: skip
    """The page, of the folder of ``evidence.py`` and the ``metrics.json`` of the other reproduction."""
    record = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    current = {name for name, step in record["steps"].items() if step["model"] in (None, *_checksums(record))}
    found = {name: metrics_of(folder / name) for name in record["steps"] if name in current}
    sections = [
        diagnosis.diagnosis(found.get("diagnosis"), record["held_out"]),
        diagnosis.rivals(compare),
        diagnosis.leak(leak),
        lesions.detection(_by_data(found, "detection"), _by_data(found, "cam")),
        lesions.identification({(int(name.split("-")[1]), name.split("-")[2]): metrics
                                for name, metrics in sorted(found.items()) if name.startswith("identification-")}),
        diagnosis.three_classes(three),
        lesions.lungs({name.removeprefix("lungs-"): one for name, one in found.items() if name.startswith("lungs-")}),
    ]  # fmt: skip
    goals = [goal for section in sections for goal in section.goals]
    parts = [_INTRO, _models(record), _goals(goals), *(section.text() for section in sections),
             _commands(record, current, compare, leak, three)]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _checksums(record: Mapping[str, Any]) -> list[str]:
    """Of the models in use: what was measured of earlier ones is not shown."""
    return [facts["checksum"] for facts in record["models"].values()]


def _by_data(found: Mapping[str, Any], kind: str) -> dict[tuple[str, str], Any]:
    return {lesions.split_name(name): metrics for name, metrics in found.items() if name.startswith(f"{kind}-")}


def _models(record: Mapping[str, Any]) -> str:
    lines = [about(record["models"]["MODEL"])]
    if "CAM_MODEL" in record["models"]:
        lines.append(f"For CAM: {about(record['models']['CAM_MODEL'])}")
    return "\n\n".join(["## The model", *lines])


def _goals(goals: list[Goal]) -> str:
    section = Section("The goals")
    if not goals:
        section.parts.append("No goal was measured.")
        return section.text()
    section.parts.append(table(("goal", "measured", "reached"), [[g.what, g.measured, g.answer] for g in goals]))
    whys: dict[str, list[str]] = {}
    for goal in goals:
        if goal.reached is not True and goal.why:
            whys.setdefault(goal.why, []).append(goal.what)
    if whys:
        section.parts.append("Why a goal is not reached, as far as the measurements tell:")
        section.parts.append("\n".join(f"* {'; '.join(what)}: {why}" for why, what in whys.items()))
    return section.text()


def _commands(record: Mapping[str, Any], current: set[str], compare: Mapping[str, Any] | None,
              leak: Mapping[str, Any] | None, three: Mapping[str, Any] | None) -> str:  # fmt: skip
    models = " --cam-model CAM_MODEL" if "CAM_MODEL" in record["models"] else ""
    options = [option for option, given in (("--compare COMPARE", compare), ("--leak LEAK", leak),
                                            ("--three-classes THREE", three)) if given is not None]  # fmt: skip
    lines = [f"python -m reproduction.evidence --output DIR --model MODEL{models}"]
    lines += [_compare_command(compare["config"])] if compare else []
    lines += [one["command"] for one in (leak, three) if one]
    lines.append(" ".join(["python -m reproduction.evidence_page DIR", *options]))
    steps = [record["steps"][name]["command"] for name in record["steps"] if name in current]
    return "\n\n".join([
        "## How to repeat it",
        "DATA is `../shared/data`, MODEL the model's folder; DIR, COMPARE, LEAK and THREE are folders for results.",
        "```bash\n" + "\n".join(lines) + "\n```",
        "`evidence.py` gathers the slices that were not trained on in `DIR/held-out` and runs:",
        "```bash\n" + "\n".join(steps) + "\n```",
    ])  # fmt: skip


def _compare_command(config: Mapping[str, Any]) -> str:
    """The comparison with its budget, as its settings tell it."""
    phases = config["phases"]
    options = {
        "--sizes": ",".join(str(p["size"]) for p in phases), "--epochs": ",".join(str(p["epochs"]) for p in phases),
        "--batch": ",".join(str(p["batch"]) for p in phases), "--slices-per-epoch": config["samples_per_epoch"],
        "--validation-share": config["validation_share"], "--test-share": config["test_share"],
        "--seed": config["seed"],
    }  # fmt: skip
    words = [f"{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(["python -m reproduction.compare_systems --output COMPARE", *words])


if __name__ == "__main__":
    main()
