"""``scene.mrb``: a scene of its own with one analysis, in a file that Slicer opens with everything shown."""

from __future__ import annotations

import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ..atomic_io import temporary_folder, whole_file
from ..results import Analysis
from ..volume.files import quiet
from .add_results import add_to_scene
from .mrml import slicer
from .slice_views import make_views

_PACKED = (".nrrd", ".gz", ".png")  # compressed already: packing them again only costs time


def write_mrb(analysis: Analysis, path: str | Path) -> Path:
    """Write the CT and all results as ``path``; the file appears only when it is complete. Returns ``path``.

    The scene is a private one: inside Slicer, the user's scene stays as it is. Raises OSError.
    """
    path = Path(path)
    scene = slicer.vtkMRMLScene()
    _furnish(scene)
    nodes = add_to_scene(analysis, scene)
    make_views(nodes, analysis.lesions[0].peak_ras_mm if analysis.lesions else None)
    try:
        # The folder's name has no letters beyond ASCII, whatever the output folder is called: MRML's writers
        # for images do not understand others on every system.
        with whole_file(path) as partial, temporary_folder() as folder:
            bundle = folder / "scene"
            bundle.mkdir()
            _save(scene, bundle)
            _zip(bundle, partial)
    finally:
        scene.Clear(True)
    return path


def _furnish(scene: Any) -> None:
    """What every Slicer scene has and no file contains: gray for volumes, and the units of markups."""
    gray = slicer.vtkMRMLColorTableNode()
    gray.SetTypeToGrey()
    gray.SetName(gray.GetTypeAsString())
    gray.SetSingletonTag(gray.GetTypeAsString())
    for node in (gray, slicer.vtkMRMLSelectionNode()):
        node.SetSaveWithScene(False)
        scene.AddNode(node)


def _save(scene: Any, folder: Path) -> None:
    messages = slicer.vtkMRMLMessageCollection()
    with quiet():
        saved = scene.SaveSceneToSlicerDataBundleDirectory(str(folder), None, messages)
    if not saved or not (folder / f"{folder.name}.mrml").is_file():
        raise OSError(
            f"The scene could not be written: is the disk full where temporary files lie ({tempfile.gettempdir()})?"
        ) from RuntimeError(messages.GetAllMessagesAsString().strip())
    _make_well_formed(folder / f"{folder.name}.mrml")


def _make_well_formed(path: Path) -> None:
    """MRML leaves a bare & in the names of files, and control characters in all names: no scene would open then."""
    text = re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"", path.read_bytes())
    path.write_bytes(re.sub(rb"&(?!(?:amp|lt|gt|quot|apos);)", b"&amp;", text))


def _zip(folder: Path, path: Path) -> None:
    """Pack ``folder`` under its own name, as Slicer's bundles are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed = zipfile.ZIP_STORED if file.suffix in _PACKED else zipfile.ZIP_DEFLATED
                bundle.write(file, file.relative_to(folder.parent).as_posix(), packed)
