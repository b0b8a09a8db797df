"""The folder of a case, complete or absent: everything is written into a hidden sibling, which is then renamed.

No file of the user is ever deleted: an existing folder is replaced only on request, and only if all of its files are
those of an analysis (a user may choose as output the very folder that holds the inputs).
"""

from __future__ import annotations

import os
from pathlib import Path

from ..atomic_io import atomic_folder
from ..report.html_report import write_html
from ..report.json_csv import write_json, write_lesions_csv, write_slices_csv
from ..results import Analysis
from ..volume.writing import write_volume

SCENE = "scene.mrb"
FILES = ("analysis.json", "slices.csv", "lesions.csv", "lam.nrrd", SCENE, "report.html")
_SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # of file managers


def write_case(analysis: Analysis, folder: str | Path, scene: bool = True, overwrite: bool = False) -> Path:
    """Write all files of a case; ``folder`` appears only when it is complete. Returns it.

    scene: also write ``scene.mrb``, which needs the MRML classes (inside Slicer, or from ``slicer-core``).
    overwrite: replace an earlier analysis in ``folder``.

    Raises FileExistsError when ``folder`` exists and may not be replaced, OSError when it cannot be written, and what
    ``scene.write_mrb`` raises; then partial results are discarded.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    with atomic_folder(folder) as partial:
        write_json(analysis, partial / "analysis.json")
        write_slices_csv(analysis, partial / "slices.csv")
        write_lesions_csv(analysis, partial / "lesions.csv")
        write_volume(analysis.lam, analysis.ct.ijk_to_ras, partial / "lam.nrrd")
        write_html(analysis, partial / "report.html")
        if scene:
            from ..scene import write_mrb  # where the MRML classes are missing, all else can still be written

            write_mrb(analysis, partial / SCENE)
    return folder


def check_target(folder: Path, overwrite: bool) -> None:
    """Raise FileExistsError where a case may not be written to ``folder``."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise FileExistsError(f"{folder} exists and is not a folder: choose another output folder.")
    names = {entry.name for entry in folder.iterdir()}
    foreign = sorted(names - {*FILES, *_SYSTEM_FILES})
    if foreign:
        raise FileExistsError(
            f"The folder {folder} holds files that do not belong to an analysis (such as {foreign[0]}): "
            "choose another output folder or move them."
        )
    if names and not overwrite:
        raise FileExistsError(f"The folder {folder} already holds an analysis: use --overwrite to replace it.")
