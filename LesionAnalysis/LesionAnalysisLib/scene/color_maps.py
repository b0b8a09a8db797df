"""Color maps of the lesion activation map: Jet as in the paper's figure 5, or perceptually uniform ones."""

from __future__ import annotations

import numpy as np

from ..choices import COLOR_MAPS
from ..colors import jet

# 17 equidistant colors of matplotlib's maps (public domain, CC0); linear interpolation is accurate to 1/40.
_ANCHORS = {
    "viridis": (
        "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26818e 21908c "
        "1f9f88 28ae80 3ebc74 5dc963 82d34c abdc32 d5e21a fde725"
    ),
    "inferno": (
        "000004 0b0724 210c4a 3c0965 57106d 70196e 89226a a32b61 bb3755 "
        "d14644 e35932 f1711e f98d0a fcab0f f9ca32 f2e865 fcffa4"
    ),
}


def color_map(name: str, count: int = 256) -> np.ndarray:
    """(count, 3) colors, 0..1, of the map ``name``. Raises ValueError for an unknown name."""
    check_color_map(name)
    values = np.linspace(0, 1, count)
    if name == "jet":
        return jet(values) / 255
    anchors = np.array([rgb(color) for color in _ANCHORS[name].split()])
    at = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(values, at, channel) for channel in anchors.T], axis=1)


def check_color_map(name: str) -> None:
    """Raise ValueError for an unknown name."""
    if name not in COLOR_MAPS:
        raise ValueError(f"There is no color map {name!r}: choose one of {', '.join(COLOR_MAPS)}.")


def rgb(color: str) -> tuple[float, float, float]:
    """``#rrggbb`` as three numbers, 0..1."""
    return tuple(channel / 255 for channel in bytes.fromhex(color.removeprefix("#")))
