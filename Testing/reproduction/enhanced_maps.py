"""What each step of the preset ``enhanced`` gains on lesions that radiologists drew, which took no part in anything.

    python -m reproduction.enhanced_maps [--model MODEL_DIR] [--sets medseg radiopaedia] [--every 4]

Prints a table per set: the preset, then each step switched the other way, then the paper's map of the same pictures.
The time is that of a slice: of its map after the network, and of its regions.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "LesionAnalysis"), str(HERE.parents[1] / "LesionAnalysisTraining")]

import numpy as np  # noqa: E402
from LesionAnalysisLib.config import AnalysisConfig  # noqa: E402
from LesionAnalysisLib.model.bundle import ModelBundle  # noqa: E402
from LesionAnalysisLib.pipeline import slice_heat  # noqa: E402
from LesionAnalysisTrainingLib.evaluate.image_mask_pairs import SLICE_SUFFIXES, match, read_pair  # noqa: E402
from LesionAnalysisTrainingLib.evaluate.mapper import Look, Mapper, nothing_found, whole  # noqa: E402
from LesionAnalysisTrainingLib.metrics.detection_metrics import (
    Candidates,
    SliceCounts,
    evaluate_slice,
    resize_mask,
    summarize,
    truth_lesions,
)

ENHANCED = AnalysisConfig()
SALIENCY = replace(ENHANCED, lesion_head=False)  # for models without a lesion head, and to show what it brings
PLAIN = replace(SALIENCY, saliency="grad++", stride16=False, fuse_scales=False, refine=False, split_merged=False)
VARIANTS = {
    "enhanced": ENHANCED,
    "lesions not parted": replace(ENHANCED, split_merged=False),
    "without refinement": replace(ENHANCED, refine=False),
    "lesion head and Grad++": replace(ENHANCED, saliency="grad++"),
    "LayerCAM alone": SALIENCY,
    "Grad++ alone": replace(SALIENCY, saliency="grad++"),
    "LayerCAM alone, stride 16": replace(SALIENCY, stride16=True),
    "LayerCAM alone, of C5": replace(SALIENCY, fuse_scales=False),
    "LayerCAM alone, without refinement": replace(SALIENCY, refine=False),
    "Grad++, Otsu": PLAIN,
    "Grad++, Otsu, stride 16": replace(PLAIN, stride16=True),
}
FIGURES = ("pointing", "area hit", "hit box 0.5", "hit iou 0.1", "precision box 0.5", "boxes a slice", "dice",
           "share error")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data" / "lesion-masks")
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    parser.add_argument("--sets", nargs="+", default=["medseg", "radiopaedia"])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at each N-th slice with lesions")
    args = parser.parse_args()
    mapper = Mapper(ModelBundle.load(args.model) if args.model else ModelBundle.bundled())
    for name in args.sets:
        counts: dict[str, list[SliceCounts]] = {variant: [] for variant in VARIANTS}
        seconds = dict.fromkeys(VARIANTS, 0.0)
        for look, mask in infected(mapper, args.data / name, args.every):
            measure(mapper, look, mask, counts, seconds)
        print_table(name, counts, seconds)


def infected(mapper: Mapper, folder: Path, every: int) -> Iterator[tuple[Look | None, np.ndarray]]:
    """What the network sees in the slices with lesions of a set, and their masks (H, W) bool."""
    seen = 0
    for pair in match(folder / "images", folder / "masks", SLICE_SUFFIXES)[0]:
        picture, mask = read_pair(pair)
        if mask.any():
            seen += 1
            if seen % every == 0:
                yield mapper.look(pair.name, picture), mask > 0


def measure(mapper: Mapper, look: Look | None, mask: np.ndarray, counts: dict[str, list[SliceCounts]],
            seconds: dict[str, float]) -> None:  # fmt: skip
    """Add one slice to the counts and seconds of every variant."""
    truth = truth_lesions(resize_mask(mask, whole(mask)))
    lungs = resize_mask(np.zeros_like(mask) if look is None else look.lungs, whole(mask))
    for variant, config in VARIANTS.items():
        found = nothing_found()
        if look is not None:
            began = time.perf_counter()
            found = candidates(mapper, look, config)
            seconds[variant] += time.perf_counter() - began
        counts[variant].append(evaluate_slice(truth, found, lungs=lungs))


def candidates(mapper: Mapper, look: Look, config: AnalysisConfig) -> Candidates:
    """What an analysis with ``config`` shows of a slice."""
    heat = slice_heat(mapper.analyzer.runner.folded, look.maps, mapper.bundle.positive, config)[0].cpu().numpy()
    return mapper.candidates(look, mapper.own_regions(look, heat, config))


def print_table(name: str, counts: dict[str, list[SliceCounts]], seconds: dict[str, float]) -> None:
    slices = len(next(iter(counts.values())))
    print(f"\n{name}, {slices} slices with lesions\n\n| maps | {' | '.join(FIGURES)} | ms a slice |")
    print("|---|" + "---:|" * (len(FIGURES) + 1))
    for variant, items in counts.items():
        figures = summarize(items)
        row = " | ".join(f"{figures[f]:.3f}" for f in FIGURES)
        print(f"| {variant} | {row} | {1000 * seconds[variant] / slices:.0f} |")


if __name__ == "__main__":
    main()
