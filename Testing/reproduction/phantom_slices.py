"""Slices of synthetic patients of three kinds, as pictures: clear lungs, COVID-19, and another pneumonia.

    rows = make_slices(folder, patients=20)      # file, label, patient, split: for a manifest

COVID-19 is shown by ground glass in many places of both lungs, the other pneumonia by one consolidation as large as a
lobe. Nothing else tells the kinds apart: grid, noise, gray scale, and the heights of the slices are drawn alike.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from reproduction.shared_data import ROOT as ROOT  # first: it says where the libraries lie

from LesionAnalysisLib.phantom.grid import LPS_AXES, Grid  # isort: skip
from LesionAnalysisLib.phantom.lesion_shapes import CONSOLIDATION, GGO, LesionShape
from LesionAnalysisLib.phantom.noise import ValueNoise, generator
from LesionAnalysisLib.phantom.patient import Patient
from LesionAnalysisLib.phantom.render import render

CLEAR, COVID, PNEUMONIA = "NonCOVID", "COVID", "Pneumonia (phantom)"
KINDS = (CLEAR, COVID, PNEUMONIA)
SOURCE = "phantom"
_SHAPE, _SPACING = (28, 256, 256), (1.4, 1.4, 8.0)
_WINDOW = (-1200.0, 600.0)
_LEAST = 0.02  # share of the lungs that lesions take in a slice of the two diseases
_LUNGS = 0.4  # least lungs in a slice, of the patient's largest
_TRAIN, _VALIDATION = 0.6, 0.8  # shares of the patients up to which they are trained on, and validate
_LOBES = ((48.0, -50.0, -65.0), (48.0, -25.0, 40.0))  # middle of the right lower and upper lobe, mm RAS


@dataclass(frozen=True, eq=False)
class Multifocal(Patient):
    """A patient of the phantom with the ground glass lesions alone."""

    @cached_property
    def lesions(self) -> list[LesionShape]:
        return [lesion for lesion in super().lesions if lesion.type == GGO]


@dataclass(frozen=True, eq=False)
class Lobar(Patient):
    """A patient with one consolidation about as large as a lobe, on one side."""

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
    """Write PNG files into ``folder``/phantom, and give back the rows of their manifest; what is there stays.

    Args:
        patients: of each kind; none is of two.
        slices: of each patient.
        workers: processes.
    """
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    seeds = [(3 * i + k, kind, i / patients) for i in range(patients) for k, kind in enumerate(KINDS)]
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(partial(_patient, folder, slices), seeds), [])


def _patient(folder: Path, slices: int, task: tuple[int, str, float]) -> list[dict[str, str]]:
    seed, kind, share = task
    split = "train" if share < _TRAIN else "val" if share < _VALIDATION else "test"
    files = [f"{SOURCE}/p{seed:03}-{i}.png" for i in range(slices)]
    if not all((folder / file).is_file() for file in files):
        pictures = _pictures(seed, kind, slices)
        files = files[: len(pictures)]
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(folder / file)
    row = {"label": kind, "patient": f"p{seed:03}", "source": SOURCE, "split": split}
    return [{"file": file, **row} for file in files]


def _pictures(seed: int, kind: str, count: int) -> list[np.ndarray]:
    """(R, C) uint8 slices with enough lungs and, of a sick patient, enough of the disease; seen as from the feet."""
    scan = render(_PATIENTS[kind](seed), Grid.centered(_SHAPE, _SPACING, LPS_AXES), kind != CLEAR, noise_hu=20.0)
    lungs, sick = (part.sum((1, 2)) for part in (scan.lungs, scan.labels > 0))
    fit = lungs > _LUNGS * lungs.max()
    if kind != CLEAR:
        fit &= sick > _LEAST * np.maximum(lungs, 1)
    indices = np.flatnonzero(fit)
    chosen = np.sort(generator(seed, 21).permutation(indices)[:count])
    low, high = _WINDOW
    return [np.clip(255 * (scan.hu[i] - low) / (high - low), 0, 255).round().astype(np.uint8) for i in chosen]
