"""Adds consolidated lung at the pleura, which is as dense as muscle, so that no threshold separates it."""

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image

_TISSUE_HU = (-700, 150)  # diseased lung, with or without contrast agent; bone is denser
_BONE_HU = 180
_RIB_GAP_MM = 12.0  # craniocaudal distance over which ribs of neighboring slices close the cage
_WALL_MM = 2.0  # pleura and muscle inside the ribs
_MAX_DEPTH_MM = 50.0  # of tissue between lung and ribs
_HULL_DEPTH_MM = 25.0  # of tissue within the convex hull
_MIN_LUNG_MM = 20.0  # of lung in that direction; less is the tip of a lung beside liver or spine
_DEEP_MM = 15.0  # posterior tissue; healthy lung comes nearer to the ribs
_EDGE_MM = 10.0  # of lung next to the tissue
_DENSE_HU = -650  # healthy lung, including its blurred border, is less dense
_DIRECTIONS = 180


def rib_cage(hu: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Bone in ``hu`` (s, r, c), dilated craniocaudally to close the gaps between ribs."""
    reach = int(_RIB_GAP_MM / spacing[0])
    return ndimage.maximum_filter1d(hu > _BONE_HU, 2 * reach + 1, axis=0)


def add_pleural_tissue(
    lung: np.ndarray, hu: np.ndarray, bones: np.ndarray, spacing: tuple[float, float, float],
    center: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """``lung`` (s, r, c), one lung on a coarse grid, with the adjacent soft tissue that may be lung.

    In every slice, in each direction from ``center`` (row, column), the middle of the chest, soft tissue beyond the
    lung is added in two cases: within the convex hull of the lung; and, laterally and posteriorly, inside the ribs
    (``bones``, see ``rib_cage``) if the lung becomes denser towards it or, posteriorly, if the tissue is deep. Heart,
    spine, liver and stomach lie nearer than the lung or between its parts, and are excluded, as is tissue at most two
    voxels wide or not connected to the lung.
    """
    direction, distance = _polar(lung.shape[1:], spacing[1:], center)
    columns = np.abs(np.arange(lung.shape[2]) - center[1]) * spacing[2]
    rows = (np.arange(lung.shape[1]) - center[0])[:, None] * spacing[1]
    sides = rows > -0.2 * columns
    deep = np.bincount(direction.ravel(), (rows < 0.5 * columns).ravel(), _DIRECTIONS) == 0
    whole = lung.copy()
    for s in np.flatnonzero(lung.any(axis=(1, 2))):
        first, last = _span(lung[s], direction, distance)
        beyond = (distance > last[direction]) & (distance < last[direction] + _MAX_DEPTH_MM)
        beyond &= (last - first > _MIN_LUNG_MM)[direction]
        beyond &= (hu[s] > _TISSUE_HU[0]) & (hu[s] < _TISSUE_HU[1])
        if beyond.any():
            ribs, _ = _span(bones[s] & (distance > last[direction]), direction, distance)
            ribs = np.where(np.isinf(ribs), ndimage.minimum_filter1d(ribs, 9, mode="wrap"), ribs)
            edge = lung[s] & (distance > last[direction] - _EDGE_MM)
            wall = np.where(np.isfinite(ribs), ribs - _WALL_MM, 0)
            dense = _dense(hu[s][edge], direction[edge]) | deep & (ribs - last > _DEEP_MM)
            hull = _hull(lung[s]) & (distance < last[direction] + _HULL_DEPTH_MM)
            extra = beyond & (sides & (distance < wall[direction]) & dense[direction] | hull)
            whole[s] |= _attached(extra, lung[s])
    return whole


def _dense(hu: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Directions in which the mean of ``hu`` (n,), smoothed over neighboring directions, is that of diseased lung."""
    counts = ndimage.uniform_filter1d(np.bincount(direction, minlength=_DIRECTIONS) * 1.0, 5, mode="wrap")
    sums = ndimage.uniform_filter1d(np.bincount(direction, hu, _DIRECTIONS), 5, mode="wrap")
    return sums > _DENSE_HU * np.maximum(counts, 1e-6)


def _attached(extra: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """The parts of ``extra`` (r, c) that are thicker than two pixels and connected to ``lung``."""
    both = ndimage.binary_opening(extra | lung, np.ones((3, 3), dtype=bool))
    return ndimage.binary_propagation(lung & both, mask=both) & extra


def _span(mask: np.ndarray, direction: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest distance of ``mask`` (r, c) in each direction; infinity and 0 if it has no pixels there."""
    first = np.full(_DIRECTIONS, np.inf, dtype=np.float32)
    last = np.zeros(_DIRECTIONS, dtype=np.float32)
    np.minimum.at(first, direction[mask], distance[mask])
    np.maximum.at(last, direction[mask], distance[mask])
    return first, last


def _hull(mask: np.ndarray) -> np.ndarray:
    """Convex hull of ``mask`` (r, c), or ``mask`` itself if it is a line."""
    if min(np.ptp(line) for line in np.nonzero(mask)) < 2:
        return mask
    return convex_hull_image(mask, offset_coordinates=False)


def _polar(
    shape: tuple[int, int], spacing: tuple[float, float], center: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Direction (0.._DIRECTIONS - 1) and distance in mm of every pixel of a slice from ``center`` (row, column)."""
    rows = (np.arange(shape[0]) - center[0])[:, None] * spacing[0]
    columns = (np.arange(shape[1]) - center[1])[None, :] * spacing[1]
    turn = (np.arctan2(rows, columns) + np.pi) / (2 * np.pi)
    return (turn * _DIRECTIONS).astype(np.intp) % _DIRECTIONS, np.hypot(rows, columns).astype(np.float32)
