"""The command line ``lesion-analysis``: analyze, demo, train, evaluate.

    lesion-analysis analyze ct.nii.gz --output results
    python LesionAnalysis/LesionAnalysisLib/cli.py analyze ct.nii.gz --output results
    Slicer --no-splash --no-main-window --python-script .../cli.py analyze ct.nii.gz --output results

Exit code 0: all done; 1: at least one case failed (the others are complete); 2: wrong usage or missing parts;
130: stopped by Ctrl-C. This file is plain ASCII because Slicer reads it in the system's encoding.

It is the only module of the library that reaches the training library, whose commands it runs.
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
    # Run by path: make the package importable, and keep its modules from being imported as top-level modules.
    _library = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.path.dirname(_library)] + [p for p in sys.path if os.path.abspath(p or ".") != _library]

from LesionAnalysisLib.app.commands import parser
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, STOPPED, USAGE, UsageError, missing_package

# commands of the training library: their module and function
_TRAINING = {"train": ("train_command", "train_main"), "evaluate": ("evaluate.evaluate_command", "evaluate_main")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Errors of use end in one sentence instead of a traceback."""
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
    except (UsageError, ImportError) as error:
        if debug:
            traceback.print_exc()
        text = missing_package(error) if isinstance(error, ImportError) else error
        Console().error(f"lesion-analysis: {text}")
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
    return getattr(import_module(f"LesionAnalysisTrainingLib.{module}"), function)(argv)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, also inside Slicer, so that partial results are discarded."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def run_as_script(argv: Sequence[str]) -> int:
    """Run as a script with ``sys.argv``, from which Slicer may omit the name of the script.

    Slicer, which would stay open after the script, is told to exit in any case.
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
    """The module ``slicer`` of the running application; None elsewhere, also where slicer-core is installed."""
    slicer = sys.modules.get("slicer")
    options = getattr(getattr(slicer, "app", None), "commandOptions", None)
    return slicer if callable(options) else None


if __name__ == "__main__":
    _code = run_as_script(sys.argv)
    if _slicer_application() is None:
        sys.exit(_code)
