"""What the network is shown: the slices of an epoch in their order, as plain or augmented views, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .augmentation import Augmentation, view
from .config import TrainingConfig
from .dataset import TRAIN, Prepared, Sample


class Views(Dataset):
    """Items (picture (1, size, size) uint8, class index) of the prepared slices whose indices ``order`` holds.

    With ``lungs`` a second channel shows the lungs in white.

    With ``seed`` they are augmented; each item has a random stream of its own, so that an epoch can be repeated
    exactly whatever process makes it. Without, they are as an analysis shows them: ``masked`` None follows the
    configuration (volumes and pictures may differ), True and False black out all but the lungs, or nothing.
    """

    def __init__(self, pictures: Sequence[Prepared], samples: Sequence[Sample], order: np.ndarray, size: int,
                 config: TrainingConfig, seed: tuple[int, ...] | None = None, masked: bool | None = None,
                 lungs: bool = False) -> None:  # fmt: skip
        self.pictures, self.order, self.size, self.config = pictures, order, size, config
        self.labels = np.array([s.label for s in samples])
        self.seed, self.masked, self.lungs = seed, masked, lungs

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        index, config = int(self.order[i]), self.config
        picture, masked = self.pictures[index], self.masked
        if masked is None:
            masked = config.mask_lungs if picture.calibrated else config.mask_pictures
        shown = [self._view(picture, config.augmentation, i, masked)]
        if self.lungs:
            white = replace(picture, greys=picture.lungs.astype(np.uint8) * 255)
            shown.append(self._view(white, config.augmentation.movement(), i, masked))
        return torch.tensor(np.stack(shown)), int(self.labels[index])

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
