"""Output of the command line: results on standard output, progress and errors on standard error.

On a terminal, progress is a bar with the estimated time left; in a log, it is a plain line now and then.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from ..text import format_duration

_REDRAW_S = 0.1  # between two updates of the bar
_LOG_STEP, _LOG_S, _LOG_LEAST_S = 0.05, 10.0, 1.0  # a line per 5 % or 10 s, at most one per second
_BAR = 24
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but line feed, carriage return and tab


class Console:
    """Writes lines; ``quiet`` leaves only errors. A closed stream or a limited encoding never stops a batch."""

    def __init__(self, quiet: bool = False, out: Any = None, err: Any = None) -> None:
        self.quiet = quiet
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err

    def result(self, text: str) -> None:
        if not self.quiet:
            write(self._out, f"{text}\n")

    def note(self, text: str) -> None:
        if not self.quiet:
            write(self._err, f"{text}\n")

    def error(self, text: str) -> None:
        write(self._err, f"{text}\n")

    def progress(self, title: str) -> Progress:
        return Progress(title, None if self.quiet else self._err)


class Progress:
    """A callable ``progress(fraction, message)`` for one task; ``close`` removes the bar.

    ``stream`` None shows nothing. Fractions outside 0..1, decreasing or not finite are tolerated.
    """

    def __init__(self, title: str, stream: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._stream, self._clock = title, stream, clock
        self._terminal = _is_terminal(stream)
        self._start = clock()
        self._shown_at = float("-inf") if self._terminal else self._start
        self._shown = self._fraction = 0.0
        self._width = 0

    def __call__(self, fraction: float, message: str = "") -> None:
        self._fraction = max(self._fraction, min(fraction, 1.0)) if fraction == fraction else self._fraction
        if self._stream is None:
            return
        now = self._clock()
        if self._terminal:
            if now - self._shown_at >= _REDRAW_S:
                self._shown_at = now
                self._draw(message)
            return
        waited, gained = now - self._shown_at, self._fraction - self._shown
        if waited >= _LOG_LEAST_S and (gained >= _LOG_STEP or waited >= _LOG_S):
            self._shown_at, self._shown = now, self._fraction
            write(self._stream, f"{self._title}: {self._line(message)}\n")

    def part(self, start: float, end: float) -> Callable[[float, str], None]:
        """A callback that maps 0..1 to ``start``..``end`` of this one."""
        return lambda fraction, message="": self(start + (end - start) * fraction, message)

    def close(self) -> None:
        if self._width:
            write(self._stream, "\r" + " " * self._width + "\r")
            self._width = 0

    def time_left(self) -> float | None:
        """Seconds left at the speed so far; None while it is too early to tell."""
        elapsed = self._clock() - self._start
        if elapsed < 2 or self._fraction < 0.03:
            return None
        return elapsed * (1 - self._fraction) / self._fraction

    def _line(self, message: str) -> str:
        left = self.time_left()
        words = [f"{100 * self._fraction:3.0f} %", f"{format_duration(left)} left" if left is not None else "", message]
        return "  ".join(word for word in words if word)

    def _draw(self, message: str) -> None:
        full, empty = ("━", "─") if _can_show(self._stream, "━─") else ("#", "-")
        columns = shutil.get_terminal_size().columns - 1
        line = self._line(message)
        size = min(max(columns - len(self._title) - len(line) - 4, 8), _BAR)
        done = round(size * self._fraction)
        text = f"{self._title}  {full * done}{empty * (size - done)}  {line}"[:columns]
        write(self._stream, "\r" + text.ljust(min(self._width, columns)))
        self._width = len(text)


def write(stream: Any, text: str) -> None:
    """Write and flush; errors of the stream, such as a broken pipe, are ignored.

    Characters that its encoding lacks become ``?``, and so do control characters: names of files and headers must not
    control the terminal.
    """
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(_CONTROL.sub("?", text).encode(encoding, "replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError, AttributeError, LookupError):  # no stream: a Windows program without a console
        pass


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream, Slicer's own, or a closed one
        return False


def _can_show(stream: Any, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
