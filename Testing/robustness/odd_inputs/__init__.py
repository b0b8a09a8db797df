"""Inputs as hospitals have them: damaged, odd, of another kind, or just unusual; each with how it has to end.

``INPUTS`` maps a name to an ``Odd``.
"""

from . import damaged, values, geometry, bodies, names, dicom, pictures  # isort: skip # noqa: F401
from .base import EITHER, GOOD, INPUTS, REFUSED

__all__ = ["EITHER", "GOOD", "INPUTS", "REFUSED"]
