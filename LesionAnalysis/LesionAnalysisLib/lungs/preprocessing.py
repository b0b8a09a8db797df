"""From a slice and its lungs to the picture that the network sees, and the way back.

Paper, section 4.2.2; METHOD, "Preprocessing" and "What trials showed".
"""

from dataclasses import asdict, dataclass, fields

import numpy as np
from PIL import Image
from scipy import ndimage

from .image_lungs import otsu, segment_image, trim_frame

DARK_ANCHOR, BRIGHT_ANCHOR = 60.0, 190.0  # gray levels to which lung air and soft tissue are brought
_AIR_PERCENT, _TISSUE_PERCENT = 0.1, 98  # of a picture's pixels are at most as bright as air, as soft tissue
_MIN_CONTRAST = 8.0  # gray levels between the two; less is not a slice, and is left as it is


@dataclass(frozen=True)
class Preprocessing:
    """Settings of everything between a CT and the network; stored in the model bundle as a dict."""

    window_hu: tuple[float, float] = (-1200.0, 600.0)  # HU shown as 0 and 255 (Wang 2020d)
    anchor_gray_levels: bool = True  # bring lung air and soft tissue to the same gray levels whatever the source's window
    mask_lungs: bool = True  # black out everything but the lungs of a volume, which are found in 3D
    mask_images: bool = False  # likewise of pictures, where consolidations are lost with what surrounds them
    margin: float = 0.03  # added around the lungs' box on every side, as a share of its size
    size: int = 512  # rows and columns of the network's picture
    slab_mm: float = 4.0  # thinner slices of a volume are averaged to this; 0 switches it off
    min_mean: float = 0.03  # slices whose masked crop has a lower mean in [0, 1] are dropped
    min_area_share: float = 0.1  # so are slices with less lung than this share of the largest slice's

    def __post_init__(self):
        low, high = (float(v) for v in self.window_hu)
        object.__setattr__(self, "window_hu", (low, high))  # a list, where it comes from JSON
        if not low < high:
            raise ValueError(f"The window must go from a lower to a higher HU value, not {low} to {high}.")
        if self.size < 32:
            raise ValueError(f"The network's picture needs at least 32 rows and columns, not {self.size}.")
        if not (0 <= self.margin <= 1 and self.slab_mm >= 0 and 0 <= self.min_mean < 1
                and 0 <= self.min_area_share < 1):
            raise ValueError("Preprocessing shares must lie between 0 and 1, and the slab must be >= 0 mm.")

    @classmethod
    def paper(cls):
        """The paper's: black outside of the lungs, tight crop, single slices, no gray anchors.

        Its `min_mean` of 0.08 loses infected slices at the base of the lungs, so the default is lower.
        """
        return cls(anchor_gray_levels=False, mask_lungs=True, mask_images=True, margin=0.0, slab_mm=0.0, min_mean=0.08)

    def to_dict(self):
        """Settings as plain values for JSON."""
        return {**asdict(self), "window_hu": list(self.window_hu)}

    @classmethod
    def from_dict(cls, settings):
        """The inverse of `to_dict`; a missing setting keeps its default, an unknown one is a ValueError."""
        unknown = sorted(set(settings) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"Unknown preprocessing settings: {', '.join(unknown)}; update LesionAnalysis.")
        return cls(**settings)


@dataclass(frozen=True, eq=False)
class LungSlice:
    """One slice as the network sees it.

    `crop` is the box (r0, c0, r1, c1) of the picture's outer edges in axial pixel coordinates, where pixel
    centers are whole numbers (so edges of pixels are at x.5). Row y of `image` lies at the axial row
    r0 + (y + 0.5) * (r1 - r0) / size; columns likewise.
    """

    index: int
    image: np.ndarray  # (size, size) uint8
    crop: tuple[float, float, float, float]
    found: bool = True  # False: no lungs were found in a single picture, so it shows all of it
    scale: tuple[float, float] = (0.0, 255.0)  # gray levels of air and soft tissue in `image`, may exceed 0..255


def anchor_gray_levels(values, lungs=None):
    """Gray levels (dark, bright) of lung air and soft tissue in `values` uint8; None without contrast.

    Otsu splits the crop into dark and bright; each anchor is the median of its part. Where a mask `lungs` of
    the same shape is given, air outside of it does not count as dark; else pure black (padding) does not.
    """
    threshold = otsu(values)
    if threshold is None:
        return None
    dark = values < threshold
    in_lungs = dark & lungs if lungs is not None else dark & (values > 0)
    if in_lungs.sum() >= 0.02 * dark.sum():
        dark_part = values[in_lungs]
    else:
        dark_part = values[dark]
    low, high = float(np.median(dark_part)), float(np.median(values[values >= threshold]))
    return (low, high) if high - low >= _MIN_CONTRAST else None


def gray_table(anchors):
    """Look-up table (256,) uint8: linear, the two `anchors` to 60 and 190, clipped. Identity for None."""
    return np.clip(np.rint(anchored(np.arange(256, dtype=np.float32), anchors)), 0, 255).astype(np.uint8)


def anchored(gray_levels, anchors):
    """`gray_levels` with the two `anchors` brought to 60 and 190, not clipped; as they are for None."""
    if anchors is None:
        return gray_levels
    low, high = anchors
    return DARK_ANCHOR + (gray_levels - low) * ((BRIGHT_ANCHOR - DARK_ANCHOR) / (high - low))


def gray_scale(ends, anchors):
    """`LungSlice.scale`: the gray_levels `ends` of air and of soft tissue, as they are after `gray_table`."""
    return tuple(float(gray) for gray in anchored(np.array(ends, dtype=float), anchors))


def crop_box(lungs, margin=0.0):
    """Box (r0, c0, r1, c1) around the mask `lungs` (H, W): outer pixel edges, at x.5 where margin is 0.

    `margin` is a share of the box's height and width, added on each side and cut at the picture's edges.
    ValueError where the mask is empty.
    """
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    if rows.size == 0:
        raise ValueError("There are no lungs to crop to in this slice.")
    edges = []
    for line, length in ((rows, lungs.shape[0]), (columns, lungs.shape[1])):
        low, high = line[0] - 0.5, line[-1] + 0.5
        extra = margin * (high - low)
        edges.append((max(-0.5, low - extra), min(length - 0.5, high + extra)))
    (r0, r1), (c0, c1) = edges
    return float(r0), float(c0), float(r1), float(c1)


def resample(gray_levels, crop, size):
    """`crop` (outer edges as in `crop_box`) of `gray_levels` (H, W) uint8 as (size, size) uint8.

    Bilinear; where it shrinks, the kernel widens with it, so that nothing is skipped.
    """
    r0, c0, r1, c1 = crop
    box = (c0 + 0.5, r0 + 0.5, c1 + 0.5, r1 + 0.5)  # Pillow counts from the first pixel's outer edge
    return np.asarray(Image.fromarray(gray_levels).resize((size, size), Image.Resampling.BILINEAR, box=box))


def prepare_image(picture, preprocessing, index=0):
    """A single picture (H, W) uint8 as the network sees it.

    Where no lungs are found the whole picture is taken (without a uniform frame) and `found` is False. None
    only for a picture without content: smaller than 16 pixels or all of one gray. Pictures are never dropped
    by `min_mean`, since their windows differ.
    """
    picture = np.ascontiguousarray(picture)
    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise ValueError("A picture must be two-dimensional, of one channel, with 8 bits.")
    return cut_image(picture, segment_image(picture), preprocessing, index)


def cut_image(picture, lungs, preprocessing, index=0):
    """`prepare_image` with the lungs' mask (H, W) already at hand (all False: none found)."""
    r0, r1, c0, c1 = trim_frame(picture)
    if min(r1 - r0, c1 - c0) < 16 or np.ptp(picture) == 0:
        return None
    whole = (r0 - 0.5, c0 - 0.5, r1 - 0.5, c1 - 0.5)
    found = bool(lungs.any())
    crop = crop_box(lungs, preprocessing.margin) if found else whole
    if not preprocessing.mask_images and _fills(crop, whole):
        crop = whole
    rows, columns = covered_pixels(crop, picture.shape)
    part, inside = picture[rows, columns], lungs[rows, columns]
    anchors = anchor_gray_levels(part, inside if found else None) if preprocessing.anchor_gray_levels else None
    gray_levels, scale = gray_table(anchors)[part], gray_scale(_ends(part), anchors)
    if preprocessing.mask_images and found:
        gray_levels = np.where(inside, gray_levels, np.uint8(0))
    moved = (crop[0] - rows.start, crop[1] - columns.start, crop[2] - rows.start, crop[3] - columns.start)
    return LungSlice(index, resample(gray_levels, moved, preprocessing.size), crop, found, scale)


def _ends(picture):
    """GrayLevels of air and of soft tissue in a picture uint8: of windows that begin below air, black is no air."""
    smooth = ndimage.uniform_filter(picture.astype(np.float32), 3)  # or noise would make the air darker
    return np.percentile(smooth, _AIR_PERCENT), np.percentile(picture, _TISSUE_PERCENT)


def _fills(crop, whole):
    """Whether the picture was cropped to the lungs before: `crop` comes near to three of its sides.

    What is left at the fourth is then more likely a consolidated part of the lungs, which no threshold finds.
    """
    height, width = whole[2] - whole[0], whole[3] - whole[1]
    gaps = [abs(a - b) / length for a, b, length in zip(crop, whole, (height, width) * 2, strict=True)]
    return sum(gap < 0.02 for gap in gaps) >= 3


def covered_pixels(crop, shape):
    """Slices (rows, columns) of the pixels of a picture of `shape` that `crop` touches."""
    r0, c0, r1, c1 = crop
    rows = slice(max(0, int(np.floor(r0 + 0.5))), min(shape[0], int(np.ceil(r1 + 0.5))))
    columns = slice(max(0, int(np.floor(c0 + 0.5))), min(shape[1], int(np.ceil(c1 + 0.5))))
    return rows, columns
