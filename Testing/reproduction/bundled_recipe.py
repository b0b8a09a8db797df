"""How the bundled model was trained: held-out patients, training volumes, and every setting."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from LesionAnalysisTrainingLib import TrainingConfig

from reproduction.shared_data import DATA, link_slices, read_rows

VOLUMES = ("covid-ct-md_covid_P001.nii.gz", "covid-ct-md_normal_normal001.nii.gz")  # the other two are test data
_HELD_OUT = {"luna16": 40, "sars-cov-2-ct": 9, "tcga-luad": 5}  # patients, drawn at random
_NAMED = ("radiopaedia/radiopaedia-8", "covid-19-ct-seg/coronacases_org_001")


def held_out(data: Path = DATA) -> set[str]:
    """Validation patients as "source/patient", in addition to COVID-CT's official list."""
    return {*_NAMED, *drawn(data, _HELD_OUT)}


def drawn(data: Path, counts: dict[str, int]) -> set[str]:
    """So many random patients of each source, always the same, as "source/patient"."""
    patients: dict[str, set[str]] = {}
    for row in read_rows(data / "slices" / "manifest.csv"):
        patients.setdefault(row["dataset"], set()).add(f"{row['dataset']}/{row['patient']}")
    found = set()
    for source, count in counts.items():
        order = sorted(patients[source])
        random.Random(0).shuffle(order)
        found.update(order[:count])
    return found


def link_data(folder: Path, data: Path = DATA, held: set[str] | None = None) -> Path:
    """The data of the bundled model, see ``link_slices``; ``held`` replaces the patients of ``held_out``."""
    volumes = [v for v in VOLUMES if f"volume/{v.removesuffix('.nii.gz')}" not in (held or ())]
    return link_slices(data, folder, volumes=volumes, held_out=held_out(data) if held is None else held)


def config(data: Path = DATA, **changes) -> TrainingConfig:
    """The settings of the bundled model, with ``changes``."""
    settings = TrainingConfig.from_recipe(
        "lesions", imagenet=str(next((data / "weights").glob("resnet50*.pth"))), disease="COVID", mixed_patients=True,
        samples_per_epoch=8000, clusters=2,
    )  # fmt: skip
    return replace(settings, **changes)
