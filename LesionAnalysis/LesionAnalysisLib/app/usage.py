"""Exit codes of the commands, the error for wrong usage, types of options."""

from __future__ import annotations

import argparse

DONE, FAILED, USAGE, STOPPED = 0, 1, 2, 130


class UsageError(Exception):
    """Something is missing or wrong before the first case: one sentence for the user, exit code 2."""


def missing_package(error: ImportError) -> str:
    """What to install, as one sentence."""
    name = (error.name or str(error)).split(".")[0]
    if name == "torch":
        return (
            "PyTorch is missing: install it with the PyTorch extension inside Slicer, "
            "or with 'pip install torch' elsewhere."
        )
    if name.startswith("LesionAnalysis"):
        return f"A part of LesionAnalysis is missing ({error.name}): reinstall it."
    return f"The Python package '{name}' is missing: reinstall LesionAnalysis with its dependencies."


def probability(text: str) -> float:
    """A probability as an option of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value
