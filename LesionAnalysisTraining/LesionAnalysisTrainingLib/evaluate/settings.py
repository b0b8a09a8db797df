"""Settings of the evaluations; their defaults are those of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSettings:
    """Common to all evaluations of a model."""

    device: str = "auto"
    rounds: int = 400  # of the patient-level bootstrap
    seed: int = 0


@dataclass(frozen=True)
class DiagnosisSettings(ModelSettings):
    """Of ``evaluate_diagnosis``."""

    split: str = "all"  # or one of the manifest's: train, val, test
    disease: str | None = None  # class of the disease; None: the one named like COVID-19
    threshold: float | None = None  # least probability of a positive slice; None: each model's default
    workers: int = 1  # processes that prepare slices


@dataclass(frozen=True)
class MapSettings(ModelSettings):
    """Of evaluations of activation maps on images with masks."""

    preset: str = "enhanced"
    min_cells: int = 2  # smallest region that counts, in cells of the map
    limit: int | None = None  # about so many slices, spread evenly; None: all
    examples: int = 6  # slices drawn


@dataclass(frozen=True)
class DetectionSettings(MapSettings):
    """Of ``evaluate_detection``."""

    methods: Sequence[str] = ()  # of ``mapper.METHODS``; empty: all that the model allows
    threshold: float | None = None  # least probability of a positive slice; None: the model's default
    unseen: Sequence[str] | None = None  # scans not used for training; None: the model's validation patients


@dataclass(frozen=True)
class IdentificationSettings(MapSettings):
    """Of ``evaluate_identification``; ``seed`` also draws the halves for cross-validation."""

    clusters: int | None = None  # K; None or as many as the model has: the model's; else refitted without their types
    types: int | None = None  # 2, or 3 with partial consolidation (section 5.3); None: 3 for K = 3, else 2
