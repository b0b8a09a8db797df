"""``scene.mrb``: a private scene with one analysis, in a file that Slicer opens with all results displayed."""

from __future__ import annotations

import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ..atomic_io import atomic_file, temporary_folder
from ..results import Analysis
from ..volume.files import quiet
from .add_results import add_to_scene
from .mrml import slicer
from .slice_views import make_views

_PACKED = (".nrrd", ".gz", ".png")  # compressed already


def write_mrb(analysis: Analysis, path: str | Path) -> Path:
    """Write the CT and all results as ``path``; the file appears only when it is complete. Returns ``path``.

    Inside Slicer, the user's scene is not changed. Raises OSError.
    """
    path = Path(path)
    scene = slicer.vtkMRMLScene()
    _add_defaults(scene)
    nodes = add_to_scene(analysis, scene)
    make_views(nodes, analysis.lesions[0].peak_ras_mm if analysis.lesions else None)
    try:
        # The temporary folder has an ASCII name, whatever the output folder is called: MRML's image writers do not
        # support others on every system.
        with atomic_file(path) as partial, temporary_folder() as folder:
            bundle = folder / "scene"
            bundle.mkdir()
            _save(scene, bundle)
            _zip(bundle, partial)
    finally:
        scene.Clear(True)
    return path


def _add_defaults(scene: Any) -> None:
    """Nodes that every Slicer scene has and no file contains: the gray color table, and the units of markups."""
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
    path = folder / f"{folder.name}.mrml"
    if not saved or not path.is_file():
        raise OSError(
            f"The scene could not be written: is the disk full where temporary files lie ({tempfile.gettempdir()})?"
        ) from RuntimeError(messages.GetAllMessagesAsString().strip())
    # MRML writes control characters, and & in file names, as they are: the scene would not open.
    text = re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"", path.read_bytes())
    path.write_bytes(re.sub(rb"&(?!(?:amp|lt|gt|quot|apos);)", b"&amp;", text))


def _zip(folder: Path, path: Path) -> None:
    """Pack ``folder`` under its own name, as Slicer's bundles are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed = zipfile.ZIP_STORED if file.suffix in _PACKED else zipfile.ZIP_DEFLATED
                bundle.write(file, file.relative_to(folder.parent).as_posix(), packed)
