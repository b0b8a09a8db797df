"""A synthetic chest CT with lesions of known place, size and density: for the demo and for the tests.

    phantom = make_phantom(seed=1)                      # 120 slices of 512x512
    phantom = make_phantom((60, 256, 256), (1.4, 1.4, 5.0), diseased=False, orientation="sagittal")
    phantom.save("ct.nii.gz")

``chest`` and ``torso`` describe what is smooth (lungs, heart, muscle) as functions of position, ``skeleton`` and
``trees`` what is made of tubes (ribs, vessels, airways), ``lesions`` the disease; ``patient`` joins them. ``grid``
says where a scan samples them and how it is stored, ``noise`` is the source of all chance, ``tubes`` paints, and
``render`` puts the slices together.
"""

from .grid import Orientation, orientations
from .phantom import Phantom, PhantomLesion, make_phantom
from .truth import true_analysis

__all__ = ["Orientation", "Phantom", "PhantomLesion", "make_phantom", "orientations", "true_analysis"]
