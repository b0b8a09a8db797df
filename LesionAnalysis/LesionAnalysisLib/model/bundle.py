"""A trained model as a folder that describes itself.

    Models/<id>/
        config.json      what the network is, what its input must look like, what its output means
        weights.npz      its weights, large ones as 8-bit integers with scales (see quantization.py)
        clusters.npz     the lesion clusters of section 3.2.2, and as many by density
        MODEL_CARD.md    data, recipe, figures, limits, license, for a reader
        checksums.json   SHA-256 of each of the files above
        ...              attachments such as plots, for a reader; never read here

    bundle = ModelBundle.bundled()
    network = bundle.network()

Arrays are read without pickle, so that a model from elsewhere can hold wrong numbers but no code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_io import replaced
from ..lesions.clusters import LesionClusters
from ..lesions.density import PERCENTILES
from ..lungs import Preprocessing
from ..network.fecnn import FeCNN
from .arrays import _array_bytes, _read_arrays
from .folder import (
    CARD,
    CHECKSUMS,
    CLUSTERS,
    CONFIG,
    LEVELS,
    SCHEMA,
    WEIGHTS,
    bundled_folder,
    check_attachments,
    damaged,
    existing_folder,
    read_config,
    read_verified,
)
from .stored_network import _network, _stored

_DENSITY = "density_"  # before the names of the arrays of those clusters
_MAX_SIZE = 4096  # rows and columns of the network's picture


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A model read from its folder; every file was held against its checksum."""

    folder: Path
    id: str
    title: str
    license: str
    classes: tuple[str, ...]
    positive: int  # index of the class whose lesions are shown
    preprocessing: dict[str, Any]  # of lungs.Preprocessing
    temperature: float  # the logits are divided by it before the softmax
    threshold: float  # a slice, and the study, is positive from this probability on (temperature applied)
    study: dict[str, Any]  # calibration of the study's probability
    input_statistics: dict[str, Any] | None  # of the training slices, to warn of inputs unlike them
    cluster_names: dict[int, str]  # from 1
    clusters: LesionClusters = field(repr=False)  # of the network's features
    density_clusters: LesionClusters | None = field(repr=False)  # of ``density_profiles``; earlier models have none
    training: dict[str, Any] = field(repr=False)  # facts about the data and the recipe
    card: str = field(repr=False)  # markdown
    checksum: str  # SHA-256 over the checksums of all files
    fecnn: dict[str, Any]  # FeCNN's settings
    _weights: dict[str, np.ndarray] = field(repr=False)

    @classmethod
    def bundled(cls, model_id: str | None = None) -> ModelBundle:
        """The model that comes with LesionAnalysis (of several the last by name).

        Raises:
            FileNotFoundError: there is none, or none of that id.
            ValueError: it is damaged.
        """
        return cls.load(bundled_folder(model_id))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> ModelBundle:
        """Read and verify a model folder.

        Raises:
            OSError: the folder or one of its files is missing or cannot be read.
            ValueError: a file was changed, cut short, or does not hold what it should.
        """
        folder = existing_folder(folder)
        files, checksum = read_verified(folder)
        config = read_config(files[CONFIG], folder)
        _check_preprocessing(config["preprocessing"], folder)
        clusters, by_density = _parse(folder, files, CLUSTERS, lambda c: _read_clusters(_read_arrays(c)))
        if set(config["cluster_names"]) != set(range(1, len(clusters.centers_) + 1)):
            raise damaged(folder, "the names of its clusters do not fit its clusters")
        return cls(
            **config,
            folder=folder,
            clusters=clusters,
            density_clusters=by_density,
            card=_parse(folder, files, CARD, lambda c: c.decode("utf-8")),
            checksum=checksum,
            _weights=_parse(folder, files, WEIGHTS, _read_arrays),
        )

    def network(self) -> FeCNN:
        """The network in float32 and evaluation mode, anew at each call.

        Raises:
            ValueError: the weights do not fit the network that the configuration describes.
        """
        try:
            network = _network(self.fecnn, self._weights)
        except Exception as error:  # the settings may be anything, and torch has its own way to fail on each
            raise damaged(self.folder, "its weights and its configuration do not fit") from error
        channels, statistics = network.backbone_maps.channels, self.input_statistics
        if self.clusters.centers_.shape[1] != channels[-1]:
            raise damaged(self.folder, "its lesion clusters belong to another network")
        if statistics and len(statistics["mean"]) != channels[LEVELS.index(statistics.get("level", LEVELS[-1]))]:
            raise damaged(self.folder, "its statistics of the input belong to another network")
        return network

    @classmethod
    def save(
        cls,
        folder: str | os.PathLike,
        network: FeCNN,
        *,
        title: str,
        license: str,
        classes: tuple[str, ...],
        preprocessing: Mapping[str, Any],
        clusters: LesionClusters,
        card: str,
        positive: int = 1,
        id: str | None = None,
        temperature: float = 1.0,
        threshold: float = 0.5,
        density_clusters: LesionClusters | None = None,
        study: Mapping[str, Any] | None = None,
        input_statistics: Mapping[str, Any] | None = None,
        cluster_names: Mapping[int, str] | None = None,
        training: Mapping[str, Any] | None = None,
        attachments: Mapping[str, bytes] | None = None,
        overwrite: bool = False,
    ) -> ModelBundle:
        """Write a model folder and read it back.

        The folder appears under its name only when it is complete; ``overwrite`` replaces an earlier
        model there, attachments included. ``id`` defaults to the folder's name, ``cluster_names`` to
        ``cluster 1``, ... There are as many ``density_clusters`` as ``clusters``, and the names are of both.

        ``attachments`` are further files by name (``metrics.json``, ``plots/roc.png``: one folder deep at
        most). They are no part of the model: not in its checksums, not verified and not read by ``load``.

        Raises:
            FileExistsError: the folder exists (and, with ``overwrite``, is no model folder).
            ValueError: the parts do not fit together, a weight is not finite, or an attachment has a name
                that is not plain or is taken.
        """
        folder = Path(folder).absolute()
        if folder.exists() and not (overwrite and (folder / CHECKSUMS).is_file()):
            raise FileExistsError(f"{folder} exists already: choose another folder for the model.")
        attachments = dict(attachments or {})
        check_attachments(attachments)
        count = len(clusters.centers_)
        names = dict(cluster_names or {k: f"cluster {k}" for k in range(1, count + 1)})
        config = {
            "schema": SCHEMA, "id": id or folder.name, "title": title, "license": license,
            "classes": list(classes), "positive": positive, "fecnn": network.settings,
            "preprocessing": dict(preprocessing), "temperature": temperature, "threshold": threshold,
            "study": dict(study or {}),
            "input_statistics": None if input_statistics is None else dict(input_statistics),
            "cluster_names": {str(k): name for k, name in names.items()}, "training": dict(training or {}),
        }  # fmt: skip
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        read_config(text.encode(), folder)
        _check_preprocessing(config["preprocessing"], folder)
        if clusters.centers_.shape[1] != network.backbone_maps.channels[-1]:
            raise ValueError("The lesion clusters belong to another network: its C5 has other channels.")
        if set(names) != set(range(1, count + 1)):
            raise ValueError(f"Give one name for each of the clusters 1 to {count}.")
        _check_density(density_clusters, count)
        files = {
            CONFIG: text.encode(), WEIGHTS: _array_bytes(_stored(network)),
            CLUSTERS: _array_bytes(_cluster_arrays(clusters, density_clusters)), CARD: card.encode(),
        }  # fmt: skip
        _write(folder, files, attachments)
        return cls.load(folder)






def _cluster_arrays(clusters: LesionClusters, by_density: LesionClusters | None) -> dict[str, np.ndarray]:
    more = by_density.to_arrays() if by_density else {}
    return clusters.to_arrays() | {_DENSITY + name: array for name, array in more.items()}


def _read_clusters(arrays: Mapping[str, np.ndarray]) -> tuple[LesionClusters, LesionClusters | None]:
    """The inverse of ``_cluster_arrays``."""
    clusters = LesionClusters.from_arrays(arrays)
    more = {name.removeprefix(_DENSITY): array for name, array in arrays.items() if name.startswith(_DENSITY)}
    by_density = LesionClusters.from_arrays(more) if more else None
    _check_density(by_density, len(clusters.centers_))
    return clusters, by_density


def _check_density(clusters: LesionClusters | None, count: int) -> None:
    if clusters is not None and clusters.centers_.shape != (count, len(PERCENTILES)):
        raise ValueError(f"The clusters by density should be {count}, of {len(PERCENTILES)} numbers each.")


def _parse(folder: Path, files: Mapping[str, bytes], name: str, reader: Callable[[bytes], Any]) -> Any:
    try:
        return reader(files[name])
    except Exception as error:  # the bytes may be anything, and every decoder has its own way to fail on them
        raise damaged(folder, f"{name} does not hold what it should") from error


def _check_preprocessing(settings: Mapping[str, Any], folder: Path) -> None:
    """Raise ValueError where ``settings`` are not such as a ``Preprocessing`` can work with."""
    usual = Preprocessing().to_dict()
    try:
        for name, value in settings.items():
            if name in usual and not _alike(value, usual[name]):
                raise ValueError(f"{name} cannot be {value!r:.60}")
        size = Preprocessing.from_dict(settings).size
        if size % 32 or size > _MAX_SIZE:
            raise ValueError(f"its pictures of {size} pixels should be a multiple of 32 up to {_MAX_SIZE}")
    except ValueError as error:
        raise damaged(folder, f"its preprocessing: {error}") from error


def _alike(value: Any, usual: Any) -> bool:
    """Whether a setting has the type of its usual value, and is a finite number where that is a number."""
    if isinstance(usual, list):
        return isinstance(value, list) and len(value) == len(usual) and all(map(_alike, value, usual))
    if isinstance(usual, float):
        return type(value) in (int, float) and abs(value) < 1e9
    return type(value) is type(usual)














def _write(folder: Path, files: Mapping[str, bytes], attachments: Mapping[str, bytes]) -> None:
    """Write all files, the checksums of ``files`` and the attachments beside ``folder``, then rename."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files = {**files, CHECKSUMS: (json.dumps(sums, indent=2) + "\n").encode(), **attachments}
    with replaced(folder) as fresh:
        for name, content in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)
