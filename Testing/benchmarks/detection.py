"""How well the lesion maps find lesions that radiologists drew: METHOD.md, "Evaluation (4.3)".

    python Testing/benchmarks/detection.py                       # ../shared/data, both sets, both presets
    python Testing/benchmarks/detection.py --sets medseg --presets default --model MODEL_DIR

Each picture goes through the whole analysis as a case of its own. Prints, for every set and preset, hit rate and
precision by both of the paper's ratios, pointing, area hit, Dice and boxes a slice, over all slices with lesions
(a slice diagnosed negative shows nothing and misses all of its lesions) and over the slices diagnosed positive;
the ceiling of a faultless map on the same grid; and for whole scans the AUC of infected against clean slices.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "LesionAnalysis")]

from detection_metrics import (
    SIZE,
    THRESHOLDS,
    Candidates,
    auc,
    auc_within,
    evaluate_slice,
    perfect_map,
    resize_mask,
    summarize,
    truth_lesions,
)
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer
from LesionAnalysisLib.lesions import split_regions
from LesionAnalysisLib.lungs import prepare_picture
from LesionAnalysisLib.model import ModelBundle
from LesionAnalysisLib.results import Analysis
from LesionAnalysisLib.volume import read_ct

IN_TRAINING = {"medseg": "no slice was in training", "radiopaedia": "all but patient radiopaedia-8 were in training"}


@dataclass(frozen=True)
class Case:
    picture: Path
    mask: Path
    patient: str


def cases(data: Path, name: str) -> list[Case]:
    folder = data / "lesion-masks" / name
    patients = {}
    if (folder / "slices.csv").exists():
        with open(folder / "slices.csv", newline="", encoding="utf-8") as file:
            patients = {row["slice"]: row["patient"] for row in csv.DictReader(file)}
    pictures = sorted((folder / "images").iterdir())
    return [Case(p, folder / "masks" / f"{p.stem}.png", patients.get(p.stem, p.stem)) for p in pictures]


def read_mask(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        mask = np.asarray(picture)
    return (mask if mask.ndim == 2 else mask.max(-1)) > 0


def candidates(analysis: Analysis, crop: tuple) -> Candidates:
    """What the analysis of one picture shows, on the common grid under ``crop``."""
    scale = np.array([SIZE / (crop[2] - crop[0]), SIZE / (crop[3] - crop[1])])
    corner = np.array(crop[:2])
    boxes, peaks = [], []
    for lesion in analysis.slices[0].lesions:
        # pictures lie in RAS with columns to the left and rows to the back: pixel = -coordinate
        points = -np.array([*lesion.box_ras_mm, lesion.peak_ras_mm])[:, 1::-1]
        on_grid = (points - corner) * scale
        boxes.append(np.concatenate([np.minimum(on_grid[0], on_grid[1]), np.maximum(on_grid[0], on_grid[1])]))
        peaks.append(on_grid[2])
    area = resize_mask(analysis.lesion_labels[0] > 0, crop)
    return Candidates(np.reshape(boxes, (-1, 4)), np.reshape(peaks, (-1, 2)), area)


def ceiling(truth, mask: np.ndarray, cells: int):
    """What a faultless map of ``cells`` x ``cells`` reaches after the same Otsu and component step."""
    regions = split_regions(perfect_map(mask, cells))
    side = SIZE / cells
    boxes = np.array([r.box for r in regions], float).reshape(-1, 4) * side
    peaks = (np.array([r.peak for r in regions], float).reshape(-1, 2) + 0.5) * side
    area = np.kron(regions.labels > 0, np.ones((SIZE // cells, SIZE // cells), bool))
    return evaluate_slice(truth, Candidates(boxes, peaks, area))


def show(title: str, counts: list) -> None:
    figures = summarize(counts)
    if not counts or not figures["lesions"]:
        return
    print(f"{title}: {figures['slices']} slices, {figures['lesions']} lesions, {figures['boxes']} boxes")
    print("    threshold        " + " ".join(f"{t:5.1f}" for t in THRESHOLDS))
    for ratio, words in (("box", "over the LAM box"), ("iou", "over the union")):
        for kind in ("hit", "precision"):
            values = " ".join(f"{figures[f'{kind} {ratio} {t}']:5.2f}" for t in THRESHOLDS)
            print(f"    {kind:9} {ratio:4}   {values}   {words}")
    names = ("pointing", "area hit", "dice", "boxes a slice")
    print("    " + "   ".join(f"{name} {figures[name]:.3f}" for name in names), flush=True)


def measure(analyzer: LesionAnalyzer, name: str, preset: str, rows: list[Case]) -> None:
    infected, positive, scores, labels, patients, ceilings = [], [], [], [], [], {8: [], 16: [], 32: []}
    for case in rows:
        analysis = analyzer.analyze(read_ct(case.picture))
        mask = read_mask(case.mask)
        labels.append(bool(mask.any()))
        patients.append(case.patient)
        probability = analysis.slices[0].probability
        scores.append(0.0 if probability is None else probability)
        if not mask.any():
            continue
        picture = analysis.ct.axial().array[0]
        crop = prepare_picture(np.ascontiguousarray(picture), analyzer.preprocessing).crop
        seen = resize_mask(mask, crop)
        truth = truth_lesions(seen)
        counts = evaluate_slice(truth, candidates(analysis, crop))
        infected.append(counts)
        if analysis.slices[0].positive:
            positive.append(counts)
        for cells, counted in ceilings.items():
            counted.append(ceiling(truth, seen, cells))
    print(f"\n== {name}, preset {preset} ({IN_TRAINING.get(name, 'own data')}) ==")
    show("all slices with lesions", infected)
    show("of these, diagnosed positive", positive)
    for cells, counted in ceilings.items():
        figures = summarize(counted)
        print(f"ceiling of a {cells} x {cells} map: hit {figures['hit box 0.1']:.2f} (box .1), "
              f"{figures['hit iou 0.1']:.2f} (iou .1), Dice {figures['dice']:.2f}")  # fmt: skip
    found = np.array(scores) >= analyzer.config.threshold
    truth = np.array(labels)
    print(f"positive: {found[truth].mean():.1%} of {truth.sum()} infected slices", end="")
    if not truth.all():
        print(f", {found[~truth].mean():.1%} of {(~truth).sum()} clean ones; AUC pooled {auc(scores, labels):.3f}, "
              f"within scans {auc_within(scores, labels, patients):.3f}", end="")  # fmt: skip
        for patient in sorted(set(patients)):
            here = [i for i, p in enumerate(patients) if p == patient]
            if len({labels[i] for i in here}) == 2:
                value = auc([scores[i] for i in here], [labels[i] for i in here])
                print(f"\n    {patient}: AUC {value:.3f} of {len(here)} slices", end="")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, help="default: the bundled one")
    parser.add_argument("--sets", nargs="+", default=["medseg", "radiopaedia"])
    parser.add_argument("--presets", nargs="+", default=["default", "paper"])
    parser.add_argument("--every", type=int, default=1, help="take every n-th slice only")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    for preset in args.presets:
        analyzer = LesionAnalyzer(bundle, AnalysisConfig.from_preset(preset))
        for name in args.sets:
            measure(analyzer, name, preset, cases(args.data, name)[:: args.every])


if __name__ == "__main__":
    main()
