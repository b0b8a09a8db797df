"""How far bfloat16 moves the probabilities of the bundled model, and what it saves.

    python Testing/benchmarks/precision.py                        # 64 slices of the volumes in ../shared/data
    python Testing/benchmarks/precision.py --volumes ct.nii.gz --slices 200

Compares, slice by slice and with the same pictures, the network in bfloat16 with the one in float32. Slices near a
probability of one half change most. A processor without bfloat16 emulates it: the changes are right there, the
times mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "LesionAnalysis"))

from LesionAnalysisLib.lungs import Preprocessing, lung_slices, segment_lungs  # noqa: E402
from LesionAnalysisLib.model.bundle import ModelBundle  # noqa: E402
from LesionAnalysisLib.network.devices import choose_precision  # noqa: E402
from LesionAnalysisLib.network.folding import FoldedFeCNN  # noqa: E402
from LesionAnalysisLib.network.saliency import log_odds  # noqa: E402
from LesionAnalysisLib.study import sigmoid  # noqa: E402
from LesionAnalysisLib.volume import read_ct  # noqa: E402

LIMIT = 0.01


def pictures(paths: list[Path], preprocessing: Preprocessing, count: int) -> np.ndarray:
    """About ``count`` of the pictures that the network sees of these CTs, (n, size, size) uint8."""
    found = []
    for path in paths:
        ct = read_ct(path)
        found += [s.image for s in lung_slices(ct, segment_lungs(ct), preprocessing)]
    return np.stack(found[:: max(1, len(found) // count)])


@torch.inference_mode()
def probabilities(bundle: ModelBundle, gray_levels: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, float]:
    """Probability of each picture, and the seconds of all."""
    folded, odds = FoldedFeCNN(bundle.network(), dtype), []
    began = time.perf_counter()
    for batch in torch.from_numpy(gray_levels).split(8):
        logits = folded(batch[:, None].float() / 255) / bundle.temperature
        odds.append(log_odds(logits, bundle.positive))
    return sigmoid(torch.cat(odds).numpy()), time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, nargs="+", help="CTs (default: those of ../shared/data)")
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    paths = args.volumes or sorted((ROOT.parent / "shared" / "data" / "volumes").glob("*.nii.gz"))
    if not paths:
        parser.error("there are no volumes in ../shared/data: name some with --volumes")
    gray_levels = pictures(paths, Preprocessing.from_dict(bundle.preprocessing), args.slices)
    exact, slow = probabilities(bundle, gray_levels, torch.float32)
    rounded, fast = probabilities(bundle, gray_levels, torch.bfloat16)
    change = np.abs(rounded - exact)
    native = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    print(f"{len(gray_levels)} slices, probabilities {exact.min():.3f} to {exact.max():.3f}")
    print(f"bfloat16 against float32: at most {change.max():.4f} (asked: {LIMIT}), median {np.median(change):.4f}")
    print(f"times as fast: {slow / fast:.2f}" if native else "this processor has no bfloat16: no times")
    return int(change.max() > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
