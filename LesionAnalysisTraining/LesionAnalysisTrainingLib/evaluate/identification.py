"""``evaluate identification``: do lesion clusters correspond to lesion types? (section 5.3)

Each image with lesions is mapped whatever its probability. A lesion on the map has the type of the manual segmentation
inside it, if that has at least 225 pixels at 512 x 512. Which type a cluster stands for is learned from one half of
the patients and measured on the other, and vice versa (two-fold cross-validation).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.model.bundle import ModelBundle

from .. import plots
from ..metrics import confusion_matrix
from ..metrics.detection_metrics import SMALLEST, resize_mask
from ..metrics.identification_metrics import (
    THREE_TYPES,
    TWO_TYPES,
    assign_clusters,
    balanced_accuracy,
    identify,
    lesion_type,
    type_figures,
)
from .detection import map_overlay
from .detection_plots import Example, draw_cluster_maps
from .evaluation_report import Plot, Report, Table, model_rows
from .image_mask_pairs import SLICE_SUFFIXES, data_rows, match, read_pair, spread_examples, unknown_patients_note
from .mapper import Mapper, whole
from .settings import IdentificationSettings

GROUND_GLASS, CONSOLIDATION = 1, 2  # values of the masks
_HEADINGS = {"lesions found": "lesions on maps", "on drawn lesions": "on segmented lesions",
             "balanced, same lesions": "balanced accuracy, same lesions", "drawn": "segmented as",
             "by first half": "type by first half", "by second half": "type by second half"}  # fmt: skip


@dataclass(eq=False)
class Lesions:
    """The m lesions on the maps; those on a segmented lesion have a type."""

    features: list[np.ndarray] = field(default_factory=list)  # (K,) each
    patients: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)  # of consolidation; NaN: hardly any segmented lesion inside

    @property
    def typed(self) -> np.ndarray:
        """(m,) bool: those with a type."""
        return np.isfinite(np.array(self.fractions, float))


def evaluate_identification(images: str | os.PathLike, masks: str | os.PathLike, bundle: ModelBundle,
                            settings: IdentificationSettings,
                            progress: Callable[[float, str], None]) -> Report:  # fmt: skip
    """Compare lesion clusters with segmented types (masks of 1 for ground glass and 2 for consolidation).

    Raises ValueError for masks without both types and for too few lesions or slices, in one sentence; OSError if a file
    cannot be read.
    """
    mapper = Mapper(bundle, settings.preset, settings.device, settings.min_cells)
    pairs, notes = match(images, masks, SLICE_SUFFIXES, settings.limit)
    notes += unknown_patients_note(pairs)
    lesions, examples, chosen = Lesions(), [], spread_examples(pairs, settings.examples)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), f"Slice {done + 1} of {len(pairs)}")
        image, mask = read_pair(pair)
        _check_values(mask, pair.mask.name)
        result = mapper.analyze(pair.name, image) if mask.any() else None
        if result is None:
            continue
        regions = mapper.lesions(result, mapper.shown)
        _, labels, kept = mapper.place(result, regions)
        features = mapper.features(result, regions)
        rows = range(len(lesions.fractions), len(lesions.fractions) + len(kept))
        for region in kept:
            lesions.features.append(features[region.number - 1])
            lesions.patients.append(pair.patient)
            lesions.slices.append(pair.name)
            lesions.fractions.append(_consolidation(labels == region.number, mask))
        if pair.name in chosen and kept:
            overlay = {"lam": map_overlay(mapper, result, mapper.shown)}
            examples.append((rows, Example(pair.name, image, result.piece.image, mask, result.probability, overlay)))
    models = mapper.analyzer.clusters
    own = len(models.cluster_centers_)
    count = settings.clusters or own
    names = THREE_TYPES if (settings.types or (3 if count == 3 else 2)) == 3 else TWO_TYPES
    _check_lesions(lesions, len(names))
    if count == own:
        notes.append("The clusters are the model's own.")
    else:
        models = LesionClusters(count, random_state=settings.seed).fit(np.array(lesions.features))
        notes.append(f"The model has {own} clusters: these {len(models.cluster_centers_)} were refitted to the "
                     "lesions of the maps, without their types.")  # fmt: skip
    subject = [*data_rows("images", images, masks), ("slices with lesions found", str(len(set(lesions.slices)))),
               ("clusters", str(len(models.cluster_centers_))),
               ("clustered by", "density" if mapper.config.cluster_by == "density" else "the network's features"),
               ("types", ", ".join(names)), ("preset", mapper.config.preset), *model_rows(bundle)]  # fmt: skip
    report = Report("identification", "Identification of lesions", subject, notes=notes,
                    metrics={"clustered_by": mapper.config.cluster_by})  # fmt: skip
    _measure(report, lesions, models, names, settings)
    numbers = (1 + models.predict(np.array(lesions.features))).tolist()
    shown = [replace(one, maps={"lam": replace(one.maps["lam"], clusters=[numbers[i] for i in rows])})
             for rows, one in examples]  # fmt: skip
    report.plots.append(Plot(
        "cluster_maps", "Clustering maps (figure 10)", partial(draw_cluster_maps, examples=shown),
        "Manual segmentation: green for ground glass, pink for consolidation. Numbers are clusters, at the peaks of "
        "the map."))  # fmt: skip
    return report


def _check_values(mask: np.ndarray, name: str) -> None:
    values = set(np.unique(mask).tolist())
    if not values <= {0, GROUND_GLASS, CONSOLIDATION}:
        raise ValueError(f"The mask {name} has the value {max(values)}: use 1 for ground glass and 2 for "
                         "consolidation.")  # fmt: skip


def _check_lesions(lesions: Lesions, types: int) -> None:
    if not lesions.typed.any():
        raise ValueError("No lesion on the maps overlaps a segmented one: give more slices with lesions.")
    if len({lesion_type(f, types) for f in lesions.fractions if f == f}) < 2:
        raise ValueError("All lesions on the maps are of one segmented type: give more slices, with masks of 1 for "
                         "ground glass and 2 for consolidation.")  # fmt: skip


def _consolidation(region: np.ndarray, mask: np.ndarray) -> float:
    """Fraction of consolidation in the segmentation inside ``region`` (H, W); NaN where that is too small."""
    frame = whole(mask)
    inside = resize_mask(mask, frame)[resize_mask(region, frame)]
    segmented = np.count_nonzero(inside)
    return float(np.count_nonzero(inside == CONSOLIDATION) / segmented) if segmented >= SMALLEST else float("nan")


def _measure(report: Report, lesions: Lesions, clusters: LesionClusters, names: tuple[str, ...],
             settings: IdentificationSettings) -> None:  # fmt: skip
    """Add figures, tables and plots of the lesion space."""
    typed, features = lesions.typed, np.array(lesions.features)
    labels = clusters.predict(features)
    types = np.array([lesion_type(fraction, len(names)) for fraction in np.array(lesions.fractions)[typed]], int)
    groups, count = np.array(lesions.patients)[typed], len(clusters.cluster_centers_)
    given, assignments = identify(types, labels[typed], groups, len(names), count, settings.seed)
    same = assign_clusters(types, labels[typed], len(names), count)[labels[typed]]  # as the paper does
    confusion = confusion_matrix(types, given, len(names))
    figures, same_figures = type_figures(confusion), type_figures(confusion_matrix(types, same, len(names)))
    balanced = balanced_accuracy(types, given, groups, settings.rounds, settings.seed).to_dict()
    report.metrics |= {"confusion": confusion.tolist(), "balanced_accuracy": balanced, "types": list(names)}
    overall = Table(
        "identification", "Lesion clusters against lesion types",
        ["clusters", "lesions found", "on drawn lesions", "balanced accuracy", "accuracy", "balanced, same lesions"],
        [[count, len(typed), int(typed.sum()), balanced, float(figures["accuracy"]),
          float(same_figures["balanced_accuracy"])]],
        "Balanced accuracy: mean sensitivity over the types, with a 95 % interval from a patient-level bootstrap; "
        f"chance is {1 / len(names):.2f}. The last column assigns and measures on the same lesions, as the paper does, "
        "which is optimistically biased.", headings=_HEADINGS,
    )  # fmt: skip
    report.tables = [overall, _types(names, types, figures), _confusion(names, confusion),
                     _assignment(names, types, labels[typed], assignments, count)]  # fmt: skip
    by_type = np.full(len(labels), len(names))
    by_type[typed] = types
    report.plots = [
        Plot("lesion_space", "Lesion space by cluster (figure 9)",
             partial(plots.draw_lesion_space, features=features, labels=labels)),
        Plot("lesion_space_types", "Lesion space by segmented type",
             partial(plots.draw_lesion_space, features=features, labels=by_type,
                     names=[*names, "on no segmented lesion"])),
    ]  # fmt: skip


def _types(names: tuple[str, ...], types: np.ndarray, figures: dict) -> Table:
    rows = [[name, int(np.sum(types == i)), float(figures["sensitivity"][i]), float(figures["specificity"][i])]
            for i, name in enumerate(names)]  # fmt: skip
    return Table("types", "Each type (table 7)", ["type", "lesions", "sensitivity", "specificity"], rows,
                 "Clusters are assigned to types on one half of the patients and measured on the other. The paper's "
                 "table 7, its columns being the truth: sensitivities 94, 44, 86 %, specificities 83, 96, 95 %.")


def _confusion(names: tuple[str, ...], confusion: np.ndarray) -> Table:
    rows = [[name, *(int(n) for n in row)] for name, row in zip(names, confusion, strict=True)]
    return Table("confusion", "Confusion matrix of types (table 7): rows are the truth",
                 ["drawn", *names], rows, headings=_HEADINGS)  # fmt: skip


def _assignment(names: tuple[str, ...], types: np.ndarray, labels: np.ndarray,
                assignments: list[np.ndarray], count: int) -> Table:  # fmt: skip
    rows = [[f"cluster {k + 1}", *(int(np.sum((labels == k) & (types == t))) for t in range(len(names))),
             *(names[half[k]] for half in assignments)] for k in range(count)]  # fmt: skip
    return Table("clusters", "Content of each cluster, and the type it stands for",
                 ["cluster", *names, "by first half", "by second half"], rows, headings=_HEADINGS)  # fmt: skip
