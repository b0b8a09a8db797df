"""Contribution of each step of the preset ``enhanced`` on manually segmented lesions outside the training.

    python -m reproduction.experiments.enhanced_maps [--model MODEL_DIR] [--sets medseg radiopaedia] [--every 4]

Prints a table per data set: the preset, the preset with one step changed, and the paper's map of the same images. The
time is that of one slice for its map, after the network, and its regions.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisTrainingLib.evaluate.image_mask_pairs import SLICE_SUFFIXES, match, read_pair
from LesionAnalysisTrainingLib.evaluate.mapper import ImageResult, Mapper, nothing_found, whole
from LesionAnalysisTrainingLib.metrics.detection_metrics import (
    Candidates,
    SliceCounts,
    evaluate_slice,
    resize_mask,
    summarize,
    truth_lesions,
)
from reproduction.shared_data import DATA

ENHANCED = AnalysisConfig()
SALIENCY = replace(ENHANCED, lesion_head=False)  # as for models without a lesion head
VARIANTS = {
    "enhanced": ENHANCED,
    "merged lesions not separated": replace(ENHANCED, split_merged=False),
    "without refinement": replace(ENHANCED, refine=False),
    "lesion head and Grad++": replace(ENHANCED, saliency="grad++"),
    "LayerCAM only": SALIENCY,
    "Grad++ only": replace(SALIENCY, saliency="grad++"),
    "LayerCAM only, of C5": replace(SALIENCY, fuse_scales=False),
    "LayerCAM only, without refinement": replace(SALIENCY, refine=False),
    "Grad++, Otsu": replace(SALIENCY, saliency="grad++", fuse_scales=False, refine=False, split_merged=False),
}
FIGURES = ("pointing", "area hit", "hit box 0.5", "hit iou 0.1", "precision box 0.5", "boxes a slice", "dice",
           "share error")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "lesion-masks")
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    parser.add_argument("--sets", nargs="+", default=["medseg", "radiopaedia"])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th slice with lesions")
    args = parser.parse_args()
    mapper = Mapper(ModelBundle.load(args.model) if args.model else ModelBundle.bundled())
    for name in args.sets:
        counts: dict[str, list[SliceCounts]] = {variant: [] for variant in VARIANTS}
        seconds = dict.fromkeys(VARIANTS, 0.0)
        for result, mask in slices_with_lesions(mapper, args.data / name, args.every):
            measure(mapper, result, mask, counts, seconds)
        print_table(name, counts, seconds)


def slices_with_lesions(mapper: Mapper, folder: Path, every: int) -> Iterator[tuple[ImageResult | None, np.ndarray]]:
    """Network results of the slices with lesions of a data set, and their masks (H, W) bool."""
    number = 0
    for pair in match(folder / "images", folder / "masks", SLICE_SUFFIXES)[0]:
        image, mask = read_pair(pair)
        if mask.any():
            number += 1
            if number % every == 0:
                yield mapper.analyze(pair.name, image), mask > 0


def measure(mapper: Mapper, result: ImageResult | None, mask: np.ndarray, counts: dict[str, list[SliceCounts]],
            seconds: dict[str, float]) -> None:  # fmt: skip
    """Add one slice to the counts and seconds of every variant."""
    truth = truth_lesions(resize_mask(mask, whole(mask)))
    lungs = resize_mask(np.zeros_like(mask) if result is None else result.lungs, whole(mask))
    for variant, config in VARIANTS.items():
        found = nothing_found()
        if result is not None:
            began = time.perf_counter()
            found = candidates(mapper, result, config)
            seconds[variant] += time.perf_counter() - began
        counts[variant].append(evaluate_slice(truth, found, lungs=lungs))


def candidates(mapper: Mapper, result: ImageResult, config: AnalysisConfig) -> Candidates:
    """What an analysis with ``config`` shows of a slice."""
    pipeline = copy.copy(mapper.pipeline)  # the same network
    pipeline.config = config
    return mapper.candidates(result, pipeline.regions(result.piece, pipeline.heatmaps(result.batch)[0]))


def print_table(name: str, counts: dict[str, list[SliceCounts]], seconds: dict[str, float]) -> None:
    slices = len(next(iter(counts.values())))
    print(f"\n{name}, {slices} slices with lesions\n\n| maps | {' | '.join(FIGURES)} | ms per slice |")
    print("|---|" + "---:|" * (len(FIGURES) + 1))
    for variant, items in counts.items():
        figures = summarize(items)
        row = " | ".join(f"{figures[f]:.3f}" for f in FIGURES)
        print(f"| {variant} | {row} | {1000 * seconds[variant] / slices:.0f} |")


if __name__ == "__main__":
    main()
