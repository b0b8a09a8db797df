"""How well the maps find lesions that radiologists drew: METHOD.md, "Evaluation (4.3)".

    python Testing/benchmarks/detection.py                            # both sets, bundled model
    python Testing/benchmarks/detection.py --data ../shared/data --sets medseg --preset paper --saliency layercam

Every picture goes through the analysis by itself. Figures are taken at 512 x 512 (detection_metrics.py). A row
"every slice" maps each slice with lesions whatever its probability: how well the maps point. The row "positive
slices" maps those that the model calls positive: what a user sees. The rows below are the ceiling: a map
without fault on the same grid, the mask averaged over the cells, through the same steps. Prints; writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "LesionAnalysis")]

from detection_metrics import (  # noqa: E402
    RATIOS,
    SIZE,
    THRESHOLDS,
    Candidates,
    Truth,
    auc,
    auc_within,
    evaluate_slice,
    perfect_map,
    resize_mask,
    summarize,
    truth_lesions,
)
from LesionAnalysisLib.analyzer import PRESETS, AnalysisConfig, LesionAnalyzer  # noqa: E402
from LesionAnalysisLib.lesions import Regions, box_to_axial, cell_to_axial, place_heat, split_regions  # noqa: E402
from LesionAnalysisLib.lungs import lung_slices  # noqa: E402
from LesionAnalysisLib.model import ModelBundle  # noqa: E402
from LesionAnalysisLib.saliency import SALIENCY  # noqa: E402
from LesionAnalysisLib.volume import ct_from_array  # noqa: E402

PICTURE_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # rows run to the back, columns to the patient's left
COLUMNS = ("boxes a slice", "pointing", "area hit", "dice")


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture after the analysis, which mapped it whatever its probability."""

    name: str
    mask: np.ndarray  # (H, W) bool
    probability: float  # NaN where no lungs were found
    boxes: np.ndarray  # (m, 4) edges in pixels of the picture (centers whole numbers)
    peaks: np.ndarray  # (m, 2)
    area: np.ndarray  # (H, W) bool
    crop: tuple[float, float, float, float]  # what the network saw

    @property
    def truth(self) -> Truth:
        return truth_lesions(resize_mask(self.mask, whole(self.mask)))

    def candidates(self) -> Candidates:
        return at_512(self.boxes, self.peaks, self.area)


def whole(picture: np.ndarray) -> tuple[float, float, float, float]:
    """The picture's own edges."""
    return -0.5, -0.5, picture.shape[0] - 0.5, picture.shape[1] - 0.5


def at_512(boxes: np.ndarray, peaks: np.ndarray, area: np.ndarray) -> Candidates:
    """Boxes, peaks and area of a picture (H, W) on 512 x 512."""
    scale = SIZE / np.array(area.shape)
    boxes = (np.reshape(boxes, (-1, 4)) + 0.5) * np.tile(scale, 2)
    return Candidates(boxes, (np.reshape(peaks, (-1, 2)) + 0.5) * scale, resize_mask(area, whole(area)))


def look(analyzer: LesionAnalyzer, name: str, picture: np.ndarray, mask: np.ndarray) -> Seen:
    """Analyze one picture (H, W) uint8."""
    ct = ct_from_array(picture[None], PICTURE_TO_RAS, name, calibrated=False)
    try:
        analysis = analyzer.analyze(ct)
    except ValueError:  # no lungs: nothing is found
        nothing = np.zeros((0, 4))
        return Seen(name, mask, float("nan"), nothing, nothing[:, :2], np.zeros(mask.shape, bool), whole(mask))
    view, slice_ = ct.axial(), analysis.slices[0]
    to_index = np.linalg.inv(view.index_to_ras)

    def row_and_column(point: Sequence[float]) -> tuple[float, float]:
        column, row = (to_index @ (*point, 1.0))[:2]
        return row, column

    corners = [np.array([row_and_column(p) for p in x.box_ras_mm]) for x in slice_.lesions]
    crop = next(iter(lung_slices(ct, view.from_volume(analysis.lung_mask), analyzer.preprocessing))).crop
    return Seen(
        name=name, mask=mask, probability=float("nan") if slice_.probability is None else slice_.probability,
        boxes=np.array([(*c.min(0), *c.max(0)) for c in corners]).reshape(-1, 4),
        peaks=np.array([row_and_column(x.peak_ras_mm) for x in slice_.lesions]).reshape(-1, 2),
        area=view.from_volume(analysis.lesion_labels)[0] > 0, crop=crop,
    )  # fmt: skip


def ceiling(seen: Seen, cells: int, min_cells: int, crop: tuple | None = None) -> Candidates:
    """What a map without fault would show, on a grid over ``crop`` (default: what the network saw)."""
    crop = crop or seen.crop
    size = SIZE if SIZE % cells == 0 else 32 * cells  # of which whole cells can be cut
    regions: Regions = split_regions(perfect_map(resize_mask(seen.mask, crop, size), cells), min_cells)
    shape, grid = seen.mask.shape, (cells, cells)
    return at_512(
        np.array([box_to_axial(r.box, crop, grid, shape) for r in regions]).reshape(-1, 4),
        np.array([cell_to_axial(*r.peak, crop, grid) for r in regions]).reshape(-1, 2),
        place_heat(regions, crop, shape)[1] > 0,
    )


def read_set(folder: Path, limit: int | None) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, picture and mask of every slice of a folder with ``images`` and ``masks``."""
    found = []
    paths = sorted((folder / "masks").glob("*.png"))
    for path in paths[:: max(1, len(paths) // limit) if limit else 1]:
        image = next((folder / "images").glob(f"{path.stem}.*"))
        picture = np.ascontiguousarray(Image.open(image).convert("L"))
        found.append((path.stem, picture, np.asarray(Image.open(path)) > 0))
    return found


def report_detection(seen: list[Seen], min_cells: int, threshold: float, cells: int) -> None:
    """The table of hit rates of the slices with lesions; ``cells`` a side has the map of the model in use."""
    seen = [s for s in seen if s.mask.any()]
    truth = [s.truth for s in seen]
    positive = [s.probability >= threshold for s in seen]
    nothing = Candidates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((SIZE, SIZE), bool))
    rows: dict[str, Callable[[], list[Candidates]]] = {
        "model, every slice": lambda: [s.candidates() for s in seen],
        "model, positive slices": lambda: [
            s.candidates() if p else nothing for s, p in zip(seen, positive, strict=True)
        ],
        f"ceiling {cells}x{cells} (in use), {min_cells} cells": lambda: [ceiling(s, cells, min_cells) for s in seen],
        f"ceiling 16x16, {min_cells} cells": lambda: [ceiling(s, 16, min_cells) for s in seen],
        f"ceiling 32x32, {min_cells} cells": lambda: [ceiling(s, 32, min_cells) for s in seen],
        "ceiling 16x16, 1 cell": lambda: [ceiling(s, 16, 1) for s in seen],
        "ceiling 32x32, 1 cell": lambda: [ceiling(s, 32, 1) for s in seen],
        "ceiling 16x16, 1 cell, whole picture": lambda: [ceiling(s, 16, 1, whole(s.mask)) for s in seen],
        "ceiling 32x32, 1 cell, whole picture": lambda: [ceiling(s, 32, 1, whole(s.mask)) for s in seen],
    }
    figures = {
        row: summarize([evaluate_slice(t, c) for t, c in zip(truth, found(), strict=True)])
        for row, found in rows.items()
    }
    first = next(iter(figures.values()))
    print(f"  {first['slices']} slices with lesions, {sum(positive)} of them called positive; {first['lesions']} "
          "lesions")  # fmt: skip
    print(f"\n  {'':38}" + "".join(f"{c:>15}" for c in COLUMNS))
    for row, values in figures.items():
        print(f"  {row:38}" + "".join(f"{values[c]:15.2f}" for c in COLUMNS))
    for kind, meaning in (("hit", "share of lesions hit"), ("precision", "share of boxes that hit")):
        for ratio, over in zip(RATIOS, ("the LAM's box", "the union of the boxes"), strict=True):
            print(f"\n  {kind}: {meaning}; overlap over {over} above")
            print(f"  {'':38}" + "".join(f"{t:>6}" for t in THRESHOLDS))
            for row, values in figures.items():
                cells = "".join(f"{values[f'{kind} {ratio} {t}']:6.2f}" for t in THRESHOLDS)
                print(f"  {row:38}" + cells)


def report_diagnosis(seen: list[Seen], scans: dict[str, str], unseen: set[str], threshold: float) -> None:
    """AUC of infected against clean slices: in each scan, within scans together, and over all."""
    judged = [s for s in seen if not np.isnan(s.probability)]
    scores = np.array([s.probability for s in judged])
    infected = np.array([s.mask.any() for s in judged])
    groups = np.array([scans[s.name] for s in judged])
    print(f"\n  infected against clean slices ({len(seen) - len(judged)} without lungs left out)")
    print(f"  {'scan':24}{'in training':>12}{'infected':>10}{'clean':>8}{'AUC':>7}{'sensitivity':>13}"
          f"{'specificity':>13}")  # fmt: skip
    chosen = {name: groups == name for name in np.unique(groups)}
    chosen["all scans"] = np.ones(len(judged), bool)
    for name, here in chosen.items():
        training = "" if name == "all scans" else "no" if name in unseen else "yes"
        sick, called = infected[here], scores[here] >= threshold
        figures = [auc(scores[here], sick), _mean(called[sick]), _mean(~called[~sick])]
        print(f"  {name:24}{training:>12}{sick.sum():10d}{(~sick).sum():8d}{figures[0]:7.2f}"
              f"{figures[1]:13.2f}{figures[2]:13.2f}")  # fmt: skip
    print(f"  AUC over pairs of slices of the same scan: {auc_within(scores, infected, groups):.3f}")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def read_scans(folder: Path) -> dict[str, str]:
    """The scan of each slice, where the set says so."""
    if not (folder / "slices.csv").is_file():
        return {}
    with open(folder / "slices.csv", newline="", encoding="utf-8") as file:
        return {row["slice"]: row["patient"] for row in csv.DictReader(file)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=["medseg", "radiopaedia"])
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--saliency", choices=list(SALIENCY), default="grad++")
    parser.add_argument("--min-cells", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=0.5, help="of the probability of a positive slice")
    parser.add_argument("--unseen", nargs="*", help="scans that took no part in training (default: as the model says)")
    parser.add_argument("--limit", type=int, help="look at about so many slices of each set only")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    preset = AnalysisConfig.from_preset(args.preset)
    settings = {"threshold": 1e-9, "saliency": args.saliency, "min_cells": args.min_cells}  # maps of every slice
    analyzer = LesionAnalyzer(bundle, replace(preset, **settings))
    told = args.unseen if args.unseen is not None else bundle.training.get("validation_patients", [])
    unseen = {name.split("/")[-1] for name in told}
    print(f"model {bundle.id}, preset {args.preset}, {args.saliency}, regions of at least {args.min_cells} cells, "
          f"{analyzer.runner.description}")  # fmt: skip
    for name in args.sets:
        folder = args.data / "lesion-masks" / name
        pictures = read_set(folder, args.limit)
        print(f"\n{name}: {len(pictures)} slices", flush=True)
        seen = [look(analyzer, *entry) for entry in pictures]
        report_detection(seen, args.min_cells, args.threshold, analyzer.preprocessing.size // 32)
        if scans := read_scans(folder):
            report_diagnosis(seen, scans, unseen, args.threshold)
    return 0


if __name__ == "__main__":
    sys.exit(main())
