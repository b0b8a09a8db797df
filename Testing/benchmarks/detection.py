"""How well the maps find manually segmented lesions: ``lesion-analysis evaluate detection`` on the shared data.

    python Testing/benchmarks/detection.py                            # both sets, bundled model
    python Testing/benchmarks/detection.py --sets medseg --preset paper --method lam layercam

Writes the tables, plots and page of each set to its own folder in ``--output``. Other options are passed on; see
``lesion-analysis evaluate detection --help``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "LesionAnalysis"), str(HERE.parents[1] / "LesionAnalysisTraining")]

from LesionAnalysisTrainingLib.evaluate.evaluate_command import evaluate_main  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=["medseg", "radiopaedia"])
    parser.add_argument("--output", type=Path, default=Path("detection"))
    args, passed_on = parser.parse_known_args()
    codes = []
    for name in args.sets:
        folder = args.data / "lesion-masks" / name
        print(f"\n{name}", flush=True)
        codes.append(evaluate_main(["detection", os.fspath(folder / "images"), os.fspath(folder / "masks"),
                                    "--output", os.fspath(args.output / name), *passed_on]))  # fmt: skip
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
