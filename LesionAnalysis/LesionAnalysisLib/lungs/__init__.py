"""Lungs: finding them in CT volumes and in single pictures, and cutting slices to them for the network.

    mask = segment_lungs(ct)                              # (S, R, C) on ct.axial()
    for piece in lung_slices(ct, mask, Preprocessing()):  # piece.image (512, 512) uint8, piece.crop
        ...

METHOD, "Preprocessing" (paper, section 4.2.2). ``volumes`` (with ``coarse``, ``hull`` and ``border``) finds
lungs in HU, ``pictures`` in single 8-bit pictures, ``preprocessing`` holds the settings and what is done to
one picture, ``slices`` puts it all together for a CT.
"""

from .image_lungs import segment_image
from .preprocessing import LungSlice, Preprocessing, anchor_gray_levels, prepare_image
from .slicing import kept_slices, lung_slices, segment_lungs

__all__ = ["LungSlice", "Preprocessing", "anchor_gray_levels", "kept_slices", "lung_slices", "prepare_image",
           "segment_lungs", "segment_image"]
