"""Text for people: durations, errors as one sentence, names that can be shown."""

from __future__ import annotations

import errno
import re

_FULL = (errno.ENOSPC, errno.EDQUOT)


def duration(seconds: float) -> str:
    """``8 s``, ``2 min``, ``1 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def sentence(error: BaseException) -> str:
    """An exception as one line for the user."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return "The disk is full: free some space, or choose an output folder on another disk."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "A file grew larger than its disk allows: choose an output folder on another disk."
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}."
    text = " ".join(str(error).split())
    text = text if len(text) <= 600 else text[:597] + "..."
    if isinstance(error, (ValueError, RuntimeError, OSError)) and text:
        return text
    name = type(error).__name__
    return f"Unexpected error ({name}{': ' + text if text else ''}): run again with --debug for details."


def printable(text: str) -> str:
    """Names of files in a foreign encoding, so that they can be written into reports."""
    return text.encode("utf-8", "replace").decode("utf-8")


def file_name(text: str) -> str:
    """``text`` without what a file's name must not hold on Windows."""
    return re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", text).strip(" .")
