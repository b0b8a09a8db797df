"""Small labeled slices for the tests of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def chest_image(rng: np.random.Generator, sick: bool, size: int = 96) -> np.ndarray:
    """Two dark lungs in a bright body on black, (size, size) uint8; sick ones have a bright patch in a lung."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    image = np.where((x / 0.48) ** 2 + (y / 0.4) ** 2 < 1, 180.0, 0.0)
    for side in (-1, 1):
        image[((x - 0.2 * side) / 0.15) ** 2 + (y / 0.28) ** 2 < 1] = 50
    if sick:
        image[((x - 0.2) / 0.11) ** 2 + ((y - 0.1) / 0.15) ** 2 < 1] = 130
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def other_image(rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """An image that resembles no other."""
    coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def save(path: Path, image: np.ndarray) -> Path:
    """An image file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def class_folders(root: Path, patients: int = 4, slices: int = 2, classes=("NonCOVID", "COVID")) -> Path:
    """``root``/class/patient/slice.png, all different."""
    rng = np.random.default_rng(0)
    for name in classes:
        for patient in range(patients):
            for i in range(slices):
                save(root / name / f"{name[0]}{patient}" / f"{i}.png", other_image(rng))
    return root
