"""From the folder that ``train_bundled.py`` wrote to the bundled model: clusters, study rule, the card's further pages.

    python Testing/experiments/finish_bundled.py TRAINED_DIR OUTPUT_DIR

The clusters are refitted to the lesions of the preset ``enhanced`` in training slices with COVID-19. ``CHANCE`` is the
log-odds that the upper tenth of 20 to 200 slices of clear lungs (emphysema set and LUNA16, of as many patients) stays
below in 95 of 100 draws (RUNS.md). ``THRESHOLD`` keeps the false alarms of the emphysema set below a tenth; the best
balanced accuracy of the validation slices lies at 0.55.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundled_recipe import config

from LesionAnalysisLib.clusters import LesionClusters  # isort: skip
from LesionAnalysisLib.devices import choose_precision
from LesionAnalysisLib.familiarity import input_statistics
from LesionAnalysisLib.model import ModelBundle
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.lesion_space import Seen, learn_clusters, look
from LesionAnalysisTrainingLib.run import Run, folders_of, open_store, resumed_data, shown_slices_of

CHANCE, THRESHOLD = 2.0, 0.63
SLICES = 700  # with COVID-19, evenly spread, whose lesions make the clusters
TYPICAL = 400  # slices that say what volumes look like; twice as many say so of pictures
CARD = Path(__file__).with_name("bundled_card.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--clusters", type=int, default=2)
    parser.add_argument("--clusters-of", type=Path, metavar="MODEL_DIR", help="take that model's, learn none")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.trained)
    slices = Slices(bundle, args.trained)
    ModelBundle.save(
        args.output, bundle.network(), title=bundle.title, license=bundle.license, classes=("non-COVID-19", "COVID-19"),
        positive=bundle.positive, preprocessing=bundle.preprocessing, temperature=bundle.temperature,
        clusters=ModelBundle.load(args.clusters_of).clusters if args.clusters_of else refitted(slices, args.clusters),
        threshold=THRESHOLD, study={"chance": CHANCE}, input_statistics=typical_inputs(slices),
        training=bundle.training | {"device": "NVIDIA H100 80GB HBM3, bfloat16", "torch": "2.11.0"},
        card=bundle.card.rstrip() + "\n\n" + CARD.read_text(encoding="utf-8"), overwrite=True,
    )  # fmt: skip


class Slices:
    """The slices of the training, and what the trained network sees in them."""

    def __init__(self, bundle: ModelBundle, trained: Path) -> None:
        self.config, self.network, self.team = config(), bundle.network(), Team(torch.device("cpu"))
        run = Run(folders_of(trained.with_name(f"{trained.name}.data")), trained.absolute(), self.config)
        data = resumed_data(run, run.work / "run.json")
        self.positive = data.positive
        self.samples, self.pictures = shown_slices_of(run, data, open_store(run, data.samples, self.team))

    def of(self, split: str, count: int, label: int | None = None) -> np.ndarray:
        """Indices of so many slices of a split, evenly spread."""
        fit = [i for i, s in enumerate(self.samples) if s.split == split and label in (None, s.label)]
        return np.array(fit)[np.unique(np.linspace(0, len(fit) - 1, count).astype(int))]

    def look(self, order: np.ndarray, **options) -> Seen:
        """The trained network's view of them."""
        device = self.team.device
        return look(self.network, self.pictures, self.samples, order, self.config, self.positive, device,
                    choose_precision("auto", device), **options)  # fmt: skip


def refitted(slices: Slices, count: int) -> LesionClusters:
    """Clusters of the lesions in training slices with COVID-19."""
    features = slices.look(slices.of(TRAIN, SLICES, slices.positive)).features  # (m, 2048)
    clusters, choice, _ = learn_clusters(features, count, 0)
    print(f"{len(features)} lesions, clusters of {clusters.counts_.tolist()}, elbow at {choice.k}, silhouettes "
          f"{np.round(np.array(choice.silhouettes[1:], float), 3).tolist()}, stability "
          f"{np.round(np.array(choice.stability[1:], float), 3).tolist()}")  # fmt: skip
    return clusters


def typical_inputs(slices: Slices) -> dict[str, Any]:
    """What slices look like to the network, shown as pictures are and as volumes are; lesions are not looked for."""
    def means(split: str) -> np.ndarray:
        parts = ((None, 2 * TYPICAL), (True, TYPICAL))
        return np.concatenate([slices.look(slices.of(split, count), masked=masked, least_odds=np.inf).means
                               for masked, count in parts])  # fmt: skip

    return input_statistics(means(TRAIN), means(VALIDATION))


if __name__ == "__main__":
    main()
