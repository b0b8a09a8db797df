"""Labeled slices in the layout of ``train``, and the probabilities that models give them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

import numpy as np
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lungs import LungSlice, Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.pipeline import SlicePipeline
from scipy.special import softmax

from ..dataset import Sample, read_layout
from ..dataset.data_files import listed
from ..dataset.duplicates import find_repeats
from ..dataset.inspection import inspect
from ..dataset.parallel import Progress, in_order
from ..dataset.prepared import prepare_readable
from ..dataset.samples import by_file


@dataclass(frozen=True, eq=False)
class LabeledSlices:
    """n labeled slices; the disease is the last class."""

    classes: tuple[str, ...]
    samples: list[Sample]
    notes: list[str]  # what was left out, and why

    @property
    def labels(self) -> np.ndarray:
        """(n,) class indices."""
        return np.array([s.label for s in self.samples], int)

    @property
    def patients(self) -> np.ndarray:
        """(n,) names, unique over all sources."""
        return np.array([s.patient for s in self.samples])

    @property
    def sources(self) -> np.ndarray:
        """(n,) names."""
        return np.array([s.source for s in self.samples])

    def only(self, chosen: np.ndarray) -> LabeledSlices:
        """The slices for which ``chosen`` (n,) is True."""
        return replace(self, samples=[s for s, c in zip(self.samples, chosen, strict=True) if c])


def labeled_slices(folders: Sequence[str | os.PathLike], split: str = "all", disease: str | None = None,
                   workers: int = 1, progress: Progress | None = None) -> LabeledSlices:  # fmt: skip
    """Read the slices of ``folders``; of those with a manifest, only the ones of ``split``.

    Repeated slices count once; unreadable ones and those with contradictory labels are left out. Raises ValueError if
    the folders cannot be understood, or hold no slice of that split, in one sentence.
    """
    layout = read_layout(folders, disease, mixed_patients=True)
    samples = [s for s in layout.samples if split == "all" or s.split == split]
    if not samples:
        given = listed(sorted({s.split or "none" for s in layout.samples}))
        raise ValueError(f"No slice has the split {split}: the splits in the manifest.csv of the data are {given}.")
    found = inspect(samples, workers, progress)
    notes = list(layout.notes)
    if found.unreadable:
        names = listed(f"{os.path.basename(s.path)} ({why.rstrip('.')})" for s, why in found.unreadable)
        notes.append(f"{len(found.unreadable)} slices cannot be read and are left out: {names}.")
    repeats = find_repeats(found.samples, found.digests)
    if repeats.repeated:
        notes.append(f"{len(repeats.repeated)} slices are repeated and count once.")
    if repeats.contradictory:
        count = sum(map(len, repeats.contradictory))
        notes.append(f"{count} slices with equal pixels have different labels and are left out.")
    kept = [found.samples[i] for i in repeats.kept]
    if not kept:
        raise ValueError("No slice is left to evaluate: all are unreadable or have contradictory labels.")
    return LabeledSlices(layout.classes, kept, notes)


def predict(bundle: ModelBundle, samples: Sequence[Sample], device: str = "auto", workers: int = 1,
            progress: Progress | None = None) -> tuple[np.ndarray, list[str | None]]:  # fmt: skip
    """Probabilities (n, C) of a model for slices, and for each None or the reason why its row is NaN.

    Raises ValueError if the device is not available, the model does not fit this program, or it returned NaN.
    """
    preprocessing = Preprocessing.from_dict(bundle.preprocessing)
    config = AnalysisConfig(device=device)
    pipeline = SlicePipeline(bundle.network(), bundle.positive, config, preprocessing, bundle.temperature)
    places, items = by_file(samples)
    table, reasons = np.full((len(samples), len(bundle.classes)), np.nan), [None] * len(samples)
    with closing(in_order(partial(_network_inputs, preprocessing=preprocessing), items, workers)) as results:
        inputs, done = zip(chain(*places), chain.from_iterable(results), strict=True), 0
        while portion := list(islice(inputs, pipeline.runner.batch_size)):
            for i, piece in portion:
                reasons[i] = piece if isinstance(piece, str) else None
            rows, pieces = [i for i, _ in portion if not reasons[i]], [p for i, p in portion if not reasons[i]]
            logits = [batch.logits.astype(float) for batch in pipeline.run(pieces, threshold=None)]
            if rows:
                table[rows] = softmax(np.concatenate(logits), axis=1)
            done += len(portion)
            if progress:
                progress(done / len(samples), f"Slice {done} of {len(samples)}")
    return table, reasons


def _network_inputs(item: tuple[str, list[int | None]], preprocessing: Preprocessing) -> list[LungSlice | str]:
    """The slices of a file as an analysis shows them to the network, or the reason why one cannot be analyzed."""
    return [one if isinstance(one, str) else one.network_input(preprocessing)
            for one in prepare_readable(item, preprocessing)]  # fmt: skip
