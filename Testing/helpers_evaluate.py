"""Tiny models, labeled slices and slices with segmented lesions for the tests of ``evaluate``."""

import csv

import numpy as np
import torch
from helpers_analyzer import random_clusters
from helpers_training import chest_image, save
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle, ModelDescription
from LesionAnalysisLib.network.fecnn import FeCNN


def tiny_model(folder, classes=("NonCOVID", "COVID"), seed=0):
    """An untrained model; the disease is the last class."""
    torch.manual_seed(seed)
    description = ModelDescription(title="tiny", license="CC0", classes=classes, positive=len(classes) - 1,
                                   preprocessing=Preprocessing(size=128).to_dict(), threshold=0.4)  # fmt: skip
    return ModelBundle.save(folder, FeCNN("resnet18", len(classes)).eval(), description, random_clusters(), card="")


def labeled_folder(root):
    """Three slices of each of two classes, one per patient, with a manifest of their splits."""
    rng, rows = np.random.default_rng(0), [("file", "label", "patient", "split")]
    for positive, name in enumerate(("NonCOVID", "COVID")):
        for i in range(3):
            save(root / f"{name}{i}.png", chest_image(rng, bool(positive)))
            rows.append((f"{name}{i}.png", name, f"{name}{i}", "test" if i else "train"))
    with open(root / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return root


def ground_glass_image(rng, size=96):
    """A slice (size, size) uint8 with a patch of ground glass in each lung, dark enough to count as lung."""
    image = chest_image(rng, False, size)
    y, x = np.mgrid[:size, :size] / size - 0.5
    patches = ((np.abs(x) - 0.2) / 0.08) ** 2 + ((y - 0.05) / 0.15) ** 2 < 1
    image[patches] = np.clip(rng.normal(95, 5, np.count_nonzero(patches)), 0, 255).astype(np.uint8)
    return image


def segmented_folder(root):
    """Two slices with ground glass (1) in both lungs, two with consolidation (2), one without; three patients."""
    rng = np.random.default_rng(0)
    for i in range(5):
        mask = np.zeros((96, 96), np.uint8)
        if i < 4:
            mask[20:76, 54:80] = mask[20:76, 16:42] = 1 + i % 2
        save(root / "images" / f"s{i}.png", ground_glass_image(rng) if i < 4 else chest_image(rng, False))
        save(root / "masks" / f"s{i}.png", mask)
    lines = ["slice,patient", *(f"s{i},p{i // 2}" for i in range(5))]
    (root / "slices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
