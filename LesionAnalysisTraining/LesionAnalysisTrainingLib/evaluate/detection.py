"""``evaluate detection``: how well maps find manually segmented lesions (sections 4.3.2 and 5.2).

Each image with lesions is mapped whatever its probability, which measures the maps alone. A second table counts what a
user sees, the maps of slices that the model calls positive. The oracle map, the mask averaged over the cells of the
same grid and processed alike, is the upper bound at grid resolution. Everything is measured at 512 x 512.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import numpy as np
from LesionAnalysisLib.lesions.placement import box_to_axial, cell_to_axial
from LesionAnalysisLib.model.bundle import ModelBundle

from ..metrics.detection_metrics import evaluate_slice, resize_mask, truth_lesions
from . import detection_tables
from .detection_plots import Example, MapOverlay, draw_examples, draw_hit_rates, draw_methods
from .detection_tables import DetectionCounts
from .evaluation_report import Plot, Report, model_rows
from .image_mask_pairs import SLICE_SUFFIXES, Pair, data_rows, match, read_pair, spread_examples, unknown_patients_note
from .mapper import METHODS, NO_CAM, REGIONS, WHOLE, ImageResult, Mapper, nothing_found, oracle_candidates, whole
from .settings import DetectionSettings


def evaluate_detection(images: str | os.PathLike, masks: str | os.PathLike, bundle: ModelBundle,
                       settings: DetectionSettings, progress: Callable[[float, str], None]) -> Report:  # fmt: skip
    """Map images by each method and compare with manual masks (above 0: lesion).

    Raises ValueError if no names match, a mask does not fit, or the model does not allow a method, in one sentence;
    OSError if a file cannot be read.
    """
    mapper = Mapper(bundle, settings.preset, settings.device, settings.min_cells)
    methods = _methods(mapper, settings)
    pairs, notes = match(images, masks, SLICE_SUFFIXES, settings.limit)
    notes += [NO_CAM] * ("cam" not in methods and (not settings.methods or "cam" in settings.methods))
    notes += unknown_patients_note(pairs)
    threshold = mapper.analyzer.threshold if settings.threshold is None else settings.threshold
    found = DetectionCounts({(m, step): [] for m in methods for step in (REGIONS, WHOLE)})
    examples, chosen = [], spread_examples(pairs, settings.examples)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), f"Slice {done + 1} of {len(pairs)}")
        image, mask = read_pair(pair)
        result = mapper.analyze(pair.name, image)
        _count(found, mapper, pair, result, mask > 0, threshold)
        if pair.name in chosen and result is not None:
            maps = {m: map_overlay(mapper, result, m) for m in methods}
            examples.append(Example(pair.name, image, result.piece.image, mask, result.probability, maps))
    if not found.patients:
        raise ValueError("All masks are empty: give masks with lesions.")
    figures, oracle = detection_tables.rates(found), next(iter(found.oracles))
    unseen = bundle.training.get("validation_patients", []) if settings.unseen is None else settings.unseen
    scans = detection_tables.scans(found, {str(name).split("/")[-1] for name in unseen}, threshold)
    return Report(
        "detection", "Detection of lesions",
        [*data_rows("images", images, masks),
         ("slices with lesions", f"{len(found.patients)} of {len(found.classified)}"),
         ("lesions", str(sum(c.lesions for c in found.missed))),
         ("called positive", f"{sum(found.positive)} slices with lesions, at a threshold of {threshold:g}"),
         ("preset", mapper.config.preset), ("smallest region", f"{mapper.config.min_cells} cells"),
         *model_rows(bundle)],
        [*detection_tables.tables(found, figures, oracle, settings), *([scans] if scans else [])],
        _plots(methods, examples, figures, oracle), notes, {"rates": figures, "ceiling": oracle},
    )  # fmt: skip


def map_overlay(mapper: Mapper, result: ImageResult, method: str) -> MapOverlay:
    """A map with its regions, on its image."""
    regions = mapper.lesions(result, method)
    heatmap, labels, kept = mapper.place(result, regions)
    grid = regions.labels.shape
    boxes = [box_to_axial(r.box, result.crop, grid, labels.shape) for r in kept]
    peaks = [cell_to_axial(*r.peak, result.crop, grid) for r in kept]
    return MapOverlay(heatmap, labels, np.array(boxes, float).reshape(-1, 4), np.array(peaks, float).reshape(-1, 2))


def _methods(mapper: Mapper, settings: DetectionSettings) -> list[str]:
    """The methods to measure; ValueError if the model allows none of those asked for, or one is unknown."""
    refused = [m for m in settings.methods if m not in mapper.methods]
    if refused and (list(settings.methods) == refused or any(m not in METHODS for m in refused)):
        raise ValueError(NO_CAM if refused == ["cam"] else
                         f"There is no map by {refused[0]!r}: choose of {', '.join(mapper.methods)}.")  # fmt: skip
    return [m for m in dict.fromkeys(settings.methods or mapper.methods) if m in mapper.methods]


def _count(found: DetectionCounts, mapper: Mapper, pair: Pair, result: ImageResult | None, mask: np.ndarray,
           threshold: float) -> None:  # fmt: skip
    """Add one slice; where no lungs are found no map is shown."""
    probability = float("nan") if result is None else result.probability
    found.classified.append((pair.patient, probability, bool(mask.any())))
    if not mask.any():
        return
    frame = whole(mask)
    truth = truth_lesions(resize_mask(mask, frame))
    lungs = resize_mask(np.zeros_like(mask) if result is None else result.lungs, frame)
    measure = partial(evaluate_slice, truth, lungs=lungs)
    found.patients.append(pair.patient)
    found.positive.append(probability >= threshold)
    found.missed.append(measure(nothing_found()))
    heatmaps = {} if result is None else {m: mapper.heatmap(result, m) for m, _ in found.counts}
    for (method, step), counts in found.counts.items():
        counts.append(found.missed[-1] if result is None else measure(
            mapper.candidates(result, mapper.regions(result, method, heatmaps[method], step))))  # fmt: skip
    crop = frame if result is None else result.crop
    for name, (box, cells, least) in _oracles(mapper, crop, frame).items():
        found.oracles.setdefault(name, []).append(measure(oracle_candidates(mask, box, cells, least)))


def _oracles(mapper: Mapper, crop: tuple, frame: tuple) -> dict[str, tuple]:
    """Name -> what the map covers, cells per side, smallest region: the grid in use, then others to compare."""
    cells, least = mapper.cells, mapper.config.min_cells
    named = {f"oracle map {cells}x{cells} (grid in use)": (crop, cells, least)}
    for extent, box, smallest in (("", crop, least), ("", crop, 1), (", whole image", frame, 1)):
        for side in (16, 32):
            named[f"oracle map {side}x{side}, {smallest} cell{'s'[: smallest != 1]}{extent}"] = (box, side, smallest)
    return named


def _plots(methods: list[str], examples: list[Example], figures: detection_tables.Rates, oracle: str) -> list[Plot]:
    curves = {m: figures[f"{m}, {REGIONS}"] for m in methods} | {oracle: figures[oracle]}
    plots = [
        Plot("hit_rates", "Hit rate by threshold (table 5)", partial(draw_hit_rates, rates=curves, oracle=oracle)),
        Plot("examples", "Maps and boxes (figures 5, 7, 8)",
             partial(draw_examples, examples=examples, method=methods[0]),
             "Green and pink: manual segmentation. Yellow: boxes of the map, with their peaks."),
    ]  # fmt: skip
    if len(methods) > 1:
        plots.append(Plot("methods", "The same slices by each method",
                          partial(draw_methods, examples=examples, methods=methods)))  # fmt: skip
    return plots
