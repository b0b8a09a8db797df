"""Run every measurement of sections 5 and 6 of the paper for one model, on ``../shared/data``.

    python -m reproduction.evidence.measure_evidence --output DIR [--model MODEL_DIR] [--cam-model MODEL_DIR]

Each evaluation is a ``lesion-analysis evaluate`` command with its own folder in DIR. A result that exists for the same
model and command is not measured again. ``evidence_page --convert DIR`` turns the results into CSV and the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LesionAnalysisLib.choices import PRESETS
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisTrainingLib.checkpoint import write_json
from LesionAnalysisTrainingLib.evaluate.evaluate_command import evaluate_main
from LesionAnalysisTrainingLib.evaluate.report_folder import METRICS

from reproduction.bundled_recipe import link_data
from reproduction.shared_data import DATA, LEFT_OUT, link_slices, read_rows, write_rows

RECORD = "evidence.json"
HELD_OUT, SCAN = "held-out", "held-out-scan"  # folders of links, created in DIR
RADIOPAEDIA_SLICES = 130  # of 376, evenly spaced: neighbors are similar, and all take hours on two CPU cores
MODEL, CAM_MODEL = "MODEL", "CAM_MODEL"  # placeholders for paths in the recorded commands


@dataclass(frozen=True)
class Step:
    """One evaluation: ``arguments`` of ``lesion-analysis evaluate``, with the placeholders DATA, DIR and the models."""

    name: str
    arguments: tuple[str, ...]
    model: str | None = MODEL  # evaluated by it

    @property
    def command(self) -> str:
        """With placeholders."""
        return " ".join(("lesion-analysis evaluate", *self.arguments, "--output", f"DIR/{self.name}"))

    def options(self, places: dict[str, Path]) -> list[str]:
        """With the paths of this machine."""
        parts = [word.split("/", 1) for word in self.arguments]
        return ["/".join([str(places.get(first, first)), *rest]) for first, *rest in parts]


def steps(cam: bool, unseen: Sequence[str] = (), limit: int | None = None) -> list[Step]:
    """All evaluations, the short ones first.

    Args:
        cam: there is a second model for CAM.
        unseen: scans of radiopaedia that were not trained on.
        limit: number of slices, for a trial run.
    """
    limited = ("--limit", str(limit)) if limit else ()
    planned = [
        Step("lungs-slices", ("lungs", "DATA/lung-masks/slices", "DATA/lung-masks/slices", *limited), None),
        Step("lungs-volume", ("lungs", "DATA/lung-masks", "DATA/lung-masks", *limited), None),
        Step("diagnosis", ("diagnosis", f"DIR/{HELD_OUT}", "--model", MODEL)),
    ]
    segmented = {"medseg": "DATA/lesion-masks/medseg", SCAN: f"DIR/{SCAN}",
                 "radiopaedia": "DATA/lesion-masks/radiopaedia"}  # fmt: skip
    for name, folder in segmented.items():
        for preset in PRESETS:
            arguments = (f"{folder}/images", f"{folder}/masks", "--preset", preset, *limited)
            if name == "medseg":
                planned += [Step(f"identification-{k}-{preset}",
                                 ("identification", *arguments, "--clusters", str(k), "--model", MODEL))
                            for k in (2, 3)]  # fmt: skip
            else:
                arguments = (*arguments, "--unseen", *unseen)
            if name == "radiopaedia" and not limit:
                arguments = (*arguments, "--limit", str(RADIOPAEDIA_SLICES))
            planned.append(Step(f"detection-{name}-{preset}", ("detection", *arguments, "--model", MODEL)))
            if cam:
                options = ("detection", *arguments, "--method", "cam", "--model", CAM_MODEL)
                planned.append(Step(f"cam-{name}-{preset}", options, CAM_MODEL))
    return planned


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR")
    add("--model", type=Path, metavar="MODEL_DIR", help="default: the bundled one")
    add("--cam-model", type=Path, metavar="MODEL_DIR", help="trained with --no-fpn --no-fusion --linear-top, for CAM")
    add("--data", type=Path, default=DATA)
    add("--only", nargs="+", metavar="NAME", help="only evaluations with these prefixes")
    add("--again", action="store_true", help="repeat existing measurements")
    add("--limit", type=int, metavar="N", help="analyze only N slices, for a trial run")
    add("--device", default="auto")
    args = parser.parse_args()
    bundles = {MODEL: ModelBundle.load(args.model) if args.model else ModelBundle.bundled()}
    if args.cam_model:
        bundles[CAM_MODEL] = ModelBundle.load(args.cam_model)
    runner = Runner(args.output, args.data, bundles, args.device)
    chosen = [step for step in steps(CAM_MODEL in bundles, runner.unseen, args.limit)
              if not args.only or step.name.startswith(tuple(args.only))]  # fmt: skip
    failed = [step.name for step in chosen if not runner.run(step, args.again)]
    for name in failed:
        print(f"{name} failed: see above.", file=sys.stderr)
    return 1 if failed else 0


class Runner:
    """Runs evaluations in one folder and records the model and the command of each result in ``evidence.json``."""

    def __init__(self, folder: Path, data: Path, bundles: dict[str, ModelBundle], device: str) -> None:
        self.folder, self.bundles, self.device = folder, bundles, device
        self.places = {"DATA": data, "DIR": folder, **{name: bundle.folder for name, bundle in bundles.items()}}
        self.record = folder / RECORD
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(self.record.read_text(encoding="utf-8")) if self.record.is_file() else {}
        self.done: dict[str, Any] = known.get("steps", {})
        self.models = known.get("models", {}) | {name: facts_of(bundle) for name, bundle in bundles.items()}
        patients = held_out_patients(bundles[MODEL], data, folder / "all")
        self.held_out = link_held_out(data, folder / HELD_OUT, patients)
        link_scans(data / "lesion-masks" / "radiopaedia", folder / SCAN, patients)
        self.unseen = sorted(name.split("/")[-1] for name in patients if name.startswith("radiopaedia/"))
        self._write()

    def run(self, step: Step, again: bool = False) -> bool:
        """Whether the result exists afterwards."""
        checksum = self.bundles[step.model].checksum if step.model else None
        own = {"command": step.command, "model": checksum}
        output = self.folder / step.name
        stored = self.done.get(step.name, {})
        if not again and (output / METRICS).is_file() and own.items() <= stored.items():
            print(f"{step.name}: already measured.", flush=True)
            return True
        print(f"{step.name}: {step.command}", flush=True)
        began = time.monotonic()
        device = ["--device", self.device] if step.model else []
        if evaluate_main([*step.options(self.places), *device, "--output", str(output), "--overwrite"]):
            return False
        self.done[step.name] = {**own, "seconds": round(time.monotonic() - began, 1)}
        self._write()
        return True

    def _write(self) -> None:
        facts = {"schema": 1, "models": self.models, "held_out": self.held_out, "steps": self.done}
        write_json(self.record, facts)


def facts_of(bundle: ModelBundle) -> dict[str, Any]:
    """Which model it is and how it was trained."""
    names = ("id", "title", "license", "checksum", "threshold", "fecnn", "training")
    facts = {name: getattr(bundle, name) for name in names}
    # without names of patients
    facts["training"] = {k: v for k, v in bundle.training.items() if k not in ("validation_patients", "validation")}
    return facts | {"size": bundle.preprocessing["size"], "clusters": len(bundle.clusters.features.cluster_centers_)}


# -- data that were not trained on -----------------------------------------------------------------------------


def held_out_patients(bundle: ModelBundle, data: Path, folder: Path) -> dict[str, str]:
    """Split (val, test) of every patient, as ``source/patient``, who was not trained on.

    From the slice table beside the model; else from the model itself; else from the recipe of the bundled model.
    """
    table = bundle.folder.with_name(f"{bundle.folder.name}.slices.csv")
    if table.is_file():
        return {row["patient"]: row["split"] for row in read_rows(table) if row["split"] in ("val", "test")}
    named = bundle.training.get("validation_patients")
    if named:
        return dict.fromkeys(named, "val")
    rows = read_rows(link_data(folder, data) / "manifest.csv")
    return {f"{row['source']}/{row['patient']}": "val" for row in rows if row["split"] == "val"}


def link_held_out(data: Path, folder: Path, patients: dict[str, str]) -> dict[str, dict[str, int]]:
    """Link the slices of ``patients`` and of sources outside the training into ``folder``; their number by source."""
    rows = read_rows(link_slices(data, folder, left_out=set()) / "manifest.csv")
    kept, counts = [], {}
    for row in rows:
        split = "test" if row["source"] in LEFT_OUT else patients.get(f"{row['source']}/{row['patient']}")
        if split:
            kept.append({**row, "split": split})
            count = counts.setdefault(row["source"], {"val": 0, "test": 0})
            count[split] += 1
    write_rows(folder / "manifest.csv", kept, list(rows[0]))
    return counts


def link_scans(radiopaedia: Path, folder: Path, patients: dict[str, str]) -> None:
    """Link the slices and masks of scans that were not trained on, in the layout of ``evaluate detection``."""
    rows = [row for row in read_rows(radiopaedia / "slices.csv") if f"radiopaedia/{row['patient']}" in patients]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for old in (folder / part).iterdir():
            old.unlink()
        files = {path.stem: path for path in (radiopaedia / part).iterdir()}
        for row in rows:
            path = files[row["slice"]]
            (folder / part / path.name).symlink_to(path.resolve())
    write_rows(folder / "slices.csv", rows, ("slice", "patient"))


if __name__ == "__main__":
    sys.exit(main())
