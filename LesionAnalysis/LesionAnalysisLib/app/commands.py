"""The commands of ``lesion-analysis`` and the exit codes they end with."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import RESEARCH_NOTICE, __version__
from ..text import sentence
from .progress import Console
from .usage import DONE, FAILED, STOPPED, UsageError, missing_package, probability


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="lesion-analysis",
        description="Weakly supervised analysis of COVID-19 lesions in chest CT.",
        epilog=RESEARCH_NOTICE,
    )
    root.add_argument("--version", action="version", version=f"lesion-analysis {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

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
    return root


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


def _series(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _analyze(arguments: argparse.Namespace) -> int:
    batch = _make_batch(arguments)
    from .batch import name_cases

    batch.series = arguments.series
    return _run(batch, lambda: batch.run(name_cases(arguments.inputs)), len(arguments.inputs) > 1)


def _demo(arguments: argparse.Namespace) -> int:
    batch = _make_batch(arguments)
    from .demo import run_demo

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
            scene=not arguments.no_scene,
            overwrite=arguments.overwrite,
            debug=arguments.debug,
        )
    except ImportError as error:
        raise UsageError(missing_package(error)) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise UsageError(sentence(error)) from error


def _check_scene() -> None:
    """Raise UsageError where the MRML classes are missing, before an hour of work that could not be saved."""
    try:
        from .. import scene  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"{' '.join(str(error).split())} (option --no-scene)") from error


def make_analyzer(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The analyzer, and what of its settings tells results apart."""
    from ..analyzer import LesionAnalyzer
    from ..config import AnalysisConfig
    from ..model.bundle import ModelBundle

    config = dataclasses.replace(AnalysisConfig.from_preset(arguments.preset), device=arguments.device)
    if arguments.threshold is not None:
        config = dataclasses.replace(config, threshold=arguments.threshold)
    bundle = ModelBundle.load(arguments.model) if arguments.model else ModelBundle.bundled()
    analyzer = LesionAnalyzer(bundle, config)
    return analyzer, {"model": bundle.checksum, "preset": config.preset, "threshold": analyzer.threshold}
