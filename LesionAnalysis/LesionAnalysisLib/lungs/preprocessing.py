"""Settings of everything between a CT and the network (section 4.2.2; docs/method.md, "Preprocessing")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """How slices are prepared for the network. Raises ValueError for a setting out of its range."""

    window_hu: tuple[float, float] = (-1200.0, 600.0)  # HU shown as 0 and 255 (Wang 2020d)
    anchor_gray_levels: bool = True  # bring lung air and soft tissue to fixed gray levels, whatever the window
    mask_lungs: bool = True  # volumes: black out everything but the lungs, which are segmented in 3D
    mask_images: bool = False  # images without HU: likewise, although their masks lose consolidation
    margin: float = 0.03  # added around the lungs' box on each side, as a share of its size
    size: int = 512  # rows and columns of the network's input
    slab_mm: float = 4.0  # thinner slices of a volume are averaged to this thickness; 0 switches it off
    min_mean: float = 0.03  # slices whose masked crop has a lower mean in [0, 1] are not analyzed
    min_area_share: float = 0.1  # nor are slices with less lung than this share of the largest slice's

    def __post_init__(self) -> None:
        low, high = (float(v) for v in self.window_hu)
        object.__setattr__(self, "window_hu", (low, high))  # a list, where it comes from JSON
        if not low < high:
            raise ValueError(f"The window must go from a lower to a higher HU value, not {low} to {high}.")
        if self.size < 32:
            raise ValueError(f"The network's input needs at least 32 rows and columns, not {self.size}.")
        if not (0 <= self.margin <= 1 and self.slab_mm >= 0 and 0 <= self.min_mean < 1
                and 0 <= self.min_area_share < 1):
            raise ValueError("Preprocessing shares must lie between 0 and 1, and the slab must be >= 0 mm.")

    @classmethod
    def paper(cls) -> Preprocessing:
        """As published: black outside the lungs, tight crop, single slices, no gray anchors.

        Its ``min_mean`` of 0.08 loses slices with lesions at the lung bases; the default is therefore lower.
        """
        return cls(anchor_gray_levels=False, mask_lungs=True, mask_images=True, margin=0.0, slab_mm=0.0, min_mean=0.08)

    def masks(self, calibrated: bool) -> bool:
        """Whether everything but the lungs is blacked out, in a volume in HU or in an image without HU."""
        return self.mask_lungs if calibrated else self.mask_images

    def to_dict(self) -> dict[str, Any]:
        """Settings as plain values for JSON."""
        return {**asdict(self), "window_hu": list(self.window_hu)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """The inverse of ``to_dict``; a missing setting keeps its default. Raises ValueError for an unknown one."""
        unknown = sorted(set(settings) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"Unknown preprocessing settings: {', '.join(unknown)}; update LesionAnalysis.")
        return cls(**settings)
