"""Arrays of numbers as .npz bytes, read without unpickling and without trusting sizes."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

_MAX_BYTES = 2**29  # of unpacked arrays; no FeCNN comes near, a decompression bomb does


_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes; others unpack without a limit


_TENSORS = {"<i1", "|i1", "<i4", "<i8", "<f2", "<f4", "<f8"}


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of numbers from the bytes of a ``.npz`` file; an exception for anything else in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _MAX_BYTES:
            raise ValueError("its arrays are too large for a model")
        arrays = {}
        for member in members:
            if member.compress_type not in _PACKED:
                raise ValueError("it is packed in an unusual way")
            with archive.open(member) as file:
                arrays[member.filename.removesuffix(".npy")] = _read_array(file, member.file_size)
    return arrays


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of a ``.npy`` file of ``size`` bytes, which its header must fit before anything is set aside for it.

    NumPy's own reader asks for the memory that the header claims.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = headers[np.lib.format.read_magic(file)](file)
    left = size - file.tell()
    if dtype.str not in _TENSORS or math.prod(shape) * dtype.itemsize != left:
        raise ValueError("it holds something else than arrays of numbers")
    return np.frombuffer(file.read(left), dtype).reshape(shape, order="F" if fortran else "C")


def _array_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
