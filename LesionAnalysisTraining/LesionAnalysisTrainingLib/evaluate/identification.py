"""``evaluate identification``: do lesion clusters stand for lesion types? (section 5.3)

Every picture with lesions is mapped whatever its probability. A lesion that the map finds has the type of what was
drawn inside of it, if that is at least 225 pixels at 512 x 512. Which type a cluster stands for is learnt on one half
of the patients and measured on the other, and the other way round, so that no lesion has a say in its own judgment.
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
from ..metrics.detection_metrics import SMALLEST, resize_mask
from ..metrics.identification_metrics import (
    THREE_TYPES,
    TWO_TYPES,
    assign_clusters,
    balanced_accuracy,
    confusion_of,
    identify,
    lesion_type,
    type_figures,
)
from .detection import marked
from .detection_plots import Example, draw_cluster_maps
from .evaluation_report import Plot, Report, model_rows
from .image_mask_pairs import SLICE_SUFFIXES, UNKNOWN_PATIENTS, match, patients_known, read_pair, spread_lesions
from .mapper import Mapper, whole
from .report_tables import Ranged, Table

Progress = Callable[[float, str], None]
GROUND_GLASS, CONSOLIDATION = 1, 2  # values of the masks


@dataclass(eq=False)
class Lesions:
    """The m lesions that the map found; some lie on what was drawn and have a type."""

    features: list[np.ndarray] = field(default_factory=list)  # (K,) each
    patients: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)  # of consolidation in what was drawn; NaN: hardly anything was

    @property
    def typed(self) -> np.ndarray:
        """(m,) bool: those with a type."""
        return np.isfinite(np.array(self.shares, float))


def evaluate_identification(images: str | os.PathLike, masks: str | os.PathLike, bundle: ModelBundle, *,
                            clusters: int | None = None, types: int | None = None, preset: str = "enhanced",
                            device: str = "auto", min_cells: int = 2, limit: int | None = None, pictures: int = 6,
                            rounds: int = 400, seed: int = 0,
                            progress: Progress = lambda *_: None) -> Report:  # fmt: skip
    """Compare lesion clusters with drawn types (masks of 1 for ground glass and 2 for consolidation).

    Args:
        clusters: K; None, or as many as the model has: the model's own clusters; else they are fitted anew, without
            their types, to the lesions found here.
        types: 2, or 3 with partial consolidation between 10 and 80 % (section 5.3); None: 3 for K = 3, else 2.
        min_cells, limit, pictures, rounds, seed: as in ``evaluate_detection``; ``seed`` also draws the halves.

    Raises:
        ValueError: masks without both types, too few lesions or slices, in one sentence.
        OSError: a file cannot be read.
    """
    mapper = Mapper(bundle, preset, device, min_cells)
    pairs, notes = match(images, masks, SLICE_SUFFIXES, limit)
    notes += [] if patients_known(pairs) else [UNKNOWN_PATIENTS]
    lesions, examples, drawn = Lesions(), {}, spread_lesions(pairs, pictures)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), f"Slice {done + 1} of {len(pairs)}")
        picture, mask = read_pair(pair)
        _check_values(mask, pair.mask.name)
        look = mapper.look(pair.name, picture) if mask.any() else None
        if look is None:
            continue
        regions = mapper.found(look, mapper.shown)
        _, labels, kept = mapper.place(look, regions)
        features = mapper.features(look, regions)
        rows = range(len(lesions.shares), len(lesions.shares) + len(kept))
        for region in kept:
            lesions.features.append(features[region.number - 1])
            lesions.patients.append(pair.patient)
            lesions.slices.append(pair.name)
            lesions.shares.append(_consolidation(labels == region.number, mask))
        if pair.name in drawn and kept:
            examples[pair.name] = rows, Example(pair.name, picture, look.shown, mask, look.probability,
                                                {"lam": marked(mapper, look, mapper.shown)})  # fmt: skip
    models = mapper.analyzer.clusters
    count = len(models.centers_) if clusters is None else clusters
    names = THREE_TYPES if (types or (3 if count == 3 else 2)) == 3 else TWO_TYPES
    _check_lesions(lesions, len(names))
    fitted, own = _clusters(models, count, np.array(lesions.features), seed)
    notes.append("The clusters are the model's own." if own else
                 f"The model has {len(models.centers_)} clusters: these {len(fitted.centers_)} were fitted "
                 "anew to the lesions found here, without their types.")  # fmt: skip
    shown = [_with_clusters(one, rows, fitted, lesions) for rows, one in examples.values()]
    return _report(lesions, fitted, names, shown, mapper, notes, (rounds, seed), (images, masks))


def _check_values(mask: np.ndarray, name: str) -> None:
    values = set(np.unique(mask).tolist())
    if not values <= {0, GROUND_GLASS, CONSOLIDATION}:
        raise ValueError(f"The mask {name} has the value {max(values)}: types are marked by 1 for ground glass and 2 "
                         "for consolidation.")  # fmt: skip


def _check_lesions(lesions: Lesions, types: int) -> None:
    if not lesions.typed.any():
        raise ValueError("No lesion that the map finds lies on a drawn one: there is nothing to identify.")
    if len({lesion_type(share, types) for share in lesions.shares if share == share}) < 2:
        raise ValueError("All lesions that the map finds are drawn as one type: give more slices, with masks of 1 for "
                         "ground glass and 2 for consolidation.")  # fmt: skip


def _consolidation(region: np.ndarray, mask: np.ndarray) -> float:
    """Share of consolidation in what was drawn inside of ``region`` (H, W); NaN where that is too little."""
    frame = whole(mask)
    inside = resize_mask(mask, frame)[resize_mask(region, frame)]
    drawn = np.count_nonzero(inside)
    return float(np.count_nonzero(inside == CONSOLIDATION) / drawn) if drawn >= SMALLEST else float("nan")


def _clusters(models: LesionClusters, count: int, features: np.ndarray, seed: int) -> tuple[LesionClusters, bool]:
    """The clusters, and whether they are the model's own."""
    if count == len(models.centers_):
        return models, True
    return LesionClusters(count, random_state=seed).fit(features), False


def _with_clusters(one: Example, rows: range, clusters: LesionClusters, lesions: Lesions) -> Example:
    numbers = (1 + clusters.predict(np.array([lesions.features[i] for i in rows]))).tolist()
    return replace(one, maps={"lam": replace(one.maps["lam"], clusters=numbers)})


def _report(lesions: Lesions, clusters: LesionClusters, names: tuple[str, ...], examples: list[Example],
            mapper: Mapper, notes: list[str], rule: tuple[int, int], folders: tuple) -> Report:  # fmt: skip
    typed, features, (rounds, seed) = lesions.typed, np.array(lesions.features), rule
    labels = clusters.predict(features)
    types = np.array([lesion_type(share, len(names)) for share in np.array(lesions.shares)[typed]], int)
    groups = np.array(lesions.patients)[typed]
    count = len(clusters.centers_)
    result = identify(types, labels[typed], groups, len(names), count, seed)
    same = assign_clusters(types, labels[typed], len(names), count)[labels[typed]]  # as the paper does
    confusion = confusion_of(types, result.given, len(names))
    figures = type_figures(confusion)
    balanced = Ranged.of(balanced_accuracy(types, result.given, groups, rounds, seed))
    images, masks = folders
    by = mapper.analyzer.cluster_by
    report = Report(
        "identification", "Identification of lesions",
        [("pictures", os.path.basename(os.path.abspath(images))), ("masks", os.path.basename(os.path.abspath(masks))),
         ("slices with lesions found", str(len(set(lesions.slices)))), ("clusters", str(count)),
         ("clustered by", "density" if by == "density" else "the network's features"),
         ("types", ", ".join(names)), ("preset", mapper.config.preset), *model_rows(mapper.bundle)],
        notes=notes,
        metrics={"confusion": confusion.tolist(), "balanced_accuracy": balanced.to_dict(), "types": list(names),
                 "clustered_by": by},
    )  # fmt: skip
    over_all = Table(
        "identification", "Lesion clusters against lesion types",
        ["clusters", "lesions found", "on drawn lesions", "balanced accuracy", "accuracy", "balanced, same lesions"],
        [[count, len(typed), int(typed.sum()), balanced, float(figures["accuracy"]),
          float(type_figures(confusion_of(types, same, len(names)))["balanced_accuracy"])]],
        "Balanced accuracy: mean sensitivity over the types, with a 95 % interval over patients; chance is "
        f"{1 / len(names):.2f}. The last column matches and measures on the same lesions, as the paper does: too good.",
    )  # fmt: skip
    report.tables = [over_all, _types(names, types, figures), _confusion(names, confusion),
                     _assignment(names, types, labels[typed], result.assignments, count)]  # fmt: skip
    space = np.full(len(labels), len(names))
    space[typed] = types
    report.plots = [
        Plot("lesion_space", "Lesion space by cluster (figure 9)",
             partial(plots.draw_lesion_space, features=features, labels=labels)),
        Plot("lesion_space_types", "The same space by drawn type",
             partial(plots.draw_lesion_space, features=features, labels=space, names=[*names, "on no drawn lesion"])),
        Plot("cluster_maps", "Clustering maps (figure 10)", partial(draw_cluster_maps, examples=examples),
             "Drawn: green for ground glass, pink for consolidation. Numbers are clusters, at the peaks of the map."),
    ]  # fmt: skip
    return report


def _types(names: tuple[str, ...], types: np.ndarray, figures: dict) -> Table:
    rows = [[name, int(np.sum(types == i)), float(figures["sensitivity"][i]), float(figures["specificity"][i])]
            for i, name in enumerate(names)]  # fmt: skip
    return Table("types", "Each type (table 7)", ["type", "lesions", "sensitivity", "specificity"], rows,
                 "Clusters are matched with types on one half of the patients and measured on the other. The paper's "
                 "table 7, its columns being the truth: sensitivities 94, 44, 86 %, specificities 83, 96, 95 %.")


def _confusion(names: tuple[str, ...], confusion: np.ndarray) -> Table:
    rows = [[name, *(int(n) for n in row)] for name, row in zip(names, confusion, strict=True)]
    return Table("confusion", "Confusion of types (table 7): rows are the truth", ["drawn", *names], rows)


def _assignment(names: tuple[str, ...], types: np.ndarray, labels: np.ndarray, assignments: tuple,
                count: int) -> Table:  # fmt: skip
    rows = [[f"cluster {k + 1}", *(int(np.sum((labels == k) & (types == t))) for t in range(len(names))),
             *(names[half[k]] for half in assignments)] for k in range(count)]  # fmt: skip
    return Table("clusters", "What each cluster holds, and stands for", ["cluster", *names, "by first half",
                                                                        "by second half"], rows)  # fmt: skip
