"""One case folder, all or nothing: everything is written into a hidden sibling, then renamed.

Nothing that is not ours is ever deleted: an existing folder is replaced only on request, and only when it
holds no files but those of an analysis (a user may choose as output the very folder that holds the inputs).
"""

from __future__ import annotations

import os
from pathlib import Path

from ..atomic_io import replaced
from ..report.html_report import write_html
from ..report.json_csv import write_json, write_lesions_csv, write_slices_csv
from ..results import Analysis
from ..volume.writing import write_volume

SCENE = "scene.mrb"
FILES = ("analysis.json", "slices.csv", "lesions.csv", "lam.nrrd", SCENE, "report.html")


def case_files(scene: bool = True) -> tuple[str, ...]:
    """Names of the files of a complete case, with or without the scene."""
    return FILES if scene else tuple(name for name in FILES if name != SCENE)


def foreign_files(folder: Path) -> list[str]:
    """Names in ``folder`` that no analysis wrote (desktop litter such as ``.DS_Store`` does not count)."""
    litter = {".DS_Store", "Thumbs.db", "desktop.ini"}
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in {*FILES, *litter})


def write_case(analysis: Analysis, folder: str | Path, scene: bool = True, overwrite: bool = False) -> Path:
    """Write all files of a case; ``folder`` appears only when it is complete.

    scene: also ``scene.mrb``, which needs the MRML classes (inside Slicer, or from ``slicer-core``).
    overwrite: replace an earlier analysis in ``folder``.
    Returns the folder. Raises FileExistsError when ``folder`` exists and may not be replaced, OSError when it
    cannot be written, and what ``scene.write_mrb`` raises; then nothing of this case is left behind.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    with replaced(folder) as partial:
        write_json(analysis, partial / "analysis.json")
        write_slices_csv(analysis, partial / "slices.csv")
        write_lesions_csv(analysis, partial / "lesions.csv")
        write_volume(analysis.lam, analysis.ct.ijk_to_ras, partial / "lam.nrrd")
        write_html(analysis, partial / "report.html")
        if scene:
            from ..scene import write_mrb

            write_mrb(analysis, partial / SCENE)
    return folder




def check_target(folder: Path, overwrite: bool) -> None:
    """Raise FileExistsError, with a sentence, where a case may not be written to ``folder``."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise FileExistsError(f"{folder} exists and is not a folder: choose another output folder.")
    if not any(folder.iterdir()):
        return
    others = foreign_files(folder)
    if others:
        raise FileExistsError(
            f"The folder {folder} holds files that are not of an analysis (such as {others[0]}): "
            "choose another output folder or move them."
        )
    if not overwrite:
        raise FileExistsError(f"The folder {folder} already holds an analysis: overwrite it explicitly.")
