"""Labeled slices in the layout of ``train``, and the probabilities that models give them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
import torch
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.network.devices import Runner, choose_device

from ..augmentation import view
from ..dataset import Sample, prepare_file, read_layout
from ..dataset.data_files import listed
from ..dataset.duplicates import find_repeats
from ..dataset.inspection import inspect
from ..dataset.parallel import in_order

Progress = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Labeled:
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

    def only(self, chosen: np.ndarray) -> Labeled:
        """The slices for which ``chosen`` (n,) is True."""
        return Labeled(self.classes, [s for s, c in zip(self.samples, chosen, strict=True) if c], self.notes)


def labeled_slices(folders: Sequence[str | os.PathLike], split: str = "all", disease: str | None = None,
                   workers: int = 1, progress: Progress | None = None) -> Labeled:  # fmt: skip
    """Read the slices of ``folders``; of those with a manifest, the ones of ``split`` alone.

    Slices that are there twice count once, those with contradictory labels and unreadable ones not at all.

    Raises:
        ValueError: the folders cannot be understood, or hold no slice of that split, in one sentence.
    """
    layout = read_layout(folders, disease, mixed_patients=True)
    samples = [s for s in layout.samples if split == "all" or s.split == split]
    if not samples:
        given = listed(sorted({s.split or "none" for s in layout.samples}))
        raise ValueError(f"No slice has the split {split}: the splits that a manifest gives are {given}.")
    found = inspect(samples, workers, progress)
    notes = list(layout.notes)
    if found.unreadable:
        names = listed(f"{os.path.basename(s.path)} ({why.rstrip('.')})" for s, why in found.unreadable)
        notes.append(f"{len(found.unreadable)} slices cannot be read and are left out: {names}.")
    repeats = find_repeats(found.samples, found.digests)
    if repeats.repeated:
        notes.append(f"{len(repeats.repeated)} slices are there twice and count once.")
    if repeats.contradictory:
        count = sum(map(len, repeats.contradictory))
        notes.append(f"{count} slices with the same pixels have different labels and are left out.")
    kept = [found.samples[i] for i in repeats.kept]
    if not kept:
        raise ValueError("No slice is left that could be judged: they cannot be read, or their labels contradict.")
    return Labeled(layout.classes, kept, notes)


def predict(bundle: ModelBundle, samples: Sequence[Sample], device: str = "auto", workers: int = 1,
            progress: Progress | None = None) -> np.ndarray:  # fmt: skip
    """Probabilities (n, C) that a model gives to slices, prepared as it wants them; NaN where one shows no lungs.

    Raises:
        ValueError: the device is not available, or the model does not fit this program.
    """
    preprocessing = Preprocessing.from_dict(bundle.preprocessing)
    runner = Runner(bundle.network(), choose_device(device))
    places: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        places.setdefault(sample.path, []).append(i)
    items = [(path, [samples[i].slice for i in indices]) for path, indices in places.items()]
    table = np.full((len(samples), len(bundle.classes)), np.nan)
    order = list(chain.from_iterable(places.values()))
    with closing(in_order(partial(_pictures, preprocessing=preprocessing), items, workers)) as results:
        shown = zip(order, chain.from_iterable(results), strict=True)
        done = 0
        while portion := list(islice(shown, runner.batch_size)):
            judged = [(i, picture) for i, picture in portion if picture is not None]
            for part, logits in runner.batches(judged, _logits):
                table[[i for i, _ in part]] = _softmax(logits / bundle.temperature)
            done += len(portion)
            if progress:
                progress(done / len(samples), f"Slice {done} of {len(samples)}")
    return table


def _pictures(item: tuple[str, list[int | None]], preprocessing: Preprocessing) -> list[np.ndarray | None]:
    """The slices of a file as an analysis shows them to the network, (size, size) uint8."""
    path, slices = item
    try:
        prepared = prepare_file(path, slices, preprocessing)
    except (OSError, ValueError, RuntimeError):
        return [None] * len(slices)
    return [
        None if one is None else view(one, preprocessing.size, preprocessing.margin, None, None,
                                      preprocessing.mask_lungs if one.calibrated else preprocessing.mask_images)
        for one in prepared
    ]  # fmt: skip


def _logits(network, device: torch.device, portion: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    pictures = torch.from_numpy(np.stack([picture for _, picture in portion]))[:, None]
    with torch.inference_mode():
        return network(pictures.to(device).float() / 255.0).float().cpu().numpy()


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
