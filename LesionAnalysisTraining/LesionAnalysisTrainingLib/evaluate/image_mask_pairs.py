"""Pictures or volumes with the masks that radiologists drew, matched by name."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from LesionAnalysisLib.text import printable
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisLib.volume.files import READERS, read_itk
from LesionAnalysisLib.volume.images import IMAGE_SUFFIXES, natural_order
from LesionAnalysisLib.volume.nifti import read_nifti
from LesionAnalysisLib.volume.readers import VOLUME_SUFFIXES, case_name
from PIL import Image, UnidentifiedImageError

from ..dataset.data_files import axial_slice, is_hidden, listed

SLICE_SUFFIXES, ALL_SUFFIXES = IMAGE_SUFFIXES, (*VOLUME_SUFFIXES, *IMAGE_SUFFIXES)
UNKNOWN_PATIENTS = ("No slices.csv says whose the slices are: intervals take each slice as a patient of its own, which "
                    "makes them too narrow.")  # fmt: skip
SLICES = "slices.csv"  # beside the folders of pictures and masks: whose each slice is
_MASK_ENDINGS = ("_mask", "-mask", "_masks", "_lung", "_seg", "_label")  # of a mask's name after its case's


@dataclass(frozen=True)
class Pair:
    """A file and the file of its mask."""

    name: str
    image: Path
    mask: Path
    patient: str  # the name itself where nothing says whose it is


def match(images: str | os.PathLike, masks: str | os.PathLike, suffixes: tuple[str, ...],
          limit: int | None = None) -> tuple[list[Pair], list[str]]:  # fmt: skip
    """All files that have a mask, in the natural order of their names, and notes on those that have none.

    The mask of ``a.mha`` is ``a.mha``, or ``a_mask.mha`` where both may lie in one folder. Where ``slices.csv`` with
    the columns ``slice`` and ``patient`` stands beside the masks' folder, it says whose each slice is.

    Args:
        images, masks: folders, or one file each.
        suffixes: endings of the files that count.
        limit: take about so many, spread evenly; None: all.

    Raises:
        ValueError: a folder is missing or no names match.
    """
    pictures, drawn = _files(images, suffixes), _files(masks, suffixes)
    if len(pictures) == len(drawn) == 1 and Path(images).is_file() and Path(masks).is_file():
        found = {case_name(pictures[0]): drawn[0]}
    else:
        found = _by_case(drawn, same=Path(images).resolve() == Path(masks).resolve())
    cases = [path for path in pictures if path not in set(found.values()) and case_name(path) in found]
    if not cases:
        raise ValueError(f"No file in {printable(str(images))} has a mask of the same name in {printable(str(masks))}: "
                         "name each mask like its picture, with or without '_mask'.")  # fmt: skip
    taken = set(found.values())
    without = [path.name for path in pictures if path not in taken and case_name(path) not in found]
    notes = [f"Left out without a mask: {listed(without)} ({len(without)} in all)."] if without else []
    if limit and len(cases) > limit:
        notes.append(f"Only {limit} of {len(cases)} files were looked at.")
        cases = [cases[i] for i in np.linspace(0, len(cases) - 1, limit).round().astype(int)]
    patients = _patients(Path(masks), Path(images))
    return [Pair(case_name(path), path, found[case_name(path)], patients.get(case_name(path), case_name(path)))
            for path in cases], notes  # fmt: skip


def patients_known(pairs: list[Pair]) -> bool:
    """Whether something says whose the slices are."""
    return any(pair.patient != pair.name for pair in pairs)


def read_mask(path: Path) -> np.ndarray:
    """The values of a mask as stored, (K, J, I) integers; of a picture (1, H, W), palette indices as they are.

    Raises:
        OSError: it cannot be read.
        ValueError: it has colors instead of numbers.
    """
    label = f"The mask '{printable(path.name)}'"
    lower = path.name.lower()
    if lower.endswith(tuple(READERS)):
        return read_itk(path, label)[0]
    if lower.endswith(VOLUME_SUFFIXES):
        return read_nifti(path, label)[0]
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise OSError(f"{label} cannot be read: it is damaged or no picture.") from error
    if values.ndim == 3:  # drawn in gray and saved as color
        if not (values[..., :1] == values[..., :3]).all():
            raise ValueError(f"{label} has colors: save it with one number for each pixel.")
        values = values[..., 0]
    return values.astype(np.int16)[None]


def read_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W) uint8 and its mask (H, W). Raises ValueError where they differ in size."""
    picture, mask = axial_slice(read_ct(pair.image), 0), read_mask(pair.mask)[0]
    if picture.dtype != np.uint8:
        raise ValueError(f"{pair.image.name} is no picture: give slices as PNG, JPEG, TIFF or BMP.")
    if picture.shape != mask.shape:
        raise ValueError(f"The mask {pair.mask.name} has {mask.shape[1]} x {mask.shape[0]} pixels, its picture "
                         f"{picture.shape[1]} x {picture.shape[0]}: give masks of the pictures' size.")  # fmt: skip
    return picture, mask


def spread_lesions(pairs: Sequence[Pair], count: int) -> set[str]:
    """Names of slices with lesions, spread evenly over all of them."""
    infected = [pair.name for pair in pairs if read_mask(pair.mask).any()]
    if not infected or count < 1:
        return set()
    return {infected[i] for i in np.linspace(0, len(infected) - 1, min(count, len(infected))).round().astype(int)}


def _files(place: str | os.PathLike, suffixes: tuple[str, ...]) -> list[Path]:
    path = Path(os.path.abspath(place))
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"There is no folder {printable(str(place))}: check the path.")
    found = [p for p in path.iterdir()
             if p.is_file() and not is_hidden(p.name) and p.name.lower().endswith(suffixes)]  # fmt: skip
    if not found:
        raise ValueError(f"The folder {printable(str(place))} holds no files of the kinds {', '.join(suffixes)}.")
    return sorted(found, key=natural_order)


def _by_case(masks: list[Path], same: bool) -> dict[str, Path]:
    """Name of the case -> its mask; ``same``: masks lie among the pictures, so that only an ending tells them."""
    found: dict[str, Path] = {}
    for path in masks:
        name = case_name(path)
        ending = next((e for e in _MASK_ENDINGS if name.lower().endswith(e)), None)
        if ending is None and same:
            continue
        for case in {name, name[: len(name) - len(ending)] if ending else name}:
            found.setdefault(case, path)
    return found


def _patients(*folders: Path) -> dict[str, str]:
    """Patient of each slice, from the first ``slices.csv`` in or beside the folders."""
    for folder in folders:
        for place in (folder, folder.parent):
            if (place / SLICES).is_file():
                with open(place / SLICES, newline="", encoding="utf-8-sig") as file:
                    rows = list(csv.DictReader(file))
                return {row["slice"]: row["patient"] for row in rows if row.get("slice") and row.get("patient")}
    return {}
