"""Three classes (section 6.2): COVID-19, another pneumonia, neither; the pneumonia is synthetic and labeled so.

    python -m reproduction.experiments.three_classes --output DIR [--size 160] [--epochs 3] [--slices 960]

No available open source has another pneumonia in several patients, so synthetic slices represent it. A third of the
synthetic patients have COVID-19 and a third have clear lungs, so that being synthetic does not reveal the class. One
real volume outside the training shows whether that transfers to real pneumonia. DIR receives the model, its evaluations
and ``metrics.json``; an existing model is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisTrainingLib import Phase, TrainingConfig, train
from LesionAnalysisTrainingLib.checkpoint import write_json
from LesionAnalysisTrainingLib.dataset import Sample
from LesionAnalysisTrainingLib.evaluate.evaluate_command import evaluate_main
from LesionAnalysisTrainingLib.evaluate.slice_predictions import predict
from reproduction.comparison.comparison_report import budget
from reproduction.experiments.phantom_slices import PNEUMONIA, SOURCE, make_slices
from reproduction.shared_data import DATA, link_slices, read_rows, write_rows

REAL = ("covid-ct", "radiopaedia")  # sources with both other classes
VOLUME = "covid-ct-md_cap_cap001.nii.gz"
_COLUMNS = ("file", "label", "patient", "source", "split")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=DATA)
    add("--output", type=Path, required=True)
    add("--patients", type=int, default=20, help="synthetic patients of each class")
    add("--size", type=int, default=160)
    add("--epochs", type=int, default=3)
    add("--slices", type=int, default=960, help="slices per epoch")
    add("--device", default="auto")
    args = parser.parse_args()
    folder = extended_data(args.data, args.output / "slices", args.patients)
    start = next((args.data / "weights").glob("resnet50*.pth"))
    config = TrainingConfig(
        imagenet=str(start), disease="COVID", validation_share=0.1, mixed_patients=True, clusters=1, lesion_samples=50,
        phases=(Phase(args.size, args.epochs, 16),), samples_per_epoch=args.slices, device=args.device,
    )  # fmt: skip
    model = args.output / "model"
    if not model.is_dir():
        train(folder, model, config, resume=True, title="FeCNN of three classes, one of them synthetic",
              log=lambda line: print(line, flush=True))  # fmt: skip
    bundle = ModelBundle.load(model)
    evaluations = {part: evaluated(folder, args.output / f"test-{part}", model, part) for part in ("all", SOURCE)}
    command = (f"python -m reproduction.experiments.three_classes --output THREE --patients {args.patients} "
               f"--size {args.size} --epochs {args.epochs} --slices {args.slices}")  # fmt: skip
    write_json(args.output / "metrics.json", {
        "schema": 1, "classes": list(bundle.classes), "synthetic": PNEUMONIA, "model": bundle.checksum,
        "budget": budget(config), "start": start.name, "command": command, "counts": counted(folder),
        "evaluations": evaluations, "volume": real_pneumonia(bundle, args.data / "volumes", args.device),
    })  # fmt: skip


def extended_data(data: Path, folder: Path, patients: int) -> Path:
    """Real slices of two classes and synthetic slices of all three.

    The validation data of other trainings are the test data here; validation patients are drawn from the other real
    patients.
    """
    rows = read_rows(link_slices(data, folder, judged="test") / "manifest.csv")
    real = [{**row, "split": row["split"] if row["split"] == "test" else ""} for row in rows if row["source"] in REAL]
    synthetic = make_slices(folder, patients, workers=os.cpu_count() or 1)
    write_rows(folder / "manifest.csv", [*real, *synthetic], _COLUMNS)
    return folder


def counted(folder: Path) -> dict[str, dict[str, int]]:
    """Slices by origin (real, synthetic) and class."""
    counts: dict[str, dict[str, int]] = {}
    for row in read_rows(folder / "manifest.csv"):
        kind = counts.setdefault("synthetic" if row["source"] == SOURCE else "real", {})
        kind[row["label"]] = kind.get(row["label"], 0) + 1
    return counts


def evaluated(folder: Path, output: Path, model: Path, kind: str) -> dict[str, Any]:
    """Results of ``evaluate diagnosis`` on all test slices, or on the synthetic ones only."""
    if kind == SOURCE:
        rows = read_rows(folder / "manifest.csv")
        part = folder.with_name(f"{folder.name}-{kind}")
        part.mkdir(exist_ok=True)
        link = part / SOURCE
        if not link.exists():
            link.symlink_to((folder / SOURCE).resolve(), target_is_directory=True)
        write_rows(part / "manifest.csv", [row for row in rows if row["source"] == SOURCE], _COLUMNS)
        folder = part
    options = ["--split", "test", "--model", str(model), "--disease", "COVID", "--output", str(output), "--overwrite"]
    if evaluate_main(["diagnosis", str(folder), *options]):
        raise SystemExit(f"The evaluation of {kind} failed: see above.")
    facts = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    (figures,) = facts["figures"].values()
    thresholds = next(table for name, table in facts["tables"].items() if name.startswith("thresholds"))
    return {"rows": figures["rows"], "thresholds": thresholds["rows"]}


def real_pneumonia(bundle: ModelBundle, volumes: Path, device: str) -> dict[str, Any]:
    """Most likely classes and mean probabilities of the slices of a real pneumonia."""
    rows = [row for row in read_rows(volumes / "slice_labels.csv") if row["volume"] == VOLUME and row["infected"]]
    samples = [Sample(str(volumes / VOLUME), 0, VOLUME, VOLUME, slice=int(row["slice_index"])) for row in rows]
    table, _ = predict(bundle, samples, device)
    valid, lesions = np.isfinite(table).all(axis=1), np.array([row["infected"] == "1" for row in rows])
    found = {"name": VOLUME.removesuffix(".nii.gz")}
    for name, here in (("with lesions", lesions & valid), ("without lesions", ~lesions & valid)):
        called = np.bincount(table[here].argmax(1), minlength=len(bundle.classes)) if here.any() else None
        found[name] = {
            "slices": int(here.sum()), "called": [] if called is None else called.tolist(),
            "probabilities": table[here].mean(0).tolist() if here.any() else [],
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
