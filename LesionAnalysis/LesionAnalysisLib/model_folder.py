"""The files of a model folder: where they lie, whether they are as they were written, what they say of themselves.

Without torch, so that a model can introduce itself before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCHEMA = 1
CONFIG, WEIGHTS, CLUSTERS, CARD, CHECKSUMS = (
    "config.json", "weights.npz", "clusters.npz", "MODEL_CARD.md", "checksums.json"
)  # fmt: skip
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a file in the folder itself: no way out of it
ADVICE = "install LesionAnalysis again or choose another model folder"


def bundled_folders() -> list[Path]:
    """Where a bundled model may lie: source tree, installed package, Slicer extension."""
    library = Path(__file__).resolve().parent
    return [
        library.parent.parent / "Resources" / "Models",
        library / "Models",
        library.parent / "Resources" / "Models",
    ]


def bundled_folder(model_id: str | None = None) -> Path:
    """Folder of the model that comes with LesionAnalysis (of several the last by name).

    Raises FileNotFoundError where there is none, or none of that id.
    """
    for models in bundled_folders():
        found = sorted(p.parent for p in models.glob(f"*/{CONFIG}"))
        found = [p for p in found if model_id in (None, p.name)]
        if found:
            return found[-1]
    what = "no model" if model_id is None else f"no model {model_id!r}"
    raise FileNotFoundError(f"LesionAnalysis comes with {what} here: {ADVICE}.")


def describe_model(folder: str | os.PathLike | None = None) -> dict[str, Any]:
    """The verified ``config.json`` of a model (id, title, license, classes, ...); None: of the bundled one.

    Raises OSError where a file is missing, ValueError where one was changed.
    """
    folder = bundled_folder() if folder is None else existing_folder(folder)
    files, _ = read_verified(folder)
    return read_config(files[CONFIG], folder)


def existing_folder(folder: str | os.PathLike) -> Path:
    """``folder`` as a path. Raises FileNotFoundError where there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no model folder {folder}: {ADVICE}.")
    return folder


def damaged(folder: Path, why: str) -> ValueError:
    return ValueError(f"The model in {folder} is damaged ({why.rstrip('.')}): {ADVICE}.")


def read_verified(folder: Path) -> tuple[dict[str, bytes], str]:
    """The bytes of every file by name, each as its checksum says, and the checksum over all of them."""
    listed = _read_file(folder, CHECKSUMS)
    try:
        sums = json.loads(listed)
    except ValueError as error:
        raise damaged(folder, f"{CHECKSUMS} cannot be read") from error
    if not isinstance(sums, dict) or not {CONFIG, WEIGHTS, CLUSTERS, CARD} <= set(sums):
        raise damaged(folder, f"{CHECKSUMS} does not list all files")
    files = {}
    for name, expected in sums.items():
        if not _PLAIN_NAME.fullmatch(name):
            raise damaged(folder, f"{CHECKSUMS} lists a file outside of the folder")
        files[name] = _read_file(folder, name)
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise damaged(folder, f"{name} is not as its checksum says")
    return files, hashlib.sha256(listed).hexdigest()


def _read_file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"The model in {folder} lacks {name}: {ADVICE}.") from error


def read_config(content: bytes, folder: Path) -> dict[str, Any]:
    """The fields of ``config.json`` as ``ModelBundle`` has them."""
    try:
        config = json.loads(content)
        schema = config.pop("schema")
        if schema != SCHEMA:
            raise ValueError(f"its format is {schema!r}, and this LesionAnalysis reads format {SCHEMA}")
        config = {name: cast(config[name]) for name, cast in _FIELDS.items()} | {
            name: cast(config.get(name, default)) for name, (cast, default) in _OPTIONAL_FIELDS.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{CONFIG} lacks {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(folder, why) from error
    classes, positive = config["classes"], config["positive"]
    if len(classes) != config["fecnn"].get("classes") or not 0 <= positive < len(classes):
        raise damaged(folder, "its classes do not fit its network")
    if not config["temperature"] > 0:
        raise damaged(folder, "its temperature is not positive")
    if not 0 < config["threshold"] < 1:
        raise damaged(folder, "its threshold does not lie between 0 and 1")
    return config


def check_attachments(names: Iterable[str]) -> None:
    """Raise ValueError where files of these names would leave the folder, or replace one of its own or each other.

    Case makes no difference, and no name ends in a dot: some systems would take it for the name of another file.
    """
    files = {name.casefold() for name in (CONFIG, WEIGHTS, CLUSTERS, CARD, CHECKSUMS)}
    folders: set[str] = set()
    for name in names:
        parts = name.split("/")
        if len(parts) > 2 or any(not _PLAIN_NAME.fullmatch(part) or part.endswith(".") for part in parts):
            raise ValueError(f"{name!r} cannot be attached to a model: give plain names, one folder deep at most.")
        path, parents = name.casefold(), {part.casefold() for part in parts[:-1]}
        if path in files | folders or parents & files:
            raise ValueError(f"{name!r} cannot be attached to a model: the name is taken.")
        files.add(path)
        folders |= parents


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be a text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} should be a table of settings")
    return value


_FIELDS = {
    "id": _text, "title": _text, "license": _text, "classes": lambda v: tuple(_text(c) for c in v),
    "positive": int, "fecnn": _mapping, "preprocessing": _mapping, "temperature": float, "study": _mapping,
    "input_statistics": lambda v: None if v is None else _mapping(v), "training": _mapping,
    "cluster_names": lambda v: {int(k): _text(name) for k, name in _mapping(v).items()},
}  # fmt: skip
_OPTIONAL_FIELDS = {"threshold": (float, 0.5)}  # what models of before the field do without, and what they mean
