"""File names, and paths that are not image files."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from .base import REJECTED, add, chest, save

NAMES = ("Лёгкие 肺.nii.gz", f"{'long' * 48}.nii.gz", "two words.nii.gz", "-o.nii.gz", "it's \"ct\".nii.gz",
         "a\nb.nii.gz", ".hidden.nii.gz", "CT.NII.GZ", "a.b.c.nrrd", "100%.mha", "con.nrrd", "$(id).nrrd")  # fmt: skip


def named(name: str, folder: Path) -> Path:
    plain = save(chest(), folder, f"ct{''.join(re.findall(r'[.](?:nii|gz|nrrd|mha)', name.lower()))}")
    return plain.rename(folder / name)


def missing(folder: Path) -> Path:
    return folder / "absent.nii.gz"


def empty_folder(folder: Path) -> Path:
    (folder / "folder.nii.gz").mkdir()
    return folder / "folder.nii.gz"


def text_file(name: str, folder: Path) -> Path:
    (folder / name).write_text("not a volume\n" * 20)
    return folder / name


def self_link(folder: Path) -> Path:
    (folder / "loop.nii.gz").symlink_to(folder / "loop.nii.gz")
    return folder / "loop.nii.gz"


def documents(folder: Path) -> Path:
    for name in ("a.txt", "b.docx", "c.pdf"):
        text_file(name, folder)
    return folder


for name in NAMES:
    add(f"named {name[:20]!r}", partial(named, name))
add("a missing file", missing, REJECTED)
add("an empty folder with the name of a file", empty_folder, REJECTED)
add("a folder of documents", documents, REJECTED)
add("a link to itself", self_link, REJECTED)
for name in ("a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "a.png", "a.xyz", "DICOMDIR"):
    add(f"a text file named {name}", partial(text_file, name), REJECTED)
if os.name == "posix":
    add("a device", lambda f: Path("/dev/null"), REJECTED)
