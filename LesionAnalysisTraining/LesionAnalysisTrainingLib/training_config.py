"""Every setting of a training run, and the two recipes: ``paper`` and ``improved``. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import PureWindowsPath
from typing import Any

from LesionAnalysisLib.lungs import Preprocessing

RECIPES = ("improved", "lesions", "paper")
SPLITS = ("patients", "random")
MACHINE = ("device", "precision", "workers")  # may differ when a run is resumed; everything else may not


@dataclass(frozen=True)
class Augmentation:
    """How far a view may stray. Shares are of the crop's size; probabilities end in ``_chance``."""

    rotation: float = 12.0  # degrees to either side
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    shift: float = 0.05
    scale: float = 0.12  # margins from tighter to wider than at inference
    brightness: float = 0.10  # of the full range
    contrast: float = 0.20
    gamma: float = 0.20
    mask_chance: float = 0.25  # lungs only, as the paper's preprocessing shows them
    blur_chance: float = 0.25
    jpeg_chance: float = 0.25
    noise_chance: float = 0.25
    drawing_chance: float = 0.15  # arrows, letters, frames as in figures of papers
    coarse_chance: float = 0.25  # shrunk and enlarged again: small pictures
    erase_chance: float = 0.0  # boxes blotted out, so that no single lesion has to carry the answer
    lesion_chance: float = 0.0  # of slices without the disease, which then have it (see ``synthesis``)

    @classmethod
    def paper(cls) -> Augmentation:
        """Section 4.2.3: any rotation, both flips, shift 5 %, brightness 50 %, contrast 30 %."""
        return cls(180.0, 0.5, 0.5, 0.05, 0.0, 0.5, 0.3, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def movement(self) -> Augmentation:
        """With the same flips, turns, shifts and scales, and unchanged gray_levels."""
        still = {f.name: 0.0 for f in fields(self) if f.name.endswith("_chance") and f.name != "mask_chance"}
        return replace(self, brightness=0.0, contrast=0.0, gamma=0.0, **still)


@dataclass(frozen=True)
class Phase:
    """Some epochs at one picture size; ``batch`` counts over all processes."""

    size: int
    epochs: int
    batch: int
    rate: float = 1.0  # factor on the learning rates; each phase has its own warm-up and cosine


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training run; saved with the model.

    ``TrainingConfig()`` is the improved recipe, ``TrainingConfig.lesions()`` that of the bundled model,
    ``TrainingConfig.paper()`` section 4.2 to the letter.

    Raises:
        ValueError: a setting is out of its range, in one sentence.
    """

    recipe: str = "improved"
    # the data
    disease: str | None = None  # name of the class whose lesions are shown; None: the one named like COVID-19
    split: str = "patients"  # or "random": the paper's, which puts slices of one patient on both sides
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
    dropout: float = 0.5
    lesion_head: bool = False  # maps lesions cell by cell; taught by synthesized ones, see Augmentation.lesion_chance
    # what it sees
    window_hu: tuple[float, float] = (-1200.0, 600.0)
    anchor_gray_levels: bool = True
    mask_lungs: bool = True  # volumes are shown with nothing but the lungs (outside of training views)
    mask_images: bool = False
    margin: float = 0.03
    slab_mm: float = 4.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    # the training
    phases: tuple[Phase, ...] = (Phase(256, 10, 16), Phase(384, 3, 16, 0.3))
    balance: bool = True  # classes equally often, sources by `source_power`; False: every slice once an epoch
    samples_per_epoch: int | None = None  # if balanced; None: as many as there are training slices
    source_power: float = 0.4  # a source of n slices is drawn n**power times as often; 1 leaves the data as it is
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    warm_up: float = 0.05  # share of a phase's steps
    schedule: str = "cosine"  # or "constant"
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    mixup: float = 0.0  # both parameters of the beta distribution; 0: pictures are not mixed
    level_loss: float = 0.3  # weight of each level's own cross-entropy: no level may leave the work to the others
    lesion_loss: float = 0.5  # weight of the lesion head's
    freeze_early: bool = True  # edges and textures before C3's block stay ImageNet's: a third of the time saved
    average: float = 0.995  # decay of the running average of the weights; 0 switches it off
    omega_samples: int | None = 400  # training slices on which equation 2 is computed; None: all
    omega_frozen_epochs: int = 5
    omega_start: float = 0.4  # share of all epochs before omega, 1 until then, is first updated
    omega_floor: float = 0.2  # omega is a share of its largest, and at least this; 0: as equation 2 gives it
    patience: int | None = 6  # epochs of a phase without a better validation AUC that end it; None: all epochs
    keep_best: bool = True  # the network of the last phase's best epoch; False: of its last epoch
    # afterwards
    clusters: int | None = None  # K; None: by the elbow
    lesion_samples: int | None = 2000  # training slices of the disease whose lesions make the clusters; None: all
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
        problem = next((sentence for wrong, sentence in self._problems() if wrong), None)
        if problem:
            raise ValueError(problem)

    def _problems(self):
        shares = (self.validation_share, self.test_share, self.max_unreadable)
        yield self.recipe not in RECIPES, f"There is no recipe {self.recipe!r}: choose {_or(RECIPES)}."
        yield self.split not in SPLITS, f"There is no split {self.split!r}: choose {_or(SPLITS)}."
        yield (any(not 0 <= s < 1 for s in shares) or self.validation_share + self.test_share >= 0.9
               or self.validation_share == 0), (
            "Validation needs a share of the slices above 0, and with the test share less than 0.9.")  # fmt: skip
        yield not self.phases, "There is nothing to train: give at least one picture size and its epochs."
        for phase in self.phases:
            yield phase.size < 64 or phase.size % 32, f"Pictures of {phase.size} pixels: give a multiple of 32 from 64."
            yield phase.epochs < 1 or phase.batch < 2, "Give each size at least 1 epoch and batches of 2 slices."
        yield self.linear_top and (self.fpn or self.fusion), (
            "A linear top stands in place of FPN and fusion: leave out both.")  # fmt: skip
        yield not (self.learning_rate > 0 and self.head_learning_rate > 0), "Learning rates must be above 0."
        yield self.mixup < 0, "Mixup starts at 0, which leaves it out."
        yield self.lesion_head and not (self.fpn and self.fusion), "A lesion head needs FPN and fusion."
        yield self.lesion_head and not self.augmentation.lesion_chance, (
            "A lesion head needs synthesized lesions: give augmentation.lesion_chance.")  # fmt: skip
        yield self.lesion_head and self.mixup > 0, "A lesion head does not learn from mixed pictures: leave out mixup."
        yield self.schedule not in ("cosine", "constant"), f"No schedule {self.schedule!r}: cosine or constant."
        yield not 0 <= self.dropout < 1 or not 0 <= self.average < 1, "Dropout and average: 0 to below 1."
        yield not (0 <= self.omega_start <= 1 and 0 <= self.omega_floor <= 1), "Omega's start and floor: 0 to 1."
        yield self.clusters is not None and not 1 <= self.clusters <= 20, "The number of clusters must be 1 to 20."
        counts = (self.samples_per_epoch, self.omega_samples, self.patience, self.lesion_samples)
        yield any(n is not None and n < 1 for n in counts), "Numbers of slices and patience start at 1."

    @classmethod
    def lesions(cls) -> TrainingConfig:
        """As the bundled model was trained: lesions synthesized into slices without the disease teach a lesion head.

        For lesions that are denser than aerated lung, as those of COVID-19. ``Testing/reproduction/RUNS.md`` has the
        trials that led to it.
        """
        return cls(
            recipe="lesions", phases=(Phase(256, 6, 32), Phase(384, 2, 32, 0.4)), learning_rate=1.5e-4,
            head_learning_rate=7.5e-4, freeze_early=False, lesion_head=True, omega_frozen_epochs=1, patience=None,
            keep_best=False, augmentation=Augmentation(scale=0.2, brightness=0.2, contrast=0.35, gamma=0.4,
                                                       mask_chance=0.4, erase_chance=0.2, lesion_chance=0.4),
        )  # fmt: skip

    @classmethod
    def paper(cls) -> TrainingConfig:
        """Section 4.2: Adam at a constant 1e-5, batch 10, 50 epochs at 512, every slice once, lungs only, 80/15/5.

        The split is by patient all the same (METHOD, "Training"); ``split="random"`` gives the paper's.
        """
        return cls(
            recipe="paper", validation_share=0.15, test_share=0.05, anchor_gray_levels=False, mask_images=True, margin=0.0,
            slab_mm=0.0, augmentation=Augmentation.paper(), phases=(Phase(512, 50, 10),), balance=False,
            source_power=1.0, learning_rate=1e-5, head_learning_rate=1e-5, warm_up=0.0, schedule="constant",
            weight_decay=0.0, label_smoothing=0.0, level_loss=0.0, freeze_early=False, average=0.0, omega_samples=None,
            omega_start=0.0, omega_floor=0.0, patience=None, keep_best=False, lesion_samples=None, precision="float32",
        )  # fmt: skip

    @classmethod
    def from_recipe(cls, name: str, **changes: Any) -> TrainingConfig:
        """The recipe called ``name`` with some settings changed.

        Raises:
            ValueError: there is no such recipe, or a setting is out of its range.
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
        """``to_dict`` for what is passed on: of the start weights' place only the file's name."""
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
