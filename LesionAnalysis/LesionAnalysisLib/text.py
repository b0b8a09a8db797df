"""Text for users: durations, error messages, and names that can be shown or used as file names."""

from __future__ import annotations

import errno
import re

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def format_duration(seconds: float) -> str:
    """``8 s``, ``2 min``, ``1 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def error_message(error: BaseException) -> str:
    """An exception as one line of at most 600 characters."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return "The disk is full: free some space, or choose an output folder on another disk."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "A file exceeds the size limit of its disk: choose an output folder on another disk."
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}."
    text = " ".join(str(error).split())
    text = text if len(text) <= 600 else text[:597] + "..."
    if isinstance(error, (ValueError, RuntimeError, OSError, MemoryError)) and text:
        return text
    name = type(error).__name__
    return f"Unexpected error ({name}{': ' + text if text else ''}): run again with --debug for details."


def utf8_safe(text: str) -> str:
    """``text`` with what UTF-8 cannot encode, such as a file name in another encoding, replaced by ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def safe_file_name(text: str) -> str:
    """``text`` with the characters that Windows does not allow in file names replaced by ``_``."""
    return re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", text).strip(" .")
