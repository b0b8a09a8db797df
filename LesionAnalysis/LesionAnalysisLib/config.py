"""Everything of an analysis that can be set, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .lungs import Preprocessing
from .network.saliency import SALIENCY

PRESETS = ("enhanced", "paper")
CLUSTERED = ("density", "features")  # what clusters of lesions can be made of
ALIASES = {"default": "enhanced"}  # what the preset was called before


@dataclass(frozen=True)
class AnalysisConfig:
    """Everything that can be set; written into every result.

    ``AnalysisConfig()`` is the preset ``enhanced``, the default: the most that can be had from the network without a
    lesion drawn. ``AnalysisConfig.paper()`` is the published method.
    """

    preset: str = "enhanced"
    preprocessing: Preprocessing | None = None  # None: as the model was trained
    threshold: float | None = None  # a slice, and the study, is positive from this probability on; None: the model's
    calibrated: bool = True  # divide the logits by the model's temperature
    lesion_head: bool = True  # where the model has a lesion head: map lesions by both, head and saliency
    saliency: str = "layercam"
    stride16: bool = False  # map C5 on the grid of C4
    fuse_scales: bool = True  # map C4 and C5 together
    refine: bool = True  # draw contours by density where the heat is
    min_cells: int = 2  # smaller regions of the heatmap are no lesion; contours have a limit of their own
    split_merged: bool = True  # part regions with several maxima
    cluster_by: str = "density"  # of the lesions, where the model has such clusters; "features": of the network
    inside_lungs: bool = True  # heat counts in the lungs only
    min_lesion_ml: float = 0.0  # smaller 3D lesions are left out
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None  # None: what the device's memory allows

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"The threshold must lie between 0 and 1, not at {self.threshold}.")
        if self.saliency not in SALIENCY:
            raise ValueError(f"There is no saliency method {self.saliency!r}: choose one of {', '.join(SALIENCY)}.")
        if self.cluster_by not in CLUSTERED:
            raise ValueError(f"There are no clusters by {self.cluster_by!r}: choose one of {', '.join(CLUSTERED)}.")
        if self.min_cells < 1 or self.min_lesion_ml < 0 or (self.batch_size is not None and self.batch_size < 1):
            raise ValueError("Cells, lesion size and batch size must not be below 1, 0 and 1.")

    @classmethod
    def paper(cls) -> AnalysisConfig:
        """The paper to the letter: lungs only, tight crop, likelier class; no gray anchors, slabs or calibration."""
        return cls(
            preset="paper", preprocessing=Preprocessing.paper(), threshold=0.5, calibrated=False, lesion_head=False,
            saliency="grad++", stride16=False, fuse_scales=False, refine=False, split_merged=False,
            cluster_by="features", inside_lungs=False,
        )  # fmt: skip

    @classmethod
    def from_preset(cls, name: str) -> AnalysisConfig:
        """The preset called ``name``; ``default`` is another name of ``enhanced``.

        Raises:
            ValueError: there is none of that name.
        """
        name = ALIASES.get(name, name)
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
        return cls.paper() if name == "paper" else cls()

    def to_dict(self) -> dict:
        """Settings as plain values for JSON."""
        settings = asdict(self)
        settings["preprocessing"] = self.preprocessing.to_dict() if self.preprocessing else None
        return settings
