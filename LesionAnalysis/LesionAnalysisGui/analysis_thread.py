"""An analysis beside Qt's event loop: the window stays alive, and Cancel is heard at once."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

import qt

# Slicer's main thread holds Python's lock whenever it runs C++ code, the event loop included. So a timer asks it
# again and again to wait for the worker, which gives the lock away, for as long as nobody notices.
_WAIT_S = 0.04
_PAUSE_MS = 5  # for the events in between


class AnalysisRun:
    """Runs ``steps`` to their end in a thread of their own.

    Args:
        steps: generator of (fraction, message) that returns the result; it must touch neither Qt nor MRML.
        onProgress: called in the main thread with (fraction, message, seconds left or None).
        onEnd: called once in the main thread with (result, error): the result, or the exception that ended the
            steps, or neither after ``cancel``.
    """

    def __init__(
        self,
        steps: Generator[tuple[float, str], None, Any],
        onProgress: Callable[[float, str, float | None], None],
        onEnd: Callable[[Any, BaseException | None], None],
    ) -> None:
        self._steps, self._onProgress, self._onEnd = steps, onProgress, onEnd
        self._stop = threading.Event()
        self._news: tuple[float, str] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self.errorDetails = ""
        self._thread = threading.Thread(target=self._work, name="LesionAnalysis", daemon=True)
        self._timer = qt.QTimer()
        self._timer.interval = _PAUSE_MS
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; returns at once."""
        self._began = time.monotonic()
        self._thread.start()
        self._timer.start()

    def cancel(self) -> None:
        """Ask the steps to stop after the current one; ``onEnd`` hears when they have."""
        self._stop.set()

    def abandon(self) -> None:
        """Stop and never call back; waits for the current step, as for a window that closes."""
        self._stop.set()
        self._timer.stop()
        while self._thread.is_alive():
            self._thread.join(_WAIT_S)
        self._forget()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stop.is_set()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._news = next(self._steps)
        except StopIteration as end:
            self._result = end.value
        except BaseException as error:  # noqa: BLE001 - it is handed to the main thread
            self._error = error
            self.errorDetails = traceback.format_exc()
            error.__traceback__ = None  # it would keep the arrays of every frame alive
        finally:
            self._steps.close()
            _returnMemory()

    def _look(self) -> None:
        self._thread.join(_WAIT_S)
        news, self._news = self._news, None
        if news is not None and not self.cancelled:
            self._onProgress(*news, self._secondsLeft(news[0]))
        if not self._thread.is_alive():
            self._timer.stop()
            result, error, onEnd = self._result, self._error, self._onEnd
            self._forget()
            onEnd(None if self.cancelled else result, None if self.cancelled else error)

    def _secondsLeft(self, fraction: float) -> float | None:
        """None until there is enough to judge by, and once there is next to nothing left."""
        elapsed = time.monotonic() - self._began
        left = elapsed * (1 - fraction) / fraction if fraction > 0.2 and elapsed > 2 else 0.0
        return left if left >= 1 else None

    def _forget(self) -> None:
        """Nothing of a finished run stays in memory."""
        self._result = self._error = self._steps = None
        self._onProgress = self._onEnd = lambda *_: None


def _returnMemory() -> None:
    """Give what the steps freed back to the system: glibc keeps hundreds of megabytes of a worker thread's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
