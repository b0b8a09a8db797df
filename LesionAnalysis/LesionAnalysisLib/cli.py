"""The command line ``lesion-analysis``: analyze, demo, train, evaluate, compare.

    lesion-analysis analyze ct.nii.gz --output results
    python LesionAnalysis/LesionAnalysisLib/cli.py analyze ct.nii.gz --output results
    Slicer --no-splash --no-main-window --python-script .../cli.py analyze ct.nii.gz --output results

Exit code 0: all done; 1: at least one case failed (the others are complete); 2: wrong usage or missing
parts; 130: stopped by Ctrl-C. This file is plain ASCII, since Slicer reads it in the system's encoding.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:
    # Run by path: the package is found beside this file, and its rooms are not taken for top-level modules.
    _library = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.path.dirname(_library)] + [p for p in sys.path if os.path.abspath(p or ".") != _library]

from LesionAnalysisLib import RESEARCH_NOTICE, __version__
from LesionAnalysisLib.console import Console, sentence

DONE, FAILED, USAGE, STOPPED = 0, 1, 2, 130
_TRAINING = {"train": "train_main", "evaluate": "evaluate_main", "compare": "compare_main"}


class UsageError(Exception):
    """Something is missing or wrong before any case is begun: one sentence for the user, exit code 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Users' errors end in one sentence, never in a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    try:
        with _interruptible():
            if argv and argv[0] in _TRAINING:
                return _train(argv[0], argv[1:])
            arguments = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lesion-analysis",
        description="Weakly supervised analysis of COVID-19 lesions in chest CT.",
        epilog=RESEARCH_NOTICE,
    )
    parser.add_argument("--version", action="version", version=f"lesion-analysis {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    analyze = commands.add_parser("analyze", help="analyze one or more CTs", epilog=RESEARCH_NOTICE)
    analyze.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NIfTI, NRRD or MHA file, DICOM folder, 8-bit picture, or folder of pictures of one study",
    )
    _add_common(analyze)
    analyze.add_argument("--series", type=_series, help="number, UID or description of the DICOM series")
    analyze.set_defaults(run=_analyze)

    demo = commands.add_parser("demo", help="make a synthetic CT and analyze it", epilog=RESEARCH_NOTICE)
    _add_common(demo)
    demo.add_argument("--healthy", action="store_true", help="a chest without lesions")
    demo.add_argument("--small", action="store_true", help="60 slices of 256x256, for a quick look")
    demo.set_defaults(run=_demo)

    commands.add_parser("train", help="train a model: see lesion-analysis train --help")
    commands.add_parser("evaluate", help="measure a model: see lesion-analysis evaluate --help")
    commands.add_parser("compare", help="train and test rivals: see lesion-analysis compare --help")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="folder for results, one folder in it per case")
    add("--model", metavar="DIR", help="model folder (default: the model that comes with LesionAnalysis)")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where the network runs")
    add("--preset", default="enhanced", metavar="NAME", help="'enhanced', or 'paper': the method as published")
    add(
        "--threshold",
        type=probability,
        metavar="P",
        help="a slice is positive from this probability on (default: the model's own, with the preset paper 0.5)",
    )
    add("--no-scene", action="store_true", help="do not write scene.mrb (needs no MRML classes)")
    add("--overwrite", action="store_true", help="analyze again what has a result; otherwise it is skipped")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show where in the program an error arose")


def probability(text: str) -> float:
    """A probability as an option of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def _series(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _analyze(arguments: argparse.Namespace) -> int:
    batch = _make_batch(arguments)
    from LesionAnalysisLib.batch import name_cases

    batch.series = arguments.series
    return _run(batch, lambda: batch.run(name_cases(arguments.inputs)), len(arguments.inputs) > 1)


def _demo(arguments: argparse.Namespace) -> int:
    batch = _make_batch(arguments)
    from LesionAnalysisLib.demo import run_demo

    def run() -> None:
        try:
            run_demo(batch, arguments.healthy, arguments.small)
        except OSError as error:
            raise UsageError(sentence(error)) from error

    return _run(batch, run, False)


def _run(batch: Any, run: Callable[[], None], several: bool) -> int:
    """Run, and say how it ended."""
    try:
        run()
    except KeyboardInterrupt:
        batch.console.error(f"Stopped at {batch.current or 'the start'}: {_counts(batch)}; nothing half-written.")
        return STOPPED
    if several:
        batch.console.result(f"{_counts(batch)}; see {batch.output / 'summary.csv'}")
    return FAILED if batch.failed else DONE


def _counts(batch: Any) -> str:
    return f"{batch.done} done, {batch.skipped} skipped, {batch.failed} failed"


def _make_batch(arguments: argparse.Namespace) -> Any:
    """Everything that all cases need. Raises UsageError where a part is missing."""
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file: give a folder.")
    if str(output).encode("utf-8", "replace").decode("utf-8") != str(output):
        raise UsageError("The name of the output folder is not valid Unicode: choose another one.")
    try:
        if not arguments.no_scene:
            _check_scene()
        analyzer, settings = _make_analyzer(arguments)
        from LesionAnalysisLib.batch import Batch

        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK):
            raise UsageError(f"The output folder {output} cannot be written to.")
        return Batch(
            output=output,
            analyzer=analyzer,
            console=Console(arguments.quiet),
            settings=settings,
            scene=not arguments.no_scene,
            overwrite=arguments.overwrite,
            debug=arguments.debug,
        )
    except ImportError as error:
        raise UsageError(_missing(error)) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise UsageError(sentence(error)) from error


def _check_scene() -> None:
    """Raise UsageError where the MRML classes are missing, before an hour of work that could not be saved."""
    try:
        from LesionAnalysisLib import scene  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"{' '.join(str(error).split())} (option --no-scene)") from error


def _make_analyzer(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The analyzer, and what of its settings tells results apart."""
    from LesionAnalysisLib.analyzer import LesionAnalyzer
    from LesionAnalysisLib.config import AnalysisConfig
    from LesionAnalysisLib.model import ModelBundle

    config = dataclasses.replace(AnalysisConfig.from_preset(arguments.preset), device=arguments.device)
    if arguments.threshold is not None:
        config = dataclasses.replace(config, threshold=arguments.threshold)
    bundle = ModelBundle.load(arguments.model) if arguments.model else ModelBundle.bundled()
    analyzer = LesionAnalyzer(bundle, config)
    return analyzer, {"model": bundle.checksum, "preset": config.preset, "threshold": analyzer.threshold}


def _missing(error: ImportError) -> str:
    name = (error.name or str(error)).split(".")[0]
    if name == "torch":
        return (
            "PyTorch is missing: install it with the PyTorch extension inside Slicer, "
            "or with 'pip install torch' elsewhere."
        )
    if name == "LesionAnalysisLib":
        return f"A part of LesionAnalysis is missing ({error.name}): install it again."
    return f"The Python package '{name}' is missing: install LesionAnalysis with all that it needs."


def _train(command: str, argv: list[str]) -> int:
    """Hand over to the training library, which is installed or stands beside in a source checkout."""
    beside = Path(__file__).resolve().parents[2] / "LesionAnalysisTraining"
    if beside.is_dir() and str(beside) not in sys.path:
        sys.path.append(str(beside))
    try:
        from LesionAnalysisTrainingLib import cli as training
    except ImportError as error:
        if (error.name or "").startswith("LesionAnalysisTrainingLib"):
            raise UsageError(f"A part of LesionAnalysis is missing ({error.name}): install it again.") from error
        raise UsageError(_missing(error)) from error
    run = getattr(training, _TRAINING[command], None)
    if run is None:
        raise UsageError(f"'{command}' is not part of this version yet.")
    result = run(argv)
    return DONE if result is None else int(result)


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
