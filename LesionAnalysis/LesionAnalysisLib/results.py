"""The result of an analysis, as plain immutable data.

Conventions of all classes here:

* positions are millimeters in RAS (MRML's frame); for uncalibrated images, which have no voxel spacing, the unit is the
  pixel and ``Analysis.calibrated`` is False;
* slice indices count from 0 along the stored axis that is closest to the patient's long axis, in the order of the file:
  the index that a user finds in the input file;
* clusters are numbered from 1, as figure 10 of the paper labels them;
* arrays on the CT's own grid are indexed (K, J, I), as by ``slicer.util.arrayFromVolume``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Point = tuple[float, float, float]
Box = tuple[Point, Point]


@dataclass(frozen=True)
class SliceLesion:
    """One connected region of the lesion activation heatmap of one slice (sections 3.2.1, 3.2.2)."""

    slice_index: int
    number: int  # 1, 2, ... in raster order within the slice
    cluster: int
    score: float  # softmax(-distance) of the nearest cluster, 0..1
    margin: float  # score minus the second-best cluster's, 0..1
    paper_score: float  # equation 10 as printed
    activation: float  # peak of the normalized heatmap times the slice's probability, 0..1
    peak_ras_mm: Point
    box_ras_mm: Box  # axis-aligned in RAS: minimum and maximum corner
    area_mm2: float  # in the lung; in pixels without spacing
    mean_hu: float | None  # in the lung; None without HU


@dataclass(frozen=True)
class Lesion:
    """Slice lesions that overlap in neighboring slices, linked into one 3D lesion."""

    id: int  # 1, 2, ...: largest volume first
    cluster: int
    cluster_name: str
    type: str | None  # "GGO", "partial consolidation", "consolidation" (by HU); None without HU
    score: float
    activation: float
    peak_ras_mm: Point
    box_ras_mm: Box
    box_ijk: Box  # edges of the box on the CT's own (I, J, K) grid: voxel centers are integers
    first_slice: int
    last_slice: int
    mean_hu: float | None
    volume_ml: float | None  # None without spacing
    slice_lesions: tuple[SliceLesion, ...]

    @property
    def label(self) -> str:
        """Name shown to the user: id, type and activation, such as ``L03 GGO 0.91`` (``L03 C1 0.91`` without HU)."""
        return f"L{self.id:02d} {self.type or f'C{self.cluster}'} {self.activation:.2f}"


@dataclass(frozen=True)
class SliceDiagnosis:
    """What FeCNN says of one slice (section 3.1); a slice without enough lung has no probability."""

    index: int
    position_mm: float | None  # superior coordinate of the slice's center; None without spacing
    lung: bool
    probability: float | None  # of the positive class, 0..1
    diagnosis: str  # name of the class; "" where the slice was not analyzed
    positive: bool
    lesions: tuple[SliceLesion, ...] = ()


@dataclass(frozen=True)
class StudySummary:
    """The study in a few numbers."""

    probability: float | None  # None where no slice shows enough lung
    diagnosis: str
    positive: bool
    positive_slices: int
    lung_slices: int
    total_slices: int
    lesion_count: int
    lesions_by_cluster: dict[str, int]
    involved_lung_share: float | None  # volume of the lesions over that of the lungs, 0..1


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything an analysis found in one CT."""

    name: str  # of the case; names of files and nodes start with it
    input: dict[str, Any]  # path, kind, size, spacing_mm, calibrated
    model: dict[str, Any]  # id, checksum, title, license, classes, card (markdown text)
    config: dict[str, Any]
    device: str
    timing_s: dict[str, float]
    summary: StudySummary
    slices: tuple[SliceDiagnosis, ...]
    lesions: tuple[Lesion, ...]
    cluster_names: dict[int, str]
    warnings: tuple[str, ...]
    ct: Any = field(repr=False)  # volume.CtVolume
    lam: np.ndarray = field(repr=False)  # (K, J, I) uint8, 0..100 percent
    lesion_labels: np.ndarray = field(repr=False)  # (K, J, I) uint16: lesion id, 0 outside
    lung_mask: np.ndarray = field(repr=False)  # (K, J, I) bool

    @property
    def calibrated(self) -> bool:
        """True where voxel values are HU and positions are millimeters."""
        return bool(self.input.get("calibrated", True))
