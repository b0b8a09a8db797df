"""A coarse copy of a CT for fast 3D morphology, and interpolation back to the grid of the CT."""

import numpy as np
from PIL import Image
from scipy import ndimage

_VOXEL_MM = 2.5


class CoarseGrid:
    """Block means of ``hu`` (S, R, C) with voxels of about 2.5 mm; thicker slices are not resampled.

    Attributes: ``hu`` (s, r, c) int16, its ``spacing`` (slice, row, column) in mm, and ``factors``, the block size.
    """

    def __init__(self, hu: np.ndarray, spacing: tuple[float, float, float]) -> None:
        fine = tuple(float(mm) for mm in spacing[::-1])
        self.shape = hu.shape
        self.factors = tuple(min(max(1, round(_VOXEL_MM / mm)), max(1, n // 8))
                             for mm, n in zip(fine, hu.shape, strict=True))  # fmt: skip
        self.spacing = tuple(mm * f for mm, f in zip(fine, self.factors, strict=True))
        self.hu = _block_means(hu, self.factors)
        self.pixel_mm2 = self.spacing[1] * self.spacing[2]

    def box(self, mask: np.ndarray, margin_mm: float) -> tuple[slice, slice, slice]:
        """Slices of the bounding box of ``mask`` (s, r, c), with a margin."""
        extra = (int(np.ceil(margin_mm / mm)) for mm in self.spacing)
        (tight,) = ndimage.find_objects(mask.view(np.uint8))
        return tuple(slice(max(0, side.start - n), min(size, side.stop + n))
                     for side, n, size in zip(tight, extra, mask.shape, strict=True))  # fmt: skip

    def fine_box(self, box: tuple[slice, slice, slice]) -> tuple[slice, slice]:
        """Slices (rows, columns) of the CT that ``box``, in coarse (slices, rows, columns), covers."""
        return tuple(slice(part.start * f, min(n, part.stop * f))
                     for part, f, n in zip(box[1:], self.factors[1:], self.shape[1:], strict=True))  # fmt: skip

    def blend(self, masks: np.ndarray, index: int) -> np.ndarray:
        """``masks`` (s, r, c) float32, interpolated between coarse slices to slice ``index`` of the CT."""
        at = min(max((index + 0.5) / self.factors[0] - 0.5, 0.0), len(masks) - 1.0)
        below = min(int(at), max(0, len(masks) - 2))
        share = at - below
        if share < 1e-6:
            return masks[below]
        return masks[below] * np.float32(1 - share) + masks[below + 1] * np.float32(share)

    def enlarge(self, values: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """``values`` (r, c) float32, part of a coarse slice, bilinearly at ``rows`` and ``columns`` of the CT."""
        size = columns.stop - columns.start, rows.stop - rows.start
        part = (0, 0, size[0] / self.factors[2], size[1] / self.factors[1])
        return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box=part))


def _block_means(hu: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Means of blocks of ``factors`` voxels, (s, r, c) int16; the last block of an axis may be smaller."""
    fs, fr, fc = factors
    slices, rows, columns = (np.diff(np.arange(0, n, f), append=n) for n, f in zip(hu.shape, factors, strict=True))
    means = np.empty((len(slices), len(rows), len(columns)), dtype=np.int16)
    for s, count in enumerate(slices):
        total = hu[s * fs:s * fs + count].sum(axis=0, dtype=np.int32)
        total = np.pad(total, [(0, -n % f) for n, f in zip(total.shape, (fr, fc), strict=True)])
        total = sum(total[k::fr] for k in range(fr))
        total = sum(total[:, k::fc] for k in range(fc))
        means[s] = np.rint(total / (rows[:, None] * columns * count))
    return means
