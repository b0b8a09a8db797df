"""Runs an analysis in a worker thread: Slicer stays responsive and can cancel it between two steps."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

import qt

# Slicer's main thread holds the global interpreter lock while it runs C++ code, including the event loop. A timer
# therefore keeps joining the worker, which releases the lock, for times too short for a user to notice.
_WAIT_S = 0.04
_PAUSE_MS = 5  # for the events in between


class AnalysisThread:
    """Runs the generator ``steps`` to its end in a worker thread.

    Args:
        steps: generator of (fraction, message) that returns the result; it must use neither Qt nor MRML.
        onProgress: called in the main thread with (fraction, message, seconds left or None).
        onEnd: called once in the main thread with (result, error, traceback): the result, or the exception that
            ended the steps with its formatted traceback, or neither after ``cancel``.
    """

    def __init__(
        self,
        steps: Generator[tuple[float, str], None, Any],
        onProgress: Callable[[float, str, float | None], None],
        onEnd: Callable[[Any, BaseException | None, str], None],
    ) -> None:
        self._steps, self._onProgress, self._onEnd = steps, onProgress, onEnd
        self._stop = threading.Event()
        self._progress: tuple[float, str] | None = None
        self._result: tuple[Any, BaseException | None, str] = (None, None, "")
        self._thread = threading.Thread(target=self._work, name="LesionAnalysis", daemon=True)
        self._timer = qt.QTimer()
        self._timer.interval = _PAUSE_MS
        self._timer.timeout.connect(self._poll)

    def start(self) -> None:
        """Start the worker and return at once."""
        self._started = time.monotonic()
        self._thread.start()
        self._timer.start()

    def cancel(self) -> None:
        """Stop after the current step; ``onEnd`` is called then."""
        self._stop.set()

    def abandon(self) -> None:
        """Wait for the current step, stop, and never call back: for a scene or an application that closes."""
        self._stop.set()
        self._timer.stop()
        while self._thread.is_alive():
            self._thread.join(_WAIT_S)
        self._release()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._progress = next(self._steps)
        except StopIteration as end:
            self._result = end.value, None, ""
        except BaseException as error:  # noqa: BLE001 - reported in the main thread
            self._result = None, error, traceback.format_exc()
            error.__traceback__ = None  # it would keep the arrays of every frame alive
        finally:
            self._steps.close()
            _trimMemory()

    def _poll(self) -> None:
        self._thread.join(_WAIT_S)
        progress, self._progress = self._progress, None
        if progress is not None and not self._stop.is_set():
            self._onProgress(*progress, self._secondsLeft(progress[0]))
        if not self._thread.is_alive():
            self._timer.stop()
            result, onEnd = (None, None, "") if self._stop.is_set() else self._result, self._onEnd
            self._release()
            onEnd(*result)

    def _secondsLeft(self, fraction: float) -> float | None:
        """None while there is too little to extrapolate from, and in the last second."""
        elapsed = time.monotonic() - self._started
        left = elapsed * (1 - fraction) / fraction if fraction > 0.2 and elapsed > 2 else 0.0
        return left if left >= 1 else None

    def _release(self) -> None:
        """Keep nothing of a finished run in memory."""
        self._result = self._steps = None
        self._onProgress = self._onEnd = lambda *_: None


def _trimMemory() -> None:
    """Return freed memory to the system: glibc keeps hundreds of megabytes of a worker thread's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
