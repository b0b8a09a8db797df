"""DICOM folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from helpers_volume import write_series

from .base import EITHER, GOOD, REJECTED, SPACING, add, chest
from .names import text_file


def series(folder: Path, **keys) -> Path:
    array = keys.pop("array", None)
    array = chest() if array is None else array
    positions = keys.pop("positions", np.outer(np.arange(len(array)), (0, 0, 15.0)) + (-170, -170, 0))
    tags = {"0018|0050": "15", **keys.pop("tags", {})}
    return write_series(folder / keys.pop("subfolder", "study"), array + 1024, positions=positions, tags=tags,
                        spacing=tuple(SPACING[:2]), **keys)  # fmt: skip


def tilted(folder: Path) -> Path:
    return series(folder, positions=np.outer(np.arange(20), (0.0, 3.0, 14.7)) + (-170, -170, 0))


def without(drop: list[int], folder: Path) -> Path:
    kept = [k for k in range(20) if k not in drop]
    return series(folder, array=chest()[kept], positions=np.outer(kept, (0, 0, 15.0)) + (-170, -170, 0))


def without_positions(folder: Path) -> Path:
    """Position and orientation are stored under unknown tags."""
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
    series(folder, subfolder="study/scout", array=chest()[10:11], uid="1.2.3.9", number=9, description="Scout",
           tags={"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})  # fmt: skip
    return folder / "study"


def truncated_slices(share: float, count: int, folder: Path) -> Path:
    path = series(folder)
    for file in sorted(path.iterdir())[:count]:
        data = file.read_bytes()
        file.write_bytes(data[:int(share * len(data))])
    return path


def corrupted_slices(seed: int, folder: Path) -> Path:
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
        text_file(name, path)
    return path


def two_patients(folder: Path) -> Path:
    series(folder, subfolder="study/a")
    series(folder, subfolder="study/b", uid="1.2.3.7", tags={"0010|0020": "OTHER", "0020|000d": "1.9"})
    return folder / "study"


add("a DICOM series", series)
add("a tilted gantry", tilted, GOOD, "tilt")
add("a missing slice", partial(without, [7]), GOOD, "missing")
add("five missing slices", partial(without, [3, 4, 9, 10, 15]), GOOD, "missing")
add("unequal spacing", uneven, GOOD, "not equally spaced")
add("a localizer among the slices", with_localizer)
add("duplicate slices", repeated, GOOD, "position of another slice")
add("other files among the slices", among_others)
add("HU stored with a slope", partial(series, slope=0.5, intercept=-1024))
add("another modality, MR", partial(series, modality="MR"), EITHER)
add("another modality, PET", partial(series, modality="PT"), EITHER)
add("secondary captures", partial(series, modality="OT"), EITHER)
add("no slice positions", without_positions, EITHER)
add("slice positions that are not numbers", partial(series, tags={"0020|0032": "a\\b\\c"}), EITHER)
add("all slices at one position", partial(series, positions=np.zeros((20, 3))), EITHER)
add("two patients in one folder", two_patients, REJECTED)
add("names with slashes and markup",
    partial(series, description="../../<script>alert(1)</script>", tags={"0010|0010": "../../etc"}))
for share, count in ((0.1, 3), (0.5, 3), (0.99, 3), (0.5, 20), (0.0, 20)):
    outcome = REJECTED if count == 20 else GOOD
    add(f"{count} of 20 slices truncated to {share:.0%}", partial(truncated_slices, share, count), outcome)
for seed in range(6):
    add(f"flipped bits in a third of the slices {seed}", partial(corrupted_slices, seed), EITHER)
