"""The files of a model folder: where they are, whether they are unchanged, and what the model says of itself.

Imports no torch, so that a model can be described before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

SCHEMA = 1
CONFIG, WEIGHTS, CLUSTERS, CARD, CHECKSUMS = (
    "config.json", "weights.npz", "clusters.npz", "MODEL_CARD.md", "checksums.json"
)  # fmt: skip
ADVICE = "reinstall LesionAnalysis or choose another model folder"
STATISTICS_LEVEL = "c3"  # the backbone's map whose channel means ``input_statistics`` describe
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # a file in the folder itself, never outside
# far above what a model needs; the files may be untrusted
_MAX_BYTES = {CONFIG: 2**23, WEIGHTS: 2**29, CLUSTERS: 2**26, CARD: 2**18, CHECKSUMS: 2**16}
_OTHER_MAX_BYTES = 2**26
_MAX_TEXT = 20_000  # characters of a title, a license, a class name


def bundled_folders() -> list[Path]:
    """Where bundled models may be: in the source tree, the installed package, the Slicer extension."""
    library = Path(__file__).resolve().parents[1]
    resources = Path("Resources", "Models")
    return [library.parents[1] / resources, library / "Models", library.parent / resources]


def bundled_folder(model_id: str | None = None) -> Path:
    """Folder of the model that comes with LesionAnalysis (of several the last by name).

    Raises FileNotFoundError where there is none, or none of that id.
    """
    for models in bundled_folders():
        folders = sorted(path.parent for path in models.glob(f"*/{CONFIG}") if model_id in (None, path.parent.name))
        if folders:
            return folders[-1]
    what = "no model" if model_id is None else f"no model {model_id!r}"
    raise FileNotFoundError(f"This LesionAnalysis comes with {what}: {ADVICE}.")


def describe_model(folder: str | os.PathLike | None = None) -> dict[str, Any]:
    """The verified ``config.json`` of a model (id, title, license, classes, ...); None: of the bundled one.

    Raises OSError where a file is missing, ValueError where one was changed.
    """
    return read_model(bundled_folder() if folder is None else Path(folder))[0]


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, bytes], str]:
    """The configuration, the verified bytes of every file by name, and the checksum over all of them.

    Raises OSError where a file is missing, ValueError where one was changed or the configuration is invalid.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no model folder {folder}: check the path.")
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
            raise damaged(folder, f"{name} does not match its checksum")
    try:
        return parse_config(files[CONFIG]), files, hashlib.sha256(listed).hexdigest()
    except ValueError as error:
        raise damaged(folder, str(error)) from error


def damaged(folder: Path, why: str) -> ValueError:
    return ValueError(f"The model in {folder} is damaged ({why.rstrip('.')}): {ADVICE}.")


def _read_file(folder: Path, name: str) -> bytes:
    """The bytes of a file of plausible size. Reading a pipe would block and a device never end: both are refused."""
    path = folder / name
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise damaged(folder, f"{name} is no file")
        if state.st_size > _MAX_BYTES.get(name, _OTHER_MAX_BYTES):
            raise damaged(folder, f"{name} is too large")
        with open(path, "rb") as file:
            return file.read(state.st_size)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"The model in {folder} lacks {name}: {ADVICE}.") from error


def _parse_json(content: bytes) -> Any:
    """Like ``json.loads``, with ValueError for all that cannot be read.

    Duplicate keys are refused: readers differ in which value they take.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) < len(pairs):
            raise ValueError("it has duplicate keys")
        return names

    try:
        return json.loads(content, object_pairs_hook=table)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_config(content: bytes) -> dict[str, Any]:
    """The fields of ``config.json`` as ``ModelBundle`` has them.

    Raises ValueError, with a reason that completes "The model is damaged because ...", where one is missing or invalid.
    """
    try:
        config = _parse_json(content)
    except ValueError as error:
        raise ValueError(f"{CONFIG} cannot be read") from error
    try:
        schema = _mapping(config).get("schema")
        if type(schema) is not int or schema != SCHEMA:
            raise ValueError(f"its format is {schema!r}, and this LesionAnalysis reads format {SCHEMA}")
        config = {name: check(config[name]) for name, check in _FIELDS.items()}
        if len(config["classes"]) != config["fecnn"]["classes"] or not 0 <= config["positive"] < len(config["classes"]):
            raise ValueError("its classes do not fit its network")
    except KeyError as error:
        raise ValueError(f"{CONFIG} lacks {error}") from error
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return config


def check_attachments(names: Iterable[str]) -> None:
    """Raise ValueError where files of these names would leave the folder, or replace one of its own or each other.

    Case is ignored, and no name may end in a dot: some file systems would take it for another file's name.
    """
    files = {name.casefold() for name in (CONFIG, WEIGHTS, CLUSTERS, CARD, CHECKSUMS)}
    folders: set[str] = set()
    for name in names:
        parts = name.split("/")
        if len(parts) > 2 or any(not _PLAIN_NAME.fullmatch(part) or part.endswith(".") for part in parts):
            raise ValueError(f"{name!r} cannot be attached to a model: use plain names, one folder deep at most.")
        path, parents = name.casefold(), {part.casefold() for part in parts[:-1]}
        if path in files | folders or parents & files:
            raise ValueError(f"{name!r} cannot be attached to a model: the name is taken.")
        files.add(path)
        folders |= parents


def is_plain(text: str) -> bool:
    """Whether a name can be shown and written anywhere: no control characters, no lone surrogates."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


# -- the fields of config.json ------------------------------------------------------------------------


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is(types: type | tuple[type, ...], what: str) -> Callable[[Any], Any]:
    """A check that returns a value of these types and raises TypeError for others."""

    def check(value: Any) -> Any:
        if not isinstance(value, types) or isinstance(value, bool):
            raise TypeError(f"{_short(value)} should be {what}")
        return value

    return check


_list, _mapping, _integer = _is(list, "a list"), _is(dict, "a table of settings"), _is(int, "a whole number")


def _number(value: Any) -> float:
    return float(_is((int, float), "a number")(value))  # OverflowError for an integer of hundreds of digits


def _between_zero_and(limit: float, name: str) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if not 0 < (number := _number(value)) < limit:
            raise ValueError(f"its {name} does not lie between 0 and {limit}")
        return number

    return check


def _text(value: Any) -> str:
    text = _is(str, "a text")(value)
    if len(text) > _MAX_TEXT or not is_plain(text.replace("\n", "").replace("\t", "")):
        raise ValueError(f"{_short(text)} should be a text of at most {_MAX_TEXT} printable characters")
    return text


def _classes(value: Any) -> tuple[str, ...]:
    names = tuple(_text(name) for name in _list(value))
    if len(set(names)) < len(names) or not all(name and is_plain(name) for name in names):
        raise ValueError("its classes should have different names of one line")
    return names


def _network(value: Any) -> dict[str, Any]:
    if not 0 <= _number(_mapping(value)["dropout"]) <= 1:
        raise ValueError("its network's dropout does not lie between 0 and 1")
    return value


def _study(value: Any) -> dict[str, Any]:
    if not all(math.isfinite(_number(one)) for one in _mapping(value).values()):
        raise ValueError("its study calibration has values that are not finite")
    return value


def _statistics(value: Any) -> dict[str, Any] | None:
    """``out_of_distribution.input_statistics``, or None."""
    if value is None:
        return None
    mean, deviation, *components = (
        [_number(one) for one in _list(row)]
        for row in (_mapping(value)["mean"], value["deviation"], *_list(value["components"]))
    )
    if not all(map(math.isfinite, chain([_number(value["limit"])], mean, deviation, *components))):
        raise ValueError("its input statistics have values that are not finite")
    same = {len(mean)} == {len(row) for row in (deviation, *components)}
    if not same or min(deviation, default=0) <= 0 or value["level"] != STATISTICS_LEVEL:
        raise ValueError("its input statistics are inconsistent")
    return value


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "id": _text, "title": _text, "license": _text, "classes": _classes, "positive": _integer, "fecnn": _network,
    "preprocessing": _mapping, "temperature": _between_zero_and(math.inf, "temperature"),
    "threshold": _between_zero_and(1, "threshold"), "study": _study, "input_statistics": _statistics,
    "training": _mapping,
}  # fmt: skip
