"""Wrote ``schema1/``: an analysis and a small model as the first format has them. Not to be run again for schema 1.

    python Testing/robustness/make_schema1.py

When the format changes, the files stay, ``test_same_everywhere.py`` still reads them, and ``schema2/`` comes beside.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "schema1"
if __name__ == "__main__":
    roots = [HERE, HERE.parent, HERE.parents[1] / "LesionAnalysis", HERE.parents[1] / "LesionAnalysisTraining"]
    sys.path[:0] = [str(root) for root in roots]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from hostile_bundles import BACKBONE, WIDTH, known_backbone  # noqa: E402
from LesionAnalysisLib.lesions.clusters import LesionClusters  # noqa: E402
from LesionAnalysisLib.lungs import Preprocessing  # noqa: E402
from LesionAnalysisLib.model.bundle import ModelBundle  # noqa: E402
from LesionAnalysisLib.network.fecnn import FeCNN  # noqa: E402


def picture() -> torch.Tensor:
    """Slices (2, 1, 64, 64) that need no file: waves of two lengths."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return torch.stack([torch.sin(x / n) * torch.cos(y / (n + 1)) / 2 + 0.5 for n in (3.0, 7.0)])[:, None]


def patterned(network: FeCNN) -> FeCNN:
    """Weights that repeat themselves: a few kilobytes in a zip file, yet each layer has its say."""
    with torch.no_grad():
        for number, (name, value) in enumerate(network.state_dict().items()):
            if value.is_floating_point() and not name.endswith(("running_var", "omega")):
                steps = torch.arange(value.numel()) * (number + 3) % 17
                value.copy_((steps.reshape(value.shape) - 7.5) / 40)
    return network.eval()


def write_model(folder: Path) -> None:
    network = patterned(FeCNN(BACKBONE))
    features = np.abs(np.random.default_rng(0).normal(0, 1, (20, WIDTH)))
    ModelBundle.save(
        folder, network, id="schema-1", title="A model of schema 1, ümlaut 患", license="CC0",
        classes=("normal", "COVID-19"), preprocessing=Preprocessing(size=64).to_dict(),
        clusters=LesionClusters(2).fit(features), card="# A model of schema 1\n", temperature=1.5, threshold=0.4,
        study={"scale": 0.9, "offset": -0.25, "chance": 1.5}, cluster_names={1: "one", 2: "two"},
        input_statistics={"mean": [0.5] * WIDTH, "deviation": [1.0] * WIDTH, "limit": 3.0}, training={"slices": 12},
    )  # fmt: skip
    with torch.inference_mode():
        logits = ModelBundle.load(folder).network()(picture())
    distances = LesionClusters(2).fit(features).distances(features[:2])
    expected = {"logits": logits.tolist(), "distances": distances.tolist()}
    (folder.parent / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def write_analysis(path: Path) -> None:
    from helpers_report import make_analysis
    from LesionAnalysisLib.report import write_json

    analysis = make_analysis(shape=(12, 64, 64), warnings=("Probabilities are unreliable: ümlaut.",))
    write_json(analysis, path)


if __name__ == "__main__":
    FOLDER.mkdir()
    with known_backbone():
        write_model(FOLDER / "model")
    write_analysis(FOLDER / "analysis.json")
