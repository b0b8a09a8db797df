"""Malformed and unusual inputs as they occur in clinical data, each with its expected outcome.

``INPUTS`` maps a name to an ``OddInput``.
"""

from . import damaged, values, geometry, bodies, names, dicom, images  # isort: skip # noqa: F401
from .base import EITHER, GOOD, INPUTS, REJECTED

__all__ = ["EITHER", "GOOD", "INPUTS", "REJECTED"]
