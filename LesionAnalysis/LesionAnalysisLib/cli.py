"""The command line ``lesion-analysis``: analyze, demo, train, evaluate.

    lesion-analysis analyze ct.nii.gz --output results
    python LesionAnalysis/LesionAnalysisLib/cli.py analyze ct.nii.gz --output results
    Slicer --no-splash --no-main-window --python-script .../cli.py analyze ct.nii.gz --output results

Exit code 0: all done; 1: at least one case failed (the others are complete); 2: wrong usage or missing
parts; 130: stopped by Ctrl-C. This file is plain ASCII, since Slicer reads it in the system's encoding.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:
    # Run by path: the package is found beside this file, and its modules are not taken for top-level modules.
    _library = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.path.dirname(_library)] + [p for p in sys.path if os.path.abspath(p or ".") != _library]

from LesionAnalysisLib.app.commands import parser
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, STOPPED, USAGE, UsageError, missing_package

# commands of the training library: their module and function
_TRAINING = {"train": ("train_command", "train_main"), "evaluate": ("evaluate.evaluate_command", "evaluate_main")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Users' errors end in one sentence, never in a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    try:
        with _interruptible():
            if argv and argv[0] in _TRAINING:
                return _run_training(argv[0], argv[1:])
            arguments = parser().parse_args(argv)
            return arguments.run(arguments)
    except SystemExit as request:  # argparse: 0 after --help, 2 after wrong usage
        return request.code if isinstance(request.code, int) else USAGE if request.code else DONE
    except UsageError as error:
        if debug:
            traceback.print_exc()
        Console().error(f"lesion-analysis: {error}")
        return USAGE
    except KeyboardInterrupt:
        Console().error("lesion-analysis: stopped.")
        return STOPPED


def _run_training(command: str, argv: list[str]) -> int:
    """Run a command of the training library, which is installed or lies beside this one in a source checkout."""
    beside = Path(__file__).resolve().parents[2] / "LesionAnalysisTraining"
    if beside.is_dir() and str(beside) not in sys.path:
        sys.path.append(str(beside))
    module, function = _TRAINING[command]
    try:
        return getattr(import_module(f"LesionAnalysisTrainingLib.{module}"), function)(argv)
    except ImportError as error:
        raise UsageError(missing_package(error)) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and a polite kill raise KeyboardInterrupt, also inside Slicer, so that everything is tidied up."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, stop) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


def run_as_script(argv: Sequence[str]) -> int:
    """For a call by path, with ``sys.argv`` as it comes: Slicer may leave the script's own name out.

    Inside Slicer, which would stay open after the script, the application is told to exit, whatever happens.
    """
    arguments = list(argv)
    if arguments and Path(arguments[0]).name not in ("analyze", "demo", *_TRAINING):
        arguments = arguments[1:]
    application = _slicer_application()
    code = FAILED
    try:
        code = main(arguments)
    finally:
        if application is not None:
            application.util.exit(code)
    return code


def _slicer_application() -> Any:
    """The module ``slicer`` inside the application; None elsewhere, also where slicer-core is installed."""
    slicer = sys.modules.get("slicer")
    options = getattr(getattr(slicer, "app", None), "commandOptions", None)
    return slicer if callable(options) else None


if __name__ == "__main__":
    _code = run_as_script(sys.argv)
    if _slicer_application() is None:
        sys.exit(_code)
