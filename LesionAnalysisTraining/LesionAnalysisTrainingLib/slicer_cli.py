"""Slicer's side of the command line module: its progress, its way to pass options, the words of its panel."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from LesionAnalysisLib.app.progress import write

_SLICER_STEP, _SLICER_LEAST_S, _SLICER_MOST_S = 0.0005, 0.5, 5.0  # Slicer searches all lines again at the end: be brief


class SlicerProgress:
    """Progress as Slicer reads it from standard output, now and then; standard error is kept for errors meanwhile.

    Warnings of libraries, also in the processes that they start, go to standard output: Slicer reports whatever is
    on standard error as an error, even if all went well.
    """

    _NAME = "<filter-name>LesionAnalysisTraining</filter-name>"

    def __enter__(self) -> SlicerProgress:
        self._start, self._said, self._share = time.monotonic(), float("-inf"), 0.0
        sys.stderr.flush()
        self._errors = os.dup(2)
        os.dup2(1, 2)
        write(sys.stdout, f"<filter-start>{self._NAME}</filter-start>\n")
        return self

    def __call__(self, fraction: float, message: str = "") -> None:
        now = time.monotonic()
        waited, gained = now - self._said, fraction - self._share
        if waited >= (_SLICER_LEAST_S if gained >= _SLICER_STEP else _SLICER_MOST_S) or fraction >= 1 > self._share:
            self._said, self._share = now, fraction
            share = f"<filter-progress>{min(max(fraction, 0.0), 1.0):.4f}</filter-progress>"
            write(sys.stdout, f"<filter-comment>{message.replace('<', '')}</filter-comment>{share}\n")

    def close(self) -> None:
        """There is no bar to make room for other lines."""

    def __exit__(self, *_: object) -> None:
        took = f"<filter-time>{time.monotonic() - self._start:.1f}</filter-time>"
        write(sys.stdout, f"<filter-end>{self._NAME}{took}</filter-end>\n")
        sys.stderr.flush()
        os.dup2(self._errors, 2)
        os.close(self._errors)


def with_hyphens(argv: Sequence[str], panel: Mapping[str, str]) -> list[str]:
    """Slicer refuses hyphens in the name of an option, and passes ``--dry_run`` for ``--dry-run``."""
    return [word.replace("_", "-") if word in panel else word for word in argv]


def panel_words(panel: Mapping[str, str]) -> Callable[[str], str]:
    """What puts the panel's labels into a sentence for the options that it names."""
    labels = {option.replace("_", "-"): label for option, label in panel.items()}
    return lambda text: re.sub(r"--[a-z][a-z-]*", lambda m: f"'{labels[m[0]]}'" if m[0] in labels else m[0], text)


class PanelParser(argparse.ArgumentParser):
    """Says what is wrong without the usage of a command that nobody typed."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        raise ValueError(text if text.endswith(".") else f"{text}.")
