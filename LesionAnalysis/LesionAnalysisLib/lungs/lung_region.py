"""The lungs of one slice: the region that is cut out, and the square image of it that the network sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .preprocessing import Preprocessing

Box2D = tuple[float, float, float, float]  # r0, c0, r1, c1: outer edges, where pixel centers are whole numbers


@dataclass(frozen=True, eq=False)
class LungSlice:
    """One slice as the network sees it.

    ``crop`` is the box (r0, c0, r1, c1) of the image's outer edges in axial pixel coordinates, where pixel centers
    are whole numbers, so that pixel edges lie at x.5. Row y of ``image`` lies at the axial row
    r0 + (y + 0.5) * (r1 - r0) / size; columns likewise.
    """

    image: np.ndarray  # (size, size) uint8
    crop: Box2D
    region: LungRegion  # what it was made from

    @property
    def index(self) -> int:
        """Index of the slice along the axial stack."""
        return self.region.index

    @property
    def found(self) -> bool:
        """False where no lungs were found in an image without HU, which is then shown whole."""
        return self.region.found

    @property
    def scale(self) -> tuple[float, float]:
        """Gray levels of air and soft tissue in ``image``; they may lie outside 0..255."""
        return self.region.scale


@dataclass(frozen=True, eq=False)
class LungRegion:
    """The lungs of a slice and their surroundings on the common gray scale, before masking and resampling.

    Analysis and training both start from it: ``view`` is what an analysis shows to the network, augmentation
    (in the training library) makes random views of the same region.
    """

    gray_levels: np.ndarray  # (H, W) uint8
    lungs: np.ndarray  # (H, W) bool
    box: Box2D  # around the lungs, without margin, in axial pixel coordinates
    found: bool = True  # False: no lungs were found in an image without HU; box and lungs are all of it
    calibrated: bool = False  # cut from a volume in HU
    scale: tuple[float, float] = (0.0, 255.0)  # gray levels of air and soft tissue
    cell: tuple[float, float] = (1.0, 1.0)  # height and width of a cell of a lesion's contour, in pixels
    origin: tuple[int, int] = (0, 0)  # axial row and column of gray_levels[0, 0]
    index: int = 0  # along the axial stack

    def view(self, size: int, margin: float, masked: bool) -> LungSlice:
        """The region as a ``LungSlice`` of ``size`` x ``size`` pixels.

        ``margin`` is that of ``grown_box``; ``masked`` blacks out everything but the lungs, where these were found.
        """
        crop = self.grown_box(margin)
        r0, c0, r1, c1 = self._local(crop)
        rows, columns = covered_pixels((r0, c0, r1, c1), self.gray_levels.shape)
        gray_levels = self.gray_levels[rows, columns]
        if masked and self.found:
            gray_levels = np.where(self.lungs[rows, columns], gray_levels, np.uint8(0))
        inner = (r0 - rows.start, c0 - columns.start, r1 - rows.start, c1 - columns.start)
        return LungSlice(resample(np.ascontiguousarray(gray_levels), inner, size), crop, self)

    def network_input(self, preprocessing: Preprocessing) -> LungSlice:
        """The ``view`` that an analysis with ``preprocessing`` shows to the network."""
        return self.view(preprocessing.size, preprocessing.margin, preprocessing.masks(self.calibrated))

    def grown_box(self, margin: float) -> Box2D:
        """``box`` with ``margin``, a share of its size, on each side, cut at the region's edges."""
        (row, column), (height, width) = self.origin, self.lungs.shape
        return grown(self.box, margin, (row - 0.5, column - 0.5, row + height - 0.5, column + width - 0.5))

    def lungs_on_cells(self, crop: Box2D) -> np.ndarray:
        """The lungs on a grid over ``crop`` with cells of about the size ``cell``, sampled at their centers, bool."""
        nearest = []
        axes = zip(crop[:2], crop[2:], self.cell, self.origin, self.lungs.shape, strict=True)
        for low, high, side, start, length in axes:
            count = max(1, round((high - low) / side))
            centers = low + (np.arange(count) + 0.5) * (high - low) / count
            nearest.append(np.clip(np.rint(centers).astype(int) - start, 0, length - 1))
        return self.lungs[np.ix_(*nearest)]

    def lung_share(self, crop: Box2D, grid: tuple[int, int]) -> np.ndarray:
        """Share of lung in each cell of a ``grid`` of (rows, columns) that covers ``crop`` evenly, float."""
        edges = []
        axes = zip(crop[:2], crop[2:], grid, self.origin, self.lungs.shape, strict=True)
        for low, high, count, start, length in axes:
            pixels = np.rint(np.linspace(low, high, count + 1) + 0.5).astype(int) - start
            edges.append(np.clip(pixels, 0, length))
        sums = np.pad(self.lungs.cumsum(0, dtype=np.int32).cumsum(1), ((1, 0), (1, 0)))
        counts = np.diff(np.diff(sums[np.ix_(*edges)], axis=0), axis=1)
        return counts / np.maximum(np.outer(*map(np.diff, edges)), 1)

    def at_origin(self) -> LungRegion:
        """The same region in coordinates of its own, as training stores it."""
        return replace(self, box=self._local(self.box), origin=(0, 0), index=0)

    def _local(self, box: Box2D) -> Box2D:
        row, column = self.origin
        return box[0] - row, box[1] - column, box[2] - row, box[3] - column


def crop_box(lungs: np.ndarray, margin: float = 0.0) -> Box2D:
    """Box (r0, c0, r1, c1) around the mask ``lungs`` (H, W): outer pixel edges, at x.5 where ``margin`` is 0.

    ``margin`` is a share of the box's height and width, added on each side and cut at the image's edges. Raises
    ValueError if the mask is empty.
    """
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    if rows.size == 0:
        raise ValueError("There are no lungs to crop to in this slice.")
    box = rows[0] - 0.5, columns[0] - 0.5, rows[-1] + 0.5, columns[-1] + 0.5
    return grown(tuple(map(float, box)), margin, (-0.5, -0.5, lungs.shape[0] - 0.5, lungs.shape[1] - 0.5))


def grown(box: Box2D, margin: float, limits: Box2D = (-np.inf, -np.inf, np.inf, np.inf)) -> Box2D:
    """``box`` with ``margin``, a share of its size, on each side, cut at the edges of ``limits``."""
    r0, c0, r1, c1 = box
    rows, columns = margin * (r1 - r0), margin * (c1 - c0)
    top, left, bottom, right = limits
    return max(top, r0 - rows), max(left, c0 - columns), min(bottom, r1 + rows), min(right, c1 + columns)


def covered_pixels(crop: Box2D, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Slices (rows, columns) of the pixels of an image of ``shape`` that ``crop`` touches."""
    r0, c0, r1, c1 = crop
    rows = slice(max(0, int(np.floor(r0 + 0.5))), min(shape[0], int(np.ceil(r1 + 0.5))))
    columns = slice(max(0, int(np.floor(c0 + 0.5))), min(shape[1], int(np.ceil(c1 + 0.5))))
    return rows, columns


def resample(gray_levels: np.ndarray, crop: Box2D, size: int) -> np.ndarray:
    """``crop`` (outer edges, see ``crop_box``) of ``gray_levels`` (H, W) uint8 as (size, size) uint8.

    Bilinear; where the image shrinks, the kernel widens with it, which avoids aliasing.
    """
    r0, c0, r1, c1 = crop
    box = (c0 + 0.5, r0 + 0.5, c1 + 0.5, r1 + 0.5)  # Pillow counts from the first pixel's outer edge
    return np.asarray(Image.fromarray(gray_levels).resize((size, size), Image.Resampling.BILINEAR, box=box))
