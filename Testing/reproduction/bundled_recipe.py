"""How the bundled model was trained: which patients were held out, which volumes took part, every setting."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from reproduction.shared_data import DATA, link_slices, read_rows

from LesionAnalysisTrainingLib import TrainingConfig  # isort: skip

VOLUMES = ("covid-ct-md_covid_P001.nii.gz", "covid-ct-md_normal_normal001.nii.gz")  # the other two: a last test
_HELD_OUT = {"luna16": 40, "sars-cov-2-ct": 9, "tcga-luad": 5}  # patients, drawn
_NAMED = ("radiopaedia/radiopaedia-8", "covid-19-ct-seg/coronacases_org_001")


def held_out(data: Path = DATA) -> set[str]:
    """The patients of validation, as "source/patient"; COVID-CT's official list comes besides."""
    found: dict[str, set[str]] = {}
    for row in read_rows(data / "slices" / "manifest.csv"):
        found.setdefault(row["dataset"], set()).add(f"{row['dataset']}/{row['patient']}")
    return {*_NAMED, *(p for source, count in _HELD_OUT.items() for p in drawn(found[source], count))}


def drawn(patients: set[str], count: int) -> list[str]:
    """The first ``count`` of the patients in an order that chance, always the same, made."""
    order = sorted(patients)
    random.Random(0).shuffle(order)
    return order[:count]


def link_data(folder: Path, data: Path = DATA, held: set[str] | None = None) -> Path:
    """The data of the bundled model, see ``link_slices``; ``held`` patients in place of ``held_out``."""
    volumes = [v for v in VOLUMES if f"volume/{v.removesuffix('.nii.gz')}" not in (held or ())]
    return link_slices(data, folder, volumes=volumes, held_out=held_out(data) if held is None else held)


def config(data: Path = DATA, **changes) -> TrainingConfig:
    """The settings of the bundled model, some of them changed."""
    settings = TrainingConfig.from_recipe(
        "lesions", imagenet=str(next((data / "weights").glob("resnet50*.pth"))), disease="COVID", mixed_patients=True,
        samples_per_epoch=8000, clusters=2,
    )  # fmt: skip
    return replace(settings, **changes)
