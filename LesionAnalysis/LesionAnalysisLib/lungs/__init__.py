"""Lungs: segmenting them in CT volumes and in single images, and cutting slices to them (section 4.2.2).

    mask = segment_lungs(ct)                              # (S, R, C) on ct.axial()
    for piece in lung_slices(ct, mask, Preprocessing()):  # piece.image (512, 512) uint8, piece.crop
        ...
"""

from .image_lungs import segment_image
from .lung_region import LungRegion, LungSlice
from .preprocessing import Preprocessing
from .slicing import kept_slices, lung_regions, lung_slices, segment_lungs
from .volume_lungs import NoLungsError

__all__ = ["LungRegion", "LungSlice", "NoLungsError", "Preprocessing", "kept_slices", "lung_regions", "lung_slices",
           "segment_image", "segment_lungs"]
