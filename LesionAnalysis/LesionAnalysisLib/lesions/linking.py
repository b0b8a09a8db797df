"""Linking slice lesions that overlap in neighboring slices into 3D lesions; not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .placement import Box2D


def link_slices(
    boxes_by_slice: Sequence[Sequence[Box2D]], positions_mm: Sequence[float] | None = None, max_gap_mm: float = np.inf
) -> list[list[tuple[int, int]]]:
    """Group slice lesions into 3D lesions: those whose boxes overlap in neighboring kept slices.

    Slices are neighbors if they follow each other in the list and lie at most ``max_gap_mm`` apart. Boxes that only
    share an edge do not overlap. Groups may fork and join again.

    Args:
        boxes_by_slice: for each kept slice, in the order of the patient's axis, the boxes of its lesions
            (r0, c0, r1, c1), all in axial pixels; an empty list for a slice without lesions.
        positions_mm: of the slices' centers; None for images without positions: only the order counts.
        max_gap_mm: largest distance between the centers of neighboring slices.

    Returns:
        groups of (position in ``boxes_by_slice``, position in that slice's boxes), each in order, and ordered by
        their first members.
    """
    members = [(k, i) for k, boxes in enumerate(boxes_by_slice) for i in range(len(boxes))]
    if not members:
        return []
    starts = np.cumsum([0] + [len(boxes) for boxes in boxes_by_slice])
    links = [np.zeros((2, 0), dtype=np.intp)]
    for k in range(len(boxes_by_slice) - 1):
        # with tolerance: positions come from a matrix, and a spacing of 2.5 mm may read 2.5000001
        if positions_mm is not None and abs(positions_mm[k + 1] - positions_mm[k]) > max_gap_mm * (1 + 1e-6):
            continue
        pairs = np.argwhere(_overlaps(boxes_by_slice[k], boxes_by_slice[k + 1]))
        links.append(pairs.T + starts[k : k + 2, None])
    first, second = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(first.size, dtype=bool), (first, second)), shape=(len(members),) * 2)
    _, group_of = connected_components(graph, directed=False)
    groups: dict[int, list[tuple[int, int]]] = {}
    for member, group in zip(members, group_of.tolist(), strict=True):
        groups.setdefault(group, []).append(member)
    return list(groups.values())


def _overlaps(boxes: Sequence[Box2D], others: Sequence[Box2D]) -> np.ndarray:
    """(n, m) bool: whether the boxes share some area."""
    a = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (n, m, 2)
    return (shared > 0).all(axis=-1)
