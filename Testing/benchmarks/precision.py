"""Effect of bfloat16 on the probabilities and the speed of the bundled model.

    python Testing/benchmarks/precision.py                        # 64 slices of the volumes in ../shared/data
    python Testing/benchmarks/precision.py --volumes ct.nii.gz --slices 200

Compares the network in bfloat16 and in float32 on the same slices. Probabilities near one half change most. A
processor without bfloat16 emulates it: the changes are correct there, the times are meaningless.
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
from LesionAnalysisLib.volume import read_ct  # noqa: E402
from scipy.special import expit  # noqa: E402

LIMIT = 0.01


def network_inputs(paths: list[Path], preprocessing: Preprocessing, count: int) -> np.ndarray:
    """About ``count`` network inputs of these CTs, evenly spaced, (n, size, size) uint8."""
    found = []
    for path in paths:
        ct = read_ct(path)
        found += [s.image for s in lung_slices(ct, segment_lungs(ct), preprocessing)]
    return np.stack(found[:: max(1, len(found) // count)])


@torch.inference_mode()
def probabilities(bundle: ModelBundle, images: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, float]:
    """Probability of each image, and the total seconds."""
    folded, odds = FoldedFeCNN(bundle.network(), dtype), []
    began = time.perf_counter()
    for batch in torch.from_numpy(images).split(8):
        logits = folded(batch[:, None].float() / 255) / bundle.temperature
        odds.append(log_odds(logits, bundle.positive))
    return expit(torch.cat(odds).numpy()), time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, nargs="+", help="CTs (default: those of ../shared/data)")
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    paths = args.volumes or sorted((ROOT.parent / "shared" / "data" / "volumes").glob("*.nii.gz"))
    if not paths:
        parser.error("no volumes in ../shared/data: name some with --volumes")
    images = network_inputs(paths, Preprocessing.from_dict(bundle.preprocessing), args.slices)
    exact, slow = probabilities(bundle, images, torch.float32)
    rounded, fast = probabilities(bundle, images, torch.bfloat16)
    change = np.abs(rounded - exact)
    native = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    print(f"{len(images)} slices, probabilities {exact.min():.3f} to {exact.max():.3f}")
    print(f"bfloat16 against float32: at most {change.max():.4f} (target: {LIMIT}), median {np.median(change):.4f}")
    print(f"speedup: {slow / fast:.2f}" if native else "this processor does not support bfloat16: no speedup measured")
    return int(change.max() > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
