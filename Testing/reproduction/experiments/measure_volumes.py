"""A model on data outside its training: the volumes of ``../shared/data`` and slices without COVID-19.

python -m reproduction.experiments.measure_volumes [--model MODEL_DIR] [--preset enhanced]
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.metrics import auc
from LesionAnalysisTrainingLib.metrics.weighted_metrics import rates
from reproduction.shared_data import DATA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", default="enhanced")
    parser.add_argument("--slices", type=int, default=210, help="number of emphysema slices")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    analyzer = LesionAnalyzer(bundle, AnalysisConfig.from_preset(args.preset))
    measure_volumes(analyzer, args.data / "volumes")
    measure_false_positives(analyzer, args.data / "slices", args.slices)


def measure_volumes(analyzer: LesionAnalyzer, folder: Path) -> None:
    """Study probability and, where radiologists labeled slices, the metrics of slices."""
    labels: dict[str, dict[int, int]] = defaultdict(dict)
    with open(folder / "slice_labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["infected"] != "":
                labels[row["volume"]][int(row["slice_index"])] = int(row["infected"])
    print("| volume | study probability | positive lung slices | slice AUC | sensitivity | specificity |")
    print("|---|---:|---:|---:|---:|---:|")
    for path in sorted(folder.glob("*.nii.gz")):
        analysis = analyzer.analyze(read_ct(path))
        lung_slices = [s for s in analysis.slices if s.lung]
        pairs = [(labels[path.name][s.index], s.probability) for s in lung_slices if s.index in labels[path.name]]
        truth, scores = np.array(pairs).reshape(-1, 2).T
        found = rates(truth, scores, np.ones((1, len(truth))), analyzer.threshold)
        figures = [auc(truth, scores), found["sensitivity"][0], found["specificity"][0]]
        cells = " | ".join("-" if np.isnan(value) else f"{value:.3f}" for value in figures)
        print(f"| {path.name.removesuffix('.nii.gz')} | {analysis.summary.probability:.3f} | "
              f"{analysis.summary.positive_slices} of {len(lung_slices)} | {cells} |", flush=True)  # fmt: skip


def measure_false_positives(analyzer: LesionAnalyzer, folder: Path, most: int) -> None:
    """Positive slices among lungs without COVID-19, about one slice per patient."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "emphysema"][:most]
    positive: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        group = "normal" if "normal" in row["file"] or "normal" in row["patient"] else "emphysema"
        positive[group].append(analyzer.analyze(read_ct(folder / row["file"])).slices[0].positive)
    for group, called in positive.items():
        print(f"{group}: {sum(called)} of {len(called)} slices positive")


if __name__ == "__main__":
    main()
