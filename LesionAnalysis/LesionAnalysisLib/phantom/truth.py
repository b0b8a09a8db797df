"""What a perfect analysis would say of a phantom: for tests of everything after the network, without one."""

from __future__ import annotations

import numpy as np

from ..results import Analysis, Lesion, SliceDiagnosis, SliceLesion, StudySummary
from ..volume import AxialView
from .phantom import Phantom, PhantomLesion

_MODEL = {
    "id": "phantom-truth", "checksum": "", "title": "Truth of the phantom (no network)", "license": "Apache-2.0",
    "classes": ["non-COVID-19", "COVID-19"], "positive": 1, "card": "# Truth of the phantom\n\nNo network ran.\n",
}  # fmt: skip
_NAMES = {1: "Cluster 1: ground-glass opacity", 2: "Cluster 2: consolidation"}


def true_analysis(phantom: Phantom) -> Analysis:
    """The known lesions of ``phantom`` as an ``Analysis``: probabilities are 1 where a lesion is, else 0."""
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
