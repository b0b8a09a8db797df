"""The surroundings of the lungs: skin, muscle, organs, massive bones, the table; and all smooth fields together.

Coordinates and the sign of distances are as in ``chest``.
"""

from __future__ import annotations

import numpy as np

from . import chest
from .noise import wave
from .shapes import Field, blend, bump, curve, ellipsoid, smooth_min, superellipse

VERTEBRA_PITCH_MM = 23.5
T1_CENTER_Z = 95.0
_TABLE_Y = -172.0  # middle of its lower shell

_Z = [-200, -110, -60, 0, 40, 70, 100, 130]
_half_width = curve(_Z, [165, 170, 172, 176, 184, 192, 198, 200])
_front = curve(_Z, [112, 117, 116, 108, 96, 82, 66, 50])
_back = curve(_Z, [-130, -135, -138, -139, -136, -131, -122, -112])


def fields(x: Field, y: Field, z: Field) -> dict[str, Field]:
    """The smooth fields for the renderer: "soft" in HU, the others distances in mm."""
    cage, above, spine = chest.cage(x, y, z), chest.diaphragm(x, y, z), chest.spine_bulge(x, y, z)
    heart, vessels = chest.heart(x, y, z), chest.great_vessels(x, y, z)
    middle = chest.mediastinum(x, y, z, heart, vessels)
    skin = body(x, y, z)
    return {
        "skin": skin,
        "muscle": muscle(x, y, z, cage, skin),
        "lung": chest.lungs_between(cage, middle, spine, above),
        "soft": soft_tissue(x, y, z, cage, heart, vessels, spine, above),
        "bone": spine_and_sternum(x, y, z),
        "table": table(x, y),
    }


def body(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the skin."""
    front, back = _front(z), _back(z)
    d = superellipse(x, y - 0.5 * (front + back), _half_width(z), 0.5 * (front - back), 2.5)
    groove = 7.0 * bump(x, 0.0, 30.0) * (y < 0)  # midline grooves, posterior and, shallower, over the sternum
    chest = 5.0 * bump(np.abs(x), 62.0, 50.0) * bump(z, 5.0, 80.0) * (y > 0)
    return d - groove - 3.5 * bump(x, -2.0, 34.0) * (y > 0) + chest


def muscle(x: Field, y: Field, z: Field, cage_inside: Field, skin_depth: Field) -> Field:
    """Distance inside the muscles of the chest wall, back and shoulder; the rest below the skin is fat."""
    out = -cage_inside
    side = np.abs(x)
    intercostal = 12.5 - out
    pectoral = bump(side, 70.0, 62.0) * bump(z, 45.0, 90.0) * np.clip(y / 30.0, 0.0, 1.0)
    up = np.clip((z + 110.0) / 170.0, 0.25, 1.0)
    lateral = bump(side, 165.0, 120.0) * bump(y, -70.0, 105.0) * up  # latissimus, serratus, subscapularis
    sheet = 2.2 - np.abs(out - 15.5 - 2.5 * wave(z / 75.0 + y / 120.0))
    outer = 12.0 + 16.0 * pectoral + 50.0 * lateral - out
    shoulder = 0.7 * (z - 72.0) + 0.5 * (side - 112.0) + 16.0 * wave(y / 110.0 + z / 95.0)
    outer = np.maximum(outer, np.minimum(shoulder, 40.0))
    outer = np.minimum(outer, skin_depth - 7.0 - 5.0 * wave(x / 210.0 + z / 330.0))
    seams = 1.1 - np.abs(skin_depth - 24.0 - 6.0 * wave((y + z * 0.4) / 90.0))
    outer = np.minimum(outer, -np.maximum(sheet, seams))
    erector = ellipsoid(side, y - chest.spine_y(z), z, (27.0, -49.0, 0.0), (29.0, 23.0, np.inf))
    erector = np.minimum(erector, np.minimum(skin_depth - 6.0, side - 1.0))
    return np.maximum(np.maximum(intercostal, outer), erector)


def soft_tissue(
    x: Field, y: Field, z: Field, cage_inside: Field, heart: Field, vessels: Field, spine: Field, above: Field
) -> Field:
    """HU of mediastinum, abdomen and the muscle around them."""
    hu = -82.0 + 14.0 * wave(x / 31.0 + z / 53.0) * wave(y / 23.0 + z / 61.0)
    hu = blend(hu, z - 94.0 - 0.4 * y, 40.0)  # the neck
    hu = blend(hu, 8.0 - np.abs(y + 27.0) - np.abs(x + 7.0) * 0.7, 38.0)  # esophagus
    hu = blend(hu, ellipsoid(x, y, z, (0.0, 28.0, 62.0), (24.0, 15.0, 26.0)), 20.0)  # brachiocephalic veins
    hu = blend(hu, vessels, 42.0)
    hu = blend(hu, heart, 40.0)
    hu = blend(hu, 4.5 - np.abs(heart - 4.5), 46.0)  # myocardium
    hu = blend(hu, -above, abdomen(x, y, z, above))
    return blend(hu, np.maximum(2.0 - cage_inside, spine), 48.0)


def abdomen(x: Field, y: Field, z: Field, above: Field) -> Field:
    """HU below the diaphragm: liver, stomach with gas, spleen, aorta, fat."""
    stomach = ellipsoid(x, y, z, (-56.0, 18.0, -158.0), (50.0, 46.0, 42.0))
    spleen = ellipsoid(x, y, z, (-92.0, -42.0, -152.0), (34.0, 46.0, 44.0))
    liver = smooth_min(x + 30.0 + 0.35 * (y - 20.0), y + 74.0, 24.0)
    aorta = 12.0 - np.sqrt((x + 16.0) * (x + 16.0) + (y + 50.0) * (y + 50.0))
    hu = blend(-100.0, spleen, 48.0)
    hu = blend(hu, stomach, 42.0)
    hu = blend(hu, stomach - 5.0, 20.0)
    hu = blend(hu, np.minimum(stomach - 5.0, y - 48.0), -980.0)  # gas collects anteriorly
    hu = blend(hu, liver, 58.0)
    hu = blend(hu, 4.0 + above, 46.0)  # the diaphragm
    return blend(hu, aorta, 42.0)


def spine_and_sternum(x: Field, y: Field, z: Field) -> Field:
    """Distance inside the vertebral bodies and the sternum."""
    y0 = y - chest.spine_y(z)
    u = (z - T1_CENTER_Z) / VERTEBRA_PITCH_MM + 0.5
    toward_disc = (0.5 - np.abs(u - np.floor(u) - 0.5)) * VERTEBRA_PITCH_MM  # mm to the middle of the nearest disc
    waist = 1.8 * bump(toward_disc, VERTEBRA_PITCH_MM / 2, 9.0)
    size = 1.0 - z * 0.0012  # vertebrae become larger inferiorly
    vertebra = ellipsoid(x / size, y0 / size, z, (0.0, 0.0, 0.0), (17.5, 14.0, np.inf)) - waist
    vertebra = np.minimum(vertebra, (toward_disc - 2.2) * 2.6)
    canal = ellipsoid(x, y0, z, (0.0, -21.5, 0.0), (9.5, 8.0, np.inf))
    front = chest.cage_front(z)
    half = 16.0 + 11.0 * bump(z, 62.0, 42.0)
    lying = 5.2 - np.abs(y - front - 9.0 + x * x * 0.0016)
    plate = smooth_min(half - np.abs(x), lying, 7.0)
    plate = np.minimum(plate, np.minimum(z + 84.0, 80.0 - z))
    plate = np.minimum(plate, np.abs(z - 34.0) - 1.5)  # manubriosternal joint
    return np.maximum(np.minimum(vertebra, -canal), plate)


def table(x: Field, y: Field) -> Field:
    """Height above the middle of the curved lower shell of the CT table, mm (negative below it)."""
    return y - _TABLE_Y - x * x * 0.0011


def table_hu(height: Field) -> Field:
    """HU of the CT table at a height above its lower shell: shell, foam, upper shell, mattress, air."""
    knots = [-4.0, -2.4, -1.2, 1.2, 2.4, 4.0, 15.0, 16.2, 17.0, 18.2, 34.0, 40.0]
    hu = [-1000.0, -820.0, 60.0, 60.0, -820.0, -925.0, -925.0, -280.0, -280.0, -930.0, -930.0, -1000.0]
    return np.interp(height, knots, hu).astype(np.float32)
