"""Command that compares all systems of the paper's tables 3 and 4.

    python -m reproduction.comparison.compare_command DATA --systems all --output DIR
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, USAGE
from LesionAnalysisLib.text import error_message
from LesionAnalysisTrainingLib.train_options import add_data_options, add_network_options, add_run_options, config_of
from LesionAnalysisTrainingLib.training_config import TrainingConfig

PROGRAM = "compare_command"
QUICK = {"sizes": (64,), "epochs": (2,), "batch": (8,), "slices_per_epoch": 96}  # defaults of --quick
QUICK_OMEGA = 64  # training slices for equation 2
_OF_NETWORKS = ("--no-fpn", "--no-fusion", "--linear-top", "--clusters")  # would change the systems
_OF_MODELS = ("--resume", "--overwrite", "--keep-work", "--title", "--license")


def compare_main(argv: Sequence[str]) -> int:
    """Run ``compare`` with the options ``argv``; returns the exit code (1: a system failed)."""
    arguments = _parser().parse_args(argv)
    console = Console(arguments.quiet)
    try:
        config = _config(arguments)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("The comparison runs in a single process: start it without torchrun.")
    except (ValueError, OSError) as error:
        console.error(f"{PROGRAM}: {error_message(error)}")
        return USAGE
    try:
        with closing(console.progress("Checking" if arguments.dry_run else "Comparing")) as progress:
            return _run(arguments, config, console, progress)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        if arguments.debug:
            traceback.print_exc()
        console.error(f"{PROGRAM}: {error_message(error)}")
        return USAGE if isinstance(error, FileExistsError) else FAILED


def _run(arguments: argparse.Namespace, config: TrainingConfig, console: Console, progress: Any) -> int:
    for name, package in (("sklearn", "scikit-learn"), ("skimage", "scikit-image")):  # before an hour of training
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named '{package}'", name=name)
    from LesionAnalysisTrainingLib.training import check_data

    from ..baselines import find_systems
    from .comparison_report import budget, make_report, printed, write
    from .comparison_runs import LAST, compare

    def log(line: str) -> None:
        progress.close()  # clears the progress bar
        console.note(line)

    try:
        systems = find_systems(arguments.systems.split(","))
    except ValueError as error:
        console.error(f"{PROGRAM}: {error_message(error)}")
        return USAGE
    log(f"{len(systems)} systems, each with {budget(config)}.")
    if arguments.dry_run:
        for line in check_data(arguments.data, config, progress).report.lines():
            log(line)
        console.result("The systems can be compared on these data. Nothing was written.")
        return DONE
    compared = compare(arguments.data, arguments.output, systems, config, quick=arguments.quick,
                       overwrite=arguments.overwrite, keep_networks=arguments.keep_networks, log=log,
                       progress=progress)  # fmt: skip
    progress(LAST, "Measuring")
    report = make_report(compared)
    progress(0.99, "Writing")
    write(report, Path(arguments.output))
    progress.close()
    console.result(printed(report))
    for note in report.notes:
        console.note(f"Note: {note}")
    console.result(f"Tables, plots and report.html are in {arguments.output}.")
    for name, why in compared.failed.items():
        console.error(f"{PROGRAM}: {name} failed: {why}")
    return FAILED if compared.failed else DONE


# -- options ----------------------------------------------------------------------------------------------


class _Without:
    """A group of options without some of those that are added to it."""

    def __init__(self, group: Any, flags: Sequence[str]) -> None:
        self.group, self.flags = group, flags

    def add_argument(self, *names: str, **settings: Any) -> None:
        if not set(names) & set(self.flags):
            self.group.add_argument(*names, **settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, epilog=RESEARCH_NOTICE,
        description="Train and test the systems of the paper's tables 3 and 4 on the same slices with the same budget. "
        "The same command continues an interrupted comparison; finished systems are not trained again.",
    )  # fmt: skip
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help="folder of labeled slices; each folder counts as a source")
    add("-o", "--output", metavar="DIR", help="output folder: results, tables, plots, report.html")
    add("--systems", default="all", metavar="NAME,...", help="all, or some of lbp-svm, lbp-mlp, hist-svm, hist-mlp, "
        "resnet50, vgg16, xception, wsnet, decovnet, covidnet-ct, fecnn, fecnn-without-fpn-and-fusion, "
        "fecnn-without-fusion, fecnn-without-fpn (default: all)")  # fmt: skip
    add("--quick", action="store_true", help="trial run of minutes: 64 px, 2 epochs of 96 slices in batches of 8, "
        "most 256 training and 96 test slices; the options below change the budget")  # fmt: skip
    add_data_options(parser.add_argument_group("data"))
    add_network_options(_Without(parser.add_argument_group("networks and budget of all systems"), _OF_NETWORKS))
    group = parser.add_argument_group("run")
    add_run_options(_Without(group, _OF_MODELS))
    group.add_argument("--overwrite", action="store_true", help="delete the comparison in DIR and start over")
    group.add_argument("--keep-networks", action="store_true", help="keep each trained network beside its result")
    parser.set_defaults(no_fpn=False, no_fusion=False, linear_top=False, clusters=None)
    return parser


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    """The settings for all systems. Raises ValueError where they are inconsistent."""
    if not arguments.output and not arguments.dry_run:
        raise ValueError("Name an output folder with --output.")
    if not arguments.quick:
        return config_of(arguments)
    for name, value in QUICK.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return replace(config_of(arguments), balance=True, omega_samples=QUICK_OMEGA)


if __name__ == "__main__":
    sys.exit(compare_main(sys.argv[1:]))
