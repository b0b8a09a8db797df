"""What Slicer expects of a command line module: progress, options without hyphens, labels of its panel in messages."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from LesionAnalysisLib.app.progress import write

_STEP, _MIN_S, _MAX_S = 0.0005, 0.5, 5.0  # between two lines, few of them, since Slicer parses all again at the end


class SlicerProgress:
    """Progress in the form that Slicer reads from standard output.

    Warnings of libraries and of their processes are redirected to standard output: Slicer reports whatever is on
    standard error as an error, even on success.
    """

    _NAME = "<filter-name>LesionAnalysisTraining</filter-name>"

    def __enter__(self) -> SlicerProgress:
        self._start, self._written, self._share = time.monotonic(), float("-inf"), 0.0
        sys.stderr.flush()
        self._errors = os.dup(2)
        os.dup2(1, 2)
        write(sys.stdout, f"<filter-start>{self._NAME}</filter-start>\n")
        return self

    def __call__(self, fraction: float, message: str = "") -> None:
        now = time.monotonic()
        waited, gained = now - self._written, fraction - self._share
        if waited >= (_MIN_S if gained >= _STEP else _MAX_S) or fraction >= 1 > self._share:
            self._written, self._share = now, fraction
            share = f"<filter-progress>{min(max(fraction, 0.0), 1.0):.4f}</filter-progress>"
            write(sys.stdout, f"<filter-comment>{message.replace('<', '')}</filter-comment>{share}\n")

    def close(self) -> None:
        """Nothing to clear: there is no bar."""

    def __exit__(self, *_: object) -> None:
        took = f"<filter-time>{time.monotonic() - self._start:.1f}</filter-time>"
        write(sys.stdout, f"<filter-end>{self._NAME}{took}</filter-end>\n")
        sys.stderr.flush()
        os.dup2(self._errors, 2)
        os.close(self._errors)


def with_hyphens(argv: Sequence[str], panel: Mapping[str, str]) -> list[str]:
    """Options as argparse knows them: Slicer allows no hyphens in names and passes ``--dry_run``."""
    return [word.replace("_", "-") if word in panel else word for word in argv]


def panel_words(panel: Mapping[str, str]) -> Callable[[str], str]:
    """A function that replaces options in a message by the labels of Slicer's panel."""
    labels = {option.replace("_", "-"): label for option, label in panel.items()}
    return lambda text: re.sub(r"--[a-z][a-z-]*", lambda m: f"'{labels[m[0]]}'" if m[0] in labels else m[0], text)


class PanelParser(argparse.ArgumentParser):
    """Raises ValueError for wrong options, without the usage text of a command that was not typed."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        raise ValueError(text if text.endswith(".") else f"{text}.")
