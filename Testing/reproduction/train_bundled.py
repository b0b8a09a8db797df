"""Train the extension's model on ``../shared/data`` with the public ``train`` function.

    python -m reproduction.train_bundled --output MODEL_DIR [--resume]

Recipe and data are in ``bundled_recipe``. Eight epochs of 8,000 slices took 220 s on one H100 (which ran three other
trainings at the same time); on two CPU cores with bfloat16 expect about three hours. ``experiments.measure_volumes``
then evaluates it on data outside the training, ``evidence.measure_evidence`` on everything else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from LesionAnalysisTrainingLib import train

from reproduction.bundled_recipe import config, link_data

LICENSE = "CC BY-NC-SA 4.0"  # required by the training data and the initial weights (CC BY-NC 4.0)
TITLE = "FeCNN ResNet-50, COVID-19 against other chest CT"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    folder = link_data(args.output.with_name(f"{args.output.name}.data"))
    train(folder, args.output, config(), resume=args.resume, overwrite=args.overwrite, keep_work=True, title=TITLE,
          license=LICENSE, log=lambda line: print(line, flush=True))  # fmt: skip


if __name__ == "__main__":
    main()
