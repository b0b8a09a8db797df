"""Every file is decoded once: is it readable, how many slices has it, what do they look like?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.lungs.image_lungs import trim_frame
from LesionAnalysisLib.lungs.slicing import window
from LesionAnalysisLib.text import sentence
from LesionAnalysisLib.volume import read_ct
from PIL import Image

from .data_files import axial_slice
from .parallel import Progress, in_order
from .samples import Sample

THUMBNAIL = 24  # pixels


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found in the files of some samples."""

    samples: list[Sample]  # the readable ones; files of several slices without labels for each are expanded
    digests: list[str]  # SHA-256 of the slice's pixels and size
    thumbnails: np.ndarray  # (n, 24, 24) uint8 gray_levels, without frames
    unreadable: list[tuple[Sample, str]]  # each file or slice once, with a sentence that says why
    expanded: list[Sample]  # files of several slices whose label is that of the whole file
    files: int


@dataclass(frozen=True)
class _Slice:
    digest: str
    thumbnail: np.ndarray


def inspect(samples: Sequence[Sample], workers: int = 1, progress: Progress | None = None) -> Inspection:
    """Decode the files of ``samples`` with ``workers`` processes, each of which holds one file at a time.

    ``progress(fraction, message)`` may raise: the processes end and the exception goes on.
    """
    rows: dict[str, list[Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.path, []).append(sample)
    items = [(path, None if any(s.slice is None for s in group) else tuple(sorted({s.slice for s in group})))
             for path, group in rows.items()]  # fmt: skip
    kept, seen, unreadable, expanded = [], [], [], []
    with closing(in_order(_look, items, workers)) as results:
        for done, (group, result) in enumerate(zip(rows.values(), results, strict=True), 1):
            if isinstance(result, str):
                unreadable.append((replace(group[0], slice=None), result))
            else:
                count, slices = result
                for sample in group:
                    if sample.slice is None and count > 1:
                        expanded.append(sample)
                    wanted = range(count) if sample.slice is None else [sample.slice]
                    for index in wanted:
                        one = replace(sample, slice=index if count > 1 else None)
                        if index < count:
                            kept.append(one)
                            seen.append(slices[index])
                        else:
                            unreadable.append((replace(one, slice=index), _beyond(index, count)))
            if progress:
                progress(done / len(items), f"Reading files: {done} of {len(items)}")
    blank = np.zeros((0, THUMBNAIL, THUMBNAIL), np.uint8)
    thumbnails = np.stack([s.thumbnail for s in seen]) if seen else blank
    return Inspection(kept, [s.digest for s in seen], thumbnails, unreadable, expanded, len(items))


def _beyond(index: int, count: int) -> str:
    slices = "only the slice 0" if count == 1 else f"the slices 0 to {count - 1}"
    return f"It has {slices}, so there is no slice {index}."


def _look(item: tuple[str, tuple[int, ...] | None]) -> str | tuple[int, dict[int, _Slice]]:
    """Number of slices and what the wanted ones (None: all) look like; a sentence where that fails."""
    path, wanted = item
    try:
        ct = read_ct(path)
    except (OSError, ValueError, RuntimeError) as error:
        return sentence(error)
    count = len(ct.axial().array)
    indices = range(count) if wanted is None else [index for index in wanted if index < count]
    return count, {index: _describe(axial_slice(ct, index)) for index in indices}


def _describe(pixels: np.ndarray) -> _Slice:
    digest = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode())
    digest.update(pixels)
    gray_levels = pixels if pixels.dtype == np.uint8 else window(pixels, Preprocessing().window_hu)
    r0, r1, c0, c1 = trim_frame(gray_levels)
    inner = Image.fromarray(np.ascontiguousarray(gray_levels[r0:r1, c0:c1]))
    return _Slice(digest.hexdigest(), np.asarray(inner.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)))
