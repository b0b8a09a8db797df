"""``lesion-analysis evaluate``: options, progress and exit codes of the four commands.

    lesion-analysis evaluate diagnosis slices --model M --output results
    lesion-analysis evaluate detection images masks --model M --output results
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, USAGE, missing_package, probability
from LesionAnalysisLib.choices import DEVICES, PRESETS
from LesionAnalysisLib.text import error_message

from .settings import DetectionSettings, DiagnosisSettings, IdentificationSettings, MapSettings, ModelSettings

_MEASURED = 0.93  # fraction of the time, for the progress; the rest is drawing
_METHODS = ("enhanced", "lam", "cam", "normgrad", "gradcam++", "layercam", "hirescam")
_SPLITS = ("all", "train", "val", "test")


def evaluate_main(argv: Sequence[str]) -> int:
    """Run ``evaluate`` with the options ``argv``; returns the exit code."""
    arguments = _parser().parse_args(argv)
    console = Console(arguments.quiet)
    try:
        output = Path(os.path.abspath(arguments.output))
        measure = arguments.prepare(arguments, output)
    except ImportError as error:
        console.error(f"lesion-analysis evaluate: {missing_package(error)}")
        return USAGE
    except (ValueError, OSError, RuntimeError) as error:
        return _failed(arguments, console, error, USAGE)
    try:
        with closing(console.progress("Evaluating")) as progress:
            report = measure(progress.part(0.0, _MEASURED))
            from .report_folder import write_report

            write_report(report, output, arguments.overwrite, progress.part(_MEASURED, 1.0))
    except ImportError as error:
        return _failed(arguments, console, RuntimeError(missing_package(error)), FAILED)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        return _failed(arguments, console, error, USAGE if isinstance(error, FileExistsError) else FAILED)
    for note in report.notes:
        console.note(note)
    for table in report.tables:
        if table.printed:
            console.result(f"{table.text()}\n")
    console.result(f"The report is {output / 'report.html'}; all tables and plots are in the same folder.")
    return DONE


def _failed(arguments: argparse.Namespace, console: Console, error: BaseException, code: int) -> int:
    if arguments.debug:
        traceback.print_exception(error)
    console.error(f"lesion-analysis evaluate: {error_message(error)}")
    return code


# -- commands: each checks at once what it can, and returns the work -------------------------------------------

Work = Callable[[Callable[[float, str], None]], Any]


def _diagnosis(a: argparse.Namespace, output: Path) -> Work:
    bundles = _prepared(a, output, a.model or [None])
    from .diagnosis import evaluate_diagnosis

    a.workers = max(1, a.workers or os.cpu_count() or 1)
    return partial(evaluate_diagnosis, a.data, bundles, _settings(a, DiagnosisSettings))


def _detection(a: argparse.Namespace, output: Path) -> Work:
    (bundle,) = _prepared(a, output, [a.model])
    from .detection import evaluate_detection

    return partial(evaluate_detection, a.images, a.masks, bundle, _settings(a, DetectionSettings))


def _identification(a: argparse.Namespace, output: Path) -> Work:
    (bundle,) = _prepared(a, output, [a.model])
    from .identification import evaluate_identification

    return partial(evaluate_identification, a.images, a.masks, bundle, _settings(a, IdentificationSettings))


def _lungs(a: argparse.Namespace, output: Path) -> Work:
    _prepared(a, output, [])
    from .lung_masks import evaluate_lungs

    return partial(evaluate_lungs, a.volumes, a.masks, a.limit)


def _settings(a: argparse.Namespace, settings: type[ModelSettings]) -> Any:
    return settings(**{f.name: getattr(a, f.name) for f in fields(settings)})


def _prepared(a: argparse.Namespace, output: Path, models: Sequence[str | None]) -> list[Any]:
    """The models, loaded and verified; raises if a model or the output folder cannot be used."""
    from .report_folder import check_output

    check_output(output, a.overwrite)
    if not models:
        return []
    from LesionAnalysisLib.model.bundle import ModelBundle

    return [ModelBundle.load(m) if m else ModelBundle.bundled() for m in models]


# -- options --------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lesion-analysis evaluate", epilog=RESEARCH_NOTICE,
                                     description="Measure models as sections 4.3 to 6 of the paper do.")  # fmt: skip
    commands = parser.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    diagnosis = _command(commands, "diagnosis", "how well models classify slices", _diagnosis)
    add = diagnosis.add_argument
    add("data", nargs="+", metavar="DATA", help="folder of labeled slices, as for train; each is a source")
    add("--model", action="append", metavar="DIR", help="model folder; several are compared (default: the bundled one)")
    add("--split", choices=_SPLITS, default="all", help="part of the manifest (default: all slices)")
    add("--disease", metavar="CLASS", help="the class of the disease (default: the one named like COVID-19)")
    add("--workers", type=int, metavar="N", help="processes that prepare slices (default: by the number of cores)")
    _threshold(diagnosis)
    _model_options(diagnosis)

    detection = _command(commands, "detection", "how well maps find lesions", _detection)
    _image_options(detection)
    detection.add_argument("--method", dest="methods", nargs="+", choices=_METHODS, metavar="METHOD", default=(),
                           help=f"of {', '.join(_METHODS)} (default: all that the model allows)")  # fmt: skip
    detection.add_argument("--unseen", nargs="*", metavar="SCAN",
                           help="scans not used for training (default: the model's validation patients)")  # fmt: skip
    _threshold(detection)
    _model_options(detection)

    identification = _command(commands, "identification", "how well clusters match lesion types", _identification)
    _image_options(identification)
    identification.add_argument("--clusters", type=_count, metavar="K", help="number of clusters (default: the model's "
                                "own); another number is refitted to the lesions on the maps")  # fmt: skip
    identification.add_argument("--types", type=int, choices=(2, 3), help="3: with partial consolidation (default: 3 "
                                "for 3 clusters, else 2)")  # fmt: skip
    _model_options(identification)

    lungs = _command(commands, "lungs", "how well lungs are segmented", _lungs)
    lungs.add_argument("volumes", metavar="VOLUMES", help="folder of volumes or images, or one of them")
    lungs.add_argument("masks", metavar="MASKS", help="folder of their masks (above 0: lung), named like them, or with "
                       "'_mask'; may be the same folder")  # fmt: skip
    _limit(lungs)
    return parser


def _command(commands: Any, name: str, words: str, prepare: Callable) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=f"Measure {words}.", epilog=RESEARCH_NOTICE)
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="folder for the results, written when complete")
    add("--overwrite", action="store_true", help="replace an existing evaluation")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="print the traceback of an error")
    parser.set_defaults(prepare=prepare)
    return parser


def _image_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", metavar="IMAGES", help="folder of slices as images")
    add("masks", metavar="MASKS", help="folder of their masks, named like them (0: none, 1: ground glass or any "
        "lesion, 2: consolidation); slices.csv beside it may name the patient of each slice")  # fmt: skip
    add("--model", metavar="DIR", help="model folder (default: the model that comes with LesionAnalysis)")
    add("--preset", choices=PRESETS, default=MapSettings.preset,
        help="paper: the method as published (default: %(default)s)")  # fmt: skip
    add("--min-cells", type=_count, default=MapSettings.min_cells, metavar="N",
        help="smallest region of a map that counts (default: %(default)s)")  # fmt: skip
    add("--examples", type=int, default=MapSettings.examples, metavar="N",
        help="example slices to draw (default: %(default)s)")  # fmt: skip
    _limit(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", choices=DEVICES, default=ModelSettings.device, help="where the network runs")
    add("--rounds", type=int, default=ModelSettings.rounds, metavar="N",
        help="resamples of the patient-level bootstrap (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=ModelSettings.seed, metavar="N", help="random seed (default: %(default)s)")


def _limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_count, metavar="N", help="evaluate only about N files, spread evenly")


def _threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threshold", type=probability, metavar="P",
                        help="least probability of a positive slice (default: the model's threshold)")  # fmt: skip


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive integer")
    return int(text)
