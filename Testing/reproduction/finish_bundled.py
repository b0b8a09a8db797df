"""From the folder that ``train_bundled.py`` wrote to the bundled model: clusters, study rule, the card's further pages.

    python -m reproduction.finish_bundled TRAINED_DIR OUTPUT_DIR

Clusters, by the network's features and by density, are fitted to the lesions of the preset ``enhanced`` in training
slices with COVID-19. ``CHANCE`` is the log-odds that the upper tenth of 20 to 200 slices of clear lungs (emphysema set
and LUNA16, of as many patients) stays below in 95 of 100 draws (RUNS.md). ``THRESHOLD`` keeps the false alarms of the
emphysema set below a tenth; the best balanced accuracy of the validation slices lies at 0.55.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reproduction.bundled_recipe import config, link_data

from LesionAnalysisLib.lesions.clusters import LesionClusters  # isort: skip
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.out_of_distribution import input_statistics
from LesionAnalysisLib.network.devices import choose_precision
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, SliceStore
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.lesion_space import Seen, density_clusters, learn_clusters, look
from LesionAnalysisTrainingLib.training import check_data
from LesionAnalysisTrainingLib.training_run import workers_of

CHANCE, THRESHOLD = 2.0, 0.63
SLICES = 700  # with COVID-19, evenly spread, whose lesions make the clusters
TYPICAL = 400  # slices that say what volumes look like; twice as many say so of pictures
CARD = Path(__file__).with_name("bundled_card.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--clusters", type=int, default=2)
    parser.add_argument("--density-only", action="store_true", help="of a finished model learn the clusters by density "
                        "and keep all else, but for the card's further pages")  # fmt: skip
    args = parser.parse_args()
    bundle = ModelBundle.load(args.trained)
    slices = Slices(bundle, args.output.with_name(f"{args.output.name}.data"))
    seen = slices.look(slices.of(TRAIN, SLICES, slices.positive))
    parts = {"clusters": bundle.clusters, "input_statistics": bundle.input_statistics, "training": bundle.training}
    if not args.density_only:
        facts = {"device": "NVIDIA H100 80GB HBM3, bfloat16", "torch": "2.11.0"}
        parts = {"clusters": refitted(seen, args.clusters), "input_statistics": typical_inputs(slices),
                 "training": bundle.training | facts}  # fmt: skip
    pages = CARD.read_text(encoding="utf-8")
    ModelBundle.save(
        args.output, bundle.network(), title=bundle.title, license=bundle.license, classes=("non-COVID-19", "COVID-19"),
        positive=bundle.positive, preprocessing=bundle.preprocessing, temperature=bundle.temperature,
        density_clusters=by_density(seen, len(parts["clusters"].centers_)), threshold=THRESHOLD,
        study={"chance": CHANCE}, card=bundle.card.split(pages.splitlines()[0])[0].rstrip() + "\n\n" + pages,
        overwrite=True, **parts,
    )  # fmt: skip


class Slices:
    """The slices of the training, gathered anew, and what the trained network sees in them."""

    def __init__(self, bundle: ModelBundle, work: Path) -> None:
        self.config, self.network, self.team = config(), bundle.network(), Team(torch.device("cpu"))
        found = check_data(link_data(work), self.config)
        store = SliceStore(found.samples, work / "pictures", self.config.preprocessing(), workers_of(self.config))
        kept = [i for i, keep in enumerate(store.kept) if keep]
        self.samples, self.pictures = [found.samples[i] for i in kept], store.only(kept)
        self.positive = found.positive

    def of(self, split: str, count: int, label: int | None = None) -> np.ndarray:
        """Indices of so many slices of a split, evenly spread."""
        fit = [i for i, s in enumerate(self.samples) if s.split == split and label in (None, s.label)]
        return np.array(fit)[np.unique(np.linspace(0, len(fit) - 1, count).astype(int))]

    def look(self, order: np.ndarray, **options) -> Seen:
        """The trained network's view of them."""
        device = self.team.device
        return look(self.network, self.pictures, self.samples, order, self.config, self.positive, device,
                    choose_precision("auto", device), **options)  # fmt: skip


def clusters_of(folder: Path) -> dict[str, LesionClusters | None]:
    """The clusters of another model."""
    bundle = ModelBundle.load(folder)
    return {"clusters": bundle.clusters, "density_clusters": bundle.density_clusters}


def refitted(seen: Seen, count: int) -> LesionClusters:
    """Clusters of the lesions in training slices with COVID-19, by the network's features (m, 2048)."""
    clusters, choice, _ = learn_clusters(seen.features, count, 0)
    print(f"{len(seen.features)} lesions, clusters of {clusters.counts_.tolist()}, elbow at {choice.k}, silhouettes "
          f"{np.round(np.array(choice.silhouettes[1:], float), 3).tolist()}, stability "
          f"{np.round(np.array(choice.stability[1:], float), 3).tolist()}")  # fmt: skip
    return clusters


def by_density(seen: Seen, count: int) -> LesionClusters:
    """Clusters of the same lesions by their density profiles (m, 5)."""
    clusters = density_clusters(seen.profiles, count, 0)
    print(f"By density: clusters of {clusters.counts_.tolist()} at {np.round(clusters.centers_, 1).tolist()}")
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
