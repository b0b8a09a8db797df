"""PNG slices of synthetic patients of three classes: clear lungs, COVID-19, and another pneumonia.

    rows = make_slices(folder, patients=20)      # file, label, patient, split: for a manifest

COVID-19 is multifocal ground glass in both lungs, the other pneumonia one consolidation about as large as a lobe.
Nothing else distinguishes the classes: grid, noise, gray scale and slice positions have the same distributions.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from LesionAnalysisLib.phantom.grid import LPS_AXES, Grid
from LesionAnalysisLib.phantom.lesion_shapes import CONSOLIDATION, GGO, LesionShape
from LesionAnalysisLib.phantom.noise import ValueNoise, generator
from LesionAnalysisLib.phantom.patient import Patient
from LesionAnalysisLib.phantom.render import render
from PIL import Image

CLEAR, COVID, PNEUMONIA = "NonCOVID", "COVID", "Pneumonia (phantom)"
CLASSES = (CLEAR, COVID, PNEUMONIA)
SOURCE = "phantom"
_SHAPE, _SPACING = (28, 256, 256), (1.4, 1.4, 8.0)
_WINDOW = (-1200.0, 600.0)
_MIN_LESIONS = 0.02  # lesion share of the lungs in a slice of the two diseases
_MIN_LUNGS = 0.4  # lung area of a slice relative to the patient's largest
_TRAIN, _VALIDATION = 0.6, 0.8  # up to these shares of the patients: training, validation; the rest: test
_LOBES = ((48.0, -50.0, -65.0), (48.0, -25.0, 40.0))  # centers of the right lower and upper lobe, mm RAS


@dataclass(frozen=True, eq=False)
class Multifocal(Patient):
    """A patient of the phantom with the ground glass lesions only."""

    @cached_property
    def lesions(self) -> list[LesionShape]:
        return [lesion for lesion in super().lesions if lesion.type == GGO]


@dataclass(frozen=True, eq=False)
class Lobar(Patient):
    """A patient with one unilateral consolidation about as large as a lobe."""

    @cached_property
    def lesions(self) -> list[LesionShape]:
        rng = generator(self.seed, 20)
        side = 1.0 if rng.random() < 0.5 else -1.0
        x, y, z = _LOBES[int(rng.random() < 0.5)]
        center = np.array([side * x, y, z]) + 16.0 * (rng.random(3) - 0.5)
        radii = np.array([38.0, 40.0, 42.0]) * (0.8 + 0.4 * rng.random(3))
        around = ([*(rng.random(3) - 0.5), 0.4 + 0.3 * rng.random()] for _ in range(3))
        lobes = np.array([[0.0, 0.0, 0.0, 0.8], *around])
        density = 20.0 + 40.0 * rng.random()
        return [LesionShape(CONSOLIDATION, center, np.eye(3), radii, lobes, density, 0.0, ValueNoise(rng))]


_PATIENTS = {CLEAR: Patient, COVID: Multifocal, PNEUMONIA: Lobar}


def make_slices(folder: Path, patients: int = 20, slices: int = 6, workers: int = 1) -> list[dict[str, str]]:
    """Write PNG files into ``folder``/phantom and return the rows of their manifest; existing files are kept.

    Args:
        patients: of each class.
        slices: of each patient.
        workers: processes.
    """
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    seeds = [(3 * i + k, label, i / patients) for i in range(patients) for k, label in enumerate(CLASSES)]
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(partial(_patient, folder, slices), seeds), [])


def _patient(folder: Path, slices: int, task: tuple[int, str, float]) -> list[dict[str, str]]:
    seed, label, share = task
    split = "train" if share < _TRAIN else "val" if share < _VALIDATION else "test"
    files = [f"{SOURCE}/p{seed:03}-{i}.png" for i in range(slices)]
    if not all((folder / file).is_file() for file in files):
        images = _images(seed, label, slices)
        files = files[: len(images)]
        for file, image in zip(files, images, strict=True):
            Image.fromarray(image).save(folder / file)
    row = {"label": label, "patient": f"p{seed:03}", "source": SOURCE, "split": split}
    return [{"file": file, **row} for file in files]


def _images(seed: int, label: str, count: int) -> list[np.ndarray]:
    """(R, C) uint8 slices with enough lung and, in the two diseases, enough lesions; viewed from the feet."""
    scan = render(_PATIENTS[label](seed), Grid.centered(_SHAPE, _SPACING, LPS_AXES), label != CLEAR, noise_hu=20.0)
    lungs, lesions = (part.sum((1, 2)) for part in (scan.lungs, scan.labels > 0))
    fit = lungs > _MIN_LUNGS * lungs.max()
    if label != CLEAR:
        fit &= lesions > _MIN_LESIONS * np.maximum(lungs, 1)
    indices = np.flatnonzero(fit)
    chosen = np.sort(generator(seed, 21).permutation(indices)[:count])
    low, high = _WINDOW
    return [np.clip(255 * (scan.hu[i] - low) / (high - low), 0, 255).round().astype(np.uint8) for i in chosen]
