"""Files that are truncated or corrupted, or whose header does not match their data."""

from __future__ import annotations

import gzip
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from helpers_volume import nifti, patch

from .base import EITHER, REJECTED, SPACING, add, chest, save

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def truncated(suffix: str, share: float, folder: Path) -> Path:
    path = save(chest(), folder, f"ct{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[:int(share * len(data))])
    return path


def corrupted(suffix: str, seed: int, span: int | None, folder: Path) -> Path:
    """Eight bits of the first ``span`` bytes are flipped."""
    path = save(chest(), folder, f"ct{suffix}")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(span or len(data), len(data)), 8):
        data[place] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    return path


def big_endian(folder: Path) -> Path:
    path = folder / "ct.nii"
    path.write_bytes(nifti(chest(), ">", 1, np.diag([*SPACING * (-1, -1, 1), 1])))
    return path


def patched(fields: tuple, suffix: str, folder: Path) -> Path:
    """A NIfTI file with changed header fields, given as (offset, format, values...)."""
    path = save(chest(), folder, "ct.nii")
    for offset, format_, *values in fields:
        patch(path, offset, format_, *values)
    if suffix == ".nii.gz":
        (folder / "ct.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path = folder / "ct.nii.gz"
    return path


def bomb(folder: Path) -> Path:
    """One gigabyte of zeros in a megabyte, as a NIfTI of 8-bit voxels."""
    path = patched(((40, "<8h", 3, 1024, 1024, 1000, 1, 1, 1, 1), (70, "<2h", 2, 8)), ".nii", folder)
    with gzip.open(folder / "bomb.nii.gz", "wb", 1) as file:
        file.write(path.read_bytes()[:352])
        for _ in range(1000):
            file.write(bytes(1024 * 1024))
    return folder / "bomb.nii.gz"


for suffix, share in product(SUFFIXES, (0.0, 0.005, 0.3, 0.9, 0.999)):
    add(f"truncated to {share:.1%} {suffix}", partial(truncated, suffix, share), REJECTED)
for suffix, seed in product(SUFFIXES, range(5)):
    add(f"flipped bits in the header {suffix} {seed}", partial(corrupted, suffix, seed, 300), EITHER)
for suffix, seed in product(SUFFIXES, range(2)):
    add(f"flipped bits {suffix} {seed}", partial(corrupted, suffix, seed + 50, None), EITHER)
add("big-endian NIfTI", big_endian)
for name, fields in {
    "an axis of zero voxels": ((40, "<8h", 3, 96, 0, 20, 1, 1, 1, 1),),
    "a negative axis": ((40, "<8h", 3, 96, -96, 20, 1, 1, 1, 1),),
    "60,000 cubed": ((40, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1),),
    "zero spacing": ((76, "<8f", 1, 0, 0, 0, 0, 0, 0, 0), (252, "<2h", 0, 0)),
    "NaN spacing": ((76, "<8f", 1, *[float("nan")] * 3, 0, 0, 0, 0), (252, "<2h", 0, 0)),
    "an unknown data type": ((70, "<2h", 1792, 256),),
    "a wrong data offset": ((108, "<f", 1e9),),
    "a singular matrix": ((254, "<h", 1), (280, "<12f", *[0.0] * 12)),
}.items():
    outcome = EITHER if "matrix" in name else REJECTED
    for suffix in (".nii", ".nii.gz"):
        add(f"{name} {suffix}", partial(patched, fields, suffix), outcome)
for slope in (float("nan"), float("inf")):
    add(f"a slope of {slope} is ignored", partial(patched, ((112, "<2f", slope, 0.0),), ".nii"))
add("a slope of 0 is ignored", partial(patched, ((112, "<2f", 0.0, 5.0),), ".nii"))
add("a gigabyte of zeros in a small file", bomb, REJECTED)
