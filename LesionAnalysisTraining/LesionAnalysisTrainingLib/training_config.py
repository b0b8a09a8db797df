"""Every setting of a training run, and the recipes ``improved``, ``lesions`` and ``paper``. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import PureWindowsPath
from typing import Any

from LesionAnalysisLib.lungs import Preprocessing

RECIPES = ("improved", "lesions", "paper")
SPLITS = ("patients", "random")
MACHINE = ("device", "precision", "workers")  # may differ when a run is resumed; everything else may not


# settings that the paper does not state, or whose departure has a sentence of its own
_NOT_PUBLISHED = {*MACHINE, "disease", "split", "imagenet", "max_unreadable", "mixed_patients", "clusters", "seed"}
_PAPER_DEVIATIONS = (
    "An incomplete last batch of a single slice is left out, since batch normalization needs two.",
    "Omega comes from error rates clipped to 0.001 to 0.499, before the ReLU of equation 1, without augmentation.",
    "Omega is 1 in the first epoch and constant in the last five (at most half of all); the paper does not say when it "
    "is updated.",
    "Biases of the score layers start at 0.1, against levels that the ReLU would silence.",
    "The loss is the cross-entropy; equation 5 as printed is not a loss.",
    "Temperature, threshold and study rule are fitted on validation slices; the preset paper uses none of them.",
    "Lungs are segmented by own morphological steps, and slices at both ends of a scan with little lung are left out.",
)


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random views. Shares are of the crop's size; names of probabilities end in ``_chance``."""

    rotation: float = 12.0  # degrees to either side
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    shift: float = 0.05
    scale: float = 0.12  # margins from tighter to wider than at inference
    brightness: float = 0.10  # of the full range
    contrast: float = 0.20
    gamma: float = 0.20
    mask_chance: float = 0.25  # everything but the lungs blacked out, as in the paper
    blur_chance: float = 0.25
    jpeg_chance: float = 0.25
    noise_chance: float = 0.25
    drawing_chance: float = 0.15  # arrows, letters, frames as in images extracted from publications
    coarse_chance: float = 0.25  # reduced and enlarged again, as small images are
    erase_chance: float = 0.0  # boxes of even gray, so that the answer does not depend on a single lesion
    lesion_chance: float = 0.0  # lesions synthesized into slices without the disease (see ``synthesis``)

    @classmethod
    def paper(cls) -> Augmentation:
        """Section 4.2.3: any rotation, both flips, shift 5 %, brightness 50 %, contrast 30 %."""
        return cls(180.0, 0.5, 0.5, 0.05, 0.0, 0.5, 0.3, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def geometry(self) -> Augmentation:
        """The same flips, rotations, shifts and scales with unchanged gray levels, for masks."""
        off = {f.name: 0.0 for f in fields(self) if f.name.endswith("_chance") and f.name != "mask_chance"}
        return replace(self, brightness=0.0, contrast=0.0, gamma=0.0, **off)


@dataclass(frozen=True)
class Phase:
    """Some epochs at one image size; ``batch`` counts the slices of all processes."""

    size: int
    epochs: int
    batch: int
    rate: float = 1.0  # factor of the learning rates; each phase has its own warm-up and cosine


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training run; saved with the model.

    ``TrainingConfig()`` is the recipe ``improved``, ``TrainingConfig.lesions()`` that of the bundled model,
    ``TrainingConfig.paper()`` that of section 4.2.

    Raises:
        ValueError: a setting is out of its range.
    """

    recipe: str = "improved"
    # the data
    disease: str | None = None  # name of the class whose lesions are shown; None: the one named like COVID-19
    split: str = "patients"  # or "random": slice by slice, which leaks slices of a patient between the splits
    validation_share: float = 0.15
    test_share: float = 0.0
    max_unreadable: float = 0.05  # more unreadable files than this share stop the run
    mixed_patients: bool = False  # a patient may have slices of several classes
    # the network
    backbone: str = "resnet50"
    imagenet: str | None = "auto"  # start weights: a path, "auto" (torch's own cache), None (from scratch)
    fpn: bool = True
    fusion: bool = True
    linear_top: bool = False  # without FPN and fusion: pooling and one linear layer, as CAM needs
    vote_start: bool = True  # the last layer starts as a vote of the levels; False: at random
    dropout: float = 0.5
    lesion_head: bool = False  # maps lesions cell by cell, trained on synthesized ones (Augmentation.lesion_chance)
    # the network's input
    window_hu: tuple[float, float] = (-1200.0, 600.0)
    anchor_gray_levels: bool = True
    mask_lungs: bool = True  # volumes: everything but the lungs is black (in training, see Augmentation.mask_chance)
    mask_images: bool = False  # images without HU, likewise
    margin: float = 0.03
    slab_mm: float = 4.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    # the training
    phases: tuple[Phase, ...] = (Phase(256, 10, 16), Phase(384, 3, 16, 0.3))
    balance: bool = True  # classes equally often, sources by `source_power`; False: every slice once per epoch
    drop_last: bool = True  # leave out an incomplete last batch
    samples_per_epoch: int | None = None  # if balanced; None: as many as there are training slices
    source_power: float = 0.4  # sources are sampled in proportion to n**power of their n slices
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    warm_up: float = 0.05  # share of a phase's steps
    schedule: str = "cosine"  # or "constant"
    weight_decay: float = 0.02
    clip_norm: float | None = 5.0  # largest norm of the gradients; None: not clipped
    label_smoothing: float = 0.05
    level_loss: float = 0.3  # weight of the cross-entropy of each level's own scores
    lesion_loss: float = 0.5  # weight of the lesion head's loss
    freeze_early: bool = True  # layers before C3's block keep their ImageNet weights, which saves a third of the time
    average: float = 0.995  # decay of the running average of the weights; 0 switches it off
    omega_samples: int | None = 400  # training slices on which equation 2 is computed; None: all
    omega_frozen_epochs: int = 5  # at the end of the training
    omega_start: float = 0.4  # share of all epochs before omega, 1 until then, is first updated
    omega_floor: float = 0.2  # omega is a share of its largest, and at least this; 0: as equation 2 gives it
    patience: int | None = 6  # a phase ends after so many epochs without a better validation AUC; None: never early
    keep_best: bool = True  # the network of the last phase's best epoch; False: of its last epoch
    # after the training
    clusters: int | None = None  # K; None: by the elbow method
    lesion_samples: int | None = 2000  # training slices of the disease in which lesions are clustered; None: all
    # the machine
    device: str = "auto"
    precision: str = "auto"  # float32, bfloat16 or float16 (with scaled gradients)
    workers: int | None = None  # processes that prepare slices; None: by the number of cores
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_hu", tuple(map(float, self.window_hu)))
        object.__setattr__(self, "phases", tuple(p if isinstance(p, Phase) else Phase(**p) for p in self.phases))
        if isinstance(self.augmentation, Mapping):
            object.__setattr__(self, "augmentation", Augmentation(**self.augmentation))
        problem = next((message for wrong, message in self._problems() if wrong), None)
        if problem:
            raise ValueError(problem)

    def _problems(self):
        shares = (self.validation_share, self.test_share, self.max_unreadable)
        yield self.recipe not in RECIPES, f"There is no recipe {self.recipe!r}: choose {_or(RECIPES)}."
        yield self.split not in SPLITS, f"There is no split {self.split!r}: choose {_or(SPLITS)}."
        yield (any(not 0 <= s < 1 for s in shares) or self.validation_share + self.test_share >= 0.9
               or self.validation_share == 0), (
            "Validation share (above 0) and test share are fractions; their sum must be below 0.9.")  # fmt: skip
        yield not self.phases, "There is nothing to train: give at least one image size and its epochs."
        for phase in self.phases:
            yield phase.size < 64 or phase.size % 32, f"Images of {phase.size} pixels: give a multiple of 32 from 64."
            yield phase.epochs < 1 or phase.batch < 2, "Give each size at least 1 epoch and batches of 2 slices."
        yield self.linear_top and (self.fpn or self.fusion), (
            "A linear top replaces FPN and fusion: leave out both (--no-fpn --no-fusion).")  # fmt: skip
        yield not (self.learning_rate > 0 and self.head_learning_rate > 0), "Learning rates must be above 0."
        yield self.clip_norm is not None and not self.clip_norm > 0, "The norm of the gradients must be above 0."
        yield self.lesion_head and not (self.fpn and self.fusion), "A lesion head needs FPN and fusion."
        yield self.lesion_head and not self.augmentation.lesion_chance, (
            "A lesion head needs synthesized lesions: give augmentation.lesion_chance.")  # fmt: skip
        yield self.schedule not in ("cosine", "constant"), f"No schedule {self.schedule!r}: cosine or constant."
        yield not 0 <= self.dropout < 1 or not 0 <= self.average < 1, "Dropout and average: 0 to below 1."
        yield not (0 <= self.omega_start <= 1 and 0 <= self.omega_floor <= 1), "Omega's start and floor: 0 to 1."
        yield self.clusters is not None and not 1 <= self.clusters <= 20, "The number of clusters must be 1 to 20."
        counts = (self.samples_per_epoch, self.omega_samples, self.patience, self.lesion_samples)
        yield any(n is not None and n < 1 for n in counts), "Numbers of slices and patience start at 1."

    @classmethod
    def lesions(cls) -> TrainingConfig:
        """As the bundled model: lesions synthesized into slices without the disease train a lesion head.

        For lesions that are denser than aerated lung, as those of COVID-19 are. ``Testing/reproduction/README.md`` has
        the trials that led to it.
        """
        return cls(
            recipe="lesions", phases=(Phase(256, 6, 32), Phase(384, 2, 32, 0.4)), learning_rate=1.5e-4,
            head_learning_rate=7.5e-4, freeze_early=False, lesion_head=True, omega_frozen_epochs=1, patience=None,
            keep_best=False, augmentation=Augmentation(scale=0.2, brightness=0.2, contrast=0.35, gamma=0.4,
                                                       mask_chance=0.4, erase_chance=0.2, lesion_chance=0.4),
        )  # fmt: skip

    @classmethod
    def paper(cls) -> TrainingConfig:
        """Section 4.2: Adam at a constant 1e-5, batches of 10, 50 epochs at 512 x 512, every slice once, lungs only.

        80 % of the slices are for training, 15 % for testing, 5 % for validation. It does not start without ImageNet
        weights, unless ``imagenet`` is None. ``deviations`` lists where it departs from the paper: the split is by
        patient (``split="random"`` gives the paper's), an incomplete last batch needs two slices, and what the paper
        leaves open or misprints is filled in (docs/method.md).
        """
        return cls(
            recipe="paper", validation_share=0.05, test_share=0.15, vote_start=False, anchor_gray_levels=False,
            mask_images=True, margin=0.0, slab_mm=0.0, augmentation=Augmentation.paper(), phases=(Phase(512, 50, 10),),
            balance=False, drop_last=False, source_power=1.0, learning_rate=1e-5, head_learning_rate=1e-5, warm_up=0.0,
            schedule="constant", weight_decay=0.0, clip_norm=None, label_smoothing=0.0, level_loss=0.0,
            freeze_early=False, average=0.0, omega_samples=None, omega_start=0.0, omega_floor=0.0, patience=None,
            keep_best=False, lesion_samples=None, precision="float32",
        )  # fmt: skip

    @property
    def deviations(self) -> list[str]:
        """Where the recipe ``paper`` departs from the paper, one sentence each; empty for other recipes."""
        if self.recipe != "paper":
            return []
        found = [message for departs, message in (
            (self.split == "patients", "The split is by patient, not by slice: slice-level splits leak."),
            (self.imagenet is None, "The backbone starts from random weights, not from ImageNet."),
        ) if departs]  # fmt: skip
        paper, own = TrainingConfig.paper().to_dict(), self.to_dict()
        changed = sorted(name for name in set(own) - _NOT_PUBLISHED if own[name] != paper[name])
        return found + list(_PAPER_DEVIATIONS) + [f"{name} is {own[name]}, not {paper[name]}." for name in changed]

    @classmethod
    def from_recipe(cls, name: str, **changes: Any) -> TrainingConfig:
        """The recipe ``name`` with some settings changed.

        Raises:
            ValueError: unknown recipe, or a setting is out of its range.
        """
        if name not in RECIPES:
            raise ValueError(f"There is no recipe {name!r}: choose {_or(RECIPES)}.")
        if not (changes.get("fpn", True) and changes.get("fusion", True)):
            changes.setdefault("lesion_head", False)  # it needs both
        return replace({"improved": cls, "lesions": cls.lesions, "paper": cls.paper}[name](), **changes)

    def plan(self) -> list[Phase]:
        """The phase of every epoch."""
        return [phase for phase in self.phases for _ in range(phase.epochs)]

    def preprocessing(self) -> Preprocessing:
        """How an analysis with the trained model must prepare its slices."""
        return Preprocessing(
            window_hu=self.window_hu, anchor_gray_levels=self.anchor_gray_levels, mask_lungs=self.mask_lungs,
            mask_images=self.mask_images, margin=self.margin, size=self.phases[-1].size, slab_mm=self.slab_mm,
            min_mean=0.08 if self.recipe == "paper" else 0.03,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Settings as plain values for JSON."""
        return {**asdict(self), "window_hu": list(self.window_hu), "phases": [asdict(p) for p in self.phases]}

    def to_publish(self) -> dict[str, Any]:
        """``to_dict`` for a model that is passed on: only the file name of the start weights, not its folder."""
        return self.to_dict() | {"imagenet": self.imagenet and PureWindowsPath(self.imagenet).name}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainingConfig:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: a setting is unknown or out of its range.
        """
        unknown = sorted(set(settings) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"Unknown training settings: {', '.join(unknown)}.")
        return cls(**settings)


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
