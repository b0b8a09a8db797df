"""Slice-level split leakage: the same FeCNN on SARS-CoV-2 CT, split by slice as in the paper and by patient.

    python -m reproduction.experiments.split_leakage --output DIR [--size 192] [--epochs 3] [--slices 1600]

Both models are evaluated on a fifth of the slices, which are not used for training or for selecting epochs. The
baseline knows nothing about the disease: the label of the most similar training slice at 32 x 32 pixels. DIR receives
both models and ``metrics.json``; an existing model is not trained again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from LesionAnalysisTrainingLib import Phase, TrainingConfig, train
from LesionAnalysisTrainingLib.checkpoint import write_json
from LesionAnalysisTrainingLib.metrics.bootstrap import estimates
from PIL import Image
from reproduction.comparison.comparison_report import budget
from reproduction.evidence.measured_csv import Figure
from reproduction.evidence.page_text import ranged
from reproduction.shared_data import DATA, link_slices, read_rows, write_rows
from sklearn.neighbors import KNeighborsClassifier

SOURCE = "sars-cov-2-ct"
SPLITS = ("random", "patients")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=DATA)
    add("--output", type=Path, required=True)
    add("--backbone", default="resnet50")
    add("--size", type=int, default=192)
    add("--epochs", type=int, default=3)
    add("--slices", type=int, default=1600, help="slices per epoch")
    add("--device", default="auto")
    args = parser.parse_args()
    folder = link_source(args.data, args.output / "slices")
    start = next((args.data / "weights").glob(f"{args.backbone}*.pth"), None)
    config = TrainingConfig(
        imagenet=start and str(start), disease="COVID", backbone=args.backbone, test_share=0.2, validation_share=0.1,
        mixed_patients=True, phases=(Phase(args.size, args.epochs, 16),), samples_per_epoch=args.slices, clusters=1,
        lesion_samples=50, device=args.device,
    )  # fmt: skip
    found = {split: measured(folder, args.output / split, replace(config, split=split)) for split in SPLITS}
    command = (f"python -m reproduction.experiments.split_leakage --output SPLIT_LEAKAGE --backbone {args.backbone} "
               f"--size {args.size} --epochs {args.epochs} --slices {args.slices}")  # fmt: skip
    facts = {"schema": 1, "source": SOURCE, "budget": budget(config), "backbone": args.backbone,
             "start": start and start.name, "seed": config.seed, "splits": found, "command": command}  # fmt: skip
    write_json(args.output / "metrics.json", facts)
    print(table_of(found))


def link_source(data: Path, folder: Path) -> Path:
    """A folder with the slices of ``SOURCE`` only."""
    rows = read_rows(link_slices(data, folder) / "manifest.csv")
    write_rows(folder / "manifest.csv", [row for row in rows if row["source"] == SOURCE], list(rows[0]))
    return folder


def measured(folder: Path, model: Path, config: TrainingConfig) -> dict[str, Any]:
    """The metrics of one split on its test slices."""
    if not model.is_dir():
        train(folder, model, config, resume=True, log=lambda line: print(line, flush=True))
    facts = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    return {"slices": facts["slices"], "test": facts["test"]["rows"][0],
            "neighbor": nearest_neighbor(read_rows(model.with_name(f"{model.name}.slices.csv")))}  # fmt: skip


def nearest_neighbor(rows: list[dict[str, str]]) -> dict[str, float | None]:
    """Accuracy of the most similar training slice's label on the test slices, with a patient-level interval."""
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    nearest = KNeighborsClassifier(1).fit([_thumbnail(row["file"]) for row in train], [row["label"] for row in train])
    predicted = nearest.predict([_thumbnail(row["file"]) for row in test])
    correct = predicted == [row["label"] for row in test]
    patients = np.array([row["patient"] for row in test])
    return estimates(lambda w: {"accuracy": w @ correct / w.sum(1)}, patients)["accuracy"].to_dict()


def _thumbnail(path: str) -> np.ndarray:
    with Image.open(path) as image:
        small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), float).ravel()
    return (small - small.mean()) / (small.std() + 1e-6)


def table_of(found: dict[str, dict[str, Any]]) -> str:
    """The results for a terminal."""
    lines = [f"{'split':10}{'slices':>8}{'patients':>10}  {'AUC':24}{'accuracy':24}nearest neighbor"]
    for split, one in found.items():
        test = one["test"]
        cells = [ranged(Figure(**estimate)) for estimate in (test["metrics"]["auc"], test["metrics"]["accuracy"],
                                                             one["neighbor"])]  # fmt: skip
        lines.append(f"{split:10}{test['slices']:8}{test['patients']:10}  {cells[0]:24}{cells[1]:24}{cells[2]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
