"""``lesion-analysis train`` and Slicer's LesionAnalysisTraining: the same options, the same work.

    lesion-analysis train DATA --output MODEL_DIR
    torchrun --nproc-per-node 2 -m LesionAnalysisTrainingLib train DATA --output MODEL_DIR
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from LesionAnalysisLib.console import Console, sentence, write
from LesionAnalysisLib.results import RESEARCH_NOTICE

from .config import TrainingConfig

DONE, FAILED, USAGE = 0, 1, 2
_SLICER_PROGRESS_S = 0.5


def train_main(argv: Sequence[str], slicer: bool = False) -> int:
    """Run ``train`` with the options ``argv``; returns the exit code of ARCHITECTURE.

    ``slicer`` reports progress as Slicer's panel of command line modules reads it.
    """
    arguments = _parser().parse_args(list(argv))
    arguments.data += [arguments.folder] if arguments.folder else []
    leader = os.environ.get("RANK", "0") == "0"
    console = Console(arguments.quiet or not leader)
    if slicer:
        console = Console(arguments.quiet, err=sys.stdout)  # Slicer shows what is on standard error as an error
    try:
        config = _config(arguments)
        if not arguments.data or not (arguments.output or arguments.dry_run):
            raise ValueError("Give the folder of the labelled slices and, with --output, a folder for the model.")
    except (ValueError, OSError) as error:
        _complain(arguments, error, leader)
        return USAGE
    progress = _SlicerProgress() if slicer else console.progress("Checking" if arguments.dry_run else "Training")
    try:
        return _run(arguments, config, console, progress)
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        progress.close()
        _complain(arguments, error, leader)
        return USAGE if isinstance(error, FileExistsError) else FAILED
    finally:
        progress.close()


def _run(arguments: argparse.Namespace, config: Any, console: Console, progress: Any) -> int:
    from .run import check_data, train

    def log(line: str) -> None:
        progress.close()  # the bar makes room
        console.note(line)

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
        console.result(f"The model is in {bundle.folder}: see MODEL_CARD.md and plots/ there, and use it with\n"
                       f"lesion-analysis analyze CT --output results --model {bundle.folder}")  # fmt: skip
    return DONE


def _complain(arguments: argparse.Namespace, error: BaseException, leader: bool) -> None:
    if arguments.debug:
        traceback.print_exc()
    if leader:
        Console().error(f"lesion-analysis train: {sentence(error)}")


class _SlicerProgress:
    """Progress as Slicer reads it from standard output: at most twice a second."""

    def __init__(self) -> None:
        self._said, self._open = float("-inf"), True
        write(sys.stdout, "<filter-start><filter-name>LesionAnalysisTraining</filter-name></filter-start>\n")

    def __call__(self, fraction: float, message: str = "") -> None:
        now = time.monotonic()
        if now - self._said >= _SLICER_PROGRESS_S or fraction >= 1:
            self._said = now
            text = message.replace("<", "").replace("&", "and")
            share = f"<filter-progress>{fraction:.4f}</filter-progress>"
            write(sys.stdout, f"<filter-comment>{text}</filter-comment>{share}\n")

    def close(self) -> None:
        """Nothing to tidy up between the lines."""


# -- options --------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lesion-analysis train", epilog=RESEARCH_NOTICE,
        description="Train a model on folders of labelled slices (DATA/<class>/<patient>/..., or DATA/manifest.csv).",
    )  # fmt: skip
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="folder of labelled slices; several count as several sources")
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
