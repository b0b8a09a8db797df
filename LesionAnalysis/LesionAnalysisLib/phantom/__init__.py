"""A synthetic chest CT with lesions of known position, size and density, for the demo and the tests.

    phantom = make_phantom(seed=1)  # 120 slices of 512 x 512
    phantom.ct, phantom.lung_mask, phantom.lesion_labels, phantom.lesions

Organs with smooth borders are functions of position, ribs, vessels and airways are tubes.
"""

from .phantom import Phantom, PhantomLesion, make_phantom

__all__ = ["Phantom", "PhantomLesion", "make_phantom"]
