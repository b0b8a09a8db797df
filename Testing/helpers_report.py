"""An analysis made without a network: a small CT with two lungs and three lesions in two clusters."""

from __future__ import annotations

import dataclasses

import numpy as np
from LesionAnalysisLib.results import Analysis, Lesion, SliceDiagnosis, SliceLesion, StudySummary
from LesionAnalysisLib.volume import AxialView, CtVolume, ct_from_array

CLUSTER_NAMES = {1: "ground-glass", 2: "consolidation"}
SPACING = (5.0, 5.0, 10.0)  # mm along I, J, K
CARD = """# A toy model

Trained on **nothing**. Use *never*; see `config.json` & <the rest>.

| data | slices |
|---|---:|
| none | 0 |

- one
- two
"""
# Axial center (slice, row, column), radius in slices and in pixels, cluster, type, HU, activation
_LESIONS = (
    ((10, 34, 17), 4, 6, 1, "GGO", -600, 0.95),
    ((14, 38, 46), 3, 5, 2, "consolidation", -20, 0.88),
    ((18, 24, 44), 2, 3, 1, "partial consolidation", -300, 0.70),
)


def canonical_matrix(shape=(24, 64, 64), spacing=SPACING) -> np.ndarray:
    """RAS axes along I, J, K, the center of the grid at the origin."""
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = -(np.array(shape[::-1]) - 1) / 2 * spacing
    return matrix


def oblique_matrix(shape=(24, 64, 64), spacing=SPACING) -> np.ndarray:
    """The same, rotated by 12 degrees about the left-right axis and 7 about the long axis."""
    a, b = np.deg2rad([12, 7])
    about_r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_s = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    rotation = np.eye(4)
    rotation[:3, :3] = about_s @ about_r
    return rotation @ canonical_matrix(shape, spacing)


def make_ct(
    matrix=None, shape=(24, 64, 64), name="small", calibrated=True, healthy=False
) -> tuple[CtVolume, np.ndarray]:
    """A CT with its lung mask (S, R, C): an ellipse of soft tissue, two elliptic lungs, lesions, noise."""
    random = np.random.default_rng(0)
    matrix = canonical_matrix(shape) if matrix is None else matrix
    view = AxialView(np.empty(shape, np.int16), matrix)
    zoom = view.array.shape[2] / 64
    slices, rows, cols = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in view.array.shape), indexing="ij")
    rows, cols, depth = rows / zoom, cols / zoom, slices * 24 / view.array.shape[0]
    hu = np.full(view.array.shape, -1000.0, np.float32)
    hu[((rows - 32) / 24) ** 2 + ((cols - 32) / 30) ** 2 < 1] = 40
    lungs = ((rows - 31) / 17) ** 2 + ((np.abs(cols - 31.5) - 14.5) / 11) ** 2 + ((depth - 12) / 11) ** 4 < 1
    hu[lungs] = -850
    for (s, r, c), deep, wide, _, _, density, _ in () if healthy else _LESIONS:
        lesion = ((depth - s) / deep) ** 2 + ((rows - r) / wide) ** 2 + ((cols - c) / wide) ** 2 < 1
        hu[lesion & lungs] = density
    hu += random.normal(0, 25, hu.shape).astype(np.float32)
    if not calibrated:
        gray = np.clip((hu + 1200) / 1800 * 255, 0, 255).astype(np.uint8)
        return CtVolume(gray, np.diag([-1.0, -1.0, 1.0, 1.0]), name, name, False), lungs
    ct = ct_from_array(view.to_volume(np.clip(hu, -1024, 3000)).astype(np.int16), matrix, name)
    return dataclasses.replace(ct, source=f"{name}.nii.gz"), lungs


def make_analysis(
    matrix=None, shape=(24, 64, 64), name="small", calibrated=True, warnings=(), healthy=False, card=CARD
) -> Analysis:
    """A CT (or uncalibrated images) with three lesions; ``healthy``: no lesion, low probabilities."""
    ct, lungs = make_ct(matrix, shape, name, calibrated, healthy)
    view = ct.axial()
    zoom = (view.array.shape[0] / 24, view.array.shape[2] / 64, view.array.shape[2] / 64)
    lam, labels = np.zeros(lungs.shape, np.uint8), np.zeros(lungs.shape, np.uint16)
    lesions = [] if healthy else [_lesion(n, zoom, ct, view, lungs, lam, labels) for n in range(len(_LESIONS))]
    slices = tuple(_slice(index, ct, view, lungs, lesions) for index in range(lungs.shape[0]))
    positive = sum(one.positive for one in slices)
    return Analysis(
        name=name,
        input={
            "path": ct.source,
            "kind": "volume" if calibrated else "images",
            "size": ct.array.shape[::-1],
            "spacing_mm": ct.spacing_mm,
            "calibrated": calibrated,
        },
        model={
            "id": "toy",
            "checksum": "0" * 64,
            "title": "Toy FeCNN",
            "license": "CC BY-NC-SA 4.0",
            "classes": ("normal", "COVID-19"),
            "positive": "COVID-19",
            "card": card,
        },
        config={"preset": "enhanced", "threshold": 0.5, "preprocessing": {"window_hu": (-1200.0, 600.0)}},
        device="cpu",
        timing_s={"read": 0.5, "lungs": 1.25, "network": 3.0},
        summary=StudySummary(
            probability=0.04 if healthy else 0.93,
            diagnosis="normal" if healthy else "COVID-19",
            positive=not healthy,
            positive_slices=positive,
            lung_slices=sum(one.lung for one in slices),
            total_slices=len(slices),
            lesion_count=len(lesions),
            lesions_by_cluster={
                name: sum(lesion.cluster == number for lesion in lesions) for number, name in CLUSTER_NAMES.items()
            },
            involved_lung_share=float((labels > 0).sum() / lungs.sum()),
        ),
        slices=slices,
        lesions=tuple(lesions),
        cluster_names=dict(CLUSTER_NAMES),
        warnings=tuple(warnings),
        ct=ct,
        lam=view.to_volume(lam),
        lesion_labels=view.to_volume(labels),
        lung_mask=view.to_volume(lungs),
    )


def _lesion(number, zoom, ct, view, lungs, lam, labels) -> Lesion:
    """Add lesion ``number`` to ``lam`` and ``labels`` (S, R, C) and describe it."""
    (s, r, c), deep, wide, cluster, type_, hu, activation = _LESIONS[number]
    grid = np.meshgrid(*(np.arange(n) for n in lungs.shape), indexing="ij")
    center, radii = np.array([s, r, c]) * zoom, np.array([deep, wide, wide]) * zoom
    distance = sum(((axis - at) / radius) ** 2 for axis, at, radius in zip(grid, center, radii, strict=True))
    inside = (distance < 1) & lungs & (labels == 0)
    lam[inside] = np.round(100 * activation * (1 - 0.9 * distance[inside]))
    labels[inside] = number + 1
    parts = []
    for index in np.flatnonzero(inside.any(axis=(1, 2))):
        rows, cols = np.nonzero(inside[index])
        edges = np.array(
            [
                view.to_ras(c, r, z)
                for c in (cols.min() - 0.5, cols.max() + 0.5)
                for r in (rows.min() - 0.5, rows.max() + 0.5)
                for z in (index - 0.5, index + 0.5)
            ]
        )
        parts.append(
            SliceLesion(
                slice_index=int(index),
                number=number + 1,
                cluster=cluster,
                score=0.9 - 0.1 * number,
                margin=0.8,
                paper_score=0.1,
                activation=float(lam[index].max() / 100),
                peak_ras_mm=view.to_ras(center[2], center[1], float(index)),
                box_ras_mm=(tuple(edges.min(axis=0)), tuple(edges.max(axis=0))),
                area_mm2=float(inside[index].sum() * view.spacing[0] * view.spacing[1]),
                mean_hu=float(hu) if ct.calibrated else None,
            )
        )
    boxes = np.array([part.box_ras_mm for part in parts])
    where = np.argwhere(inside)
    low, high = where.min(axis=0)[::-1] - 0.5, where.max(axis=0)[::-1] + 0.5
    return Lesion(
        id=number + 1,
        cluster=cluster,
        cluster_name=CLUSTER_NAMES[cluster],
        type=type_ if ct.calibrated else None,
        score=0.9 - 0.1 * number,
        activation=activation,
        peak_ras_mm=view.to_ras(*center[::-1]),
        box_ras_mm=(tuple(boxes[:, 0].min(axis=0)), tuple(boxes[:, 1].max(axis=0))),
        box_ijk=view.box_to_ijk((tuple(low), tuple(high))),
        first_slice=parts[0].slice_index,
        last_slice=parts[-1].slice_index,
        mean_hu=float(hu) if ct.calibrated else None,
        volume_ml=float(inside.sum() * ct.voxel_ml) if ct.calibrated else None,
        slice_lesions=tuple(parts),
    )


def _slice(index, ct, view, lungs, lesions) -> SliceDiagnosis:
    here = tuple(part for one in lesions for part in one.slice_lesions if part.slice_index == index)
    lung = bool(lungs[index].sum() > 0.1 * lungs.sum(axis=(1, 2)).max())
    highest = max((0.5 + 0.5 * part.activation for part in here), default=0.05 + 0.01 * (index % 9))
    probability = highest if lung else None
    positive = probability is not None and probability >= 0.5
    return SliceDiagnosis(
        index=index,
        position_mm=view.position_mm(index) if ct.calibrated else None,
        lung=lung,
        probability=probability,
        diagnosis="" if probability is None else ("COVID-19" if positive else "normal"),
        positive=positive,
        lesions=here,
    )
