"""Train a model for the extension on ../shared/data, with the command that everybody has.

    python Testing/experiments/train_bundled.py --output MODEL_DIR [--epochs 8 2] [--resume]

Afterwards ``measure_volumes.py`` looks at what took no part: the volumes, and slices without COVID-19.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from shared_data import DATA, link_slices

from LesionAnalysisTrainingLib import Phase, TrainingConfig, train  # isort: skip

LICENSE = "CC BY-NC-SA 4.0, as the training data and the start weights (CC BY-NC 4.0) ask for"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=(256, 384))
    parser.add_argument("--epochs", type=int, nargs="+", default=(8, 2))
    parser.add_argument("--slices", type=int, default=2240, help="an epoch")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    folder = link_slices(args.data, args.output.with_name(f"{args.output.name}.data"))
    rates = [1.0, *[0.3] * (len(args.sizes) - 1)]
    phases = tuple(Phase(size, epochs, 16, rate)
                   for size, epochs, rate in zip(args.sizes, args.epochs, rates, strict=True))  # fmt: skip
    config = replace(
        TrainingConfig(imagenet=str(next((args.data / "weights").glob("resnet50*.pth"))), disease="COVID"),
        phases=phases, samples_per_epoch=args.slices, validation_share=0.1, mixed_patients=True, clusters=2,
    )  # fmt: skip
    title = "FeCNN ResNet-50, COVID-19 against other chest CT"
    train(folder, args.output, config, resume=args.resume, keep_work=True, title=title, license=LICENSE,
          log=lambda line: print(line, flush=True))  # fmt: skip


if __name__ == "__main__":
    main()
