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
from pathlib import Path
from typing import Any

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.app.usage import DONE, FAILED, USAGE, probability
from LesionAnalysisLib.text import sentence

_MEASURED = 0.93  # share of the time, for the progress; the rest is drawing
_METHODS = ("enhanced", "lam", "cam", "normgrad", "gradcam++", "layercam", "hirescam")
_SPLITS = ("all", "train", "val", "test")


def evaluate_main(argv: Sequence[str]) -> int:
    """Run ``evaluate`` with the options ``argv``; returns the exit code of ARCHITECTURE."""
    arguments = _parser().parse_args(argv)
    console = Console(arguments.quiet)
    try:
        output = Path(os.path.abspath(arguments.output))
        measure = arguments.prepare(arguments, output)
    except ImportError as error:
        console.error(f"lesion-analysis evaluate: {_missing(error)}")
        return USAGE
    except (ValueError, OSError, RuntimeError) as error:
        return _failed(arguments, console, error, USAGE)
    try:
        with closing(console.progress("Evaluating")) as progress:
            report = measure(progress.part(0.0, _MEASURED))
            from .report_folder import write_report

            write_report(report, output, arguments.overwrite, progress.part(_MEASURED, 1.0))
    except ImportError as error:
        return _failed(arguments, console, RuntimeError(_missing(error)), FAILED)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        return _failed(arguments, console, error, USAGE if isinstance(error, FileExistsError) else FAILED)
    for note in report.notes:
        console.note(note)
    for table in report.tables:
        if table.printed:
            console.result(f"{table.text()}\n")
    console.result(f"The report is {output / 'report.html'}, with all tables and plots beside it.")
    return DONE


def _failed(arguments: argparse.Namespace, console: Console, error: BaseException, code: int) -> int:
    if arguments.debug:
        traceback.print_exception(error)
    console.error(f"lesion-analysis evaluate: {sentence(error)}")
    return code


def _missing(error: ImportError) -> str:
    name = (error.name or str(error)).split(".")[0]
    return f"The Python package '{name}' is missing: install LesionAnalysis with all that it needs."


# -- the commands: each checks what can be checked at once, and gives back the work ---------------------------

Work = Callable[[Callable[[float, str], None]], Any]


def _diagnosis(a: argparse.Namespace, output: Path) -> Work:
    bundles = _prepared(a, output, a.model)
    from .diagnosis import evaluate_diagnosis

    return lambda progress: evaluate_diagnosis(
        a.data, bundles, split=a.split, disease=a.disease, threshold=a.threshold, device=a.device,
        workers=max(1, a.workers or os.cpu_count() or 1), rounds=a.rounds, seed=a.seed, progress=progress,
    )  # fmt: skip


def _detection(a: argparse.Namespace, output: Path) -> Work:
    (bundle,) = _prepared(a, output, [a.model])
    from .detection import evaluate_detection

    return lambda progress: evaluate_detection(
        a.images, a.masks, bundle, a.method or (), preset=a.preset, device=a.device, min_cells=a.min_cells,
        threshold=a.threshold, unseen=a.unseen, limit=a.limit, pictures=a.pictures, rounds=a.rounds, seed=a.seed,
        progress=progress,
    )  # fmt: skip


def _identification(a: argparse.Namespace, output: Path) -> Work:
    (bundle,) = _prepared(a, output, [a.model])
    from .identification import evaluate_identification

    return lambda progress: evaluate_identification(
        a.images, a.masks, bundle, clusters=a.clusters, types=a.types, preset=a.preset, device=a.device,
        min_cells=a.min_cells, limit=a.limit, pictures=a.pictures, rounds=a.rounds, seed=a.seed, progress=progress,
    )  # fmt: skip


def _lungs(a: argparse.Namespace, output: Path) -> Work:
    _prepared(a, output, [])
    from .lung_masks import evaluate_lungs

    return lambda progress: evaluate_lungs(a.volumes, a.masks, limit=a.limit, progress=progress)


def _prepared(a: argparse.Namespace, output: Path, models: Sequence[str | None] | None) -> list[Any]:
    """The models, read and verified; raises where a model or the output folder cannot be used."""
    from .report_folder import check_output

    check_output(output, a.overwrite)
    if models is not None and not models:
        return []
    from LesionAnalysisLib.model.bundle import ModelBundle

    return [ModelBundle.load(m) if m else ModelBundle.bundled() for m in models or [None]]


# -- options --------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lesion-analysis evaluate", epilog=RESEARCH_NOTICE,
                                     description="Measure models as sections 4.3 to 6 of the paper do.")  # fmt: skip
    commands = parser.add_subparsers(title="what is measured", metavar="WHAT", required=True)
    diagnosis = _command(commands, "diagnosis", "how well models tell slices apart", _diagnosis)
    add = diagnosis.add_argument
    add("data", nargs="+", metavar="DATA", help="folder of labeled slices, as for train; several are several sources")
    add("--model", action="append", metavar="DIR", help="model folder; several are compared (default: the bundled one)")
    add("--split", choices=_SPLITS, default="all", help="part of the manifest (default: all slices)")
    add("--disease", metavar="CLASS", help="the class that is the disease (default: the one named like COVID-19)")
    add("--workers", type=int, metavar="N", help="processes that prepare slices (default: by the number of cores)")
    _threshold(diagnosis)
    _model_options(diagnosis)

    detection = _command(commands, "detection", "how well maps find lesions", _detection)
    _pictures(detection)
    detection.add_argument("--method", nargs="+", choices=_METHODS, metavar="METHOD",
                           help=f"of {', '.join(_METHODS)} (default: all that the model allows)")  # fmt: skip
    detection.add_argument("--unseen", nargs="*", metavar="SCAN",
                           help="scans that took no part in training (default: as the model says)")  # fmt: skip
    _threshold(detection)
    _model_options(detection)

    identification = _command(commands, "identification", "do clusters stand for lesion types", _identification)
    _pictures(identification)
    identification.add_argument("--clusters", type=_count, metavar="K", help="default: the model's own; another number "
                                "is fitted anew to the lesions found")  # fmt: skip
    identification.add_argument("--types", type=int, choices=(2, 3), help="3: with partial consolidation (default: 3 "
                                "for 3 clusters, else 2)")  # fmt: skip
    _model_options(identification)

    lungs = _command(commands, "lungs", "how well lungs are found", _lungs)
    lungs.add_argument("volumes", metavar="VOLUMES", help="folder of volumes or pictures, or one of them")
    lungs.add_argument("masks", metavar="MASKS", help="folder of their masks (above 0: lung), named like them, or with "
                       "'_mask'; may be the same folder")  # fmt: skip
    _limit(lungs)
    return parser


def _command(commands: Any, name: str, words: str, prepare: Callable) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=f"Measure {words}.", epilog=RESEARCH_NOTICE)
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="folder for the results, which appears when all is done")
    add("--overwrite", action="store_true", help="replace the evaluation that is there")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show where in the program an error arose")
    parser.set_defaults(prepare=prepare)
    return parser


def _pictures(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", metavar="IMAGES", help="folder of slices as pictures")
    add("masks", metavar="MASKS", help="folder of their masks, named like them (0: none, 1: ground glass or any "
        "lesion, 2: consolidation); slices.csv beside it may name the patient of each slice")  # fmt: skip
    add("--model", metavar="DIR", help="model folder (default: the model that comes with LesionAnalysis)")
    add("--preset", choices=("enhanced", "paper", "default"), default="enhanced",
        help="paper: the method as published; default: another name of enhanced")  # fmt: skip
    add("--min-cells", type=_count, default=2, metavar="N", help="smallest region of a map that counts (default: 2)")
    add("--pictures", type=int, default=6, metavar="N", help="slices that are drawn (default: 6)")
    _limit(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where the network runs")
    add("--rounds", type=int, default=400, metavar="N", help="redraws of the patients for intervals (default: 400)")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")


def _limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_count, metavar="N", help="look at about so many files only, spread evenly")


def _threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threshold", type=probability, metavar="P",
                        help="a slice is positive from this probability on (default: the model's own)")  # fmt: skip


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)
