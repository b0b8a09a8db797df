"""The options of ``train`` and the settings they give."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from .training_config import RECIPES, TrainingConfig


def add_data_options(group: Any) -> None:
    add = group.add_argument
    add("--disease", metavar="CLASS", help="the class whose lesions are mapped (default: the one named like COVID-19)")
    add("--split", choices=("patients", "random"), help="random splits slice by slice, as the paper did: slices of a "
        "patient leak between the splits, and figures are optimistically biased (default: patients)")  # fmt: skip
    add("--validation-share", type=float, metavar="P", help="share of the slices for validation (default: 0.15; paper: "
        "0.05)")  # fmt: skip
    add("--test-share", type=float, metavar="P", help="share of the slices for testing (default: 0; paper: 0.15)")
    add("--max-unreadable", type=float, metavar="P", help="leave out unreadable files up to this share (default: 0.05)")
    add("--mixed-patients", action="store_true", help="a patient may have slices of several classes")
    add("--dry-run", action="store_true", help="check the data, list what would be trained on, write nothing")


def add_network_options(group: Any) -> None:
    add = group.add_argument
    add("--recipe", choices=RECIPES, default="improved", help="lesions: as the bundled model, with lesions synthesized "
        "into slices without the disease; paper: as published (section 4.2) (default: improved)")  # fmt: skip
    add("--backbone", choices=("resnet18", "resnet50", "vgg16", "xception"), help="default: resnet50")
    add("--weights", metavar="FILE", help="ImageNet weights with torchvision's names (.pth); 'auto' looks in torch's "
        "cache, 'none' starts from random weights (default: auto)")  # fmt: skip
    add("--no-fpn", action="store_true", help="leave out the feature pyramid")
    add("--no-fusion", action="store_true", help="leave out the ensemble fusion")
    add("--linear-top", action="store_true", help="with --no-fpn and --no-fusion: pooling and one linear layer, as CAM "
        "needs")  # fmt: skip
    add("--sizes", type=_integers, metavar="PX,...", help="image size of each phase (default: 256,384)")
    add("--epochs", type=_integers, metavar="N,...", help="epochs of each phase (default: 10,3)")
    add("--batch", type=_integers, metavar="N,...", help="slices per batch, over all processes (default: 16)")
    add("--slices-per-epoch", type=int, metavar="N", help="default: as many as there are training slices")
    add("--learning-rate", type=float, metavar="R", help="of the backbone (default: 1e-4; paper: 1e-5)")
    add("--patience", type=int, metavar="N", help="epochs without a better validation AUC that end a phase; 0: never")
    add("--clusters", type=int, metavar="K", help="number of lesion clusters (default, or 0: by the elbow method)")
    add("--seed", type=int, metavar="N", help="seed of all random numbers (default: 0)")


def add_run_options(group: Any) -> None:
    add = group.add_argument
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="where to train (default: auto)")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), help="default: the device's fastest")
    add("--workers", type=int, metavar="N", help="processes that prepare slices (default: by the number of cores)")
    add("--resume", action="store_true", help="continue the unfinished run in MODEL_DIR.training, if there is one")
    add("--overwrite", action="store_true", help="replace an existing model, and discard an unfinished run")
    add("--keep-work", action="store_true", help="keep MODEL_DIR.training when the training is complete")
    add("--title", metavar="TEXT", help="title of the model, shown wherever it is used")
    add("--license", metavar="TEXT", help="license of the model's weights, shown before it is used")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show tracebacks")


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers such as 256,384") from None


_SAME_NAME = ("disease", "split", "validation_share", "test_share", "max_unreadable", "backbone", "learning_rate",
              "seed", "device", "precision", "workers")  # fmt: skip


def config_of(arguments: argparse.Namespace) -> TrainingConfig:
    """The settings that the options give. Raises ValueError where they do not fit together."""
    given = {name: getattr(arguments, name) for name in _SAME_NAME} | {"samples_per_epoch": arguments.slices_per_epoch}
    # Slicer passes every number, -1 where the recipe's is wanted
    changes: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, "", -1)}
    changes |= {name: False for name in ("fpn", "fusion") if getattr(arguments, f"no_{name}")}
    changes |= {name: True for name in ("linear_top", "mixed_patients") if getattr(arguments, name)}
    if arguments.weights:
        changes["imagenet"] = None if arguments.weights == "none" else arguments.weights
    if arguments.clusters is not None:
        changes["clusters"] = arguments.clusters or None
    if arguments.patience is not None and arguments.patience >= 0:
        changes["patience"] = arguments.patience or None
    config = TrainingConfig.from_recipe(arguments.recipe, **changes)
    return _with_phases(config, size=arguments.sizes, epochs=arguments.epochs, batch=arguments.batch)


def _with_phases(config: TrainingConfig, **lists: tuple[int, ...] | None) -> TrainingConfig:
    """``config`` with sizes, epochs and batches of the phases; a list of one value holds for all phases.

    There are as many phases as the longest list has values, or as before where epochs and batches have one value.
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
                raise ValueError(f"There are {count} phases, but {len(values)} values of {name}: give {count}.")
            phase = replace(phase, **{name: values[min(i, len(values) - 1)]})
        phases.append(phase)
    return replace(config, phases=tuple(phases))
