"""Train the bundled model on ../shared/data and print how good it is.

    python Testing/experiments/train_bundled.py --data ../shared/data --work RUN_FOLDER

Stops and resumes at epoch boundaries: run the same command again after an interruption.
The volumes take no part; neither do the emphysema slices nor the slices with masks from medseg.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LesionAnalysis"), str(ROOT / "LesionAnalysisTraining")]

from LesionAnalysisLib.devices import choose_device
from LesionAnalysisTrainingLib.config import Phase, TrainingConfig
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, PictureStore, Sample, describe, read_layout
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.splits import split_by_patient
from LesionAnalysisTrainingLib.trainer import Trainer

CLASSES = ("NonCOVID", "COVID")
LEFT_OUT = {"emphysema"}  # a test of false alarms
VALIDATION_SCAN = "radiopaedia/radiopaedia-8"  # clean and infected slices of one patient


def radiopaedia(folder: Path) -> list[Sample]:
    """Whole slices of seven patients; infected where the radiologist's mask is not empty."""
    with open(folder / "slices.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    samples = []
    for row in rows:
        patient = f"radiopaedia/{row['patient']}"
        split = VALIDATION if patient == VALIDATION_SCAN else TRAIN
        infected = int(float(row["lesion_share_of_lung"]) > 0)
        samples.append(Sample(str(folder / "images" / f"{row['slice']}.jpg"), infected, patient, "radiopaedia", split))
    return samples


def collect(data: Path) -> list[Sample]:
    """All samples of the bundled model, with patients on one side of the split."""
    samples = [s for s in read_layout([data / "slices"], CLASSES[-1]).samples if s.source not in LEFT_OUT]
    samples += radiopaedia(data / "lesion-masks" / "radiopaedia")
    return split_by_patient(samples, 0.1, classes=CLASSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the run: pictures, checkpoints, history")
    parser.add_argument("--epochs", type=int, nargs=2, default=(6, 2), help="at 256 and at 512 pixels")
    parser.add_argument("--samples", type=int, default=1600, help="slices an epoch")
    args = parser.parse_args()
    samples = collect(args.data)
    print(describe(samples, CLASSES), flush=True)
    weights = next((args.data / "weights").glob("resnet50*.pth"))
    config = replace(
        TrainingConfig(mixed_patients=True), samples_per_epoch=args.samples,
        phases=(Phase(256, args.epochs[0], 16), Phase(512, args.epochs[1], 8, 0.6)),
    )  # fmt: skip
    store = PictureStore(samples, args.work / "pictures", config.preprocessing(), workers=2)
    team = Team(choose_device(config.device))
    Trainer(samples, store, len(CLASSES), 1, config, args.work, team, weights,
            log=lambda line: print(line, flush=True)).run()  # fmt: skip


if __name__ == "__main__":
    main()
