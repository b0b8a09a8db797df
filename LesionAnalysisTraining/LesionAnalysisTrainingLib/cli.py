"""``lesion-analysis train`` and Slicer's LesionAnalysisTraining: the same options, the same work.

    lesion-analysis train DATA --output MODEL_DIR
    torchrun --nproc-per-node 2 -m LesionAnalysisTrainingLib train DATA --output MODEL_DIR
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, NoReturn

from LesionAnalysisLib.console import Console, sentence, write
from LesionAnalysisLib.results import RESEARCH_NOTICE

from .config import TrainingConfig
from .evaluate.main import evaluate_main as evaluate_main  # the other command that is found here

DONE, FAILED, USAGE = 0, 1, 2
_GIVE = "Give the folder of the labeled slices and, with --output, a folder for the model."
_CHOOSE = "Choose the folder of the labeled slices and a folder for the model."
_SLICER_STEP, _SLICER_LEAST_S, _SLICER_MOST_S = 0.0005, 0.5, 5.0  # Slicer searches all lines again at the end: be brief


def train_main(argv: Sequence[str], panel: Mapping[str, str] | None = None) -> int:
    """Run ``train`` with the options ``argv``; returns the exit code of ARCHITECTURE.

    ``panel``, given when Slicer starts this as a command line module, is what its panel calls each option, such as
    ``{"--resume": "Continue an unfinished training"}``: messages then speak of the panel, and progress is what
    Slicer reads.
    """
    leader = os.environ.get("RANK", "0") == "0"
    inside = panel is not None
    say = _panel_words(panel or {})
    try:
        arguments = _arguments(argv, panel)
        config = _config(arguments)
    except (ValueError, OSError) as error:
        _complain(say(sentence(error)), inside, leader)
        return USAGE
    # Slicer shows what is on standard error as an error, so that notes go to standard output
    console = Console(arguments.quiet or not leader, err=sys.stdout if inside else None)
    title = "Checking" if arguments.dry_run else "Training"
    progress = _SlicerProgress() if inside else closing(console.progress(title))
    try:
        with progress as report:
            return _run(arguments, config, console, report, say)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        if arguments.debug:
            traceback.print_exc()
        _complain(say(sentence(error)), inside, leader)
        return USAGE if isinstance(error, FileExistsError) else FAILED


def _run(arguments: argparse.Namespace, config: TrainingConfig, console: Console, progress: Any,
         say: Callable[[str], str]) -> int:  # fmt: skip
    if find_spec("sklearn") is None:  # groups the lesions at the end: to be said now, not then
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    from .run import check_data, train

    def log(line: str) -> None:
        progress.close()  # the bar makes room
        console.note(say(line))

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
        if not isinstance(progress, _SlicerProgress):
            use = f"use it with\nlesion-analysis analyze CT --output results --model {bundle.folder}"
        console.result(f"The model is in {bundle.folder}: read MODEL_CARD.md there, and {use}")
    return DONE


def compare_main(argv: Sequence[str]) -> int:
    """Run ``compare``; see ``compare.main``, whose options are partly those of this file."""
    from .compare.main import compare_main as run

    return run(argv)


# -- Slicer ---------------------------------------------------------------------------------------------


class _SlicerProgress:
    """Progress as Slicer reads it from standard output, now and then; standard error is kept for errors meanwhile.

    Warnings of libraries, also in the processes that they start, go to standard output: Slicer reports whatever is
    on standard error as an error, even if all went well.
    """

    _NAME = "<filter-name>LesionAnalysisTraining</filter-name>"

    def __enter__(self) -> _SlicerProgress:
        self._start, self._said, self._share = time.monotonic(), float("-inf"), 0.0
        sys.stderr.flush()
        self._errors = os.dup(2)
        os.dup2(1, 2)
        write(sys.stdout, f"<filter-start>{self._NAME}</filter-start>\n")
        return self

    def __call__(self, fraction: float, message: str = "") -> None:
        now = time.monotonic()
        waited, gained = now - self._said, fraction - self._share
        if waited >= (_SLICER_LEAST_S if gained >= _SLICER_STEP else _SLICER_MOST_S) or fraction >= 1 > self._share:
            self._said, self._share = now, fraction
            share = f"<filter-progress>{min(max(fraction, 0.0), 1.0):.4f}</filter-progress>"
            write(sys.stdout, f"<filter-comment>{message.replace('<', '')}</filter-comment>{share}\n")

    def close(self) -> None:
        """There is no bar to make room for other lines."""

    def __exit__(self, *_: object) -> None:
        took = f"<filter-time>{time.monotonic() - self._start:.1f}</filter-time>"
        write(sys.stdout, f"<filter-end>{self._NAME}{took}</filter-end>\n")
        sys.stderr.flush()
        os.dup2(self._errors, 2)
        os.close(self._errors)


def _with_hyphens(argv: Sequence[str], panel: Mapping[str, str]) -> list[str]:
    """Slicer refuses hyphens in the name of an option, and passes ``--dry_run`` for ``--dry-run``."""
    return [word.replace("_", "-") if word in panel else word for word in argv]


def _panel_words(panel: Mapping[str, str]) -> Callable[[str], str]:
    """What puts the panel's labels into a sentence for the options that it names."""
    labels = {option.replace("_", "-"): label for option, label in panel.items()}
    return lambda text: re.sub(r"--[a-z][a-z-]*", lambda m: f"'{labels[m[0]]}'" if m[0] in labels else m[0], text)


def _complain(text: str, inside: bool, leader: bool) -> None:
    if leader:
        Console().error(text if inside else f"lesion-analysis train: {text}")


# -- options --------------------------------------------------------------------------------------------


class _PanelParser(argparse.ArgumentParser):
    """Says what is wrong without the usage of a command that nobody typed."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        raise ValueError(text if text.endswith(".") else f"{text}.")


def _arguments(argv: Sequence[str], panel: Mapping[str, str] | None) -> argparse.Namespace:
    """The options, read; raises ValueError where Slicer's are wrong, and where folders are missing."""
    inside = panel is not None
    arguments = _parser(inside).parse_args(_with_hyphens(argv, panel or {}))
    unset = ("", ".") if inside else ("",)  # Slicer passes "." for a folder that nobody has chosen
    arguments.data = [folder for folder in [*arguments.data, arguments.folder or ""] if folder not in unset]
    chosen = arguments.output not in (None, *unset)
    if not arguments.data or not (chosen or arguments.dry_run):
        raise ValueError(_CHOOSE if inside else _GIVE)
    return arguments


def _parser(inside: bool = False) -> argparse.ArgumentParser:
    parser = (_PanelParser if inside else argparse.ArgumentParser)(
        prog="lesion-analysis train", epilog=RESEARCH_NOTICE,
        description="Train a model on folders of labeled slices (DATA/<class>/<patient>/..., or DATA/manifest.csv).",
    )  # fmt: skip
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="folder of labeled slices; several count as several sources")
    add("--data", dest="folder", metavar="DIR", help=argparse.SUPPRESS)  # Slicer passes everything by name
    add("-o", "--output", metavar="MODEL_DIR", help="the model's folder, which appears when all is done")
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network and training"))
    _add_run(parser.add_argument_group("run"))
    return parser


def _add_data(group: Any) -> None:
    add = group.add_argument
    add("--disease", metavar="CLASS", help="the class whose lesions are shown (default: the one named like COVID-19)")
    add("--split", choices=("patients", "random"), help="random puts slices of one patient on both sides, as the paper "
        "did: its figures are too good (default: patients)")  # fmt: skip
    add("--validation-share", type=float, metavar="P", help="share of the slices for validation (default: 0.15)")
    add("--test-share", type=float, metavar="P", help="share of the slices kept for a test (default: 0; paper: 0.05)")
    add("--max-unreadable", type=float, metavar="P", help="leave out unreadable files up to this share (default: 0.05)")
    add("--mixed-patients", action="store_true", help="a patient may have slices of several classes")
    add("--dry-run", action="store_true", help="check the data, show what would be trained on, write nothing")


def _add_network(group: Any) -> None:
    add = group.add_argument
    add("--recipe", choices=("improved", "paper"), default="improved", help="paper: section 4.2 to the letter")
    add("--backbone", choices=("resnet18", "resnet50", "vgg16", "xception"), help="default: resnet50")
    add("--weights", metavar="FILE", help="ImageNet weights with torchvision's names (.pth); 'auto' looks in torch's "
        "cache, 'none' starts from scratch (default: auto)")  # fmt: skip
    add("--no-fpn", action="store_true", help="leave out the feature pyramid")
    add("--no-fusion", action="store_true", help="leave out the ensemble fusion")
    add("--sizes", type=_integers, metavar="PX,...", help="picture size of each phase (default: 256,384)")
    add("--epochs", type=_integers, metavar="N,...", help="epochs of each phase (default: 10,3)")
    add("--batch", type=_integers, metavar="N,...", help="slices a batch, over all processes (default: 16)")
    add("--slices-per-epoch", type=int, metavar="N", help="default: as many as there are training slices")
    add("--learning-rate", type=float, metavar="R", help="of the backbone (default: 1e-4; paper: 1e-5)")
    add("--patience", type=int, metavar="N", help="epochs without a better validation AUC that end a phase; 0: never")
    add("--clusters", type=int, metavar="K", help="number of lesion clusters (default, or 0: by the elbow)")
    add("--seed", type=int, metavar="N", help="of everything random (default: 0)")


def _add_run(group: Any) -> None:
    add = group.add_argument
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="where the network is trained (default: auto)")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), help="default: what the device is fast in")
    add("--workers", type=int, metavar="N", help="processes that prepare slices (default: by the number of cores)")
    add("--resume", action="store_true", help="go on with the unfinished run in MODEL_DIR.training, if there is one")
    add("--overwrite", action="store_true", help="replace the model, and drop the unfinished run, that is there")
    add("--keep-work", action="store_true", help="leave MODEL_DIR.training when all is done")
    add("--title", metavar="TEXT", help="of the model, shown wherever it is used")
    add("--license", metavar="TEXT", help="of the model's weights, shown before it is used")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show where in the program an error arose")


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers such as 256,384") from None


_DIRECT = {"disease": "disease", "split": "split", "validation_share": "validation_share", "test_share": "test_share",
           "max_unreadable": "max_unreadable", "backbone": "backbone", "slices_per_epoch": "samples_per_epoch",
           "learning_rate": "learning_rate", "seed": "seed", "device": "device", "precision": "precision",
           "workers": "workers"}  # fmt: skip


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    """The settings that the options ask for. Raises ValueError where they do not fit together."""
    given = {name: getattr(arguments, option) for option, name in _DIRECT.items()}
    # Slicer passes every number: one below 0 is not meant
    given = {name: value for name, value in given.items() if value not in (None, "") and not _below_zero(value)}
    changes: dict[str, Any] = dict(given)
    changes |= {name: False for name in ("fpn", "fusion") if getattr(arguments, f"no_{name}")}
    if arguments.mixed_patients:
        changes["mixed_patients"] = True
    if arguments.weights:
        changes["imagenet"] = None if arguments.weights == "none" else arguments.weights
    if arguments.clusters is not None:
        changes["clusters"] = arguments.clusters or None
    if arguments.patience is not None and arguments.patience >= 0:
        changes["patience"] = arguments.patience or None
    config = TrainingConfig.from_recipe(arguments.recipe, **changes)
    return _with_phases(config, size=arguments.sizes, epochs=arguments.epochs, batch=arguments.batch)


def _below_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value < 0


def _with_phases(config: TrainingConfig, **lists: tuple[int, ...] | None) -> TrainingConfig:
    """``config`` with the sizes, epochs and batches that ``lists`` give; a list of one value holds for all phases.

    There are as many phases as the longest list has values, or as before where only single values are given for
    epochs and batches.
    """
    given = {name: values for name, values in lists.items() if values}
    if not given:
        return config
    before = config.phases
    count = max(map(len, given.values()))
    if count == 1 and "size" not in given:
        count = len(before)
    phases = []
    for i in range(count):
        phase = before[min(i, len(before) - 1)]
        for name, values in given.items():
            if len(values) not in (1, count):
                raise ValueError(f"There are {count} phases, but {len(values)} values of {name}: give one for each.")
            phase = replace(phase, **{name: values[min(i, len(values) - 1)]})
        phases.append(phase)
    return replace(config, phases=tuple(phases))
