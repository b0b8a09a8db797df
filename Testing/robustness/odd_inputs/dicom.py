"""DICOM folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from helpers_volume import write_series

from .base import EITHER, GOOD, REFUSED, SPACING, add, chest
from .names import text


def series(folder: Path, **keys) -> Path:
    array = keys.pop("array", None)
    array = chest() if array is None else array
    positions = keys.pop("positions", np.outer(np.arange(len(array)), (0, 0, 15.0)) + (-170, -170, 0))
    tags = {"0018|0050": "15", **keys.pop("tags", {})}
    return write_series(folder / keys.pop("below", "study"), array + 1024, positions=positions, tags=tags,
                        spacing=tuple(SPACING[:2]), **keys)  # fmt: skip


def tilted(folder: Path) -> Path:
    along = np.outer(np.arange(20), (0.0, 3.0, 14.7)) + (-170, -170, 0)
    return series(folder, positions=along)


def without(drop: list[int], folder: Path) -> Path:
    kept = [k for k in range(20) if k not in drop]
    return series(folder, array=chest()[kept], positions=np.outer(kept, (0, 0, 15.0)) + (-170, -170, 0))


def without_places(folder: Path) -> Path:
    """Position and orientation stand under tags that nobody knows."""
    path = series(folder)
    for file in path.iterdir():
        data = file.read_bytes()
        for tag in (b"\x20\x00\x32\x00", b"\x20\x00\x37\x00"):
            assert tag in data
            data = data.replace(tag, tag[:2] + bytes([tag[2] + 1]) + tag[3:], 1)
        file.write_bytes(data)
    return path


def uneven(folder: Path) -> Path:
    heights = np.cumsum(np.linspace(10, 20, 20))
    return series(folder, positions=np.outer(heights, (0, 0, 1.0)) + (-170, -170, 0))


def with_localizer(folder: Path) -> Path:
    series(folder)
    series(folder, below="study/scout", array=chest()[10:11], uid="1.2.3.9", number=9, description="Scout",
           tags={"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})  # fmt: skip
    return folder / "study"


def damaged_among(share: float, count: int, folder: Path) -> Path:
    path = series(folder)
    for file in sorted(path.iterdir())[:count]:
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])
    return path


def bits_among(seed: int, folder: Path) -> Path:
    path = series(folder)
    rng = np.random.default_rng(seed)
    for file in sorted(path.iterdir())[::3]:
        data = bytearray(file.read_bytes())
        for place in rng.integers(132, 1200, 6):
            data[place] ^= 1 << rng.integers(8)
        file.write_bytes(data)
    return path


def repeated(folder: Path) -> Path:
    path = series(folder)
    for file in sorted(path.iterdir())[:5]:
        (path / f"copy-{file.name}").write_bytes(file.read_bytes())
    return path


def among_others(folder: Path) -> Path:
    path = series(folder)
    for name in ("README.txt", "viewer.exe", "DICOMDIR", "thumbs.db"):
        text(name, path)
    return path


def two_patients(folder: Path) -> Path:
    series(folder, below="study/a")
    series(folder, below="study/b", uid="1.2.3.7", tags={"0010|0020": "OTHER", "0020|000d": "1.9"})
    return folder / "study"


add("a DICOM series", series)
add("a tilted gantry", tilted, GOOD, "tilt")
add("a missing slice", partial(without, [7]), GOOD, "spac|miss|gap")
add("five missing slices", partial(without, [3, 4, 9, 10, 15]), GOOD, "spac|miss|gap")
add("uneven slices", uneven, GOOD, "spac|uneven|distance")
add("a localizer among the slices", with_localizer)
add("slices that are there twice", repeated, GOOD, "place of another slice")
add("other files among the slices", among_others)
add("HU stored with a slope", partial(series, slope=0.5, intercept=-1024))
add("another modality, MR", partial(series, modality="MR"), EITHER)
add("another modality, PET", partial(series, modality="PT"), EITHER)
add("secondary captures", partial(series, modality="OT"), EITHER)
add("no places of slices", without_places, EITHER)
add("places that are no numbers", partial(series, tags={"0020|0032": "a\\b\\c"}), EITHER)
add("all slices in one place", partial(series, positions=np.zeros((20, 3))), EITHER)
add("two patients in one folder", two_patients, REFUSED)
add("names with slashes and markup",
    partial(series, description="../../<script>alert(1)</script>", tags={"0010|0010": "../../etc"}))
for share, count in ((0.1, 3), (0.5, 3), (0.99, 3), (0.5, 20), (0.0, 20)):
    ends = REFUSED if count == 20 else GOOD
    add(f"{count} of 20 slices cut to {share:.0%}", partial(damaged_among, share, count), ends)
for seed in range(6):
    add(f"bits turned in a third of the slices {seed}", partial(bits_among, seed), EITHER)
