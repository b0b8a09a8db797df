"""Work on many files, spread over processes where that is possible; results in order, memory bounded."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any

Progress = Callable[[float, str], None]

_CHUNK_FILES, _CHUNK_BYTES = 16, 8_000_000  # what one process is sent at a time: many pictures or one volume


class _NoPoolError(Exception):
    """Processes cannot be started here, or died."""


def in_order(function: Callable[[tuple], Any], items: Sequence[tuple], workers: int) -> Iterator[Any]:
    """``function(item)`` of every item, in their order; an item starts with the path of its file.

    Where ``workers`` processes cannot be had, or die, the rest is done here. Close the iterator (``closing``) when
    leaving early: waiting work is dropped and the processes end.
    """
    done = 0
    if workers > 1 and len(items) > 1:
        try:
            for result in _pooled(function, items, workers):
                yield result
                done += 1
        except _NoPoolError:
            pass
    for item in items[done:]:
        yield function(item)


def _pooled(function: Callable[[tuple], Any], items: Sequence[tuple], workers: int) -> Iterator[Any]:
    pool = None
    try:
        # not forked: ITK's and torch's threads do not survive that
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
        waiting, chunks = deque(), _chunks(items)
        for chunk in chunks:
            waiting.append(_submit(pool, function, chunk))
            if len(waiting) > workers + 1:  # finished results wait in memory
                yield from _result(waiting.popleft())
        while waiting:
            yield from _result(waiting.popleft())
    except (OSError, ImportError, NotImplementedError) as error:
        if pool is None:  # no semaphores or no processes on this machine
            raise _NoPoolError from error
        raise
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, function: Callable, chunk: list[tuple]):
    try:
        return pool.submit(_run, function, chunk)
    except (OSError, RuntimeError) as error:  # BrokenExecutor is a RuntimeError
        raise _NoPoolError from error


def _result(future) -> list:
    try:
        return future.result()
    except BrokenExecutor as error:
        raise _NoPoolError from error


def _run(function: Callable[[tuple], Any], chunk: list[tuple]) -> list:
    return [function(item) for item in chunk]


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Processes of a parent that was killed would wait for work for ever."""
    parent_process().join()
    os._exit(1)


def _chunks(items: Sequence[tuple]) -> Iterator[list[tuple]]:
    chunk, size = [], 0
    for item in items:
        try:
            bytes_ = os.stat(item[0]).st_size
        except OSError:
            bytes_ = 0
        if chunk and (len(chunk) >= _CHUNK_FILES or size + bytes_ > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += bytes_
    if chunk:
        yield chunk
