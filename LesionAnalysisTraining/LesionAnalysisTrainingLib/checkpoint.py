"""Files of an unfinished run, written atomically: complete or absent, whenever the process is killed."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from LesionAnalysisLib.atomic_io import atomic_file

from .training_config import MACHINE


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` atomically: ``path`` holds the old or the new bytes, even after a power failure."""
    with atomic_file(path) as unfinished, open(unfinished, "wb") as file:
        file.write(content)
        _flush(file)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically."""
    write_atomically(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """``value`` as JSON; NaN and infinity become null."""
    return (json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n").encode()


def save_checkpoint(path: Path, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write one file from which a run resumes: state dictionaries, and plain facts as JSON."""
    with atomic_file(path) as unfinished, open(unfinished, "wb") as file:
        try:
            torch.save({**tensors, "facts": json.dumps(facts)}, file)
        except RuntimeError as error:  # torch's error of a full disk hides the system's
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        _flush(file)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def load_checkpoint(path: Path, device: torch.device) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts of ``save_checkpoint``, without unpickling anything but tensors and plain values.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        facts = json.loads(state.pop("facts"))
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"The checkpoint {path} is damaged: remove {path.parent} and start anew.") from error
    return state, facts


def changed_settings(stored: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Names of the settings in which two configurations differ, other than those of the machine."""
    stored, own = (json.loads(json.dumps(settings)) for settings in (stored, own))
    names = (set(stored) | set(own)) - set(MACHINE)
    return sorted(name for name in names if stored.get(name) != own.get(name))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
