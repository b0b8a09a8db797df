"""Segments the lungs in a CT volume in Hounsfield units by thresholds and morphology.

See docs/method.md, "Preprocessing". The segmentation is done on a coarse grid of about 2.5 mm (``coarse``), and its
border is refined on the grid of the CT (``border``). Arrays are axial: (slices, rows, columns), with rows from anterior
to posterior.
"""

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image

from .border import close_gaps, refine_border
from .coarse import CoarseGrid
from .hull import add_pleural_tissue, rib_cage

_AERATED_HU = -320  # between aerated lung and soft tissue
_OUTSIDE_AIR_HU = -960, -850  # range of the upper limit of air outside the body and padding, by calibration
_GAS_HU = -975, -900  # range of the upper limit of gas in airways and bowel; hyperinflated lung comes near it
_MIN_GAS_ML = 1.0
_BOWEL_GAS_HU = -930  # a component with three quarters of its voxels below contains no lung
_LUNG_HU = -450  # a component with half of its voxels above is a partial-volume edge
_MIN_AREA_MM2 = 2000.0  # least lung area in the largest slice
_MIN_PART_ML = 4.0  # smaller aerated components are not lungs
_HULL_STEP = 3  # coarse slices
_CLOSING_MM = 6.0
_MAX_HOLE_MM2 = 500.0  # vessels and nodules; a larger hole in a slice may be the dome of the liver
_NOT_LIVER_HU = -300  # below the values of the liver and its border

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[None]  # neighbors within a slice


class NoLungsError(ValueError):
    """No lungs were found in a CT."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No lungs were found in {name}: provide an axial chest CT in HU that shows the lungs.")


def segment_volume(hu: np.ndarray, spacing: tuple[float, float, float], label: str = "this CT") -> np.ndarray:
    """Lung mask (S, R, C) bool of ``hu`` (S, R, C) int16, with consolidations, without trachea and main bronchi.

    ``spacing`` is (column, row, slice) in mm. Any slice thickness, field of view and part of the chest is supported.
    Raises NoLungsError if there are no lungs.
    """
    grid = CoarseGrid(hu, spacing)
    lungs, airways = _segment_coarse(grid)
    if not lungs.any() or lungs.sum(axis=(1, 2)).max() * grid.pixel_mm2 < _MIN_AREA_MM2:
        raise NoLungsError(label)
    return refine_border(hu, grid, lungs, airways, _AERATED_HU)


def _segment_coarse(grid: CoarseGrid) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the lungs and of the larger airways, on the coarse grid."""
    air = grid.hu < _AERATED_HU
    outside = _outside_air(grid, air)
    body = _body_hull(grid)
    gas = _gas(grid, air & ~outside, body)
    parts = _lung_parts(grid, air & ~outside & ~gas, outside, gas, body)
    if not parts.any():
        return parts, gas
    inner = _enclosed(gas, parts, grid)
    parts |= inner
    gas &= ~inner
    lungs = np.zeros_like(parts)
    box = grid.box(parts, margin_mm=2 * _CLOSING_MM)
    middle = _middle(parts[box])
    row = 0.5 * sum(np.flatnonzero(parts[box].any(axis=(0, 2)))[[0, -1]])
    bones = rib_cage(grid.hu[box], grid.spacing)
    for side, center in (slice(None, middle), middle or 0), (slice(middle, None), 0):
        if not parts[box][:, :, side].any() or (middle is None and lungs.any()):
            continue
        hu = grid.hu[box][:, :, side]
        whole = _fill(parts[box][:, :, side], hu, gas[box][:, :, side], grid.pixel_mm2)
        if middle is not None:
            whole = add_pleural_tissue(whole, hu, bones[:, :, side], grid.spacing, (row, center))
        whole |= close_gaps(whole, _CLOSING_MM, grid.spacing, "edge")
        whole = _fill(whole, hu, gas[box][:, :, side], grid.pixel_mm2)
        lungs[box][:, :, side] = whole & ~outside[box][:, :, side]
    return lungs, gas & ~lungs


def _outside_air(grid: CoarseGrid, air: np.ndarray) -> np.ndarray:
    """Air and padding outside the body, connected to the border of the slices.

    Lungs that reach the border of a slice are denser than air and not included.
    """
    border = np.ones(grid.hu.shape, dtype=bool)
    border[:, 1:-1, 1:-1] = False
    rim = grid.hu[border]
    limit = _OUTSIDE_AIR_HU[0]
    if np.mean(rim < _AERATED_HU) > 0.6:  # the border is mostly air
        limit = np.clip(np.percentile(rim, 25) + 40, *_OUTSIDE_AIR_HU)
    low = grid.hu < limit
    outside = ndimage.binary_propagation(low & border, mask=low)
    # dilated over the partial-volume edges of body, mattress and clothes
    return ndimage.binary_dilation(outside, _CROSS, iterations=2) & air


def _gas(grid: CoarseGrid, inner: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Gas in trachea, main bronchi, stomach and bowel: large components of ``inner`` air without lung tissue."""
    labels, _ = ndimage.label(inner)
    gas = np.zeros_like(inner)
    for label in _largest(labels, _voxels(grid, _MIN_PART_ML)):
        middle = ndimage.binary_erosion(labels == label, _CROSS)
        if middle.any() and np.percentile(grid.hu[middle], 75) < _BOWEL_GAS_HU:
            gas |= labels == label
    inner = inner & ~gas
    lung_hu = grid.hu[::_HULL_STEP][inner[::_HULL_STEP] & body]
    if lung_hu.size == 0:
        return gas
    # trachea and stomach may be connected to the lungs; emphysema and calibration errors shift the limit
    limit = np.clip(np.median(lung_hu) - 95, *_GAS_HU)
    labels, _ = ndimage.label(inner & (grid.hu < limit))
    core = np.isin(labels, _largest(labels, _voxels(grid, _MIN_GAS_ML), 100))
    return gas | ndimage.binary_dilation(core, _CROSS) & inner


def _voxels(grid: CoarseGrid, volume_ml: float) -> float:
    """Number of voxels in ``volume_ml``, in proportion less in a stack thinner than a centimeter."""
    height_cm = len(grid.hu) * grid.spacing[0] / 10
    return volume_ml * min(1.0, height_cm) / (grid.pixel_mm2 * grid.spacing[0] / 1000.0)


def _largest(labels: np.ndarray, min_size: float, count: int = 12) -> np.ndarray:
    """The labels, except 0, of the ``count`` largest components of more than ``min_size`` voxels, largest first."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes)[:count]
    return order[sizes[order] > min_size]


def _enclosed(gas: np.ndarray, lungs: np.ndarray, grid: CoarseGrid) -> np.ndarray:
    """The components of ``gas`` within ``lungs``: cavities, bullae and emphysema, not airways or bowel."""
    labels, count = ndimage.label(gas)
    enclosed = np.zeros_like(gas)
    rows, columns = (max(1, round(7.5 / mm)) for mm in grid.spacing[1:])
    for label, (slices, across, along) in enumerate(ndimage.find_objects(labels, count), start=1):
        part = (slices, slice(max(0, across.start - rows), across.stop + rows),
                slice(max(0, along.start - columns), along.stop + columns))
        mask = labels[part] == label
        shell = ndimage.binary_dilation(mask, _CROSS, iterations=min(rows, columns)) & ~mask
        if lungs[part][shell].sum() > 0.45 * shell.sum():
            enclosed[part] |= mask
    return enclosed


def _lung_parts(grid: CoarseGrid, candidates: np.ndarray, outside: np.ndarray, gas: np.ndarray,
                body: np.ndarray) -> np.ndarray:  # fmt: skip
    """The two lungs, or one if they are connected, and larger fragments that disease has separated."""
    labels, _ = ndimage.label(ndimage.binary_opening(candidates, _CROSS))
    beside = ndimage.binary_dilation(outside, _CROSS)
    kept = []
    for label in _largest(labels, _voxels(grid, _MIN_PART_ML)):
        part = labels == label
        rim = part & ~ndimage.binary_erosion(part, _CROSS, border_value=1)
        exposed = (rim & beside).sum() / max(1, rim.sum())
        in_body = part[::_HULL_STEP][body].sum() >= 0.5 * part[::_HULL_STEP].sum()
        if exposed < 0.3 and in_body and np.median(grid.hu[part]) < _LUNG_HU:
            if not kept:
                main = part.sum()
                beside = ndimage.binary_dilation(outside | gas, _CROSS)  # smaller components may be rests of bowel gas
            if part.sum() >= 0.02 * main:
                kept.append(label)
    grown = ndimage.binary_dilation(np.isin(labels, kept), _CROSS)
    return grown & candidates  # restores what the opening removed


def _body_hull(grid: CoarseGrid) -> np.ndarray:
    """Convex hull of the body in every _HULL_STEP-th slice, which excludes table and mattress."""
    hulls = np.zeros_like(grid.hu[::_HULL_STEP], dtype=bool)
    for hull, hu in zip(hulls, grid.hu[::_HULL_STEP], strict=True):
        tissue = ndimage.binary_opening(hu > _AERATED_HU, np.ones((3, 3), dtype=bool))  # without thin shells of tables
        labels, count = ndimage.label(tissue)
        if count:
            areas = np.bincount(labels.ravel())[1:]
            body = np.isin(labels, 1 + np.flatnonzero(areas >= 0.1 * areas.max()))
            hull[:] = convex_hull_image(body, offset_coordinates=False)
    return hulls


def _middle(lungs: np.ndarray) -> int | None:
    """The column between the two lungs, in their bounding box; None for a single lung or without a gap."""
    profile = lungs.sum(axis=(0, 1))
    third = profile.size // 3
    if third == 0:
        return None
    middle = third + int(np.argmin(profile[third:-third]))
    return middle if profile[middle] < 0.35 * min(profile[:middle].max(), profile[middle:].max()) else None


def _fill(part: np.ndarray, hu: np.ndarray, gas: np.ndarray, pixel_mm2: float) -> np.ndarray:
    """``part`` (s, r, c) without ``gas``, and with holes filled.

    Holes are enclosed in 3D, or within a slice if they are small or contain air (bronchi, cavities, consolidations).
    The dome of the liver or stomach is a large hole without air.
    """
    part = ndimage.binary_fill_holes(part & ~gas)
    for mask, aerated in zip(part, hu < _NOT_LIVER_HU, strict=True):
        holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
        if count:
            areas = np.bincount(holes.ravel())
            aerated_areas = np.bincount(holes[aerated], minlength=count + 1)
            fill = (areas * pixel_mm2 < _MAX_HOLE_MM2) | (aerated_areas > 0.07 * areas)
            mask |= fill[holes] & (holes > 0)
    return part
