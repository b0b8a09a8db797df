"""A small model that calls everything positive, for tests of the pipeline rather than of a network."""

from __future__ import annotations

import numpy as np
import torch
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.network.fecnn import FeCNN


def small_bundle(folder, classes=2, bias=4.0, **changes):
    """A bundle around a random resnet18 for 128 x 128 pictures; ``bias`` is the log-odds it starts from."""
    torch.manual_seed(0)
    network = FeCNN("resnet18", classes).eval()
    with torch.no_grad():
        network.head.fusion.classify.weight.abs_().mul_(torch.tensor([[-1.0]] * (classes - 1) + [[1.0]]))
        network.head.fusion.classify.bias.zero_()
        network.head.fusion.classify.bias[-1] = bias
    features = np.abs(np.random.default_rng(0).normal(0, 1, (40, 512)))
    settings = {
        "title": "Test model", "license": "none", "classes": tuple(f"class {i}" for i in range(classes)),
        "positive": classes - 1, "preprocessing": Preprocessing(size=128).to_dict(),
        "clusters": LesionClusters(2).fit(features), "card": "# Test model\n",
    }  # fmt: skip
    return ModelBundle.save(folder, network, **{**settings, **changes})
