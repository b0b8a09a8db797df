"""Train the extension's model on ../shared/data, with the function that everybody has.

    python -m reproduction.train_bundled --output MODEL_DIR [--resume]

Recipe and data are in ``bundled_recipe.py``. Eight epochs of 8,000 slices took 220 s on one H100 (beside three other
runs); on two CPU cores with bfloat16 expect some three hours. Afterwards ``measure_volumes.py`` looks at what took no
part, and ``evidence.py`` measures everything else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reproduction.bundled_recipe import config, link_data

from LesionAnalysisTrainingLib import train  # isort: skip

LICENSE = "CC BY-NC-SA 4.0"  # as the training data and the start weights (CC BY-NC 4.0) ask for
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
