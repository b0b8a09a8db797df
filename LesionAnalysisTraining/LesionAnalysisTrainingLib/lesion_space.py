"""Features of the lesions of the training positives, from which the clusters are learnt (section 3.2.2)."""

from __future__ import annotations

import numpy as np
import torch
from LesionAnalysisLib import saliency
from LesionAnalysisLib.fecnn import FeCNN
from LesionAnalysisLib.folding import FoldedFeCNN
from LesionAnalysisLib.lesions import peak_features, split_regions
from torch.utils.data import DataLoader

from .dataset import PictureStore, Sample
from .trainer import Views


def look(network: FeCNN, samples: list[Sample], store: PictureStore, order: np.ndarray, size: int, margin: float,
         positive: int = 1, batch: int = 8, dtype: torch.dtype = torch.bfloat16,
         masked: bool = False) -> dict[str, np.ndarray]:  # fmt: skip
    """What the network sees in plain views of the samples in ``order`` (``masked``: with nothing but the lungs).

    Returns:
        ``log_odds`` (n,), ``pooled`` (n, K) means of C5, ``features`` (m, K) at the peaks of the lesions of the
        slices diagnosed positive, and ``slice`` (m,), the position in ``order`` that each lesion comes from.
    """
    folded = FoldedFeCNN(network, dtype)
    log_odds, pooled, features, origin = [], [], [], []
    views = Views(store, samples, order, size, margin, masked=masked)
    for pictures, _ in DataLoader(views, batch):
        with torch.inference_mode():
            maps = folded.backbone(pictures)
        heat, logits = saliency.heatmaps(folded.head, *maps, positive)
        odds = saliency.log_odds(logits, positive)
        for i in range(len(pictures)):
            if odds[i] > 0:
                regions = split_regions(heat[i].numpy())
                if len(regions):
                    features.append(peak_features(maps[2][i].float().numpy(), regions))
                    origin += [len(log_odds) + i] * len(regions)
        log_odds += odds.tolist()
        pooled.append(maps[2].mean((2, 3), dtype=torch.float32).numpy())
    width = pooled[0].shape[1]
    return {
        "log_odds": np.array(log_odds), "pooled": np.concatenate(pooled),
        "features": np.concatenate(features) if features else np.zeros((0, width), np.float32),
        "slice": np.array(origin, int),
    }  # fmt: skip
