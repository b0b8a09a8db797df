"""Whether a DICOM file has what its header claims.

GDCM sets memory aside for the length of every element before it reads it: a damaged file of a kilobyte can ask for
gigabytes. So the elements are walked first (PS3.5, section 7.1), without reading what they hold.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_UNDEFINED = 0xFFFFFFFF
_WIDE = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}  # 4-byte lengths
_NARROW = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
           b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}  # fmt: skip
_SYNTAX = (0x0002, 0x0010)
_FIRST = (0x0002, 0x0008)  # groups that a file can begin with
_PIXELS = 0x7FE0
_ITEMS = 0xFFFE  # items and delimiters: no type, whatever the transfer syntax
_BIG, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def keeps_lengths(path: Path) -> bool:
    """Whether all elements up to the pixels end within the file.

    Elements of a deflated file cannot be seen, and those behind a private sequence without types are not looked at.
    Raises OSError where the file cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(128)
        if file.read(4) != b"DICM":
            file.seek(0)
        return _walk(file, size)


def _walk(file: BinaryIO, size: int) -> bool:
    explicit, order, syntax, part = True, "<", "", None
    while (place := file.tell()) < size:
        head = file.read(8)
        if len(head) < 8:
            return place > 132  # padding at the end
        in_meta = head[:2] == b"\2\0"
        if part is None or (part and not in_meta):  # the meta information, or the data set, begins
            if syntax == _DEFLATED:
                return True
            explicit, order = _has_type(head), ">" if syntax == _BIG else "<"  # the syntax is often wrong about types
        group, element = struct.unpack(order + "2H", head[:4])
        if group == _PIXELS:
            return True
        if part is None and group not in _FIRST:
            return False
        part = in_meta and part is not False
        kind = head[4:6] if explicit and group != _ITEMS and _has_type(head) else b""
        length = _length(file, head, kind, order)
        if length is None or (length != _UNDEFINED and length > size - file.tell()):
            return False
        if (group, element) == _SYNTAX:
            syntax = file.read(length).rstrip(b"\0 ").decode("latin-1")
        elif length == _UNDEFINED and kind == b"UN":
            return True  # its items have no types, even where others have
        elif length != _UNDEFINED and group != _ITEMS and kind != b"SQ":  # else what it holds follows
            file.seek(length, os.SEEK_CUR)
    return True


def _has_type(head: bytes) -> bool:
    return head[4:6].isalpha() and head[4:6].isupper()


def _length(file: BinaryIO, head: bytes, kind: bytes, order: str) -> int | None:
    """Of the element whose first eight bytes are ``head``; None where it is damaged."""
    if not kind:
        return struct.unpack(order + "I", head[4:])[0]
    if kind in _NARROW:
        return struct.unpack(order + "H", head[6:])[0]
    rest = file.read(4) if kind in _WIDE else b""
    return struct.unpack(order + "I", rest)[0] if len(rest) == 4 else None
