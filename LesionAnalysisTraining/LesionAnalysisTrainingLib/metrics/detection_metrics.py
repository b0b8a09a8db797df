"""How well activation maps find lesions (sections 4.3.2 and 5.2).

Everything is measured on one grid of 512 x 512 pixels, to which the region that the network saw is resampled, so that
"8 pixels" and "225 pixels" mean the same for every image. Boxes are edges (r0, c0, r1, c1) in pixels of that grid,
half-open.

    truth = truth_lesions(mask)                                # of one slice
    found = Candidates(boxes, peaks, area)                     # from the map of that slice
    counts = evaluate_slice(truth, found)
    scores = summarize([counts, ...])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .bootstrap import Estimate, estimates
from .weighted_metrics import auc, divide

SIZE = 512
GAP = 8  # pixels: parts of the mask separated by up to this are one lesion
SMALLEST = 225  # pixels of mask: less is no lesion (the paper's own limit, section 5.2)
THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
RATIOS = ("box", "iou")  # overlap over the LAM's box (4.3.2), over the union of both boxes (5.2)


@dataclass(frozen=True, eq=False)
class Truth:
    """The manually segmented lesions of one slice."""

    labels: np.ndarray  # (H, W) int32: 1, 2, ... inside the lesions, 0 elsewhere
    boxes: np.ndarray  # (n, 4)
    mask: np.ndarray  # (H, W) bool: the whole mask, including parts too small to count as a lesion


@dataclass(frozen=True, eq=False)
class Candidates:
    """Lesions that a map shows on one slice."""

    boxes: np.ndarray  # (m, 4)
    peaks: np.ndarray  # (m, 2) row and column of the maximum; pixel centers are at .5
    area: np.ndarray  # (H, W) bool: all marked pixels


def truth_lesions(mask: np.ndarray, gap: float = GAP, smallest: int = SMALLEST) -> Truth:
    """Lesions of ``mask`` (H, W): its connected components after gaps of up to ``gap`` pixels are closed.

    Only pixels of the mask count, both for the size, at least ``smallest``, and for the box.
    """
    mask = np.asarray(mask, bool)
    if not mask.any():
        return Truth(np.zeros(mask.shape, np.int32), np.zeros((0, 4)), mask)
    near = ndimage.distance_transform_edt(~mask) <= gap / 2 if gap else mask
    joined, _ = ndimage.label(near, np.ones((3, 3)))
    parts = joined * mask
    sizes = np.bincount(parts.ravel())
    kept = (sizes >= max(smallest, 1)) & (np.arange(len(sizes)) > 0)
    labels = np.where(kept, np.cumsum(kept), 0).astype(np.int32)[parts]
    return Truth(labels, _boxes(labels), mask)


def hits(truth: Truth, found: Candidates, ratio: str, threshold: float) -> np.ndarray:
    """Which lesion is hit by which candidate: (n, m) bool.

    A candidate hits a lesion if the overlap ratio of their boxes exceeds ``threshold`` and its peak lies in the
    overlap.
    """
    overlap = box_overlaps(found.boxes, truth.boxes, ratio).T > threshold
    low, high = truth.boxes[:, None, :2], truth.boxes[:, None, 2:]
    # the peak lies in its own box anyway, so "in the overlap" is "in the lesion's box"
    return overlap & (found.peaks >= low).all(2) & (found.peaks < high).all(2)


class SliceCounts(NamedTuple):
    """What is counted on one slice."""

    lesions: int
    boxes: int
    quotients: dict[str, tuple[float, float]]  # numerator and denominator of each figure of ``summarize``


def evaluate_slice(truth: Truth, found: Candidates, lungs: np.ndarray | None = None) -> SliceCounts:
    """Compare one slice's map with its lesions; with ``lungs`` (H, W) bool also the involved fraction of the lungs."""
    inside = np.floor(found.peaks).astype(int).reshape(-1, 2)
    inside = np.clip(inside, 0, np.array(truth.labels.shape) - 1)
    lesion, lesions, boxes = truth.labels > 0, len(truth.boxes), len(found.boxes)
    quotients = {}
    for ratio, threshold in product(RATIOS, THRESHOLDS):
        table = hits(truth, found, ratio, threshold)
        quotients[f"hit {ratio} {threshold}"] = table.any(1).sum(), lesions
        quotients[f"precision {ratio} {threshold}"] = table.any(0).sum(), boxes
    quotients["boxes a slice"] = boxes, 1
    quotients["pointing"] = lesion[inside[:, 0], inside[:, 1]].sum(), boxes
    quotients["area hit"] = (lesion & found.area).sum(), lesion.sum()
    quotients["dice"] = 2 * (truth.mask & found.area).sum(), truth.mask.sum() + found.area.sum()
    quotients["share error"] = float("nan") if lungs is None else _share_error(truth.mask, found.area, lungs), 1
    return SliceCounts(lesions, boxes, quotients)


def _share_error(mask: np.ndarray, area: np.ndarray, lungs: np.ndarray) -> float:
    """Marked fraction of the lungs minus the true one, for which segmented lesions count as lung; absolute."""
    whole = np.count_nonzero(lungs | mask)
    true = np.count_nonzero(mask) / whole if whole else 0.0
    return abs(np.count_nonzero(area & lungs) / max(np.count_nonzero(lungs), 1) - true)


def summarize(counts: Sequence[SliceCounts]) -> dict[str, float]:
    """Figures over all slices, each a quotient of sums; NaN where the denominator is 0.

    ``hit box 0.1``: fraction of lesions hit, by ratio and threshold; ``precision box 0.1``: fraction of boxes that
    hit a lesion; ``pointing``: pointing-game accuracy, the fraction of peaks on a lesion; ``area hit``: pixel recall,
    the marked fraction of the lesions' pixels; ``dice``: of marked pixels and mask; ``share error``: mean absolute
    error of the involved fraction of the lungs, NaN without lungs; ``boxes a slice``; ``lesions``; ``slices``.
    """
    totals = {"slices": len(counts), "lesions": sum(c.lesions for c in counts), "boxes": sum(c.boxes for c in counts)}
    return {**totals, **{name: float(divide(a.sum(), b.sum())) for name, (a, b) in _quotients(counts).items()}}


def detection_estimates(counts: Sequence[SliceCounts], patients: Sequence[str], rounds: int = 400,
                        seed: int = 0) -> dict[str, Estimate]:  # fmt: skip
    """The quotients of ``summarize`` with intervals from a patient-level bootstrap; NaN ends for a single patient.

    Args:
        patients: (n,) one name per slice; where patients are unknown, name each slice.
    """
    quotients, patients = _quotients(counts), np.asarray(patients)
    rounds = rounds if len(np.unique(patients)) > 1 else 0
    return estimates(lambda w: {name: divide(w @ a, w @ b) for name, (a, b) in quotients.items()}, patients, rounds,
                     seed)  # fmt: skip


def _quotients(counts: Sequence[SliceCounts]) -> dict[str, np.ndarray]:
    """Name of each figure -> numerators and denominators of all slices, (2, n)."""
    return {name: np.array([c.quotients[name] for c in counts], float).T
            for name in (counts[0].quotients if counts else ())}  # fmt: skip


def oracle_map(mask: np.ndarray, cells: int) -> np.ndarray:
    """The upper bound at grid resolution: fraction of lesion in each of ``cells`` x ``cells`` (float)."""
    side = mask.shape[0] // cells, mask.shape[1] // cells
    if side[0] * cells != mask.shape[0] or side[1] * cells != mask.shape[1]:
        raise ValueError(f"A mask of {mask.shape} pixels cannot be divided into {cells} x {cells} cells.")
    return np.asarray(mask, float).reshape(cells, side[0], cells, side[1]).mean((1, 3))


def resize_mask(mask: np.ndarray, crop: tuple[float, float, float, float], size: int = SIZE) -> np.ndarray:
    """``crop`` (edges in pixel coordinates, centers whole numbers) of ``mask`` on (size, size), nearest neighbor."""
    r0, c0, r1, c1 = crop
    rows = _nearest(r0, r1, mask.shape[0], size)
    columns = _nearest(c0, c1, mask.shape[1], size)
    return mask[np.ix_(rows, columns)]


def auc_within(truth: Sequence[bool], score: Sequence[float], groups: Sequence[str]) -> float:
    """AUC over pairs of slices of the same scan only, so that differences between scans do not count.

    NaN where no scan has slices of both classes.
    """
    truth, score, groups = np.asarray(truth) > 0, np.asarray(score, float), np.asarray(groups)
    wins = pairs = 0.0
    for group in np.unique(groups):
        chosen = groups == group
        count = truth[chosen].sum() * (~truth[chosen]).sum()
        if count:
            wins += auc(truth[chosen], score[chosen]) * count
            pairs += count
    return wins / pairs if pairs else float("nan")


def box_overlaps(first: np.ndarray, second: np.ndarray, ratio: str) -> np.ndarray:
    """(n, m) overlap ratios of boxes (n, 4) and (m, 4): over the area of ``first`` (``box``) or the union (``iou``)."""
    if ratio not in RATIOS:
        raise ValueError(f"There is no overlap ratio {ratio!r}: choose one of {', '.join(RATIOS)}.")
    a, b = first[:, None, :], second[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    return shared / (area_a if ratio == "box" else area_a + area_b - shared)


def _boxes(labels: np.ndarray) -> np.ndarray:
    found = ndimage.find_objects(labels)
    return np.array([(r.start, c.start, r.stop, c.stop) for r, c in found], float).reshape(-1, 4)


def _nearest(start: float, stop: float, length: int, size: int) -> np.ndarray:
    positions = start + (np.arange(size) + 0.5) * (stop - start) / size
    return np.clip(np.rint(positions).astype(int), 0, length - 1)
