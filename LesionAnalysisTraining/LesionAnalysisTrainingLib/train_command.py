"""``lesion-analysis train`` and Slicer's LesionAnalysisTraining, with the same options.

    lesion-analysis train DATA --output MODEL_DIR
    torchrun --nproc-per-node 2 -m LesionAnalysisTrainingLib train DATA --output MODEL_DIR
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, USAGE
from LesionAnalysisLib.text import error_message

from .slicer_cli import PanelParser, SlicerProgress, panel_words, with_hyphens
from .train_options import add_data_options, add_network_options, add_run_options, config_of
from .training_config import TrainingConfig

_GIVE = "Give the folder of the labeled slices and, with --output, a folder for the model."
_CHOOSE = "Choose the folder of the labeled slices and a folder for the model."


def train_main(argv: Sequence[str], panel: Mapping[str, str] | None = None) -> int:
    """Run ``train`` with the options ``argv``; returns the exit code.

    ``panel``, given when Slicer starts this as a command line module, maps options to the labels of its panel, such as
    ``{"--resume": "Continue an unfinished training"}``: messages then name labels, and progress is printed for Slicer.
    """
    is_rank0, in_slicer = os.environ.get("RANK", "0") == "0", panel is not None
    translate = panel_words(panel or {})

    def complain(error: Exception) -> None:
        if is_rank0:
            Console().error(f"{'' if in_slicer else 'lesion-analysis train: '}{translate(error_message(error))}")

    try:
        arguments = _arguments(argv, panel)
        config = config_of(arguments)
    except (ValueError, OSError) as error:
        complain(error)
        return USAGE
    # Slicer reports whatever is on standard error as an error, so notes go to standard output
    console = Console(arguments.quiet or not is_rank0, err=sys.stdout if in_slicer else None)
    title = "Checking" if arguments.dry_run else "Training"
    progress = SlicerProgress() if in_slicer else closing(console.progress(title))
    try:
        with progress as report:
            return _run(arguments, config, console, report, translate)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        if arguments.debug:
            traceback.print_exc()
        complain(error)
        return USAGE if isinstance(error, FileExistsError) else FAILED


def _run(arguments: argparse.Namespace, config: TrainingConfig, console: Console, progress: Any,
         translate: Callable[[str], str]) -> int:  # fmt: skip
    if find_spec("sklearn") is None:  # needed at the end only, but to be reported before the training
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    from .training import check_data, train

    def log(line: str) -> None:
        progress.close()  # clears the bar's line
        console.note(translate(line))

    if arguments.dry_run:
        for line in check_data(arguments.data, config, progress).report.lines():
            log(line)
        console.result("The data can be trained on. Nothing was written.")
        return DONE
    bundle = train(
        arguments.data, arguments.output, config, resume=arguments.resume, overwrite=arguments.overwrite,
        keep_work=arguments.keep_work, log=log, progress=progress,
        **{name: getattr(arguments, name) for name in ("title", "license") if getattr(arguments, name)},
    )  # fmt: skip
    progress.close()
    if bundle is not None:
        use = "choose it in the module Lesion Analysis, under Advanced."
        if not isinstance(progress, SlicerProgress):
            use = f"use it with\nlesion-analysis analyze CT --output results --model {bundle.folder}"
        console.result(f"The model is in {bundle.folder}: read MODEL_CARD.md there, and {use}")
    return DONE


def _arguments(argv: Sequence[str], panel: Mapping[str, str] | None) -> argparse.Namespace:
    """The parsed options; ValueError where Slicer's are invalid, and where folders are missing."""
    in_slicer = panel is not None
    arguments = _parser(in_slicer).parse_args(with_hyphens(argv, panel or {}))
    unset = ("", ".") if in_slicer else ("",)  # Slicer passes "." for a folder that was not chosen
    arguments.data = [folder for folder in [*arguments.data, arguments.folder or ""] if folder not in unset]
    chosen = arguments.output not in (None, *unset)
    if not arguments.data or not (chosen or arguments.dry_run):
        raise ValueError(_CHOOSE if in_slicer else _GIVE)
    return arguments


def _parser(in_slicer: bool = False) -> argparse.ArgumentParser:
    parser = (PanelParser if in_slicer else argparse.ArgumentParser)(
        prog="lesion-analysis train", epilog=RESEARCH_NOTICE,
        description="Train a model on folders of labeled slices (DATA/<class>/<patient>/..., or DATA/manifest.csv).",
    )  # fmt: skip
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="folder of labeled slices; each of several is a source")
    add("--data", dest="folder", metavar="DIR", help=argparse.SUPPRESS)  # Slicer passes everything by name
    add("-o", "--output", metavar="MODEL_DIR", help="the model's folder, which appears when the training is complete")
    add_data_options(parser.add_argument_group("data"))
    add_network_options(parser.add_argument_group("network and training"))
    add_run_options(parser.add_argument_group("run"))
    return parser
