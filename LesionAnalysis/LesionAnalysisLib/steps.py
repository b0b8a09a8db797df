"""Running a generator that reports its progress, for callers with nothing to do in between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")


def run_to_end(
    steps: Generator[tuple[float, str], None, Result], progress: Callable[[float, str], None] | None = None
) -> Result:
    """The return value of ``steps``; ``progress`` gets each (fraction, message) and may raise to stop the run."""
    while True:
        try:
            fraction, message = next(steps)
        except StopIteration as end:
            return end.value
        if progress:
            progress(fraction, message)
