"""From the folder that ``train_bundled.py`` wrote to the bundled model: clusters, study rule, the card's further pages.

    python Testing/experiments/finish_bundled.py TRAINED_DIR OUTPUT_DIR

The clusters are refitted to the lesions of the preset ``enhanced`` in training slices with COVID-19. ``CHANCE`` is the
log-odds that the upper tenth of 20 to 200 slices of clear lungs (emphysema set and LUNA16, of as many patients) stays
below in 95 of 100 draws (RUNS.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from bundled_recipe import config

from LesionAnalysisLib.devices import choose_precision  # isort: skip
from LesionAnalysisLib.model import ModelBundle
from LesionAnalysisTrainingLib.dataset import TRAIN
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.lesion_space import learn_clusters, look
from LesionAnalysisTrainingLib.run import Run, folders_of, open_store, resumed_data, shown_slices_of

CHANCE = 2.0
SLICES = 700  # with COVID-19, evenly spread, whose lesions make the clusters
CARD = Path(__file__).with_name("bundled_card.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--clusters", type=int, default=2)
    args = parser.parse_args()
    bundle = ModelBundle.load(args.trained)
    features = lesion_features(bundle, args.trained)
    clusters, choice, _ = learn_clusters(features, args.clusters, 0)
    print(f"{len(features)} lesions, clusters of {clusters.counts_.tolist()}, elbow at {choice.k}, silhouettes "
          f"{np.round(np.array(choice.silhouettes[1:], float), 3).tolist()}, stability "
          f"{np.round(np.array(choice.stability[1:], float), 3).tolist()}")  # fmt: skip
    ModelBundle.save(
        args.output, bundle.network(), title=bundle.title, license=bundle.license, classes=("non-COVID-19", "COVID-19"),
        positive=bundle.positive, preprocessing=bundle.preprocessing, clusters=clusters, temperature=bundle.temperature,
        threshold=bundle.threshold, study={"chance": CHANCE}, input_statistics=bundle.input_statistics,
        training=bundle.training | {"device": "NVIDIA H100 80GB HBM3, bfloat16", "torch": "2.11.0"},
        card=bundle.card.rstrip() + "\n\n" + CARD.read_text(encoding="utf-8"), overwrite=True,
    )  # fmt: skip


def lesion_features(bundle: ModelBundle, trained: Path) -> np.ndarray:
    """(m, 2048) features of the lesions in training slices with COVID-19."""
    settings = config()
    folder = trained.with_name(f"{trained.name}.data")
    run = Run(folders_of(folder), trained.absolute(), settings)
    data = resumed_data(run, run.work / "run.json")
    team = Team(torch.device("cpu"))
    samples, pictures = shown_slices_of(run, data, open_store(run, data.samples, team))
    sick = [i for i, s in enumerate(samples) if s.split == TRAIN and s.label == data.positive]
    order = np.array(sick)[np.linspace(0, len(sick) - 1, SLICES).astype(int)]
    dtype = choose_precision("auto", team.device)
    return look(bundle.network(), pictures, samples, order, settings, data.positive, team.device, dtype).features


if __name__ == "__main__":
    main()
