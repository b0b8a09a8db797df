"""Labelled slices: who they belong to, how they look to the network, where they wait for their turn."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from LesionAnalysisLib.lungs import anchor_greys, segment_picture
from LesionAnalysisLib.lungs.preprocessing import crop_box, grey_table
from PIL import Image

TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass(frozen=True)
class Sample:
    """One labelled slice. ``label`` is the class index; ``patient`` is unique over all sources."""

    path: str
    label: int
    patient: str
    source: str
    split: str | None = None


def read_manifest(path: str | Path, classes: tuple[str, ...]) -> list[Sample]:
    """Samples of a ``manifest.csv`` with the columns file, label, patient and, if known, dataset and split.

    Files are relative to the manifest. ``classes`` gives the label names in the order of their indices.

    Raises:
        ValueError: a column or a file is missing, or a label is none of the classes.
    """
    path = Path(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"file", "label", "patient"} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    samples = []
    for row in rows:
        if row["label"] not in classes:
            raise ValueError(f"{path} has the label {row['label']!r}, which is none of {', '.join(classes)}.")
        picture = path.parent / row["file"]
        if not picture.exists():
            raise ValueError(f"{path} names {row['file']}, which does not exist.")
        source = row.get("dataset") or path.parent.name
        split = row.get("split") or row.get("official_split") or None
        patient = f"{source}/{row['patient']}"
        samples.append(Sample(str(picture), classes.index(row["label"]), patient, source, split))
    return samples


def load_picture(path: str | Path) -> np.ndarray:
    """The picture as grey levels, (H, W) uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


@dataclass(frozen=True)
class Prepared:
    """A picture on the common grey scale with its lungs: what augmentation starts from."""

    greys: np.ndarray  # (H, W) uint8
    lungs: np.ndarray  # (H, W) bool
    box: tuple[float, float, float, float]  # around the lungs, without margin, as LungSlice.crop
    found: bool


def prepare(path: str | Path, anchored: bool = True) -> Prepared:
    """Segment the lungs of a picture and bring its greys to the anchors (METHOD, "What trials showed")."""
    picture = load_picture(path)
    lungs = segment_picture(picture)
    found = bool(lungs.any())
    if not found:
        lungs = np.ones_like(lungs)
    box = crop_box(lungs)
    greys = picture
    if anchored:
        r0, c0, r1, c1 = (int(round(edge + 0.5)) for edge in box)
        region = np.s_[max(r0, 0) : r1, max(c0, 0) : c1]
        greys = grey_table(anchor_greys(picture[region], lungs[region] if found else None))[picture]
    return Prepared(greys, lungs, box, found)


class PictureStore:
    """Prepared pictures in one memory-mapped file, so that the data may be larger than memory.

    The file is made once for a list of samples and found again by a hash of their paths, sizes and times.
    """

    def __init__(self, samples: list[Sample], folder: str | Path, anchored: bool = True, workers: int = 2) -> None:
        stats = [(s.path, os.stat(s.path).st_size, os.stat(s.path).st_mtime_ns) for s in samples]
        key = hashlib.sha256(json.dumps([anchored, stats]).encode()).hexdigest()[:16]
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._pixels, self._index = folder / f"{key}.bin", folder / f"{key}.json"
        if not self._index.exists():
            self._fill(samples, anchored, workers)
        self._entries = json.loads(self._index.read_text())
        self._data = np.memmap(self._pixels, np.uint8, mode="r")

    def _fill(self, samples: list[Sample], anchored: bool, workers: int) -> None:
        entries, offset = [], 0
        with open(self._pixels, "wb") as file, ProcessPoolExecutor(workers) as pool:
            work = pool.map(partial(prepare, anchored=anchored), [s.path for s in samples], chunksize=16)
            for picture in work:
                # the lungs travel in the lowest bit of the grey level: half the room, nothing visible lost
                file.write(((picture.greys & 0xFE) | picture.lungs).astype(np.uint8).tobytes())
                entries.append([offset, *picture.greys.shape, list(picture.box), picture.found])
                offset += picture.greys.size
        partial_index = self._index.with_suffix(".tmp")
        partial_index.write_text(json.dumps(entries))
        os.replace(partial_index, self._index)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: int) -> Prepared:
        offset, rows, columns, box, found = self._entries[i]
        both = np.array(self._data[offset : offset + rows * columns]).reshape(rows, columns)
        return Prepared(both & 0xFE, (both & 1).astype(bool), tuple(box), found)


def describe(samples: list[Sample], classes: tuple[str, ...]) -> str:
    """Counts of slices and patients by split, source and class, one line each, for people to read."""
    lines = []
    for split, source in sorted({(s.split or "", s.source) for s in samples}):
        chosen = [s for s in samples if (s.split or "") == split and s.source == source]
        counts = ", ".join(f"{sum(s.label == c for s in chosen)} {name}" for c, name in enumerate(classes))
        lines.append(f"{split:6} {source:18} {len({s.patient for s in chosen}):4} patients: {counts}")
    return "\n".join(lines)
