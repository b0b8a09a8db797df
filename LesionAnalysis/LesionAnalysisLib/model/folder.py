"""The files of a model folder: where they lie, whether they are as they were written, what they say of themselves.

Without torch, so that a model can introduce itself before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

SCHEMA = 1
CONFIG, WEIGHTS, CLUSTERS, CARD, CHECKSUMS = (
    "config.json", "weights.npz", "clusters.npz", "MODEL_CARD.md", "checksums.json"
)  # fmt: skip
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a file in the folder itself: no way out of it
# far above what a model needs; a file may come from a stranger
_MAX_BYTES = {CONFIG: 2**23, WEIGHTS: 2**29, CLUSTERS: 2**26, CARD: 2**18, CHECKSUMS: 2**16}
_OTHER_MAX_BYTES = 2**26
LEVELS = ("c3", "c4", "c5")  # of the backbone's maps
_MAX_TEXT = 20_000  # characters of a title, a license, a class
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
        sums = _parse_json(listed)
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
    """The bytes of a file of plausible size. A pipe would wait, a device has no end: neither is opened."""
    path, most = folder / name, _MAX_BYTES.get(name, _OTHER_MAX_BYTES)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise damaged(folder, f"{name} is no file")
        if state.st_size > most:
            raise damaged(folder, f"{name} is too large")
        with open(path, "rb") as file:
            return file.read(state.st_size)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"The model in {folder} lacks {name}: {ADVICE}.") from error


def _parse_json(content: bytes) -> Any:
    """Like ``json.loads``; ValueError for all that it cannot read.

    A name that stands twice is refused: every reader would take another of its values.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) < len(pairs):
            raise ValueError("a name stands in it twice")
        return names

    try:
        return json.loads(content, object_pairs_hook=table)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_config(content: bytes, folder: Path) -> dict[str, Any]:
    """The fields of ``config.json`` as ``ModelBundle`` has them."""
    try:
        config = _parse_json(content)
    except ValueError as error:
        raise damaged(folder, f"{CONFIG} cannot be read") from error
    try:
        schema = _mapping(config).pop("schema")
        if type(schema) is not int or schema != SCHEMA:
            raise ValueError(f"its format is {schema!r}, and this LesionAnalysis reads format {SCHEMA}")
        config = {name: cast(config[name]) for name, cast in _FIELDS.items()} | {
            name: cast(config.get(name, default)) for name, (cast, default) in _OPTIONAL_FIELDS.items()
        }
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        why = f"{CONFIG} lacks {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(folder, why) from error
    classes, positive = config["classes"], config["positive"]
    if len(classes) != config["fecnn"].get("classes") or not 0 <= positive < len(classes):
        raise damaged(folder, "its classes do not fit its network")
    if not 0 < config["temperature"] < math.inf:
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


def is_plain(text: str) -> bool:
    """Whether a name can be shown and written anywhere: no control characters, nothing that is no Unicode."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_short(value)} should be a text")
    if len(value) > _MAX_TEXT or not is_plain(value.replace("\n", "").replace("\t", "")):
        raise ValueError(f"{_short(value)} should be a text that can be shown")
    return value


def _classes(value: Any) -> tuple[str, ...]:
    names = tuple(_text(name) for name in _list(value))
    if len(set(names)) < len(names) or not all(name and is_plain(name) for name in names):
        raise ValueError("its classes should have different names of one line")
    return names


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{_short(value)} should be a list")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{_short(value)} should be a table of settings")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{_short(value)} should be a whole number")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{_short(value)} should be a number")
    return float(value)


def _numbers(value: Any) -> list[float]:
    return [_number(one) for one in _list(value)]


def _finite(values: Sequence[float], what: str) -> None:
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{what} holds what is no finite number")


def _calibration(value: Any) -> dict[str, Any]:
    _finite([_number(one) for one in _mapping(value).values()], "its calibration of studies")
    return value


def _statistics(value: Any) -> dict[str, Any] | None:
    """``familiarity.input_statistics``: none, or as many deviations above 0 as means, directions, and a limit."""
    if not value:
        return None
    mean, deviation = (_numbers(_mapping(value)[name]) for name in ("mean", "deviation"))
    components = [_numbers(one) for one in _list(value.get("components", []))]
    _finite([*mean, *deviation, *chain(*components), _number(value["limit"])], "its statistics of the input")
    same = {len(mean)} == {len(one) for one in (deviation, *components)}
    if not same or min(deviation, default=0) <= 0 or value.get("level", LEVELS[-1]) not in LEVELS:
        raise ValueError("its statistics of the input do not fit together")
    return value


def _cluster_names(value: Any) -> dict[int, str]:
    if not all(number.isascii() and number.isdigit() and len(number) < 6 for number in _mapping(value)):
        raise ValueError("its clusters should be numbered 1, 2, 3")
    return {int(number): _text(name) for number, name in value.items()}


def _network(value: Any) -> dict[str, Any]:
    if not 0 <= _number(_mapping(value).get("dropout", 0)) <= 1:
        raise ValueError("the dropout of its network does not lie between 0 and 1")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_FIELDS = {
    "id": _text, "title": _text, "license": _text, "classes": _classes,
    "positive": _integer, "fecnn": _network, "preprocessing": _mapping, "temperature": _number,
    "study": _calibration, "input_statistics": _statistics, "training": _mapping,
    "cluster_names": _cluster_names,
}  # fmt: skip
_OPTIONAL_FIELDS = {"threshold": (_number, 0.5)}  # what models of before the field do without, and what they mean
