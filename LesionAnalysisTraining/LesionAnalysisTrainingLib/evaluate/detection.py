"""``evaluate detection``: how well maps find the lesions that radiologists drew (sections 4.3.2 and 5.2).

Every picture with lesions is mapped whatever its probability: how well the maps point. A second table counts what a
user sees, the maps of slices that the model calls positive. Beside them stands the ceiling, a map without fault on the
same grid: the mask averaged over the cells, through the same steps. Everything is measured at 512 x 512.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from LesionAnalysisLib.lesions.placement import box_to_axial, cell_to_axial
from LesionAnalysisLib.model.bundle import ModelBundle

from ..metrics.detection_metrics import evaluate_slice, resize_mask, truth_lesions
from . import detection_tables
from .detection_plots import Example, Marked, draw_examples, draw_hit_rates, draw_methods
from .detection_results import Found
from .evaluation_report import Plot, Report, model_rows
from .image_mask_pairs import SLICE_SUFFIXES, UNKNOWN_PATIENTS, Pair, match, patients_known, read_pair, spread_lesions
from .mapper import METHODS, NO_CAM, REGIONS, WHOLE, Look, Mapper, nothing_found, perfect, whole

Progress = Callable[[float, str], None]




def evaluate_detection(images: str | os.PathLike, masks: str | os.PathLike, bundle: ModelBundle,
                       methods: Sequence[str] = (), *, preset: str = "enhanced", device: str = "auto",
                       min_cells: int = 2, threshold: float | None = None, unseen: Sequence[str] | None = None,
                       limit: int | None = None, pictures: int = 6, rounds: int = 400, seed: int = 0,
                       progress: Progress = lambda *_: None) -> Report:  # fmt: skip
    """Map pictures by every method and compare with drawn masks (above 0: lesion).

    Args:
        methods: of ``maps.METHODS``; empty: all that the model allows.
        min_cells: smallest region that counts, in cells of the map.
        threshold: probability from which on a slice is positive; None: the model's own.
        unseen: scans that took no part in the training; None: the model's validation patients.
        limit: look at about so many slices.
        pictures: slices drawn.
        rounds, seed: of the bootstrap over patients.

    Raises:
        ValueError: no names match, a mask does not fit, or the model does not allow a method, in one sentence.
        OSError: a file cannot be read.
    """
    mapper = Mapper(bundle, preset, device, min_cells)
    refused = [m for m in methods if m not in mapper.methods]
    if refused and (list(methods) == refused or any(m not in METHODS for m in refused)):
        raise ValueError(NO_CAM if refused == ["cam"] else
                         f"There is no map by {refused[0]!r}: choose of {', '.join(mapper.methods)}.")  # fmt: skip
    chosen = [m for m in dict.fromkeys(methods or mapper.methods) if m in mapper.methods]
    pairs, notes = match(images, masks, SLICE_SUFFIXES, limit)
    notes += [NO_CAM] * ("cam" not in chosen and (not methods or "cam" in methods))
    notes += [] if patients_known(pairs) else [UNKNOWN_PATIENTS]
    threshold = mapper.analyzer.threshold if threshold is None else threshold
    found = Found({(m, step): [] for m in chosen for step in (REGIONS, WHOLE)})
    examples, drawn = [], spread_lesions(pairs, pictures)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), f"Slice {done + 1} of {len(pairs)}")
        picture, mask = read_pair(pair)
        look = mapper.look(pair.name, picture)
        _count(found, mapper, pair, look, mask > 0, threshold)
        if pair.name in drawn and look is not None:
            examples.append(example(mapper, pair, look, picture, mask, chosen))
    if not found.patients:
        raise ValueError("All masks are empty: give masks with lesions.")
    seen_names = bundle.training.get("validation_patients", []) if unseen is None else unseen
    return _report(found, examples, mapper, chosen, threshold, notes,
                   {str(name).split("/")[-1] for name in seen_names}, (rounds, seed), (images, masks))  # fmt: skip


def example(mapper: Mapper, pair: Pair, look: Look, picture: np.ndarray, mask: np.ndarray,
            methods: Sequence[str]) -> Example:  # fmt: skip
    """A slice with its maps, to be drawn."""
    maps = {m: marked(mapper, look, m) for m in methods}
    return Example(pair.name, picture, look.shown, mask, look.probability, maps)


def marked(mapper: Mapper, look: Look, method: str) -> Marked:
    """A map with its regions, on its picture."""
    regions = mapper.found(look, method)
    heat, labels, kept = mapper.place(look, regions)
    grid = regions.labels.shape
    boxes = [box_to_axial(r.box, look.crop, grid, labels.shape) for r in kept]
    peaks = [cell_to_axial(*r.peak, look.crop, grid) for r in kept]
    return Marked(heat, labels, np.array(boxes, float).reshape(-1, 4), np.array(peaks, float).reshape(-1, 2))


def _count(found: Found, mapper: Mapper, pair: Pair, look: Look | None, mask: np.ndarray, threshold: float) -> None:
    """Add one slice; where no lungs are found nothing is shown."""
    probability = float("nan") if look is None else look.probability
    found.judged.append((pair.patient, probability, bool(mask.any())))
    if not mask.any():
        return
    truth = truth_lesions(resize_mask(mask, whole(mask)))
    lungs = resize_mask(np.zeros_like(mask) if look is None else look.lungs, whole(mask))
    found.patients.append(pair.patient)
    found.positive.append(probability >= threshold)
    found.missed.append(evaluate_slice(truth, nothing_found(), lungs=lungs))
    heats = {} if look is None else {m: mapper.heat(look, m) for m, _ in found.counts}
    for (method, step), counts in found.counts.items():
        shown = nothing_found()
        if look is not None:
            shown = mapper.candidates(look, mapper.regions(look, method, heats[method], step))
        counts.append(evaluate_slice(truth, shown, lungs=lungs))
    crop = whole(mask) if look is None else look.crop
    for name, (box, cells, least) in _ceilings(mapper, crop, whole(mask)).items():
        found.ceilings.setdefault(name, []).append(evaluate_slice(truth, perfect(mask, box, cells, least), lungs=lungs))


def _ceilings(mapper: Mapper, crop: tuple, picture: tuple) -> dict[str, tuple]:
    """Name -> what the map covers, cells a side, smallest region: the grid in use, then others to compare."""
    cells, least = mapper.cells, mapper.config.min_cells
    named = {f"ceiling {cells}x{cells} (grid in use)": (crop, cells, least)}
    for box, side, smallest in ((crop, 16, least), (crop, 32, least), (crop, 16, 1), (crop, 32, 1), (picture, 16, 1),
                                (picture, 32, 1)):  # fmt: skip
        place = ", whole picture" if box is picture else ""
        plural = "cell" if smallest == 1 else "cells"
        named[f"ceiling {side}x{side}, {smallest} {plural}{place}"] = (box, side, smallest)
    return named


def _report(found: Found, examples: list[Example], mapper: Mapper, methods: list[str], threshold: float,
            notes: list[str], unseen: set[str], rule: tuple[int, int], folders: tuple) -> Report:  # fmt: skip
    bundle, (images, masks) = mapper.bundle, folders
    rates = detection_tables.rates(found)
    ceiling = next(iter(found.ceilings))
    lesions = sum(c.lesions for c in found.missed)
    report = Report(
        "detection", "Detection of lesions",
        [("pictures", os.path.basename(os.path.abspath(images))), ("masks", os.path.basename(os.path.abspath(masks))),
         ("slices with lesions", f"{len(found.patients)} of {len(found.judged)}"), ("lesions", str(lesions)),
         ("called positive", f"{sum(found.positive)} slices with lesions, from a probability of {threshold:g} on"),
         ("preset", mapper.config.preset), ("smallest region", f"{mapper.config.min_cells} cells"),
         *model_rows(bundle)],
        notes=notes, metrics={"rates": rates, "ceiling": ceiling},
    )  # fmt: skip
    report.tables = detection_tables.tables(found, rates, ceiling, rule)
    scans = detection_tables.scans(found, unseen, threshold)
    report.tables += [scans] if scans else []
    curves = {m: rates[detection_tables.row_name(m, REGIONS)] for m in methods} | {ceiling: rates[ceiling]}
    report.plots = [
        Plot("hit_rates", "Hit rate by threshold (table 5)", partial(draw_hit_rates, rates=curves, ceiling=ceiling)),
        Plot("examples", "Maps and boxes (figures 5, 7, 8)", partial(draw_examples, examples=examples,
                                                                     method=methods[0]),
             "Green and pink: what the radiologist drew. Yellow: boxes of the map, with their peaks."),
    ]  # fmt: skip
    if len(methods) > 1:
        report.plots.append(Plot("methods", "The same slices by every method",
                                 partial(draw_methods, examples=examples, methods=methods)))  # fmt: skip
    return report
