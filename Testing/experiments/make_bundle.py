"""Turn a finished run of train_bundled.py into the bundled model, with every figure of its card measured here.

    python Testing/experiments/make_bundle.py --work RUN_FOLDER --output Resources/Models/fecnn-resnet50-v1
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parents[1] / name) for name in ("LesionAnalysis", "LesionAnalysisTraining"))]

from card import model_card
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer
from LesionAnalysisLib.clusters import LesionClusters, choose_k
from LesionAnalysisLib.fecnn import FeCNN
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model import ModelBundle
from LesionAnalysisLib.study import input_statistics
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.calibration import fit_temperature
from LesionAnalysisTrainingLib.dataset import TEST, TRAIN, VALIDATION, PictureStore, describe, read_layout
from LesionAnalysisTrainingLib.evaluation import accuracy, auc, average_precision, bootstrap
from LesionAnalysisTrainingLib.lesion_space import look
from train_bundled import CLASSES, ROOT, collect

SIZE, MARGIN = 384, 0.03
LICENSE = "CC BY-NC-SA 4.0"


def load_network(work: Path) -> tuple[FeCNN, dict, list]:
    """The averaged network of a run, its configuration and its history."""
    state = torch.load(work / "checkpoint.pt", map_location="cpu", weights_only=True)
    config = json.loads(state["config"])
    network = FeCNN(config["backbone"], len(config["classes"]), config["fpn"], config["fusion"],
                    dropout=config["dropout"])  # fmt: skip
    network.load_state_dict(state["averaged"])
    return network.eval(), config, json.loads(state["history"])


def rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 3) for v in values]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def figures(samples: list, order: np.ndarray, probability: np.ndarray) -> list[dict]:
    """Accuracy, AUC and AP of all slices in ``order`` and of each source, with intervals over patients."""
    truth = np.array([samples[i].label for i in order])
    patients = np.array([samples[i].patient for i in order])
    sources = np.array([samples[i].source for i in order])
    rows = []
    for source in ["all", *sorted(set(sources))]:
        here = np.ones(len(order), bool) if source == "all" else sources == source
        row = {"source": source, "slices": int(here.sum()), "patients": len(set(patients[here]))}
        metrics = {"accuracy": accuracy}
        if len(set(truth[here])) == 2:
            metrics |= {"auc": auc, "ap": average_precision}
        for name, metric in metrics.items():
            row[name] = bootstrap(metric, truth[here], probability[here], patients[here])
        rows.append(row)
    return rows


def false_alarms(data: Path, network: FeCNN, work: Path, temperature: float) -> dict:
    """Share of positive slices among the emphysema set, which took no part in training."""
    samples = [replace(s, split=TEST) for s in read_layout([data / "slices"], CLASSES[-1]).samples
               if s.source == "emphysema"]  # fmt: skip
    store = PictureStore(samples, work / "pictures", Preprocessing(margin=MARGIN, size=SIZE))
    seen = look(network, samples, store, np.arange(len(samples)), SIZE, MARGIN)
    normal = np.array(["normal" in Path(s.path).name or "normal" in s.patient for s in samples])
    positive = sigmoid(seen["log_odds"] / temperature) >= 0.5
    return {"normal": (int(positive[normal].sum()), int(normal.sum())),
            "emphysema": (int(positive[~normal].sum()), int((~normal).sum()))}  # fmt: skip


def volumes(data: Path, bundle: ModelBundle, config: AnalysisConfig) -> list[dict]:
    """The volumes, which took no part in training, through the whole pipeline."""
    labels: dict[str, dict[int, int]] = defaultdict(dict)
    with open(data / "volumes" / "slice_labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["infected"] != "":
                labels[row["volume"]][int(row["slice_index"])] = int(row["infected"])
    analyzer, rows = LesionAnalyzer(bundle, config), []
    for path in sorted((data / "volumes").glob("*.nii.gz")):
        analysis = analyzer.analyze(read_ct(path))
        judged = [s for s in analysis.slices if s.lung]
        pairs = [(labels[path.name][s.index], s.probability) for s in judged if s.index in labels[path.name]]
        truth, scores = (np.array(x) for x in zip(*pairs, strict=True)) if pairs else (np.zeros(0), np.zeros(0))
        found = truth > 0
        rows.append({
            "volume": path.name, "probability": analysis.summary.probability, "lung_slices": len(judged),
            "positive_slices": analysis.summary.positive_slices,
            "slice_auc": auc(truth, scores) if len(set(truth)) == 2 else None,
            "sensitivity": float((scores[found] >= 0.5).mean()) if found.any() else None,
            "specificity": float((scores[~found] < 0.5).mean()) if (~found).any() else None,
            "involved": analysis.summary.involved_lung_share, "lesions": len(analysis.lesions),
            "warnings": list(analysis.warnings),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    samples = collect(args.data)
    store = PictureStore(samples, args.work / "pictures", Preprocessing(margin=MARGIN, size=SIZE))
    network, training, history = load_network(args.work)

    validation = np.array([i for i, s in enumerate(samples) if s.split == VALIDATION])
    held_out, masked = (look(network, samples, store, validation, SIZE, MARGIN, masked=m) for m in (False, True))
    truth = np.array([samples[i].label for i in validation])
    sources = np.array([samples[i].source for i in validation])
    weights = np.array([1 / np.sum(sources == s) for s in sources])  # each source counts alike
    both = np.concatenate([held_out["log_odds"], masked["log_odds"]])  # pictures and volumes share it
    temperature = fit_temperature(np.stack([np.zeros(len(both)), both], 1), np.tile(truth, 2), np.tile(weights, 2))
    # every positive slice for the clusters, and as many negatives as the input statistics need
    train = np.array([i for i, s in enumerate(samples) if s.split == TRAIN and s.label == 1])
    negatives = np.array([i for i, s in enumerate(samples) if s.split == TRAIN and s.label == 0])
    train = np.concatenate([train, negatives[:: max(1, len(negatives) // 300)]])
    cache = args.work / "train_look.npz"
    if not cache.exists():
        # half of the slices as pictures are shown, half as volumes are
        views = [look(network, samples, store, train[i::2], SIZE, MARGIN, masked=bool(i)) for i in (0, 1)]
        positives = [np.array([samples[j].label == 1 for j in train[i::2]]) for i in (0, 1)]
        np.savez(cache, pooled=np.concatenate([v["pooled"] for v in views]), lesions=np.concatenate(
            [v["features"][p[v["slice"]]] for v, p in zip(views, positives, strict=True)]))
    seen = dict(np.load(cache))
    lesions = seen["lesions"]
    choice = choose_k(lesions[:: max(1, len(lesions) // 1500)], k_max=8, n_bootstraps=5)
    clusters = LesionClusters(n_clusters=2).fit(lesions)

    facts = {
        "config": training, "history": history, "counts": describe(samples, CLASSES).splitlines(),
        "lesions": len(lesions), "temperature": temperature,
        "elbow": {"k": choice.k, "silhouettes": rounded(choice.silhouettes), "stability": rounded(choice.stability)},
        "validation": figures(samples, validation, sigmoid(held_out["log_odds"] / temperature)),
        "validation_masked": figures(samples, validation, sigmoid(masked["log_odds"] / temperature)),
        "false_alarms": false_alarms(args.data, network, args.work, temperature),
    }  # fmt: skip
    facts["config"]["imagenet"] = Path(training["imagenet"]).name if training["imagenet"] else None
    parts = {
        "title": "FeCNN ResNet-50, COVID-19 against other chest CT", "license": LICENSE,
        "classes": ("non-COVID-19", "COVID-19"), "preprocessing": Preprocessing(margin=MARGIN, size=SIZE).to_dict(),
        "clusters": clusters, "temperature": temperature,
        "input_statistics": input_statistics(seen["pooled"], np.concatenate([held_out["pooled"], masked["pooled"]])),
    }  # fmt: skip
    draft = ModelBundle.save(args.work / "draft" / args.output.name, network, card="draft", overwrite=True, **parts)
    stored = look(draft.network(), samples, store, validation, SIZE, MARGIN)
    change = np.abs(sigmoid(stored["log_odds"] / temperature) - sigmoid(held_out["log_odds"] / temperature))
    exact = look(network, samples, store, validation[::6], SIZE, MARGIN, dtype=torch.float32)
    rounding = np.abs(sigmoid(exact["log_odds"] / temperature) - sigmoid(held_out["log_odds"][::6] / temperature))
    facts |= {"quantization_change": float(change.max()), "bfloat16_change": float(rounding.max())}
    facts["volumes"] = {"default": volumes(args.data, draft, AnalysisConfig()),
                        "paper": volumes(args.data, draft, AnalysisConfig.paper())}  # fmt: skip
    (args.work / "facts.json").write_text(json.dumps(facts, indent=1))
    card = model_card(args.output.name, facts)
    recipe = {k: facts[k] for k in ("config", "counts", "validation", "validation_masked", "false_alarms")}
    recipe["validation_patients"] = sorted({s.patient for s in samples if s.split == VALIDATION})
    bundle = ModelBundle.save(args.output, network, card=card, training=recipe, overwrite=True, **parts)
    print(card)
    print(f"saved {bundle.id}: {sum(f.stat().st_size for f in args.output.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
