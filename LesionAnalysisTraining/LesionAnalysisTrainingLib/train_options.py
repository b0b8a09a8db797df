"""The options of ``train``, which ``compare`` shares, and the settings that they ask for."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from .training_config import RECIPES, TrainingConfig


def add_data_options(group: Any) -> None:
    add = group.add_argument
    add("--disease", metavar="CLASS", help="the class whose lesions are shown (default: the one named like COVID-19)")
    add("--split", choices=("patients", "random"), help="random puts slices of one patient on both sides, as the paper "
        "did: its figures are too good (default: patients)")  # fmt: skip
    add("--validation-share", type=float, metavar="P", help="share of the slices for validation (default: 0.15)")
    add("--test-share", type=float, metavar="P", help="share of the slices kept for a test (default: 0; paper: 0.05)")
    add("--max-unreadable", type=float, metavar="P", help="leave out unreadable files up to this share (default: 0.05)")
    add("--mixed-patients", action="store_true", help="a patient may have slices of several classes")
    add("--dry-run", action="store_true", help="check the data, show what would be trained on, write nothing")


def add_network_options(group: Any) -> None:
    add = group.add_argument
    add("--recipe", choices=RECIPES, default="improved", help="lesions: as the bundled model, with lesions synthesized "
        "into slices without the disease; paper: section 4.2 to the letter")  # fmt: skip
    add("--backbone", choices=("resnet18", "resnet50", "vgg16", "xception"), help="default: resnet50")
    add("--weights", metavar="FILE", help="ImageNet weights with torchvision's names (.pth); 'auto' looks in torch's "
        "cache, 'none' starts from scratch (default: auto)")  # fmt: skip
    add("--no-fpn", action="store_true", help="leave out the feature pyramid")
    add("--no-fusion", action="store_true", help="leave out the ensemble fusion")
    add("--linear-top", action="store_true", help="with --no-fpn and --no-fusion: pooling and one linear layer, which "
        "CAM needs")  # fmt: skip
    add("--sizes", type=_integers, metavar="PX,...", help="picture size of each phase (default: 256,384)")
    add("--epochs", type=_integers, metavar="N,...", help="epochs of each phase (default: 10,3)")
    add("--batch", type=_integers, metavar="N,...", help="slices a batch, over all processes (default: 16)")
    add("--slices-per-epoch", type=int, metavar="N", help="default: as many as there are training slices")
    add("--learning-rate", type=float, metavar="R", help="of the backbone (default: 1e-4; paper: 1e-5)")
    add("--patience", type=int, metavar="N", help="epochs without a better validation AUC that end a phase; 0: never")
    add("--clusters", type=int, metavar="K", help="number of lesion clusters (default, or 0: by the elbow)")
    add("--seed", type=int, metavar="N", help="of everything random (default: 0)")


def add_run_options(group: Any) -> None:
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


def config_of(arguments: argparse.Namespace) -> TrainingConfig:
    """The settings that the options ask for. Raises ValueError where they do not fit together."""
    given = {name: getattr(arguments, option) for option, name in _DIRECT.items()}
    # Slicer passes every number: one below 0 is not meant
    given = {name: value for name, value in given.items() if value not in (None, "") and not _below_zero(value)}
    changes: dict[str, Any] = dict(given)
    changes |= {name: False for name in ("fpn", "fusion") if getattr(arguments, f"no_{name}")}
    if arguments.linear_top:
        changes["linear_top"] = True
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
