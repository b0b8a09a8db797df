"""Batches of plain or augmented views, and the slices of an epoch in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from LesionAnalysisLib.lungs import LungRegion
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .augmentation import augmented_view
from .dataset import TRAIN, Sample
from .synthesis import add_lesions
from .training_config import Augmentation, TrainingConfig

MARK_PIXELS = 8  # of a view to a cell of P3, along each axis
UNKNOWN = -1.0


class Views(Dataset):
    """Items (image (1, size, size) uint8, class index) of the slices with the indices ``order``.

    With ``seed`` they are augmented; each item has a random stream of its own, so that an epoch can be repeated exactly
    by any number of workers. Without, they are as an analysis shows them.

    Args:
        lungs: add a second channel with the lungs in white.
        positive: the class that slices get when lesions are synthesized into them.
        marks: add a third part to each item, (size / 8, size / 8) float32: the share of lesion in each cell, which is
            known where lesions were synthesized and in the other classes, and UNKNOWN elsewhere.
    """

    def __init__(self, regions: Sequence[LungRegion], samples: Sequence[Sample], order: np.ndarray, size: int,
                 config: TrainingConfig, seed: tuple[int, ...] | None = None, lungs: bool = False,
                 positive: int | None = None, marks: bool = False) -> None:  # fmt: skip
        self.regions, self.order, self.size, self.config = regions, order, size, config
        self.preprocessing = replace(config.preprocessing(), size=size)
        self.labels = np.array([s.label for s in samples])
        self.seed, self.lungs, self.positive, self.marks = seed, lungs, positive, marks

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> tuple[Tensor, int] | tuple[Tensor, int, Tensor]:
        index = int(self.order[i])
        region, label, lesions = self._with_synthetic_lesions(self.regions[index], int(self.labels[index]), i)
        channels = [self._view(region, self.config.augmentation, i)]
        if self.lungs:
            channels.append(self._mask_view(region, region.lungs, i))
        item = torch.tensor(np.stack(channels)), label
        return (*item, self._marks(region, lesions, label, i)) if self.marks else item

    def _with_synthetic_lesions(self, region: LungRegion, label: int,
                                i: int) -> tuple[LungRegion, int, np.ndarray | None]:  # fmt: skip
        """Some slices of the other classes with lesions, the label of the disease, and the lesions' mask."""
        chance = self.config.augmentation.lesion_chance
        if self.seed is None or self.positive in (None, label) or not chance or not region.found:
            return region, label, None
        rng = np.random.default_rng((*self.seed, i, 1))
        added = add_lesions(region.gray_levels, region.lungs, rng) if rng.random() < chance else None
        if added is None:
            return region, label, None
        return replace(region, gray_levels=added[0]), self.positive, added[1]

    def _marks(self, region: LungRegion, lesions: np.ndarray | None, label: int, i: int) -> Tensor:
        cells = self.size // MARK_PIXELS
        if lesions is None:
            return torch.full((cells, cells), 0.0 if label != self.positive else UNKNOWN)
        mask = self._mask_view(region, lesions, i)
        return torch.from_numpy(mask.reshape(cells, MARK_PIXELS, cells, MARK_PIXELS).mean((1, 3), np.float32) / 255)

    def _mask_view(self, region: LungRegion, mask: np.ndarray, i: int) -> np.ndarray:
        """A mask (H, W), moved as the slice is, as 0 to 255."""
        white = replace(region, gray_levels=mask.astype(np.uint8) * 255)
        return self._view(white, self.config.augmentation.geometry(), i)

    def _view(self, region: LungRegion, augmentation: Augmentation, i: int) -> np.ndarray:
        if self.seed is None:
            return region.network_input(self.preprocessing).image
        rng = np.random.default_rng((*self.seed, i))  # the same for an image and its masks
        return augmented_view(region, self.size, self.config.margin, augmentation, rng)


def draw_order(samples: Sequence[Sample], config: TrainingConfig, epoch: int) -> np.ndarray:
    """Indices of the training slices of one epoch.

    Balanced, classes come equally often and the sources of a class in proportion to n^``source_power``, with
    replacement; else every slice comes once, shuffled.
    """
    rng = np.random.default_rng((config.seed, epoch))
    train = split_indices(samples, TRAIN)
    if not config.balance:
        return rng.permutation(train)
    keys = [(samples[i].label, samples[i].source) for i in train]
    sizes = Counter(keys)
    totals: Counter = Counter()
    for (label, _), n in sizes.items():
        totals[label] += n**config.source_power
    weights = np.array([sizes[key] ** config.source_power / totals[key[0]] / sizes[key] for key in keys])
    return rng.choice(train, config.samples_per_epoch or len(train), p=weights / weights.sum())


def split_indices(samples: Sequence[Sample], split: str) -> np.ndarray:
    """Indices of the slices of a split."""
    return np.array([i for i, s in enumerate(samples) if s.split == split], int)


def training_batches(count: int, batch: int, drop_last: bool = True, rank: int = 0, processes: int = 1) -> list[range]:
    """Positions of one process's part of every batch of ``count`` items, equal parts side by side.

    An incomplete last batch is kept without ``drop_last`` where it has two slices for every process, which batch norm
    needs.
    """
    batches = []
    for start in range(0, count, batch):
        part = min(batch, count - start) // processes
        if start + batch <= count or (part >= 2 and not drop_last):
            batches.append(range(start + rank * part, start + (rank + 1) * part))
    return batches


def plain_batches(count: int, batch: int) -> list[range]:
    """Positions of all of ``count`` items, in order; the last batch may be shorter."""
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def loader(views: Views, batches: list[range], workers: int, pin: bool = False) -> DataLoader:
    """The batches of ``views``, made ahead by ``workers`` other processes, if any."""
    return DataLoader(views, batch_sampler=batches, num_workers=workers, pin_memory=pin,
                      prefetch_factor=4 if workers else None)  # fmt: skip
