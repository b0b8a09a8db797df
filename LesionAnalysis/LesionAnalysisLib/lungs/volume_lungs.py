"""Lungs in a CT volume in Hounsfield units, by thresholds and morphology only.

METHOD, "Preprocessing". What lungs are is decided on a coarse grid of about 2.5 mm (``coarse.py``); their
border is drawn on the CT's own grid (``border.py``). Arrays are axial: (slices, rows, columns), rows from the
front to the back.
"""

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image

from .border import draw_border
from .coarse import CoarseGrid
from .hull import add_pleural_tissue, rib_cage

AIR_HU = -320  # between air-filled lung and soft tissue
_OUTER_AIR_HU = -960, -850  # air and padding are darker over a whole voxel (if ill calibrated)
_GAS_HU = -975, -900  # windpipe, bowel: the same, but for scatter; hyperinflated lung comes near it
_MIN_GAS_ML = 1.0
_BOWEL_HU = -930  # where three quarters of a part of air are darker, it holds no lung
_LUNG_HU = -450  # where half of a part of air is brighter, it is the edge of something
_MIN_AREA_MM2 = 2000.0  # a scan whose largest slice shows less lung than this shows none
_MIN_PART_ML = 4.0  # smaller air-filled parts are not lung by themselves
_HULL_STEP = 3  # coarse slices
_CLOSING_MM = 6.0
_MAX_HOLE_MM2 = 500.0  # vessel or nodule inside of a slice's lung; larger holes may be the dome of the liver
_AIRY_HU = -300  # a lower value is not liver, even at its border

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[None]  # neighbors within a slice

NO_LUNGS = "No lungs were found in {}: give an axial chest CT in Hounsfield units that shows the lungs."


def segment_volume(hu, spacing, label="this CT"):
    """Lungs, with consolidations but without windpipe, in `hu` (S, R, C) int16 as a mask (S, R, C) bool.

    `spacing` is (column, row, slice) in mm. Any slice thickness, field of view and part of the chest will do.
    Raises ValueError where there are no lungs.
    """
    grid = CoarseGrid(hu, spacing)
    lungs, airways = find_lungs(grid)
    if not lungs.any() or lungs.sum(axis=(1, 2)).max() * grid.pixel_mm2 < _MIN_AREA_MM2:
        raise ValueError(NO_LUNGS.format(label))
    return draw_border(hu, grid, lungs, airways, AIR_HU)


def find_lungs(grid):
    """Lungs and larger airways on the coarse grid, as two masks."""
    air = grid.hu < AIR_HU
    outside = _outer_air(grid, air)
    body = _body_hull(grid)
    gas = _gas(grid, air & ~outside, body)
    parts = _lung_parts(grid, air & ~outside & ~gas, outside, gas, body)
    if not parts.any():
        return parts, gas
    inner = _within(gas, parts, grid)
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
        whole = _fill(_close(whole, grid.spacing), hu, gas[box][:, :, side], grid.pixel_mm2)
        lungs[box][:, :, side] = whole & ~outside[box][:, :, side]
    return lungs, gas & ~lungs


def _outer_air(grid, air):
    """Air and padding around the body: dark throughout and connected to the border of the slices.

    Lungs that reach the border of the picture are brighter than air, so they stay.
    """
    edges = [grid.hu[:, e] for e in (0, -1)] + [grid.hu[:, :, e] for e in (0, -1)]
    rim = np.concatenate([edge.ravel() for edge in edges])
    limit = _OUTER_AIR_HU[0]
    if np.mean(rim < AIR_HU) > 0.6:  # the body is free of the border: what is there is air
        limit = np.clip(np.percentile(rim, 25) + 40, *_OUTER_AIR_HU)
    labels, count = ndimage.label(grid.hu < limit)
    outer = np.zeros(count + 1, dtype=bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outer[edge] = True
    outer[0] = False
    # mattress and clothes lie in the outer air or between it and the body; the edge of both is half air
    return ndimage.binary_dilation(outer[labels], _CROSS, iterations=2) & air


def _gas(grid, inner, body):
    """Windpipe, main bronchi, stomach and bowel: large parts of the `inner` air that hold no lung tissue."""
    labels, _ = ndimage.label(inner)
    gas = np.zeros_like(inner)
    for label in _largest(labels, _voxels(grid, _MIN_PART_ML)):
        middle = ndimage.binary_erosion(labels == label, _CROSS)
        if middle.any() and np.percentile(grid.hu[middle], 75) < _BOWEL_HU:
            gas |= labels == label
    inner = inner & ~gas
    lung_hu = grid.hu[::_HULL_STEP][inner[::_HULL_STEP] & body]
    if lung_hu.size == 0:
        return gas
    # windpipe and a bubble in the stomach may touch the lungs; emphysema and a scanner's offset move both
    limit = np.clip(np.median(lung_hu) - 95, *_GAS_HU)
    labels, _ = ndimage.label(inner & (grid.hu < limit))
    core = np.isin(labels, _largest(labels, _voxels(grid, _MIN_GAS_ML), 100))
    return gas | ndimage.binary_dilation(core, _CROSS) & inner


def _voxels(grid, volume_ml):
    """Voxels of `volume_ml`, or less in a stack that is thinner than a centimetre: a slice holds little."""
    height_cm = len(grid.hu) * grid.spacing[0] / 10
    return volume_ml * min(1.0, height_cm) / grid.voxel_ml


def _largest(labels, min_size, count=12):
    """The labels (0 aside) of the `count` largest parts with more than `min_size` voxels, largest first."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes)[:count]
    return order[sizes[order] > min_size]


def _within(gas, lungs, grid):
    """The parts of `gas` that lie in `lungs`: cavities, bullae and emphysema, not airways or bowel."""
    labels, count = ndimage.label(gas)
    found = np.zeros_like(gas)
    rows, columns = (max(1, round(7.5 / mm)) for mm in grid.spacing[1:])
    for label, (slices, across, along) in enumerate(ndimage.find_objects(labels, count), start=1):
        part = (slices, slice(max(0, across.start - rows), across.stop + rows),
                slice(max(0, along.start - columns), along.stop + columns))
        mask = labels[part] == label
        shell = ndimage.binary_dilation(mask, _CROSS, iterations=min(rows, columns)) & ~mask
        if lungs[part][shell].sum() > 0.45 * shell.sum():
            found[part] |= mask
    return found


def _lung_parts(grid, candidates, outside, gas, body):
    """The two lungs, or one where they touch, and larger pieces of them that disease has cut off."""
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
                beside = ndimage.binary_dilation(outside | gas, _CROSS)  # what is left of bowel is smaller
            if part.sum() >= 0.02 * main:
                kept.append(label)
    grown = ndimage.binary_dilation(np.isin(labels, kept), _CROSS)
    return grown & candidates  # what the opening took off


def _body_hull(grid):
    """The convex hull of the body in every _HULL_STEP-th slice: tables and mattresses lie outside of it."""
    hulls = np.zeros_like(grid.hu[::_HULL_STEP], dtype=bool)
    for hull, hu in zip(hulls, grid.hu[::_HULL_STEP], strict=True):
        tissue = ndimage.binary_opening(hu > AIR_HU, np.ones((3, 3), dtype=bool))  # without shells of tables
        labels, count = ndimage.label(tissue)
        if count:
            areas = np.bincount(labels.ravel())[1:]
            body = np.isin(labels, 1 + np.flatnonzero(areas >= 0.1 * areas.max()))
            hull[:] = convex_hull_image(body, offset_coordinates=False)
    return hulls


def _middle(lungs):
    """The column between two lungs (in the box around them); None where there is one, or no gap."""
    profile = lungs.sum(axis=(0, 1))
    third = profile.size // 3
    if third == 0:
        return None
    middle = third + int(np.argmin(profile[third:-third]))
    return middle if profile[middle] < 0.35 * min(profile[:middle].max(), profile[middle:].max()) else None


def _close(part, spacing):
    """Closing of `part` (s, r, c) by a ball of _CLOSING_MM, that also works across anisotropic voxels."""
    pad = [(int(np.ceil(_CLOSING_MM / mm)) + 1,) * 2 for mm in spacing]
    padded = np.pad(part, pad, mode="edge")
    near = ndimage.distance_transform_edt(~padded, sampling=spacing) <= _CLOSING_MM
    if near.all():  # nothing to measure a distance to
        return part | True
    closed = ndimage.distance_transform_edt(near, sampling=spacing) > _CLOSING_MM
    return closed[tuple(slice(n, -n) for n, _ in pad)] | part


def _fill(part, hu, gas, pixel_mm2):
    """`part` (s, r, c) without `gas` and without holes.

    Holes are what is closed in 3D, and what is closed within a slice if it is small or holds air: bronchi,
    cavities, consolidations. The dome of the liver or stomach is a large hole without air.
    """
    part = ndimage.binary_fill_holes(part & ~gas)
    airy = hu < _AIRY_HU
    for mask, airy_slice in zip(part, airy, strict=True):
        holes, count = ndimage.label(~mask)
        if count > 1:
            areas = np.bincount(holes.ravel())
            airy_areas = np.bincount(holes[airy_slice], minlength=count + 1)
            fill = (areas * pixel_mm2 < _MAX_HOLE_MM2) | (airy_areas > 0.07 * areas)
            for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
                fill[edge] = False
            fill[0] = False
            mask |= fill[holes]
    return part
