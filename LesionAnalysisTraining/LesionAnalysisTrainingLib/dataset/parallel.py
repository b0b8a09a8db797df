"""Work on many files, spread over processes where that is possible; results in order, memory bounded."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

Progress = Callable[[float, str], None]

_CHUNK_FILES, _CHUNK_BYTES = 16, 8_000_000  # sent to a process at a time: many images or one volume


class _PoolError(Exception):
    """Processes cannot be started here, or one died."""


def in_order(function: Callable[[tuple], Any], items: Sequence[tuple], workers: int) -> Iterator[Any]:
    """``function(item)`` of every item, in their order; an item starts with the path of its file.

    Where ``workers`` processes cannot be started, or one dies, a RuntimeWarning says why, and this process does the
    rest. Close the iterator (``closing``) when leaving early: pending work is dropped and the processes end. An
    exception of ``function`` is raised here.
    """
    done = 0
    if workers > 1 and len(items) > 1:
        try:
            for result in _pooled(function, items, workers):
                yield result
                done += 1
        except _PoolError as error:
            cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
            warnings.warn(f"{error} ({cause}); continuing with a single process, which is slower.", RuntimeWarning,
                          stacklevel=2)  # fmt: skip
    for item in items[done:]:
        yield function(item)


def _pooled(function: Callable[[tuple], Any], items: Sequence[tuple], workers: int) -> Iterator[Any]:
    with _pool_error("Worker processes cannot be started here", OSError, ImportError, NotImplementedError):
        # not forked: ITK's and torch's threads do not survive that
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
    waiting: deque = deque()
    try:
        for chunk in _chunks(items):
            with _pool_error("A worker process could not be started", OSError, RuntimeError):
                waiting.append(pool.submit(_run, function, chunk))
            if len(waiting) > workers + 1:  # finished results wait in memory
                yield from _result(waiting)
        while waiting:
            yield from _result(waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(waiting: deque) -> list:
    with _pool_error("A worker process died, perhaps for lack of memory", BrokenExecutor):
        return waiting.popleft().result()


@contextmanager
def _pool_error(message: str, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise _PoolError(message) from error


def _run(function: Callable[[tuple], Any], chunk: list[tuple]) -> list:
    return [function(item) for item in chunk]


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Processes of a parent that was killed would wait for work forever."""
    parent_process().join()
    os._exit(1)


def _chunks(items: Sequence[tuple]) -> Iterator[list[tuple]]:
    chunk, size = [], 0
    for item in items:
        bytes_ = os.path.getsize(item[0]) if os.path.exists(item[0]) else 0
        if chunk and (len(chunk) >= _CHUNK_FILES or size + bytes_ > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += bytes_
    if chunk:
        yield chunk
