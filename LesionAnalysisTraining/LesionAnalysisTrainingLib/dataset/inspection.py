"""Every file is decoded once: is it readable, how many slices does it have, what do they look like?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.lungs.gray_scale import window
from LesionAnalysisLib.lungs.image_lungs import trim_frame
from LesionAnalysisLib.text import error_message
from LesionAnalysisLib.volume import read_ct
from PIL import Image

from .data_files import axial_slice
from .parallel import Progress, in_order
from .samples import Sample, by_file

THUMBNAIL = 24  # pixels


@dataclass(frozen=True, eq=False)
class Inspection:
    """The decoded files of some samples."""

    samples: list[Sample]  # the readable ones; files of several slices without labels for each are expanded
    digests: list[str]  # SHA-256 of the slice's pixels and size
    thumbnails: np.ndarray  # (n, 24, 24) uint8 gray levels, without frames
    unreadable: list[tuple[Sample, str]]  # each file or slice once, with the reason in a sentence
    expanded: list[Sample]  # files of several slices with one label for all
    files: int


def inspect(samples: Sequence[Sample], workers: int = 1, progress: Progress | None = None) -> Inspection:
    """Decode the files of ``samples`` with ``workers`` processes, each of which holds one file at a time.

    ``progress(fraction, message)`` may raise to cancel: the processes end and the exception propagates.
    """
    places, items = by_file(samples)
    kept, digests, thumbnails, unreadable, expanded = [], [], [], [], []
    with closing(in_order(_decode, items, workers)) as results:
        for done, (rows, result) in enumerate(zip(places, results, strict=True), 1):
            if isinstance(result, str):
                unreadable.append((replace(samples[rows[0]], slice=None), result))
            else:
                count, slices = result
                for sample in (samples[i] for i in rows):
                    if sample.slice is None and count > 1:
                        expanded.append(sample)
                    wanted = range(count) if sample.slice is None else [sample.slice]
                    for index in wanted:
                        one = replace(sample, slice=index if count > 1 else None)
                        if index < count:
                            kept.append(one)
                            digests.append(slices[index][0])
                            thumbnails.append(slices[index][1])
                        else:
                            slices_there = "only the slice 0" if count == 1 else f"the slices 0 to {count - 1}"
                            why = f"It has {slices_there}, so there is no slice {index}."
                            unreadable.append((replace(one, slice=index), why))
            if progress:
                progress(done / len(items), f"Reading files: {done} of {len(items)}")
    stacked = np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    return Inspection(kept, digests, stacked, unreadable, expanded, len(items))


def _decode(item: tuple[str, list[int | None]]) -> str | tuple[int, dict[int, tuple[str, np.ndarray]]]:
    """Number of slices, and digest and thumbnail of the wanted ones (None: all); a sentence where that fails."""
    path, wanted = item
    try:
        ct = read_ct(path)
    except (OSError, ValueError, RuntimeError) as error:
        return error_message(error)
    count = len(ct.axial().array)
    indices = range(count) if None in wanted else [index for index in sorted(set(wanted)) if index < count]
    return count, {index: _describe(axial_slice(ct, index)) for index in indices}


def _describe(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    digest = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode())
    digest.update(pixels)
    gray_levels = pixels if pixels.dtype == np.uint8 else window(pixels, Preprocessing().window_hu)
    r0, r1, c0, c1 = trim_frame(gray_levels)
    inner = Image.fromarray(np.ascontiguousarray(gray_levels[r0:r1, c0:c1]))
    return digest.hexdigest(), np.asarray(inner.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
