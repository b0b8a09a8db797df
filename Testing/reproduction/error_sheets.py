"""The surest mistakes of a model by source, with its maps: what does it look at?

    python -m reproduction.error_sheets SLICES.csv --output DIR [--model MODEL_DIR] [--each 6]

``SLICES.csv`` is the table that a training leaves beside its model; its validation and test slices are looked at. For
every source one picture with what was called COVID-19 and is not, and one with what was missed: the slice, how the
network saw it, the map, and its boxes. The map is drawn whatever the probability.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from reproduction.shared_data import read_rows

from LesionAnalysisLib.model.bundle import ModelBundle  # isort: skip
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.dataset.data_files import axial_slice
from LesionAnalysisTrainingLib.evaluate.detection import marked
from LesionAnalysisTrainingLib.evaluate.detection_plots import Example, draw_examples
from LesionAnalysisTrainingLib.evaluate.mapper import Mapper
from LesionAnalysisTrainingLib.metrics import most_wrong


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
        kinds = most_wrong(truth, np.array([float(row["probability"]) for row in here]), mapper.analyzer.threshold,
                           args.each)  # fmt: skip
        for name, wrong in zip(("false alarms", "missed"), kinds, strict=True):
            examples = [one for one in (example(mapper, here[i]) for i in wrong) if one is not None]
            if examples:
                print(draw_examples(args.output / f"{source} {name}.png", examples, mapper.shown), flush=True)


def example(mapper: Mapper, row: dict[str, str]) -> Example | None:
    """The slice with its map; None for a slice of a volume, which its own report shows better."""
    if row["slice"]:
        return None
    picture = axial_slice(read_ct(row["file"]), 0)
    look = mapper.look(row["number"], picture)
    if look is None:
        return None
    name = f"{Path(row['file']).stem}, {row['label']}"
    return Example(name, picture, look.shown, np.zeros(picture.shape, np.uint8), look.probability,
                   {mapper.shown: marked(mapper, look, mapper.shown)})  # fmt: skip


if __name__ == "__main__":
    main()
