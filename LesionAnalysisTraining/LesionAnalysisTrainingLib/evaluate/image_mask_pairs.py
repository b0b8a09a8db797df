"""Images or volumes with their manual masks, matched by name."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from LesionAnalysisLib.text import utf8_safe
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisLib.volume.files import READERS, read_itk
from LesionAnalysisLib.volume.images import IMAGE_SUFFIXES, natural_order
from LesionAnalysisLib.volume.nifti import read_nifti
from LesionAnalysisLib.volume.readers import VOLUME_SUFFIXES, case_name
from PIL import Image, UnidentifiedImageError

from ..dataset.data_files import axial_slice, is_hidden, listed

SLICE_SUFFIXES, ALL_SUFFIXES = IMAGE_SUFFIXES, (*VOLUME_SUFFIXES, *IMAGE_SUFFIXES)
SLICES = "slices.csv"  # beside the folders of images and masks: the patient of each slice
_UNKNOWN_PATIENTS = ("No slices.csv names the patients: intervals take each slice as a patient, which makes them too "
                     "narrow.")  # fmt: skip
_MASK_ENDINGS = ("_mask", "-mask", "_masks", "_lung", "_seg", "_label")  # of a mask's name after its case's


@dataclass(frozen=True)
class Pair:
    """A file and the file of its mask."""

    name: str
    image: Path
    mask: Path
    patient: str  # the name itself where the patient is unknown


def match(images: str | os.PathLike, masks: str | os.PathLike, suffixes: tuple[str, ...],
          limit: int | None = None) -> tuple[list[Pair], list[str]]:  # fmt: skip
    """All files that have a mask, in the natural order of their names, and notes on those that have none.

    The mask of ``a.mha`` is ``a.mha``, or ``a_mask.mha`` where both may lie in one folder. Where ``slices.csv`` with
    the columns ``slice`` and ``patient`` is beside the masks' folder, it names the patient of each slice.

    Args:
        images, masks: folders, or one file each.
        suffixes: extensions of the files that count.
        limit: about so many, spread evenly; None: all.

    Raises ValueError if a folder is missing or no names match.
    """
    image_files, mask_files = _files(images, suffixes), _files(masks, suffixes)
    if len(image_files) == len(mask_files) == 1 and Path(images).is_file() and Path(masks).is_file():
        found = {case_name(image_files[0]): mask_files[0]}
    else:
        found = _by_case(mask_files, same=Path(images).resolve() == Path(masks).resolve())
    images_only = [path for path in image_files if path not in set(found.values())]
    cases = [path for path in images_only if case_name(path) in found]
    if not cases:
        raise ValueError(f"No file in {utf8_safe(str(images))} has a mask of the same name in {utf8_safe(str(masks))}: "
                         "name each mask like its image, with or without '_mask'.")  # fmt: skip
    without = [path.name for path in images_only if case_name(path) not in found]
    notes = [f"Left out without a mask: {listed(without)} ({len(without)} in all)."] if without else []
    if limit and len(cases) > limit:
        notes.append(f"Only {limit} of {len(cases)} files were evaluated.")
        cases = [cases[i] for i in np.linspace(0, len(cases) - 1, limit).round().astype(int)]
    patients = _patients(Path(masks), Path(images))
    return [Pair(case_name(path), path, found[case_name(path)], patients.get(case_name(path), case_name(path)))
            for path in cases], notes  # fmt: skip


def unknown_patients_note(pairs: list[Pair]) -> list[str]:
    """A note where no patient is known, else nothing."""
    return [] if any(pair.patient != pair.name for pair in pairs) else [_UNKNOWN_PATIENTS]


def data_rows(what: str, images: str | os.PathLike, masks: str | os.PathLike) -> list[tuple[str, str]]:
    """The rows of ``Report.subject`` that name the data, ``what`` being images or volumes."""
    return [(name, os.path.basename(os.path.abspath(path))) for name, path in ((what, images), ("masks", masks))]


def read_mask(path: Path) -> np.ndarray:
    """The values of a mask as stored, (K, J, I) integers; of an image (1, H, W), palette indices unchanged.

    Raises OSError if it cannot be read, ValueError if it has colors instead of numbers.
    """
    label = f"The mask '{utf8_safe(path.name)}'"
    lower = path.name.lower()
    if lower.endswith(tuple(READERS)):
        return read_itk(path, label)[0]
    if lower.endswith(VOLUME_SUFFIXES):
        return read_nifti(path, label)[0]
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise OSError(f"{label} cannot be read: it is damaged or not an image.") from error
    if values.ndim == 3:  # gray, but saved as color
        if not (values[..., :1] == values[..., :3]).all():
            raise ValueError(f"{label} has colors: save it with one integer per pixel.")
        values = values[..., 0]
    return values.astype(np.int16)[None]


def read_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The image (H, W) uint8 and its mask (H, W). Raises ValueError where they differ in size."""
    image, mask = axial_slice(read_ct(pair.image), 0), read_mask(pair.mask)[0]
    if image.dtype != np.uint8:
        raise ValueError(f"{pair.image.name} is not an 8-bit image: give slices as PNG, JPEG, TIFF or BMP.")
    if image.shape != mask.shape:
        raise ValueError(f"The mask {pair.mask.name} has {mask.shape[1]} x {mask.shape[0]} pixels, its image "
                         f"{image.shape[1]} x {image.shape[0]}: give masks of the images' size.")  # fmt: skip
    return image, mask


def spread_examples(pairs: Sequence[Pair], count: int) -> set[str]:
    """Names of slices with lesions, spread evenly over all of them."""
    positive = [pair.name for pair in pairs if read_mask(pair.mask).any()]
    if not positive or count < 1:
        return set()
    return {positive[i] for i in np.linspace(0, len(positive) - 1, min(count, len(positive))).round().astype(int)}


def _files(place: str | os.PathLike, suffixes: tuple[str, ...]) -> list[Path]:
    path = Path(os.path.abspath(place))
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"There is no folder {utf8_safe(str(place))}: check the path.")
    found = [p for p in path.iterdir()
             if p.is_file() and not is_hidden(p.name) and p.name.lower().endswith(suffixes)]  # fmt: skip
    if not found:
        raise ValueError(f"The folder {utf8_safe(str(place))} holds no files of the types {', '.join(suffixes)}.")
    return sorted(found, key=natural_order)


def _by_case(masks: list[Path], same: bool) -> dict[str, Path]:
    """Name of the case -> its mask; ``same``: in a folder shared with the images, only a suffix identifies masks."""
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
