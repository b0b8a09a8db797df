"""Reads NIfTI files, plain or gzipped, in blocks.

ITK's reader fills truncated files with zeros, turns NaN into 0 and a spacing of 0 into 1 without an error, and holds a
volume in memory several times. This one raises an error in each of these cases, and holds one int16 volume. The
geometry is that of ITK (and Slicer), or the file's sheared matrix, which ITK rejects.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .hounsfield import to_int16

_BLOCK_BYTES = 8_000_000

# Field: (format, offset in NIfTI-1, format, offset in NIfTI-2), as in the NIfTI-1 and NIfTI-2 standards.
_FIELDS = {
    "dim": ("8i2", 40, "8i8", 16),
    "datatype": ("i2", 70, "i2", 12),
    "pixdim": ("8f4", 76, "8f8", 104),
    "vox_offset": ("f4", 108, "i8", 168),
    "slope": ("f4", 112, "f8", 176),
    "intercept": ("f4", 116, "f8", 184),
    "units": ("u1", 123, "i4", 500),
    "qform_code": ("i2", 252, "i4", 344),
    "sform_code": ("i2", 254, "i4", 348),
    "quaternion": ("6f4", 256, "6f8", 352),
    "srow": ("(3,4)f4", 280, "(3,4)f8", 400),
}
_DATATYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_SEVERAL_VALUES = (32, 128, 1792, 2304)  # complex numbers and colors
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # units of length


def read_nifti(path: Path, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(K, J, I) int16 values, rounded, IJK-to-RAS matrix in mm, and warnings.

    Raises OSError if the file is damaged or incomplete, ValueError if it is not a CT volume.
    """
    damaged = OSError(f"{label} is damaged or incomplete, or not a NIfTI file: copy or export it again.")
    try:
        with open(path, "rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"  # the suffix may be wrong
        with (gzip.open if gzipped else open)(path, "rb") as file:
            header = _header(file.read(540), damaged)
            shape = _shape(header, label)
            dtype = _dtype(header, label)
            start = int(header["vox_offset"]) if np.isfinite(header["vox_offset"]) else -1
            # checked before memory is allocated; deflate compresses at most 1032 : 1
            limit = path.stat().st_size * (1032 if gzipped else 1)
            if start < 348 or start + np.prod(shape, dtype=float) * dtype.itemsize > limit:
                raise damaged
            file.seek(start)
            array = to_int16(_blocks(file, shape, dtype, header), shape, label)
            while file.read(_BLOCK_BYTES):  # to the end, where gzip checks its checksum
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise damaged from None
    return array, *_geometry(header, label)


def _header(raw: bytes, damaged: OSError) -> np.ndarray:
    """The fields of a NIfTI-1 or NIfTI-2 header, in the byte order of the file."""
    for order in "<>":
        size = int(np.frombuffer(raw[:4].ljust(4), order + "i4")[0])
        if size not in (348, 540) or len(raw) < size:
            continue
        version = 0 if size == 348 else 2
        dtype = np.dtype({
            "names": list(_FIELDS),
            "formats": [np.dtype(f[version]).newbyteorder(order) for f in _FIELDS.values()],
            "offsets": [f[version + 1] for f in _FIELDS.values()],
            "itemsize": size,
        })  # fmt: skip
        header = np.frombuffer(raw[:size], dtype)[0]
        magic = raw[344:347] if size == 348 else raw[4:7]
        if magic in (b"n+1", b"n+2") and 1 <= header["dim"][0] <= 7:
            return header
    raise damaged


def _shape(header: np.ndarray, label: str) -> tuple[int, int, int]:
    """(K, J, I); axes beyond the third must have length one."""
    dims = [int(n) for n in header["dim"][1:1 + int(header["dim"][0])]]
    if min(dims) < 1:
        raise ValueError(f"{label} is empty ({' x '.join(map(str, dims))} voxels).")
    if any(n > 1 for n in dims[4:]):
        raise ValueError(f"{label} has several values per voxel, so it is not a CT.")
    if dims[3:] and dims[3] > 1:
        raise ValueError(f"{label} has four dimensions ({' x '.join(map(str, dims[:4]))}): save the volume to analyze "
                         "as a separate file.")  # fmt: skip
    return tuple((dims + [1, 1])[2::-1])


def _dtype(header: np.ndarray, label: str) -> np.dtype:
    code = int(header["datatype"])
    if code in _SEVERAL_VALUES:
        raise ValueError(f"{label} has several values per voxel (color or complex), so it is not a CT.")
    if code not in _DATATYPES:
        raise ValueError(f"{label} has an unsupported data type: save it as 16-bit integers.")
    return np.dtype(_DATATYPES[code]).newbyteorder(header["dim"].dtype.byteorder)


def _blocks(file: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype, header: np.ndarray) -> Iterator[np.ndarray]:
    """Slices in blocks of a few megabytes, scaled by the header's slope and intercept."""
    slope, intercept = float(header["slope"]), float(header["intercept"])
    scaled = np.isfinite([slope, intercept]).all() and slope != 0 and (slope, intercept) != (1.0, 0.0)
    slice_bytes = shape[1] * shape[2] * dtype.itemsize
    count = max(1, _BLOCK_BYTES // slice_bytes)
    for first in range(0, shape[0], count):
        size = min(count, shape[0] - first)
        raw = file.read(size * slice_bytes)
        if len(raw) < size * slice_bytes:
            raise EOFError
        values = np.frombuffer(raw, dtype).reshape(size, *shape[1:])
        yield values * slope + intercept if scaled else values


def _geometry(header: np.ndarray, label: str) -> tuple[np.ndarray, list[str]]:
    """IJK-to-RAS matrix, from the header's matrix (sform) or quaternion (qform), if it has one; and warnings."""
    spacing = np.array([p if i < header["dim"][0] else 1.0 for i, p in enumerate(header["pixdim"][1:4])])
    spacing = np.where((spacing == 0) & (header["dim"][1:4] <= 1), 1.0, spacing)  # a single slice may lack it
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise ValueError(f"{label} has no usable geometry: the voxel spacing must be larger than 0 along every axis.")
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    matrix, warnings = np.vstack([header["srow"].astype(np.float64), (0, 0, 0, 1)]), []
    if has_qform and not (has_sform and _is_rigid(matrix)):
        matrix = _qform(header, spacing)
    elif not has_sform:
        matrix = np.diag([*(spacing * (-1, -1, 1)), 1.0])
        warnings.append("The file does not give the patient's orientation: left and right may be flipped.")
    matrix[:3] *= _MM.get(int(header["units"]) & 7, 1.0)
    return matrix, warnings


def _is_rigid(matrix: np.ndarray) -> bool:
    """Whether the three axes are orthogonal."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or lengths.min() < 1e-6:
        return False
    axes = matrix[:3, :3] / lengths
    return np.allclose(axes.T @ axes, np.eye(3), atol=1e-3)


def _qform(header: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Matrix of the unit quaternion (a, b, c, d), of which the header omits a."""
    b, c, d, *offset = header["quaternion"].astype(np.float64)
    length = b * b + c * c + d * d
    if length > 1.0:  # rounding, at a rotation by 180 degrees
        b, c, d = np.array([b, c, d]) / np.sqrt(length)
    a = np.sqrt(max(0.0, 1.0 - length))
    cross = np.array([[0, -d, c], [d, 0, -b], [-c, b, 0]])
    rotation = np.eye(3) + 2 * a * cross + 2 * cross @ cross
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing
    if header["pixdim"][0] < 0:  # qfac: a left-handed grid
        matrix[:3, 2] *= -1
    matrix[:3, 3] = offset
    return matrix
