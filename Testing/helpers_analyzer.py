"""A small model that calls everything positive, for tests of the pipeline rather than of a network."""

from __future__ import annotations

import numpy as np
import torch
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle, ModelClusters, ModelDescription
from LesionAnalysisLib.network.fecnn import FeCNN


def random_clusters(width=512, count=2, seed=0):
    """Clusters of made-up lesions: by ``width`` features, and by density."""
    rng = np.random.default_rng(seed)
    features, profiles = np.abs(rng.normal(0, 1, (40, width))), np.sort(rng.uniform(0, 100, (40, 5)), axis=1)
    return ModelClusters(LesionClusters(count).fit(features), LesionClusters(count).fit(profiles))


def small_bundle(folder, classes=2, bias=4.0, clusters=None, **changes):
    """A bundle around a random resnet18 for 128 x 128 images; ``bias`` is the log-odds it starts from."""
    torch.manual_seed(0)
    network = FeCNN("resnet18", classes).eval()
    with torch.no_grad():
        network.head.fusion.classify.weight.abs_().mul_(torch.tensor([[-1.0]] * (classes - 1) + [[1.0]]))
        network.head.fusion.classify.bias.zero_()
        network.head.fusion.classify.bias[-1] = bias
    settings = {
        "title": "Test model", "license": "none", "classes": tuple(f"class {i}" for i in range(classes)),
        "positive": classes - 1, "preprocessing": Preprocessing(size=128).to_dict(),
    }  # fmt: skip
    description = ModelDescription(**{**settings, **changes})
    return ModelBundle.save(folder, network, description, clusters or random_clusters(), "# Test model\n")
