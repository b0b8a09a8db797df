"""Numeric arrays as the bytes of an ``.npz`` file, read without pickle and without trusting the sizes it claims."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO

import numpy as np

_MAX_BYTES = 2**29  # of unpacked arrays: far above any FeCNN, far below a decompression bomb
_MAX_HEADER = 512  # characters of an array's header; NumPy's takes 118
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes; others unpack without a limit
_DTYPES = {"<i1", "|i1", "<i4", "<i8", "<f2", "<f4", "<f8"}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# what zipfile, zlib and NumPy raise for bytes that are no such file; RuntimeError: encrypted
_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError, OSError,
               LookupError, RuntimeError, TypeError)  # fmt: skip


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by name.

    Raises ValueError for anything else than an archive of numeric arrays of plausible size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MAX_BYTES:
                raise ValueError("its arrays are too large for a model")
            arrays = {}
            for member in members:
                if member.compress_type not in _METHODS:
                    raise ValueError("it is compressed by an unusual method")
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(file, member.file_size)
            return arrays
    except _UNREADABLE as error:
        raise ValueError("it is no archive of arrays") from error


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of a ``.npy`` file of ``size`` bytes, whose header must match that size before memory is allocated.

    NumPy's own reader allocates what the header claims.
    """
    shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file, max_header_size=_MAX_HEADER)
    rest = size - file.tell()
    if dtype.str not in _DTYPES or math.prod(shape) * dtype.itemsize != rest:
        raise ValueError("it holds something else than numeric arrays")
    return np.frombuffer(file.read(rest), dtype).reshape(shape, order="F" if fortran else "C")


def array_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """``arrays`` as a compressed ``.npz`` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
