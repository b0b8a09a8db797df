"""Segments the lungs in a single 8-bit image: a windowed slice, a figure of a publication, a screenshot.

Window, pixel size and crop of the image are unknown, so Otsu's threshold replaces Hounsfield units, and shares of the
image replace millimeters.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from .border import close_gaps

_WORK_SIZE = 256  # longest side of the image that is segmented; the border is interpolated to full size
_FRAME_RANGE = 10  # gray levels; rows and columns that vary less belong to a frame
_NEAR_BORDER = 3  # pixels at working size; nearer components touch the border
_MIN_LUNG_SHARE = 0.012  # of the image; a smaller dark area is the trachea or bowel gas
_MAX_HOLE_SHARE = 0.03  # of the lungs; a larger hole enclosed by closing is the mediastinum


def otsu(values: np.ndarray) -> float | None:
    """Otsu's threshold of an array of numbers, or None if all are equal or there are none.

    The largest value of the dark class; if bins between the classes are empty, the middle one, and not the first as in
    ``skimage.filters.threshold_otsu``.
    """
    values = np.asarray(values).ravel()
    if values.size == 0 or values.min() == values.max():
        return None
    counts, edges = np.histogram(values, bins=256)
    centers = 0.5 * (edges[:-1] + edges[1:])
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = values.size - below
    sums = np.cumsum(counts * centers)
    difference = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    spread = below * above * difference**2
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9))
    return float(edges[1 + int(np.median(best))])


def trim_frame(image: np.ndarray) -> tuple[int, int, int, int]:
    """Rows and columns (r0, r1, c0, c1; half-open) of ``image`` (H, W) uint8 without uniform frames.

    The frames of figures may be nested (a black line within a white margin) and contain a letter.
    """
    r0, r1, c0, c1 = 0, image.shape[0], 0, image.shape[1]
    for _ in range(4):
        part = image[r0:r1, c0:c1]
        rows = np.flatnonzero(~_uniform(part))
        columns = np.flatnonzero(~_uniform(part.T))
        if rows.size == 0 or columns.size == 0:
            return 0, image.shape[0], 0, image.shape[1]
        if rows.size == part.shape[0] and columns.size == part.shape[1]:
            break
        r0, r1, c0, c1 = r0 + rows[0], r0 + rows[-1] + 1, c0 + columns[0], c0 + columns[-1] + 1
    return int(r0), int(r1), int(c0), int(c1)


def _uniform(lines: np.ndarray) -> np.ndarray:
    """Rows of ``lines`` (n, m) uint8 in which nearly all pixels have the same gray level."""
    middle = np.partition(lines, lines.shape[1] // 2, axis=1)[:, lines.shape[1] // 2, None].astype(np.int16)
    return (np.abs(lines - middle) <= _FRAME_RANGE).mean(axis=1) > 0.97


def segment_image(image: np.ndarray) -> np.ndarray:
    """Lung mask (H, W) bool of ``image`` (H, W) uint8; all False if no lungs are found.

    Excludes air outside the body, the table and the trachea. Lungs may touch the border, as in an image that is cropped
    to them.
    """
    image = np.asarray(image)
    mask = np.zeros(image.shape, dtype=bool)
    r0, r1, c0, c1 = trim_frame(image)
    inner = image[r0:r1, c0:c1]
    if min(inner.shape) < 16:
        return mask
    scale = min(1.0, _WORK_SIZE / max(inner.shape))
    width, height = (max(8, round(n * scale)) for n in inner.shape[::-1])
    small = np.asarray(Image.fromarray(inner).resize((width, height), Image.Resampling.BOX))
    lungs = _segment_small(small)
    if lungs.any():
        large = Image.fromarray(lungs.astype(np.uint8) * 255)
        large = large.resize(inner.shape[::-1], Image.Resampling.BILINEAR)
        mask[r0:r1, c0:c1] = np.asarray(large) >= 128
    return mask


def _segment_small(small: np.ndarray) -> np.ndarray:
    """Lung mask of an image (h, w) uint8 of about 256 pixels without a frame."""
    smooth = ndimage.median_filter(small, 3)
    threshold = otsu(smooth)
    if threshold is None:
        return np.zeros(small.shape, dtype=bool)
    outside = _outside(smooth, smooth < threshold)
    # again without the outside air, which would lower the threshold below ground-glass opacities
    inside = smooth[~outside]
    threshold = max(threshold, otsu(inside) or threshold)
    dark = (smooth < threshold) & ~outside
    dark = ndimage.binary_opening(dark, iterations=1)
    lungs = _select_lungs(dark & ~_outside(smooth, dark))
    if lungs.mean() < _MIN_LUNG_SHARE:
        return np.zeros(small.shape, dtype=bool)
    return _close(lungs) & ~outside


def _outside(smooth: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Dark components that are air outside the body.

    They reach a corner or two opposite sides of the image and are homogeneous, whereas lungs that touch the border of a
    cropped image contain vessels.
    """
    labels, _ = ndimage.label(dark)
    outside, n = np.zeros(dark.shape, dtype=bool), _NEAR_BORDER
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
        homogeneous = inner.size == 0 or np.median(inner) < 3.0
        border = sum((line == label).any(axis=k // 2).sum() for k, line in enumerate(lines))
        strip = area < 0.25 * border / sum(dark.shape)  # its border with the image edge is long for its area
        across = label in left and label in right and area < 0.15  # between the shells of a table
        if corners >= 2 or strip or across or (homogeneous and area < (0.06 if corners else 0.02)):
            outside |= part
    return outside


def _select_lungs(dark: np.ndarray) -> np.ndarray:
    """The components of ``dark`` that are lung: large ones, and fragments of diseased lung beside them."""
    labels, count = ndimage.label(dark)
    if count == 0:
        return dark
    areas, boxes = np.bincount(labels.ravel())[1:], ndimage.find_objects(labels)
    keep = areas >= max(0.03 * areas.max(), 12)
    keep &= ~_is_trachea(boxes, areas)
    below = _is_below_body(boxes, areas, len(dark))
    # unless these are the lungs, below a large gas bubble of the stomach
    if areas[keep & ~below].sum() >= max(_MIN_LUNG_SHARE * labels.size, 0.5 * areas[keep & below].sum()):
        keep &= ~below
    if not keep.any():
        keep = areas == areas.max()
    return np.append(False, keep)[labels]


def _is_trachea(boxes: list[tuple[slice, slice]], areas: np.ndarray) -> np.ndarray:
    """Whether each component is the trachea or a main bronchus: small, round and near the middle."""
    top, left, bottom, right = np.array([(r.start, c.start, r.stop, c.stop) for r, c in boxes]).T
    middle, width = 0.5 * (left.min() + right.max() - 1), right.max() - left.min()
    rows, columns = bottom - top, right - left
    central = np.abs(0.5 * (left + right - 1) - middle) < 0.12 * width
    small = (np.maximum(rows, columns) < 0.16 * width) & (areas < 0.3 * areas.max())
    return central & small & (areas / (rows * columns) > 0.55)


def _is_below_body(boxes: list[tuple[slice, slice]], areas: np.ndarray, height: int) -> np.ndarray:
    """Whether each component is air between back and table or in the table: below the lungs, flat or cut off."""
    top, left, bottom, right = np.array([(r.start, c.start, r.stop, c.stop) for r, c in boxes]).T
    flat = (bottom - top < 0.35 * (right - left)) | (bottom >= height - _NEAR_BORDER)
    if flat.all():
        return np.zeros(areas.size, dtype=bool)
    lung = np.argmax(np.where(flat, 0, areas))
    below, far = 0.5 * (top + bottom) > bottom[lung], top > bottom[lung] + 0.03 * height
    return (far | flat & below) & (areas < 1.5 * areas[lung])


def _close(lungs: np.ndarray) -> np.ndarray:
    """Fill holes in ``lungs`` (h, w), and close vessels and indentations by 3 % of their size.

    Of holes that the closing encloses, only small ones are filled, since a large one is the mediastinum.
    """
    rows = np.flatnonzero(lungs.any(axis=1))
    columns = np.flatnonzero(lungs.any(axis=0))
    radius = max(2, round(0.03 * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    closed = close_gaps(ndimage.binary_fill_holes(lungs), radius, (1, 1), "constant")
    holes, _ = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    areas = np.bincount(holes.ravel())
    return closed | (holes > 0) & (areas < _MAX_HOLE_SHARE * closed.sum())[holes]
