"""A model on what took no part in its training: the volumes of ../shared/data, and slices without COVID-19.

python -m reproduction.measure_volumes [--model MODEL_DIR] [--preset enhanced]
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from reproduction.shared_data import DATA

from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer  # isort: skip
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.metrics import auc, sensitivity, specificity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", default="enhanced")
    parser.add_argument("--slices", type=int, default=210, help="of the emphysema set")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    analyzer = LesionAnalyzer(bundle, AnalysisConfig.from_preset(args.preset))
    measure_volumes(analyzer, args.data / "volumes")
    measure_false_alarms(analyzer, args.data / "slices", args.slices)


def measure_volumes(analyzer: LesionAnalyzer, folder: Path) -> None:
    """Study and slices against the radiologists' labels, where there are any."""
    labels: dict[str, dict[int, int]] = defaultdict(dict)
    with open(folder / "slice_labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["infected"] != "":
                labels[row["volume"]][int(row["slice_index"])] = int(row["infected"])
    print("| volume | study probability | positive of lung slices | slice AUC | sensitivity | specificity |")
    print("|---|---:|---:|---:|---:|---:|")
    for path in sorted(folder.glob("*.nii.gz")):
        analysis = analyzer.analyze(read_ct(path))
        judged = [s for s in analysis.slices if s.lung]
        pairs = [(labels[path.name][s.index], s.probability) for s in judged if s.index in labels[path.name]]
        truth, found = np.array(pairs).reshape(-1, 2).T
        figures = [f(truth, found, *rest) for f, rest in ((auc, ()), (sensitivity, (analyzer.threshold,)),
                                                          (specificity, (analyzer.threshold,)))]  # fmt: skip
        cells = " | ".join("-" if np.isnan(value) else f"{value:.3f}" for value in figures)
        print(f"| {path.name.removesuffix('.nii.gz')} | {analysis.summary.probability:.3f} | "
              f"{analysis.summary.positive_slices} of {len(judged)} | {cells} |", flush=True)  # fmt: skip


def measure_false_alarms(analyzer: LesionAnalyzer, folder: Path, most: int) -> None:
    """Share of positive slices among lungs without COVID-19, about one slice a patient."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "emphysema"][:most]
    alarms: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        kind = "normal" if "normal" in row["file"] or "normal" in row["patient"] else "emphysema"
        alarms[kind].append(analyzer.analyze(read_ct(folder / row["file"])).slices[0].positive)
    for kind, called in alarms.items():
        print(f"{kind}: {sum(called)} of {len(called)} slices called positive")


if __name__ == "__main__":
    main()
