"""The settings of an analysis, and their presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .choices import PRESETS
from .lungs import Preprocessing
from .network.saliency import SALIENCY

CLUSTERED_BY = ("density", "features")


@dataclass(frozen=True)
class AnalysisConfig:
    """All settings of an analysis; recorded in every result.

    ``AnalysisConfig()`` is the preset ``enhanced``, the default: what slice-level labels allow beyond the published
    method. ``AnalysisConfig.paper()`` is the published method.

    Raises:
        ValueError: a setting is unknown or out of its range.
    """

    preset: str = "enhanced"
    preprocessing: Preprocessing | None = None  # None: as the model was trained
    threshold: float | None = None  # slices and studies are positive from this probability on; None: the model's
    calibrated: bool = True  # divide the logits by the model's temperature, and calibrate the study's probability
    lesion_head: bool = True  # where the model has a lesion head, combine its map with the saliency map
    saliency: str = "layercam"
    fuse_scales: bool = True  # combine the saliency maps of C4 and C5
    refine: bool = True  # contours by CT density in regions of high activation
    min_cells: int = 2  # without ``refine``: regions of fewer cells of the heatmap are dropped
    split_merged: bool = True  # split regions that hold several lesions
    cluster_by: str = "density"  # or "features", the network's
    inside_lungs: bool = True  # restrict the heatmap to the lungs
    min_lesion_ml: float = 0.0  # smaller 3D lesions are dropped
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None  # None: by the device's memory

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"The threshold must lie between 0 and 1, not at {self.threshold}.")
        if self.saliency not in SALIENCY:
            raise ValueError(f"There is no saliency method {self.saliency!r}: choose one of {', '.join(SALIENCY)}.")
        if self.cluster_by not in CLUSTERED_BY:
            raise ValueError(f"There are no clusters by {self.cluster_by!r}: choose {' or '.join(CLUSTERED_BY)}.")
        if self.min_cells < 1 or self.min_lesion_ml < 0 or (self.batch_size is not None and self.batch_size < 1):
            raise ValueError("Cells and batch size must be at least 1, and the lesion volume at least 0 ml.")

    @classmethod
    def paper(cls) -> AnalysisConfig:
        """The method as published: Grad++ of C5, Otsu's threshold, clusters by features, no calibration."""
        return cls(
            preset="paper", preprocessing=Preprocessing.paper(), threshold=0.5, calibrated=False, lesion_head=False,
            saliency="grad++", fuse_scales=False, refine=False, split_merged=False, cluster_by="features",
            inside_lungs=False,
        )  # fmt: skip

    @classmethod
    def from_preset(cls, name: str) -> AnalysisConfig:
        """The preset called ``name``; ValueError for another name."""
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}: choose {' or '.join(PRESETS)}.")
        return cls.paper() if name == "paper" else cls()

    def to_dict(self) -> dict:
        """Settings as plain values for JSON."""
        settings = asdict(self)
        settings["preprocessing"] = self.preprocessing.to_dict() if self.preprocessing else None
        return settings
