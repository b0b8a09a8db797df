"""``evaluate lungs``: the lung segmentation against manual masks (section 6.1; the paper reports a Dice of 0.82)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from LesionAnalysisLib.lungs import segment_lungs
from LesionAnalysisLib.text import error_message
from LesionAnalysisLib.volume import CtVolume, ct_from_array, read_ct
from LesionAnalysisLib.volume.files import READERS, read_itk

from ..plots import canvas
from .evaluation_report import Plot, Report, Table
from .image_mask_pairs import ALL_SUFFIXES, Pair, data_rows, match, read_mask

PAPER_DICE = 0.82


@dataclass(frozen=True)
class LungFigures:
    """One case."""

    name: str
    slices: int
    dice: float
    found_ml: float  # pixels of an image without HU
    true_ml: float
    calibrated: bool
    problem: str = ""  # why no lungs were found; the Dice is then 0

    @property
    def volume_error(self) -> float:
        """(found - true) / true; NaN for an empty mask."""
        return (self.found_ml - self.true_ml) / self.true_ml if self.true_ml else float("nan")


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean arrays of one shape; 1 where both are empty."""
    both = np.count_nonzero(first) + np.count_nonzero(second)
    return 2.0 * np.count_nonzero(first & second) / both if both else 1.0


def evaluate_lungs(volumes: str | os.PathLike, masks: str | os.PathLike, limit: int | None,
                   progress: Callable[[float, str], None]) -> Report:  # fmt: skip
    """Segment the lungs of every volume that has a mask (above 0: lung) and compare.

    Raises ValueError if no names match, or a mask is not on the grid of its volume, in one sentence; OSError if a file
    cannot be read.
    """
    pairs, notes = match(volumes, masks, ALL_SUFFIXES, limit)
    cases = []
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), pair.name)
        cases.append(measure(pair))
    return _report(cases, notes, volumes, masks)


def measure(pair: Pair) -> LungFigures:
    """The figures of one case. Raises as ``evaluate_lungs``."""
    ct = _read(pair)
    truth = read_mask(pair.mask) > 0
    if truth.shape != ct.array.shape:
        raise ValueError(f"The mask {pair.mask.name} has the shape {truth.shape}, its volume {ct.array.shape}: give "
                         "masks on the grids of their volumes.")  # fmt: skip
    truth, problem = ct.axial().from_volume(truth), ""
    try:
        found = segment_lungs(ct)
    except ValueError as error:
        found, problem = np.zeros(truth.shape, bool), error_message(error)
    unit = ct.voxel_ml if ct.calibrated else 1.0
    return LungFigures(pair.name, len(truth), dice(found, truth), float(found.sum() * unit), float(truth.sum() * unit),
                       ct.calibrated, problem)  # fmt: skip


def _read(pair: Pair) -> CtVolume:
    """A volume, an image, or a single slice in HU, which an analysis would refuse."""
    try:
        return read_ct(pair.image)
    except ValueError:
        if not pair.image.name.lower().endswith(tuple(READERS)):
            raise
        array, matrix, _ = read_itk(pair.image, pair.image.name)
        if len(array) > 1:
            raise
        return ct_from_array(np.clip(array, -1024, None), matrix, pair.name)


def _report(cases: list[LungFigures], notes: list[str], volumes: str | os.PathLike,
            masks: str | os.PathLike) -> Report:  # fmt: skip
    scores, errors = np.array([c.dice for c in cases]), np.array([c.volume_error for c in cases])
    worst = cases[int(scores.argmin())]
    known = errors[np.isfinite(errors)]
    summary = {
        "cases": len(cases), "mean": float(scores.mean()), "median": float(np.median(scores)),
        "worst": float(scores.min()), "worst_case": worst.name, "paper": PAPER_DICE,
        "mean_volume_error": float(known.mean()) if len(known) else None,
        "mean_absolute_volume_error": float(np.abs(known).mean()) if len(known) else None,
    }  # fmt: skip
    failed = [c for c in cases if c.problem]
    if failed:
        notes = [*notes, *(f"{c.name}: {c.problem} It counts as Dice 0." for c in failed)]
    rows = [[c.name, c.slices, c.dice, c.found_ml, c.true_ml, "ml" if c.calibrated else "pixels", 100 * c.volume_error]
            for c in sorted(cases, key=lambda c: c.dice)]  # fmt: skip
    overall = Table(
        "lungs", "Lung segmentation",
        ["cases", "Dice mean", "median", "worst", "worst case", "mean volume error %", "mean absolute volume error %"],
        [[summary["cases"], summary["mean"], summary["median"], summary["worst"], worst.name,
          *(None if summary[k] is None else 100 * summary[k] for k in ("mean_volume_error",
                                                                       "mean_absolute_volume_error"))]],
        f"The paper reports a mean Dice of {PAPER_DICE} on its own data.",
    )  # fmt: skip
    each = Table("cases", "Cases, worst first",
                 ["case", "slices", "Dice", "found", "true", "unit", "volume error %"], rows,
                 headings={"found": "volume found", "true": "true volume"})  # fmt: skip
    subject = [*data_rows("volumes", volumes, masks), ("method", "morphology, no learned model")]
    return Report("lungs", "Lung segmentation", subject, [overall, each],
                  [Plot("dice", "Dice of every case", lambda path: _draw(path, scores))], notes,
                  {"summary": summary})  # fmt: skip


def _draw(path: Path, scores: np.ndarray) -> Path:
    """Sorted Dice of the cases, with their mean and the paper's."""
    figure = canvas.new_figure(7.0, 3.4)
    axes = figure.subplots()
    canvas.style_axes(axes, "", "case, sorted by Dice", "Dice")
    axes.bar(np.arange(1, len(scores) + 1), np.sort(scores), color=canvas.BLUE, width=0.8)
    axes.axhline(scores.mean(), color=canvas.RED, linewidth=1.6, label=f"mean {scores.mean():.3f}")
    axes.axhline(PAPER_DICE, color="black", linewidth=1, linestyle=canvas.DASHED, label=f"paper {PAPER_DICE}")
    axes.set_ylim(0, 1.02)
    canvas.whole_numbers(axes)
    canvas.legend(axes, loc="lower right")
    return canvas.save(figure, path)
