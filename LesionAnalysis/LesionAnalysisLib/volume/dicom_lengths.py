"""Checks that the elements of a DICOM file are no longer than the file.

GDCM allocates the stated length of an element before reading it, so that a damaged file of a kilobyte can request
gigabytes. Therefore the element headers are checked first (PS3.5, section 7.1), without reading their values.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_UNDEFINED = 0xFFFFFFFF
# Value representations with a length of 32 and of 16 bits
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT_VRS = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
              b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}  # fmt: skip
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_ITEM_GROUP = 0xFFFE  # items and delimiters, which never have a value representation (VR)
_BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def has_valid_lengths(path: Path) -> bool:
    """Whether all elements before the pixel data end within the file.

    Not checked: elements of deflated files, and those after a private sequence of undefined length with VR UN.
    Raises OSError if the file cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(128)
        if file.read(4) != b"DICM":
            file.seek(0)
        return _elements_fit(file, size)


def _elements_fit(file: BinaryIO, size: int) -> bool:
    explicit, order, syntax, in_meta = True, "<", "", None
    while (position := file.tell()) < size:
        head = file.read(8)
        if len(head) < 8:
            return position > 132  # trailing padding
        is_meta = head[:2] == b"\2\0"
        if in_meta is None or (in_meta and not is_meta):  # start of the file meta information or of the data set
            if syntax == _DEFLATED:
                return True
            order = ">" if syntax == _BIG_ENDIAN else "<"
            explicit = _has_vr(head)  # the syntax is often wrong about this
        group, element = struct.unpack(order + "2H", head[:4])
        if group == 0x7FE0:  # pixel data
            return True
        if in_meta is None and group not in (0x0002, 0x0008):
            return False
        in_meta = is_meta and in_meta is not False
        vr = head[4:6] if explicit and group != _ITEM_GROUP and _has_vr(head) else b""
        length = _length(file, head, vr, order)
        if length is None or (length != _UNDEFINED and length > size - file.tell()):
            return False
        if (group, element) == _TRANSFER_SYNTAX:
            syntax = file.read(length).rstrip(b"\0 ").decode("latin-1")
        elif length == _UNDEFINED and vr == b"UN":
            return True  # its items are implicit even in explicit files
        elif length != _UNDEFINED and group != _ITEM_GROUP and vr != b"SQ":  # otherwise nested elements follow
            file.seek(length, os.SEEK_CUR)
    return True


def _has_vr(head: bytes) -> bool:
    return head[4:6].isalpha() and head[4:6].isupper()


def _length(file: BinaryIO, head: bytes, vr: bytes, order: str) -> int | None:
    """Length of the element whose first eight bytes are ``head``; None if it is damaged."""
    if not vr:
        return struct.unpack(order + "I", head[4:])[0]
    if vr in _SHORT_VRS:
        return struct.unpack(order + "H", head[6:])[0]
    rest = file.read(4) if vr in _LONG_VRS else b""
    return struct.unpack(order + "I", rest)[0] if len(rest) == 4 else None
