"""Lungs in a single 8-bit picture: a windowed slice, a figure of a paper, a screenshot.

Nothing is known about the picture's window, size of a pixel or crop, so everything here is relative: Otsu's
threshold instead of Hounsfield units, shares of the picture instead of millimeters.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

_WORK_SIZE = 256  # longest side of the grid on which lungs are searched; their border is drawn at full size
_FRAME_RANGE = 10  # gray levels: a row or column that varies less is a frame, not a slice
_NEAR_BORDER = 3  # pixels of the work grid: what comes this near to the border touches it
_MIN_LUNG_SHARE = 0.012  # of the picture: less dark area than this is a windpipe or bowel gas, not lungs
_MAX_HOLE_SHARE = 0.03  # of the lungs: a larger hole that only closing encloses is the mediastinum


def otsu(values, bins=256):
    """Otsu's threshold: the gray level that splits `values` into two classes furthest apart.

    `values` is any array of numbers; returns the center of the last bin of the dark class as a float, or None
    where all values are equal or there are none.
    """
    values = np.asarray(values).ravel()
    if values.size == 0 or values.min() == values.max():
        return None
    counts, edges = np.histogram(values, bins=bins)
    centers = 0.5 * (edges[:-1] + edges[1:])
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = values.size - below
    sums = np.cumsum(counts * centers)
    difference = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    spread = below * above * difference**2
    # empty bins between two classes all give the same spread: take the middle one
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9))
    return float(edges[1 + int(np.median(best))])


def trim_frame(picture):
    """Rows and columns (r0, r1, c0, c1; half open) of `picture` (H, W) uint8 inside of any uniform frames.

    Frames of figures may be nested (a black line within a white margin) and have a letter on them.
    """
    r0, r1, c0, c1 = 0, picture.shape[0], 0, picture.shape[1]
    for _ in range(4):
        part = picture[r0:r1, c0:c1]
        rows = np.flatnonzero(~_uniform(part))
        columns = np.flatnonzero(~_uniform(part.T))
        if rows.size == 0 or columns.size == 0:
            return 0, picture.shape[0], 0, picture.shape[1]
        if rows.size == part.shape[0] and columns.size == part.shape[1]:
            break
        r0, r1, c0, c1 = r0 + rows[0], r0 + rows[-1] + 1, c0 + columns[0], c0 + columns[-1] + 1
    return int(r0), int(r1), int(c0), int(c1)


def _uniform(lines):
    """Which rows of `lines` (n, m) uint8 are a frame: nearly all of their pixels of one gray."""
    middle = np.partition(lines, lines.shape[1] // 2, axis=1)[:, lines.shape[1] // 2, None].astype(np.int16)
    return (np.abs(lines - middle) <= _FRAME_RANGE).mean(axis=1) > 0.97


def segment_image(picture):
    """Lungs in `picture` (H, W) uint8 as a mask (H, W) bool; all False where none are found.

    Air around the body, table and windpipe are left out. Lungs that touch the border, as in a picture that
    was already cropped to them, are kept.
    """
    picture = np.asarray(picture)
    found = np.zeros(picture.shape, dtype=bool)
    r0, r1, c0, c1 = trim_frame(picture)
    inner = picture[r0:r1, c0:c1]
    if min(inner.shape) < 16:
        return found
    scale = min(1.0, _WORK_SIZE / max(inner.shape))
    width, height = (max(8, round(n * scale)) for n in inner.shape[::-1])
    small = np.asarray(Image.fromarray(inner).resize((width, height), Image.Resampling.BOX))
    lungs = _lungs_of_slice(small)
    if lungs.any():
        large = Image.fromarray(lungs.astype(np.uint8) * 255)
        large = large.resize(inner.shape[::-1], Image.Resampling.BILINEAR)
        found[r0:r1, c0:c1] = np.asarray(large) >= 128
    return found


def _lungs_of_slice(small):
    """Lungs of a frameless picture (h, w) uint8 of about 256 pixels."""
    smooth = ndimage.median_filter(small, 3)
    threshold = otsu(smooth)
    if threshold is None:
        return np.zeros(small.shape, dtype=bool)
    outside = _outside(smooth, smooth < threshold)
    # Once more without the air around the body, which else pulls the threshold below ground glass.
    inside = smooth[~outside]
    threshold = max(threshold, otsu(inside) or threshold)
    dark = (smooth < threshold) & ~outside
    dark = ndimage.binary_opening(dark, iterations=1)
    lungs = _pick_lungs(dark & ~_outside(smooth, dark))
    if lungs.mean() < _MIN_LUNG_SHARE:
        return np.zeros(small.shape, dtype=bool)
    return _close(lungs) & ~outside


def _outside(smooth, dark):
    """Dark components that are air around the body.

    Air around the body reaches a corner or two opposite sides of the picture and is evenly dark. Lungs of a
    picture that was cropped to them touch the border too, but hold vessels.
    """
    labels, count = ndimage.label(dark)
    outside = np.zeros(dark.shape, dtype=bool)
    if count == 0:
        return outside
    n = _NEAR_BORDER
    detail = ndimage.gaussian_gradient_magnitude(smooth.astype(np.float32), 1.0)
    core = ndimage.binary_erosion(dark, iterations=3, border_value=1)
    lines = labels[:n], labels[-n:], labels[:, :n], labels[:, -n:]
    top, bottom, left, right = (set(np.unique(line)) - {0} for line in lines)
    corner_labels = [set(np.unique(line[:, at])) for line in lines[:2] for at in (slice(n), slice(-n, None))]
    for label in top | bottom | left | right:
        part = labels == label
        area = part.mean()
        corners = sum(label in corner for corner in corner_labels)
        inner = detail[part & core]
        even = inner.size == 0 or np.median(inner) < 3.0
        border = sum((line == label).any(axis=k // 2).sum() for k, line in enumerate(lines))
        strip = area < 0.25 * border / sum(dark.shape)  # long along the border for its area
        across = label in left and label in right and area < 0.15  # between the layers of a table
        if corners >= 2 or strip or across or (even and area < (0.06 if corners else 0.02)):
            outside |= part
    return outside


def _pick_lungs(dark):
    """The components of `dark` that are lung: large ones, and pieces of a diseased lung beside them."""
    labels, count = ndimage.label(dark)
    if count == 0:
        return dark
    index = np.arange(1, count + 1)
    areas = ndimage.sum_labels(dark, labels, index)
    keep = areas >= max(0.03 * areas.max(), 12)
    keep &= ~_is_windpipe(labels, index, areas)
    under = _is_under_body(labels, index, areas)
    # lungs below a large bubble of the stomach are no table: what remains must be enough for lungs
    if areas[keep & ~under].sum() >= max(_MIN_LUNG_SHARE * labels.size, 0.5 * areas[keep & under].sum()):
        keep &= ~under
    if not keep.any():
        keep = areas == areas.max()
    return np.isin(labels, index[keep])


def _is_windpipe(labels, index, areas):
    """Which components are windpipe or main bronchus: small, round, near the middle, evenly dark."""
    h, w = labels.shape
    found = np.zeros(index.size, dtype=bool)
    columns = np.flatnonzero((labels > 0).any(axis=0))
    middle, width = 0.5 * (columns[0] + columns[-1]), columns[-1] - columns[0] + 1
    for k, part in enumerate(ndimage.find_objects(labels)):
        rows, cols = part[0].stop - part[0].start, part[1].stop - part[1].start
        center = 0.5 * (part[1].start + part[1].stop - 1)
        fill = areas[k] / (rows * cols)
        found[k] = (abs(center - middle) < 0.12 * width and max(rows, cols) < 0.16 * width and fill > 0.55
                    and areas[k] < 0.3 * areas.max())
    return found


def _is_under_body(labels, index, areas):
    """Which components are air between back and table or in the table: flat, or cut off, under the lungs."""
    boxes = ndimage.find_objects(labels)
    height = labels.shape[0]
    flat = np.array([b[0].stop - b[0].start < 0.35 * (b[1].stop - b[1].start) for b in boxes])
    flat |= np.array([b[0].stop >= height - _NEAR_BORDER for b in boxes])
    if flat.all():
        return np.zeros(index.size, dtype=bool)
    lung = np.argmax(np.where(flat, 0, areas))
    under = np.array([0.5 * (b[0].start + b[0].stop) for b in boxes]) > boxes[lung][0].stop
    far = np.array([b[0].start for b in boxes]) > boxes[lung][0].stop + 0.03 * height
    return (far | flat & under) & (areas < 1.5 * areas[lung])


def _close(lungs):
    """Fill vessels and bays of lungs (h, w): holes, then closing by 3 % of their size.

    What the closing encloses between both lungs is the mediastinum, so of that only small holes are filled.
    """
    rows = np.flatnonzero(lungs.any(axis=1))
    columns = np.flatnonzero(lungs.any(axis=0))
    radius = max(2, round(0.03 * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    padded = np.pad(ndimage.binary_fill_holes(lungs), radius + 1)
    near = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(near) > radius
    holes, _ = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    areas = np.bincount(holes.ravel())
    closed |= (holes > 0) & (areas < _MAX_HOLE_SHARE * closed.sum())[holes]
    return closed[radius + 1:-radius - 1, radius + 1:-radius - 1]
