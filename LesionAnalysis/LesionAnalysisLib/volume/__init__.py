"""Reads a CT from anywhere and shows it as radiologists see it.

    ct = read_ct("ct.nii.gz")              # or a DICOM folder, or pictures
    ct = ct_from_array(array_kji, ijk_to_ras, "CTChest")   # or the array and matrix of an MRML node
    view = ct.axial()                      # (slices, rows, columns), patient's right at the left
    labels = view.to_volume(view.array > 0)   # back on the CT's own grid

``geometry`` is the CT and its axial view, ``hounsfield`` decides whether values are HU,
``files``, ``dicom`` and ``pictures`` read one kind of input each, ``readers`` chooses among them.
"""

from .dicom import DicomSeries, list_series
from .geometry import AxialView, CtVolume
from .readers import ct_from_array, read_ct

__all__ = ["AxialView", "CtVolume", "DicomSeries", "ct_from_array", "list_series", "read_ct"]
