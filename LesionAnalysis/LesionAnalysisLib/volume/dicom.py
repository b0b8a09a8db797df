"""Finds the series in a folder of DICOM files, in any nesting and order (GDCM through SimpleITK).

Messages name series by number, description and size, never patients or files, whose names may be a patient's.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom_lengths import has_valid_lengths
from .files import itk_path, quiet

SKIPPED = {"DICOMDIR", "THUMBS.DB", "__MACOSX"}


@dataclass(frozen=True, eq=False)
class DicomFile:
    """The part of one file's header by which files are sorted into series."""

    path: Path
    tags: dict[str, str]
    shape: tuple[int, int, int]  # (frames, rows, columns)
    spacing: tuple[float, float]  # mm between columns, between rows
    color: bool

    def numbers(self, tag: str) -> tuple[float, ...]:
        """The values of a decimal tag; empty if it is missing or not a number."""
        try:
            values = tuple(float(v) for v in self.tags.get(tag, "").split("\\") if v.strip())
        except ValueError:
            return ()
        return values if all(np.isfinite(values)) else ()

    @property
    def position(self) -> tuple[float, ...]:
        return self.numbers("0020|0032")

    @property
    def orientation(self) -> tuple[float, ...]:
        return self.numbers("0020|0037")

    @property
    def has_position(self) -> bool:
        """Whether the header gives the position and orientation of the slice."""
        if len(self.position) != 3 or len(self.orientation) != 6:
            return False
        return bool(np.linalg.norm(np.cross(self.orientation[:3], self.orientation[3:])) > 0.5)

    @property
    def instance(self) -> float:
        return (self.numbers("0020|0013") or (0.0,))[0]


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """One stack of slices in a DICOM folder."""

    number: int | None
    uid: str
    description: str
    modality: str
    slices: int
    rows: int
    columns: int
    scout: bool
    files: tuple[DicomFile, ...] = field(repr=False)

    @property
    def voxels(self) -> int:
        return self.slices * self.rows * self.columns

    @property
    def label(self) -> str:
        """Such as ``series 3 "Lung 1.0" (CT, 300 slices of 512 x 512)``."""
        number = "" if self.number is None else f" {self.number}"
        modality = f"{self.modality}, " if self.modality else ""
        size = f"{self.slices} {'slice' if self.slices == 1 else 'slices'} of {self.columns} x {self.rows}"
        return f'series{number} "{self.description}" ({modality}{size})'

    @property
    def patient(self) -> str:
        """Patient ID, only to tell patients apart; never shown."""
        return self.files[0].tags.get("0010|0020", "")


_TAGS = (
    "0008|0008",  # image type
    "0008|0018",  # SOP instance UID
    "0008|0060",  # modality
    "0008|103e",  # series description
    "0010|0020",  # patient ID, only to tell patients apart
    "0018|0050",  # slice thickness
    "0018|0088",  # spacing between slices
    "0020|000e",  # series instance UID
    "0020|0011",  # series number
    "0020|0012",  # acquisition number
    "0020|0013",  # instance number
    "0020|0032",  # position
    "0020|0037",  # orientation
)


def is_dicom(path: Path) -> bool:
    """Whether the content of a file is DICOM, also without the preamble, as old scanners write it."""
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:132] == b"DICM" or (head[:2] in (b"\x08\x00", b"\x02\x00") and head[3:4] == b"\x00")


def scan(folder: Path) -> tuple[tuple[DicomSeries, ...], int]:
    """All series below a folder, CT first, largest first, scouts last; and the number of unreadable DICOM files."""
    files, broken, empty = [], [], []
    for path in _walk(folder):
        if is_dicom(path):
            header = read_header(path)
            files.append(header) if header else broken.append(path)
        elif path.is_file() and path.stat().st_size == 0:
            empty.append(path)
    suffixes = {file.path.suffix for file in files}
    unreadable = len(broken) + sum(path.suffix in suffixes for path in empty)
    series = [describe(part) for group in _grouped(files) for part in _split_phases(group)]
    series.sort(key=lambda s: (s.scout, s.modality != "CT", -s.voxels, s.number or 0, s.uid))
    return tuple(series), unreadable if series else unreadable + len(files)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f.upper() not in SKIPPED)
        for name in sorted(names):
            if not name.startswith(".") and name.upper() not in SKIPPED:
                yield Path(root, name)


def read_header(path: Path) -> DicomFile | None:
    """The header of one file; None if it holds no image that GDCM can read."""
    try:
        if not has_valid_lengths(path):
            return None
    except OSError:
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with quiet(), itk_path(path) as readable:
        reader.SetFileName(readable)
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return None
    tags = {tag: _text(reader.GetMetaData(tag)) for tag in _TAGS if reader.HasMetaDataKey(tag)}
    columns, rows, frames = (*reader.GetSize(), 1)[:3]
    return DicomFile(path, tags, (frames, rows, columns), reader.GetSpacing()[:2], reader.GetNumberOfComponents() > 1)


def _text(value: str) -> str:
    """Header text, UTF-8 or else Latin-1, on one line and without control characters."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        value = raw.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def _grouped(files: list[DicomFile]) -> list[list[DicomFile]]:
    """Files that can form one stack: same series, plane and size; each multi-frame file is a stack by itself."""
    groups = defaultdict(list)
    for file in files:
        if not file.color:  # a dose report or screenshot
            orientation, spacing = tuple(np.round(file.orientation, 2) + 0.0), tuple(np.round(file.spacing, 3))
            stack = file.path if file.shape[0] > 1 else None
            series = file.tags.get("0020|000e", "")
            groups[series, file.shape, orientation, spacing, file.has_position, _is_scout(file), stack].append(file)
    return list(groups.values())


def _is_scout(file: DicomFile) -> bool:
    return any(word in file.tags.get("0008|0008", "").upper() for word in ("LOCALIZER", "SCOUT"))


def _split_phases(files: list[DicomFile]) -> list[list[DicomFile]]:
    """Separate stacks for several acquisitions of the same range that share one series."""
    acquisitions = defaultdict(list)
    for file in files:
        acquisitions[file.tags.get("0020|0012", "")].append(file)
    if len(acquisitions) < 2 or not files[0].has_position:
        return [files]
    positions = [{tuple(np.round(f.position, 2)) for f in part} for part in acquisitions.values()]
    overlap = len(set.union(*positions)) <= 0.6 * sum(map(len, positions))
    return list(acquisitions.values()) if overlap else [files]


def describe(files: list[DicomFile]) -> DicomSeries:
    first = files[0]
    number = first.numbers("0020|0011")
    description = first.tags.get("0008|103e", "") or "no description"
    called_scout = any(word in description.lower() for word in ("scout", "topogram", "localizer", "surview"))
    frames, rows, columns = first.shape
    slices = len(files) * frames
    return DicomSeries(
        int(number[0]) if number else None, first.tags.get("0020|000e", ""), description,
        first.tags.get("0008|0060", ""), slices, rows, columns,
        _is_scout(first) or (called_scout and slices <= 3), tuple(files),
    )  # fmt: skip


def choose_series(
    series: tuple[DicomSeries, ...], wanted: int | str | None, label: str
) -> tuple[DicomSeries, list[str]]:
    """The wanted series, or else the largest CT, with a warning that names the others.

    Raises ValueError if none or several match, or if the folder holds several patients.
    """
    listing = "; ".join(s.label for s in series)
    if wanted is not None:
        candidates = _matching(series, str(wanted).strip().casefold())
        if not candidates:
            raise ValueError(f"{label} has no series '{wanted}': choose one of {listing}.")
        if len({s.uid for s in candidates}) > 1:
            matching = "; ".join(f"{s.label}, UID {s.uid}" for s in candidates)
            raise ValueError(f"{label} has several series that match '{wanted}': choose by UID among {matching}.")
    else:
        candidates = [s for s in series if not s.scout]
        if not candidates:
            raise ValueError(f"{label} holds only scout images, no axial CT slices: choose another folder.")
        candidates = [s for s in candidates if s.modality == "CT"] or candidates
        if len({s.patient for s in candidates}) > 1:
            raise ValueError(f"{label} holds series of several patients: choose the folder of one of them, or a "
                             "series.")  # fmt: skip
    chosen, *others = candidates
    if not others:
        return chosen, []
    rest = "; ".join(s.label for s in others)
    return chosen, [f"The largest of {len(candidates)} series was read, {chosen.label}; not read: {rest}."]


def _matching(series: tuple[DicomSeries, ...], text: str) -> list[DicomSeries]:
    """The series with this UID, else this number, else this description, else this part of a description."""
    rules = (
        lambda s: s.uid == text,
        lambda s: str(s.number) == text,
        lambda s: s.description.casefold() == text,
        lambda s: bool(text) and text in s.description.casefold(),
    )
    return next((matches for rule in rules if (matches := list(filter(rule, series)))), [])
