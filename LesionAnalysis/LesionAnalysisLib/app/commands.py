"""The commands ``analyze`` and ``demo`` of ``lesion-analysis``: options, and what runs before and after the cases.

Modules that need numpy, torch or the MRML classes are imported when a command runs, so that ``--help`` and wrong usage
answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import RESEARCH_NOTICE, __version__
from ..choices import DEVICES, PRESETS
from ..text import error_message, utf8_safe
from .progress import Console
from .usage import DONE, FAILED, STOPPED, UsageError, probability


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``train`` and ``evaluate`` have parsers of their own."""
    root = argparse.ArgumentParser(
        prog="lesion-analysis",
        description="Weakly supervised analysis of opacities like those of COVID-19 in chest CT.",
        epilog=RESEARCH_NOTICE,
    )
    root.add_argument("--version", action="version", version=f"lesion-analysis {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    analyze = commands.add_parser("analyze", help="analyze one or more CTs", epilog=RESEARCH_NOTICE)
    analyze.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NIfTI, NRRD or MHA file, DICOM file or folder, 8-bit image, or folder with the images of one study",
    )
    _add_options(analyze)
    analyze.add_argument(
        "--series",
        metavar="S",
        type=lambda text: int(text) if text.isascii() and text.isdigit() else text,
        help="number, UID or description of the DICOM series (default: the largest CT series)",
    )
    analyze.set_defaults(run=_analyze)

    demo = commands.add_parser("demo", help="make a synthetic chest CT and analyze it", epilog=RESEARCH_NOTICE)
    _add_options(demo)
    demo.add_argument("--healthy", action="store_true", help="a chest without lesions")
    demo.add_argument("--small", action="store_true", help="60 slices of 256 x 256 pixels, for a quick try")
    demo.set_defaults(run=_demo)

    commands.add_parser("train", help="train a model: see lesion-analysis train --help")
    commands.add_parser("evaluate", help="evaluate a model: see lesion-analysis evaluate --help")
    return root


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="folder for the results, with one folder per case")
    add("--model", metavar="DIR", help="model folder (default: the bundled model)")
    add("--device", choices=DEVICES, default=DEVICES[0], help="device that runs the network (default: %(default)s)")
    add(
        "--preset",
        choices=PRESETS,
        default=PRESETS[0],
        help="'paper': the method as published; 'enhanced': with corrections and calibration (default: %(default)s)",
    )
    add(
        "--threshold",
        type=probability,
        metavar="P",
        help="a slice or study is positive from this probability on (default: the model's; 0.5 with --preset paper)",
    )
    add("--no-scene", action="store_true", help="do not write scene.mrb (no MRML classes are needed then)")
    add("--overwrite", action="store_true", help="repeat cases that have a result; otherwise they are skipped")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show the traceback of an error")


def _analyze(arguments: argparse.Namespace) -> int:
    from .batch import name_cases

    if not all(arguments.inputs):  # an unset shell variable would mean the current folder
        raise UsageError("An INPUT is empty: give the path of a CT.")
    return _run_batch(arguments, lambda batch: batch.run(name_cases(arguments.inputs)))


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import run_demo

    return _run_batch(arguments, lambda batch: run_demo(batch, arguments.healthy, arguments.small))


def _run_batch(arguments: argparse.Namespace, run: Callable[[Any], None]) -> int:
    """Make a ``Batch``, run it, and print how it ended; returns the exit code.

    Raises UsageError where something is missing, before hours of work whose results could not be saved.
    """
    try:
        batch = _make_batch(arguments)
    except (ValueError, RuntimeError, OSError) as error:
        raise UsageError(error_message(error)) from error
    counts = "{0.done} done, {0.skipped} skipped, {0.failed} failed"
    try:
        run(batch)
    except KeyboardInterrupt:
        place = batch.current or "the start"
        batch.console.error(f"Stopped at {place}: {counts.format(batch)}; partial results were discarded.")
        return STOPPED
    if len(getattr(arguments, "inputs", ())) > 1:
        batch.console.result(f"{counts.format(batch)}; see {batch.output / 'summary.csv'}")
    return FAILED if batch.failed else DONE


def _make_batch(arguments: argparse.Namespace) -> Any:
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file: give a folder.")
    if utf8_safe(str(output)) != str(output):
        raise UsageError("The name of the output folder is not valid Unicode: choose another one.")
    if not arguments.no_scene:
        try:
            from .. import scene  # noqa: F401
        except (ImportError, RuntimeError) as error:
            raise UsageError(f"{error_message(error)} (option --no-scene)") from error
    analyzer, settings = make_analyzer(arguments)
    from .batch import Batch

    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise UsageError(f"The output folder {output} cannot be written to.")
    return Batch(
        output=output,
        analyzer=analyzer,
        console=Console(arguments.quiet),
        settings=settings,
        series=getattr(arguments, "series", None),
        scene=not arguments.no_scene,
        overwrite=arguments.overwrite,
        debug=arguments.debug,
    )


def make_analyzer(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The analyzer, and the settings that distinguish its results from those of other settings."""
    from ..analyzer import LesionAnalyzer
    from ..config import AnalysisConfig
    from ..model.bundle import ModelBundle

    config = dataclasses.replace(AnalysisConfig.from_preset(arguments.preset), device=arguments.device)
    if arguments.threshold is not None:
        config = dataclasses.replace(config, threshold=arguments.threshold)
    bundle = ModelBundle.load(arguments.model) if arguments.model else ModelBundle.bundled()
    analyzer = LesionAnalyzer(bundle, config)
    return analyzer, {"model": bundle.checksum, "preset": config.preset, "threshold": analyzer.threshold}
