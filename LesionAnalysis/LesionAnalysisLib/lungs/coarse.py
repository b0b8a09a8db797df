"""A coarse copy of a CT for fast 3D morphology, and interpolation back to the grid of the CT."""

import numpy as np
from PIL import Image

_VOXEL_MM = 2.5


class CoarseGrid:
    """Block means of ``hu`` (S, R, C) with voxels of about 2.5 mm; thicker slices are not resampled.

    Attributes: ``hu`` (s, r, c) int16, its ``spacing`` (slice, row, column) in mm, and ``factors``, the block size.
    """

    def __init__(self, hu, spacing):
        fine = tuple(float(mm) for mm in spacing[::-1])
        self.shape = hu.shape
        self.factors = tuple(min(max(1, round(_VOXEL_MM / mm)), max(1, n // 8))
                             for mm, n in zip(fine, hu.shape, strict=True))  # fmt: skip
        self.spacing = tuple(mm * f for mm, f in zip(fine, self.factors, strict=True))
        self.hu = _block_means(hu, self.factors)
        self.pixel_mm2 = self.spacing[1] * self.spacing[2]
        self.voxel_ml = self.pixel_mm2 * self.spacing[0] / 1000.0

    def box(self, mask, margin_mm):
        """Slices of the bounding box of ``mask`` (s, r, c), with a margin."""
        box = []
        for axis in range(3):
            line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            extra = int(np.ceil(margin_mm / self.spacing[axis]))
            box.append(slice(max(0, line[0] - extra), min(mask.shape[axis], line[-1] + 1 + extra)))
        return tuple(box)

    def fine_box(self, box):
        """Slices (rows, columns) of the CT that ``box``, in coarse (slices, rows, columns), covers."""
        return tuple(slice(part.start * f, min(n, part.stop * f))
                     for part, f, n in zip(box[1:], self.factors[1:], self.shape[1:], strict=True))  # fmt: skip

    def blend(self, masks, index):
        """``masks`` (s, r, c) float32, interpolated between coarse slices to slice ``index`` of the CT."""
        at = min(max((index + 0.5) / self.factors[0] - 0.5, 0.0), len(masks) - 1.0)
        below = min(int(at), max(0, len(masks) - 2))
        share = at - below
        if share < 1e-6:
            return masks[below]
        return masks[below] * np.float32(1 - share) + masks[below + 1] * np.float32(share)

    def enlarge(self, values, rows, columns):
        """``values`` (r, c) float32, part of a coarse slice, bilinearly at ``rows`` and ``columns`` of the CT."""
        _, row_factor, column_factor = self.factors
        part = (0, 0, (columns.stop - columns.start) / column_factor, (rows.stop - rows.start) / row_factor)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box=part))


def _block_means(hu, factors):
    """Means of blocks of ``factors`` voxels, (s, r, c) int16; the last block of an axis may be smaller."""
    fs, fr, fc = factors
    shape = tuple(-(-n // f) for n, f in zip(hu.shape, factors, strict=True))
    means = np.empty(shape, dtype=np.int16)
    for s in range(shape[0]):
        total, count = 0, 0
        for fine in hu[s * fs:(s + 1) * fs]:
            total = total + _sums(_sums(fine.astype(np.int32), fr).T, fc).T
            count += 1
        rows = np.minimum(fr, hu.shape[1] - np.arange(shape[1]) * fr)
        columns = np.minimum(fc, hu.shape[2] - np.arange(shape[2]) * fc)
        means[s] = np.rint(total / (rows[:, None] * columns * count))
    return means


def _sums(values, factor):
    """Sums of ``factor`` adjacent rows of ``values`` (n, m)."""
    if factor == 1:
        return values
    sums = values[::factor].copy()
    for k in range(1, factor):
        more = values[k::factor]
        sums[:len(more)] += more
    return sums
