"""The inside of the chest as continuous functions: rib cage, diaphragm, heart, great vessels, lungs.

Patient coordinates are RAS in millimeters, with the carina near (0, -15, 0). All functions return signed distances in
millimeters, positive inside.
"""

from __future__ import annotations

import numpy as np

from .shapes import Field, curve, ellipsoid, smooth_max, smooth_min, superellipse

CAGE_POWER = 2.35  # exponent of the superelliptic cross-section: an ellipse has 2

# Inner surface of the rib cage: half-width, anterior and posterior border at each height
_Z = [-200, -150, -110, -60, 0, 40, 70, 92, 104, 112]
cage_half_width = curve(_Z, [128, 135, 138, 138, 130, 118, 100, 76, 54, 30])
cage_front = curve(_Z, [84, 88, 89, 88, 80, 66, 48, 30, 16, 4])
cage_back = curve(_Z, [-92, -96, -99, -101, -99, -93, -83, -70, -58, -48])

spine_y = curve([-200, -110, -20, 50, 120], [-54, -60, -66, -58, -42])  # centers of the vertebral bodies
_mediastinum_width = curve([-200, -100, -60, -20, 10, 30, 60, 85, 112], [22, 26, 30, 33, 31, 30, 29, 33, 40])

_DOMES = (  # of the diaphragm: x, y, z of the dome, width
    (66.0, 6.0, -93.0, 80.0),
    (-66.0, 8.0, -106.0, 80.0),
    (-10.0, 46.0, -108.0, 58.0),  # below the heart
)
_VERTICAL_VESSELS = (  # x at z = 0 and its slope, y and its slope, radius, lowest and highest z
    (14.0, 0.06, 21.0, 0.03, 16.0, -45.0, 26.0),  # ascending aorta
    (34.0, -0.02, 14.0, 0.02, 9.0, -40.0, 75.0),  # superior vena cava
    (-21.0, -0.02, -48.0, 0.0, 12.5, -210.0, 24.0),  # descending aorta
    (-17.0, -0.03, 26.0, 0.10, 13.0, -45.0, -4.0),  # pulmonary trunk
    (-24.0, -0.05, -2.0, 0.18, 5.0, 22.0, 140.0),  # left subclavian artery
    (14.0, 0.05, 10.0, 0.10, 6.5, 22.0, 140.0),  # brachiocephalic trunk
    (-9.0, -0.02, 4.0, 0.12, 4.5, 22.0, 140.0),  # left common carotid artery
)
_ARCH = ((14.0, 18.0), (-21.0, -46.0))  # x, y of the ends of the aortic arch


def cage(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the inner surface of the rib cage."""
    front, back = cage_front(z), cage_back(z)
    section = superellipse(x, y - 0.5 * (front + back), cage_half_width(z), 0.5 * (front - back), CAGE_POWER)
    slope = (cage_half_width(z + 2) - cage_half_width(z - 2)) * 0.25  # steep near the apex
    return section / np.sqrt(1.0 + slope * slope)


def diaphragm(x: Field, y: Field, z: Field) -> Field:
    """Height above the two domes of the diaphragm."""
    tops = []
    for cx, cy, top, width in _DOMES:
        u = (x - cx) / width
        v = y - cy
        v = np.where(v > 0, v / 125.0, v / 86.0)
        q = u * u + v * v
        drop = 40.0 * q + 7.0 * q * q
        steep = np.sqrt(1.0 + q * (1.0 + 0.5 * q))
        tops.append((z - top + drop) / steep)
    return smooth_min(smooth_min(tops[0], tops[1], 14.0), tops[2], 14.0)


def heart(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the heart: base (atria and right ventricle) and apex (left ventricle)."""
    tilt = 0.35 * (x + 20.0)  # the base is higher on the right
    base = ellipsoid(x, y, z - tilt * 0.5, (-2.0, 24.0, -56.0), (45.0, 45.0, 46.0))
    apex = ellipsoid(x, y, z - tilt * 0.8, (-30.0, 36.0, -78.0), (54.0, 40.0, 36.0))
    return smooth_max(base, apex, 16.0)


def great_vessels(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the aorta, superior vena cava, pulmonary arteries and branches of the aortic arch."""
    total = -1e3
    for x0, x_slope, y0, y_slope, radius, low, high in _VERTICAL_VESSELS:
        u, v = x - (x0 + x_slope * z), y - (y0 + y_slope * z)
        d = radius - np.sqrt(u * u + v * v)
        total = np.maximum(total, np.minimum(d, np.minimum(z - low, high - z)))
    (x0, y0), (x1, y1) = _ARCH
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    u, v, w = x - x0 - t * dx, y - y0 - t * dy, z - 18.0 - 48.0 * t * (1.0 - t)
    arch = 13.0 - np.sqrt(u * u + v * v + w * w)
    right_artery = ellipsoid(x, y, z, (18.0, -2.0, -22.0), (34.0, 9.0, 9.5))
    left_artery = ellipsoid(x, y, z, (-28.0, -2.0, -8.0), (22.0, 15.0, 10.0))
    return np.maximum(np.maximum(total, arch), np.maximum(right_artery, left_artery))


def mediastinum(x: Field, y: Field, z: Field, heart_inside: Field, vessels_inside: Field) -> Field:
    """Distance inside the mediastinum, including its fat."""
    half = _mediastinum_width(z)
    column = ellipsoid(x * (30.0 / half), y, z, (1.0, 8.0, 0.0), (30.0, 46.0, np.inf))
    low = np.clip((z + 20.0) / -60.0, 0.0, 1.0)  # epicardial fat separates the lungs
    wedge = (3.0 + 26.0 * low + np.clip(80.0 - y, 0.0, 90.0) * 0.45) - np.abs(x + 3.0 + 12.0 * low)
    wedge = np.minimum(wedge * 0.9, y - 22.0)  # the anterior junction, where the lungs nearly meet
    esophagus = np.minimum(15.0 - np.abs(x + 5.0), 20.0 - y)
    total = smooth_max(column, wedge, 12.0)
    total = smooth_max(total, esophagus, 8.0)
    total = smooth_max(total, heart_inside + 4.0, 10.0)  # pericardial fat
    return smooth_max(total, vessels_inside + 2.0, 6.0)


def spine_bulge(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the vertebral column and the paravertebral muscles."""
    y0 = y - spine_y(z)
    front = 21.5 - np.sqrt(x * x + y0 * y0)
    back = ellipsoid(x, y0, z, (0.0, -40.0, 0.0), (38.0, 26.0, np.inf))
    return smooth_max(front, back, 14.0)


def lungs(x: Field, y: Field, z: Field) -> Field:
    """Distance inside both lungs (the right one has x > 0)."""
    middle = mediastinum(x, y, z, heart(x, y, z), great_vessels(x, y, z))
    return lungs_between(cage(x, y, z), middle, spine_bulge(x, y, z), diaphragm(x, y, z))


def lungs_between(cage_inside: Field, middle: Field, spine: Field, above: Field) -> Field:
    """Distance inside the lungs, bounded by rib cage, mediastinum, spine and diaphragm."""
    d = smooth_min(cage_inside, -middle, 9.0)
    d = smooth_min(d, -spine, 12.0)
    return smooth_min(d, above, 5.0)
