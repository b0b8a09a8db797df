"""Reading CTs and showing them as axial slices.

    ct = read_ct("ct.nii.gz")              # or a DICOM folder, or images
    ct = ct_from_array(array_kji, ijk_to_ras, "CTChest")   # or the array and matrix of an MRML node
    view = ct.axial()                      # (slices, rows, columns), the patient's right on the left
    labels = view.to_volume(view.array > 0)   # back to the grid of the CT
"""

from .geometry import AxialView, CtVolume
from .readers import ct_from_array, read_ct

__all__ = ["AxialView", "CtVolume", "ct_from_array", "read_ct"]
