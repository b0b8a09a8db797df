"""The most confident errors of a model by source, with its maps.

    python -m reproduction.experiments.error_sheets SLICES.csv --output DIR [--model MODEL_DIR] [--each 6]

``SLICES.csv`` is the table that a training writes beside its model; its validation and test slices are used. Every
source yields one image with false positives and one with false negatives: the slice, the network's input, the map at
any probability, and its boxes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.dataset.data_files import axial_slice
from LesionAnalysisTrainingLib.evaluate.detection import map_overlay
from LesionAnalysisTrainingLib.evaluate.detection_plots import Example, draw_examples
from LesionAnalysisTrainingLib.evaluate.mapper import Mapper
from LesionAnalysisTrainingLib.metrics import most_confident_errors
from reproduction.shared_data import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--each", type=int, default=6)
    args = parser.parse_args()
    mapper = Mapper(ModelBundle.load(args.model) if args.model else ModelBundle.bundled())
    rows = [row for row in read_rows(args.slices) if row["split"] in ("val", "test") and row["probability"]]
    args.output.mkdir(parents=True, exist_ok=True)
    for source in sorted({row["source"] for row in rows}):
        here = [row for row in rows if row["source"] == source]
        truth = np.array([row["label"] == "COVID" for row in here])
        scores = np.array([float(row["probability"]) for row in here])
        errors = most_confident_errors(truth, scores, mapper.analyzer.threshold, args.each)
        for name, wrong in zip(("false positives", "false negatives"), errors, strict=True):
            examples = [one for one in (example(mapper, here[i]) for i in wrong) if one is not None]
            if examples:
                print(draw_examples(args.output / f"{source} {name}.png", examples, mapper.shown), flush=True)


def example(mapper: Mapper, row: dict[str, str]) -> Example | None:
    """The slice with its map; None for slices of volumes, which have reports of their own, and without lungs."""
    if row["slice"]:
        return None
    image = axial_slice(read_ct(row["file"]), 0)
    result = mapper.analyze(row["number"], image)
    if result is None:
        return None
    name = f"{Path(row['file']).stem}, {row['label']}"
    return Example(name, image, result.piece.image, np.zeros(image.shape, np.uint8), result.probability,
                   {mapper.shown: map_overlay(mapper, result, mapper.shown)})  # fmt: skip


if __name__ == "__main__":
    main()
