"""What the network is shown: the slices of an epoch in their order, as plain or augmented views, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .augmentation import view
from .dataset import TRAIN, Prepared, Sample
from .synthesis import add_lesions
from .training_config import Augmentation, TrainingConfig

MARK_PIXELS = 8  # of a view to a cell of P3, along each axis
UNKNOWN = -1.0


class Views(Dataset):
    """Items (picture (1, size, size) uint8, class index) of the prepared slices whose indices ``order`` holds.

    With ``lungs`` a second channel shows the lungs in white. ``positive`` is the class that synthesized lesions make.
    With ``marks`` an item has a third part, (size / 8, size / 8) float32: the share of lesion in each cell, which is
    known where lesions were synthesized and in the other classes; UNKNOWN else.

    With ``seed`` they are augmented; each item has a random stream of its own, so that an epoch can be repeated
    exactly whatever process makes it. Without, they are as an analysis shows them: ``masked`` None follows the
    configuration (volumes and pictures may differ), True and False black out all but the lungs, or nothing.
    """

    def __init__(self, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray, size: int,
                 config: TrainingConfig, seed: tuple[int, ...] | None = None, masked: bool | None = None,
                 lungs: bool = False, positive: int | None = None, marks: bool = False) -> None:  # fmt: skip
        self.pictures, self.order, self.size, self.config = pictures, order, size, config
        self.labels = np.array([s.label for s in samples])
        self.seed, self.masked, self.lungs, self.positive, self.marks = seed, masked, lungs, positive, marks

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        index, config = int(self.order[i]), self.config
        picture, masked, label = self.pictures[index], self.masked, int(self.labels[index])
        if masked is None:
            masked = config.mask_lungs if picture.calibrated else config.mask_images
        picture, label, drawn = self._sickened(picture, label, i)
        shown = [self._view(picture, config.augmentation, i, masked)]
        if self.lungs:
            white = replace(picture, gray_levels=picture.lungs.astype(np.uint8) * 255)
            shown.append(self._view(white, config.augmentation.movement(), i, masked))
        item = torch.tensor(np.stack(shown)), label
        return (*item, self._marks(picture, drawn, label, i)) if self.marks else item

    def _marks(self, picture: Prepared, drawn: np.ndarray | None, label: int, i: int) -> Tensor:
        cells = self.size // MARK_PIXELS
        if drawn is None:
            return torch.full((cells, cells), 0.0 if label != self.positive else UNKNOWN)
        white = replace(picture, gray_levels=drawn.astype(np.uint8) * 255)
        seen = self._view(white, self.config.augmentation.movement(), i, False)
        return torch.from_numpy(seen.reshape(cells, MARK_PIXELS, cells, MARK_PIXELS).mean((1, 3), np.float32) / 255)

    def _sickened(self, picture: Prepared, label: int, i: int) -> tuple[Prepared, int, np.ndarray | None]:
        """Some slices of the other classes with synthesized lesions, the label of the disease, and the lesions."""
        chance = self.config.augmentation.lesion_chance
        if self.seed is None or self.positive in (None, label) or not chance or not picture.found:
            return picture, label, None
        rng = np.random.default_rng((*self.seed, i, 1))
        made = add_lesions(picture.gray_levels, picture.lungs, rng) if rng.random() < chance else None
        return (picture, label, None) if made is None else (replace(picture, gray_levels=made[0]), self.positive, made[1])

    def _view(self, picture: Prepared, settings: Augmentation, i: int, masked: bool) -> np.ndarray:
        if self.seed is None:
            return view(picture, self.size, self.config.margin, None, None, masked)
        rng = np.random.default_rng((*self.seed, i))  # the same for both channels
        return view(picture, self.size, self.config.margin, settings, rng)


def draw_order(samples: Sequence[Sample], config: TrainingConfig, epoch: int) -> np.ndarray:
    """Indices of the training slices of one epoch.

    Balanced, classes come equally often and the sources of a class by ``source_power`` of their size, with
    replacement; else every slice comes once, shuffled.
    """
    rng = np.random.default_rng((config.seed, epoch))
    train = np.array([i for i, s in enumerate(samples) if s.split == TRAIN], int)
    if not config.balance:
        return rng.permutation(train)
    groups = Counter((samples[i].label, samples[i].source) for i in train)
    raw = {group: n**config.source_power for group, n in groups.items()}
    totals: Counter = Counter()
    for (label, _), weight in raw.items():
        totals[label] += weight
    keys = [(samples[i].label, samples[i].source) for i in train]
    weights = np.array([raw[key] / totals[key[0]] / groups[key] for key in keys])
    return rng.choice(train, config.samples_per_epoch or len(train), p=weights / weights.sum())


def share_of_batches(count: int, batch: int, rank: int, team: int) -> list[range]:
    """Positions of one process's part of every whole batch of ``count`` items, equal parts side by side."""
    part = batch // team
    return [range(start + rank * part, start + (rank + 1) * part) for start in range(0, count - batch + 1, batch)]


def loader(views: Views, batches: list[range], workers: int, pin: bool = False) -> DataLoader:
    """The batches of ``views``; with ``workers`` they are made ahead in other processes."""
    return DataLoader(views, batch_sampler=batches, num_workers=workers, pin_memory=pin,
                      prefetch_factor=4 if workers else None)  # fmt: skip


def plain_batches(count: int, batch: int) -> list[range]:
    """Positions of all of ``count`` items, in order, the last batch as long as it is."""
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]
