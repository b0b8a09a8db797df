"""Lungs: segmenting them in CT volumes and in single images, and cutting slices to them for the network.

    mask = segment_lungs(ct)                              # (S, R, C) on ct.axial()
    for piece in lung_slices(ct, mask, Preprocessing()):  # piece.image (512, 512) uint8, piece.crop
        ...

``volume_lungs`` (with ``coarse``, ``hull`` and ``border``) segments volumes in HU, ``image_lungs`` single 8-bit images;
``preprocessing`` holds the settings, ``gray_scale`` and ``lung_region`` what is done to one slice, ``slicing`` applies
it all to a CT (section 4.2.2).
"""

from .image_lungs import segment_image
from .lung_region import LungRegion, LungSlice
from .preprocessing import Preprocessing
from .slicing import kept_slices, lung_regions, lung_slices, segment_lungs
from .volume_lungs import NoLungsError

__all__ = ["LungRegion", "LungSlice", "NoLungsError", "Preprocessing", "kept_slices", "lung_regions", "lung_slices",
           "segment_image", "segment_lungs"]
