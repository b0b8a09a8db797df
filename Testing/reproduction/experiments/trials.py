"""Trials behind the bundled model's recipe: the effect of each setting on held-out patients.

    python -m reproduction.experiments.trials --output DIR [--trials base,head,...]

Every trial trains on the same number of slices (24,000; ``long`` 48,000) of ``../shared/data`` without the patients of
``held_out`` and writes a model folder with its metrics. ``lesion-analysis evaluate diagnosis`` and ``evaluate
detection`` then compare the models; README.md has the results.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from LesionAnalysisTrainingLib import Phase, TrainingConfig, train
from LesionAnalysisTrainingLib.training_config import Augmentation
from reproduction.bundled_recipe import VOLUMES, config, drawn, link_data
from reproduction.shared_data import DATA

_WIDE = {"brightness": 0.2, "contrast": 0.35, "gamma": 0.4}
_LESIONS = Augmentation(lesion_chance=0.3)

TRIALS: dict[str, dict[str, Any]] = {
    "base": {},
    "long": {"samples_per_epoch": 16000},
    "noanchor": {"anchor_gray_levels": False},
    "mask6": {"augmentation": Augmentation(mask_chance=0.6)},
    "scale": {"augmentation": Augmentation(scale=0.3, shift=0.1)},
    "wide": {"augmentation": Augmentation(**_WIDE)},
    "erase": {"augmentation": Augmentation(erase_chance=0.3)},
    "smooth": {"label_smoothing": 0.15},
    "power0": {"source_power": 0.0},
    "unfrozen": {"freeze_early": False},
    "size384": {"phases": (Phase(256, 2, 32), Phase(384, 1, 32, 0.3))},
    "volumes": {},  # with the two volumes of the bundled recipe
    "lesions": {"augmentation": _LESIONS},
    "head": {"augmentation": _LESIONS, "lesion_head": True},
    "head5": {"augmentation": Augmentation(lesion_chance=0.5), "lesion_head": True},
    "headall": {"augmentation": replace(_LESIONS, erase_chance=0.3, **_WIDE), "lesion_head": True},
}
_DRAWN = {"luna16": 80, "sars-cov-2-ct": 15, "tcga-luad": 7}
_NAMED = {*(f"radiopaedia/radiopaedia-{i}" for i in (2, 7, 8)),
          *(f"covid-19-ct-seg/coronacases_org_{i:03d}" for i in (1, 2, 3))}  # fmt: skip


def held_out(name: str, data: Path = DATA) -> set[str]:
    """Patients who are not trained on in the trial ``name``, in addition to COVID-CT's official list."""
    volumes = set() if name == "volumes" else {f"volume/{v.removesuffix('.nii.gz')}" for v in VOLUMES}
    return _NAMED | volumes | drawn(data, _DRAWN)


def settings(name: str) -> TrainingConfig:
    """The common settings of all trials with those of the trial ``name``."""
    common = {"phases": (Phase(256, 3, 32),), "augmentation": Augmentation(), "lesion_head": False,
              "freeze_early": True}  # fmt: skip
    return config(**(common | TRIALS[name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--trials", default=",".join(TRIALS))
    args = parser.parse_args()
    for name in args.trials.split(","):
        if (args.output / name).exists():
            print(f"{name}: already trained")
            continue
        folder = link_data(args.output / f"{name}.data", held=held_out(name))
        train(folder, args.output / name, settings(name), resume=True, title=f"Trial {name}",
              log=lambda line, name=name: print(f"{name}: {line}", flush=True))  # fmt: skip


if __name__ == "__main__":
    main()
