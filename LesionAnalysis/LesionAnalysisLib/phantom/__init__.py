"""A synthetic chest CT with lesions of known position, size and density, for the demo and the tests.

    phantom = make_phantom(seed=1)  # 120 slices of 512 x 512
    phantom.ct, phantom.lung_mask, phantom.lesion_labels, phantom.lesions

``chest`` and ``torso`` describe organs with smooth borders (lungs, heart, muscle) as functions of position,
``skeleton`` and ``trees`` tubular structures (ribs, vessels, airways), ``lesion_shapes`` the lesions; ``patient``
combines them. ``grid`` defines the voxel grid, ``noise`` generates random numbers, ``tubes`` rasterizes tubes, and
``render`` computes the slices.
"""

from .phantom import Phantom, PhantomLesion, make_phantom

__all__ = ["Phantom", "PhantomLesion", "make_phantom"]
