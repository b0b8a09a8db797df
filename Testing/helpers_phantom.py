"""Phantoms in other orientations, and the analysis that corresponds to the ground truth of a phantom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from LesionAnalysisLib.phantom import Phantom, PhantomLesion, make_phantom
from LesionAnalysisLib.phantom.grid import LPS_AXES
from LesionAnalysisLib.results import Analysis, Lesion, SliceDiagnosis, SliceLesion, StudySummary
from LesionAnalysisLib.volume import AxialView


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation (3, 3) about one RAS axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = [i for i in range(3) if i != axis]
    m = np.eye(3)
    m[a, a], m[a, b], m[b, a], m[b, b] = c, -s, s, c
    return m


@dataclass(frozen=True, eq=False)
class Orientation:
    """How a scan is acquired and stored.

    ``direction`` (3, 3): columns are the orthonormal RAS directions of the stored I, J and K axes. ``stretch``: factors
    on the voxel size along the (left-right, anterior-posterior, inferior-superior) axes, with correspondingly fewer
    voxels.
    """

    direction: np.ndarray
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def storage(self) -> tuple[list[int], list[int]]:
        """For each (column, row, slice) axis of the scan: the stored axis (I, J, K = 0, 1, 2) and its sign."""
        order, signs = [0, 0, 0], [1, 1, 1]
        weight = np.abs(self.direction)
        for _ in range(3):  # best match first, so that an oblique matrix does not use one axis twice
            ras, ijk = np.unravel_index(np.argmax(weight), (3, 3))
            weight[ras, :] = weight[:, ijk] = -1.0
            order[ras] = int(ijk)
            signs[ras] = 1 if self.direction[ras, ijk] * LPS_AXES[ras, ras] >= 0 else -1
        return order, signs


def oriented_phantom(shape, spacing_mm, orientation: Orientation, **options) -> Phantom:
    """``make_phantom`` in an orientation: the same patient and field of view, but for an oblique one."""
    order, signs = orientation.storage
    stretch = np.asarray(orientation.stretch)
    size = np.maximum(1, np.round(shape / stretch[::-1])).astype(int)
    axes = orientation.direction[:, order] * signs
    phantom = make_phantom(tuple(size.tolist()), tuple(spacing_mm * stretch), axes=axes, **options)
    to_scan = np.eye(4)  # (i, j, k, 1) -> (column, row, slice, 1)
    to_scan[:3, :3] = 0.0
    for axis in range(3):
        to_scan[axis, order[axis]] = signs[axis]
        to_scan[axis, 3] = 0.0 if signs[axis] > 0 else size[2 - axis] - 1

    def stored(scan: np.ndarray) -> np.ndarray:
        flipped = scan[tuple(slice(None, None, sign) for sign in signs[::-1])]
        return np.ascontiguousarray(flipped.transpose([2 - order.index(2 - dimension) for dimension in range(3)]))

    ct = replace(phantom.ct, array=stored(phantom.ct.array), ijk_to_ras=phantom.ct.ijk_to_ras @ to_scan)
    return replace(phantom, ct=ct, lung_mask=stored(phantom.lung_mask), lesion_labels=stored(phantom.lesion_labels))


def _stored(i: np.ndarray, j: np.ndarray, k: np.ndarray) -> Orientation:
    return Orientation(np.stack([i, j, k], axis=1))


_R, _A, _S = np.eye(3)
_TILT = _turn(0, 18.0) @ LPS_AXES
ORIENTATIONS = {  # ways to acquire and store a scan of the same patient
    "axial": _stored(-_R, -_A, _S),  # LPS, as in ITK
    "axial_reversed": _stored(-_R, -_A, -_S),  # slices from superior to inferior
    "axial_ras": _stored(_R, _A, _S),  # as in many NIfTI files
    "axial_mirrored": _stored(_R, -_A, _S),  # left-handed
    "axial_prone_rows": _stored(-_R, _A, _S),  # rows from posterior to anterior
    "axial_rotated_rows": _stored(-_A, _R, _S),  # rows and columns exchanged
    "sagittal": _stored(-_A, -_S, -_R),
    "coronal": _stored(-_R, -_S, _A),
    "coronal_flipped": _stored(_R, _S, -_A),
    "oblique_tilted": Orientation(_TILT),  # a gantry tilt of 18 degrees
    "oblique_double": Orientation(_turn(2, -22.0) @ _turn(0, 15.0) @ LPS_AXES),
    "oblique_coronal": Orientation((_TILT @ _turn(2, 16.0))[:, [0, 2, 1]] * [1.0, -1.0, 1.0]),
    "anisotropic": Orientation(LPS_AXES, stretch=(2.0, 1.0, 1.5)),
}
_MODEL = {
    "id": "phantom-truth", "checksum": "", "title": "Truth of the phantom (no network)", "license": "Apache-2.0",
    "classes": ["non-COVID-19", "COVID-19"], "positive": "COVID-19",
    "card": "# Truth of the phantom\n\nNo network ran.\n",
}  # fmt: skip
_NAMES = {1: "Cluster 1: ground-glass opacity", 2: "Cluster 2: consolidation"}


def true_analysis(phantom: Phantom) -> Analysis:
    """The known lesions of ``phantom`` as an ``Analysis``: probabilities are 1 in slices with lesions, otherwise 0."""
    ct, view = phantom.ct, phantom.ct.axial()
    labels = view.from_volume(phantom.lesion_labels)
    lungs = view.from_volume(phantom.lung_mask).any(axis=(1, 2))
    lesions = [_lesion(phantom, view, labels, known) for known in phantom.lesions if (labels == known.label).any()]
    slices = []
    for index in range(len(labels)):
        parts = tuple(p for lesion in lesions for p in lesion.slice_lesions if p.slice_index == index)
        lung = bool(lungs[index])
        name = _MODEL["classes"][bool(parts)] if lung else ""
        slices.append(SliceDiagnosis(
            index, view.position_mm(index), lung, float(bool(parts)) if lung else None, name, bool(parts), parts,
        ))  # fmt: skip
    counts = {_NAMES[k]: sum(lesion.cluster == k for lesion in lesions) for k in _NAMES}
    touched = np.count_nonzero((phantom.lesion_labels > 0) & phantom.lung_mask) / np.count_nonzero(phantom.lung_mask)
    summary = StudySummary(
        float(bool(lesions)), _MODEL["classes"][bool(lesions)], bool(lesions), sum(s.positive for s in slices),
        sum(s.lung for s in slices), len(slices), len(lesions), counts, touched,
    )  # fmt: skip
    return Analysis(
        name=ct.name, input={"kind": "phantom", "calibrated": True}, model=_MODEL, config={"threshold": 0.5},
        device="none", timing_s={"total": 0.0}, summary=summary, slices=tuple(slices), lesions=tuple(lesions),
        cluster_names=_NAMES, warnings=("No network ran: these are the known lesions of the phantom.",), ct=ct,
        lam=np.where(phantom.lesion_labels > 0, 100, 0).astype(np.uint8),
        lesion_labels=phantom.lesion_labels.astype(np.uint16), lung_mask=phantom.lung_mask,
    )  # fmt: skip


def _lesion(phantom: Phantom, view: AxialView, labels: np.ndarray, known: PhantomLesion) -> Lesion:
    cluster = 1 if known.type == "GGO" else 2
    found = np.argwhere(labels == known.label)
    parts = tuple(
        _slice_lesion(phantom, view, found[found[:, 0] == index], int(index), known, cluster)
        for index in np.unique(found[:, 0])
    )
    low, high = _edges(found)
    return Lesion(
        id=known.label, cluster=cluster, cluster_name=_NAMES[cluster], type=known.type, score=1.0, activation=1.0,
        peak_ras_mm=tuple(map(float, known.center_ras_mm)), box_ras_mm=view.box_to_ras((low, high)),
        box_ijk=view.box_to_ijk((low, high)), first_slice=parts[0].slice_index, last_slice=parts[-1].slice_index,
        mean_hu=known.mean_hu, volume_ml=len(found) * phantom.ct.voxel_ml, slice_lesions=parts,
    )  # fmt: skip


def _slice_lesion(phantom, view, found, index, known, cluster) -> SliceLesion:
    low, high = _edges(found)
    _, row, column = found.mean(0)
    return SliceLesion(
        slice_index=index, number=known.label, cluster=cluster, score=1.0, margin=1.0, paper_score=0.0, activation=1.0,
        peak_ras_mm=view.to_ras(column, row, index), box_ras_mm=view.box_to_ras((low, high)),
        area_mm2=len(found) * view.spacing[0] * view.spacing[1], mean_hu=known.mean_hu,
    )  # fmt: skip


def _edges(found: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Outer edges (column, row, slice) of voxels (n, 3) given as (slice, row, column)."""
    low, high = found.min(0)[::-1] - 0.5, found.max(0)[::-1] + 0.5
    return tuple(map(float, low)), tuple(map(float, high))
