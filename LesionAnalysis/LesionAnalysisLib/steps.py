"""Work that advances in small steps, for those who need not do anything in between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")


def run_to_end(
    steps: Generator[tuple[float, str], None, Result], progress: Callable[[float, str], None] | None = None
) -> Result:
    """What the generator ``steps`` returns; ``progress`` hears every (fraction, message) and may raise to stop."""
    while True:
        try:
            fraction, message = next(steps)
        except StopIteration as end:
            return end.value
        if progress:
            progress(fraction, message)
