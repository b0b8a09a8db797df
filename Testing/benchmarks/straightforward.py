"""A straightforward pipeline of common libraries: the reference of analyze.py.

scikit-image for the lungs and ``grad-cam`` from PyPI as documented, slice by slice, float32, with the same weights. It
does what the analysis does, without 3D linking: probability of every slice, map, Otsu threshold, components, boxes,
clusters, and the map on the CT.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import disk
from skimage.segmentation import clear_border
from skimage.transform import resize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers_saliency import import_grad_cam  # noqa: E402

SIZE, MIN_MEAN = 512, 0.08


@dataclass
class Outcome:
    """Results of the pipeline and the seconds of each part."""

    lam: np.ndarray  # (S, R, C) float32
    probabilities: dict[int, float] = field(default_factory=dict)
    lesions: list[tuple[int, tuple, int]] = field(default_factory=list)  # slice, box, cluster
    seconds: dict[str, float] = field(default_factory=lambda: {"preprocessing": 0.0, "network": 0.0, "maps": 0.0})


def segment_slice(hu: np.ndarray) -> np.ndarray:
    """Lungs of one axial slice (R, C) in HU by threshold and morphology."""
    air = clear_border(hu < -320)
    parts = label(air)
    large = np.bincount(parts.ravel()) >= hu.size // 500
    large[0] = False
    return ndimage.binary_fill_holes(ndimage.binary_closing(large[parts], disk(5)))


def prepare_slice(hu: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]] | None:
    """(512, 512) float in 0..1 and its rows and columns; None for a slice without enough lung."""
    lungs = segment_slice(hu)
    if not lungs.any():
        return None
    gray = np.clip((hu + 1200.0) / 1800.0, 0, 1) * lungs
    rows, columns = np.flatnonzero(lungs.any(1)), np.flatnonzero(lungs.any(0))
    crop = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    if gray[crop].mean() < MIN_MEAN:
        return None
    return resize(gray[crop], (SIZE, SIZE), anti_aliasing=True), crop


def run(volume: np.ndarray, network, clusters, positive: int = 1, every: bool = True) -> Outcome:
    """Analyze (S, R, C) HU slice by slice.

    Args:
        every: map every slice, as in grad-cam's documentation, and take the probability from the same pass. False:
            classify first, and map only positive slices in a second pass.
    """
    grad_cam = import_grad_cam()
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    outcome, targets = Outcome(np.zeros(volume.shape, np.float32)), [ClassifierOutputTarget(positive)]
    with grad_cam.GradCAM(model=network, target_layers=[network.backbone_maps.layer4[-1]]) as cam:
        for index, hu in enumerate(volume):
            began = time.perf_counter()
            prepared = prepare_slice(hu)
            outcome.seconds["preprocessing"] += time.perf_counter() - began
            if prepared is None:
                continue
            image, crop = prepared
            began = time.perf_counter()
            tensor = torch.from_numpy(image).float()[None, None]
            if every:
                heatmap = cam(input_tensor=tensor, targets=targets)[0]
                logits = cam.outputs[0]
            else:
                with torch.no_grad():
                    logits = network(tensor)[0]
            probability = float(logits.detach().softmax(0)[positive])
            if not every and probability >= 0.5:
                heatmap = cam(input_tensor=tensor, targets=targets)[0]
            outcome.seconds["network"] += time.perf_counter() - began
            outcome.probabilities[index] = probability
            if probability >= 0.5:
                began = time.perf_counter()
                _keep_lesions(outcome, index, crop, heatmap, cam.activations_and_grads.activations[0][0], clusters)
                outcome.seconds["maps"] += time.perf_counter() - began
    return outcome


def _keep_lesions(outcome: Outcome, index: int, crop: tuple, heatmap: np.ndarray, activations, clusters) -> None:
    """Otsu threshold, 4-connected components, boxes and clusters; the map into the volume."""
    if heatmap.max() == heatmap.min():
        return
    parts = label(heatmap > threshold_otsu(heatmap), connectivity=1)
    height, width = (c.stop - c.start for c in crop)
    outcome.lam[index][crop] = resize(heatmap * (parts > 0), (height, width), order=1)
    cell = SIZE // activations.shape[-1]
    for part in regionprops(parts, intensity_image=heatmap):
        if part.area < 2 * cell**2:
            continue
        inside = np.where(parts == part.label, heatmap, -1)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        feature = activations[:, row // cell, column // cell].numpy()
        outcome.lesions.append((index, part.bbox, int(clusters.predict(feature[None])[0])))
