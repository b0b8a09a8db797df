"""A trained model as a folder that describes itself.

    Models/<id>/
        config.json      the network's settings, the preprocessing of its input, the meaning of its output
        weights.npz      its weights, large ones as 8-bit integers with scales (see ``quantization``)
        clusters.npz     lesion clusters by the network's features (section 3.2.2) and by density
        MODEL_CARD.md    data, recipe, performance, limits and license, for readers
        checksums.json   SHA-256 of each file above
        ...              attachments such as plots, for readers; never loaded

    bundle = ModelBundle.bundled()
    network = bundle.network()

Arrays are read without pickle: an untrusted model may hold wrong numbers, but no code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_io import atomic_folder
from ..lesions.clusters import LesionClusters
from ..lesions.features import PERCENTILES
from ..lungs import Preprocessing
from ..network.devices import is_out_of_memory
from ..network.fecnn import FeCNN
from .arrays import array_bytes, read_arrays
from .folder import (
    CARD,
    CHECKSUMS,
    CLUSTERS,
    CONFIG,
    SCHEMA,
    WEIGHTS,
    bundled_folder,
    check_attachments,
    damaged,
    parse_config,
    read_model,
)
from .stored_network import network_arrays, restore_network

_DENSITY = "density_"  # prefix of the names of the arrays of the clusters by density
_MAX_SIZE = 4096  # rows and columns of the network's input


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a model says of itself: ``config.json`` without the network's settings."""

    title: str
    license: str
    classes: tuple[str, ...]
    positive: int = 1  # index of the class whose lesions are mapped
    preprocessing: dict[str, Any]  # ``Preprocessing.to_dict()``
    temperature: float = 1.0  # the logits are divided by it before the softmax
    threshold: float = 0.5  # slices and studies are positive from this (calibrated) probability on
    study: dict[str, Any] = field(default_factory=dict)  # calibration of ``study.study_probability``
    # of ``out_of_distribution``; None: inputs are not checked
    input_statistics: dict[str, Any] | None = field(default=None, repr=False)
    training: dict[str, Any] = field(default_factory=dict, repr=False)  # facts about data and recipe


@dataclass(frozen=True)
class ModelClusters:
    """Two ways of grouping lesions; ``AnalysisConfig.cluster_by`` names the one that is used."""

    features: LesionClusters  # by the network's activations at the peaks (equation 9)
    density: LesionClusters  # by the percentiles of ``density.density_profiles``


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelBundle(ModelDescription):
    """A model read from its folder, each file verified against its checksum."""

    folder: Path
    id: str  # the name of the folder in which it was saved
    clusters: ModelClusters = field(repr=False)
    card: str = field(repr=False)  # Markdown
    checksum: str  # SHA-256 over the checksums of all files
    fecnn: dict[str, Any]  # settings of the FeCNN
    weights: dict[str, np.ndarray] = field(repr=False)  # quantized

    @classmethod
    def bundled(cls, model_id: str | None = None) -> ModelBundle:
        """The model that comes with LesionAnalysis (of several the last by name).

        Raises FileNotFoundError where there is none, or none of that id, and ValueError where it is damaged.
        """
        return cls.load(bundled_folder(model_id))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> ModelBundle:
        """Read and verify a model folder.

        Raises OSError where a file is missing or cannot be read, ValueError where one was changed or is invalid.
        """
        folder = Path(folder)
        config, files, checksum = read_model(folder)

        def parsed(name: str, reader: Callable[[bytes], Any]) -> Any:
            try:
                return reader(files[name])
            except ValueError as error:
                raise damaged(folder, f"the content of {name} is invalid") from error

        try:
            check_preprocessing(config["preprocessing"])
        except ValueError as error:
            raise damaged(folder, str(error)) from error
        return cls(**config, folder=folder, checksum=checksum, clusters=parsed(CLUSTERS, _read_clusters),
                   card=parsed(CARD, bytes.decode), weights=parsed(WEIGHTS, read_arrays))  # fmt: skip

    def network(self) -> FeCNN:
        """A new copy of the network in float32 and evaluation mode.

        Raises:
            ValueError: weights, clusters or input statistics do not fit the network of the configuration.
            MemoryError: there is not enough memory for it.
        """
        try:
            network = restore_network(self.fecnn, self.weights)
            _check_widths(network, self.clusters, self.input_statistics)
            return network
        except (MemoryError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise MemoryError("There is not enough memory to load the model: close other programs.") from error
            raise damaged(self.folder, "weights, clusters and configuration do not fit together") from error

    @classmethod
    def save(
        cls, folder: str | os.PathLike, network: FeCNN, description: ModelDescription, clusters: ModelClusters,
        card: str, *, attachments: Mapping[str, bytes] | None = None, overwrite: bool = False,
    ) -> ModelBundle:  # fmt: skip
        """Write a model folder and read it back; the folder's name is the model's id.

        The folder appears only when it is complete.

        Args:
            attachments: further files by name, one folder deep at most, which ``load`` neither verifies nor reads.
            overwrite: replace an earlier model there, attachments included.

        Raises:
            FileExistsError: the folder exists (and, with ``overwrite``, holds no model).
            ValueError: the parts do not fit together, a weight is not finite, or the name of an attachment is
                invalid or taken.
        """
        folder = Path(folder).absolute()
        if folder.exists() and not (overwrite and (folder / CHECKSUMS).is_file()):
            raise FileExistsError(f"{folder} exists already: choose another folder for the model.")
        check_attachments(attachments or {})
        described = {f.name: getattr(description, f.name) for f in fields(ModelDescription)}
        config = {"schema": SCHEMA, "id": folder.name, "fecnn": network.settings, **described}
        content = (json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            check_preprocessing(parse_config(content)["preprocessing"])
            _check_widths(network, clusters, description.input_statistics)
        except ValueError as error:
            raise ValueError(f"The model cannot be saved: {error}.") from error
        density = {_DENSITY + name: array for name, array in clusters.density.to_arrays().items()}
        files = {
            CONFIG: content, WEIGHTS: array_bytes(network_arrays(network)),
            CLUSTERS: array_bytes(clusters.features.to_arrays() | density), CARD: card.encode(),
        }  # fmt: skip
        write_files(folder, files, attachments or {})
        return cls.load(folder)


def write_files(folder: Path, files: Mapping[str, bytes], attachments: Mapping[str, bytes]) -> None:
    """Write a folder of ``files``, their checksums and the attachments, all or nothing."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files = {**files, CHECKSUMS: (json.dumps(sums, indent=2) + "\n").encode(), **attachments}
    with atomic_folder(folder) as fresh:
        for name, content in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)


def _read_clusters(content: bytes) -> ModelClusters:
    arrays = read_arrays(content)
    density = {name.removeprefix(_DENSITY): array for name, array in arrays.items() if name.startswith(_DENSITY)}
    return ModelClusters(LesionClusters.from_arrays(arrays), LesionClusters.from_arrays(density))


def _check_widths(network: FeCNN, clusters: ModelClusters, statistics: Mapping[str, Any] | None) -> None:
    """Raise ValueError where clusters or statistics belong to another network or another version."""
    c3, *_, c5 = network.backbone_maps.channels
    found = [clusters.features.cluster_centers_.shape[1], clusters.density.cluster_centers_.shape[1]]
    if found != [c5, len(PERCENTILES)]:
        raise ValueError(f"its clusters are of {found[0]} features and {found[1]} percentiles, not of {c5} and "
                         f"{len(PERCENTILES)}")  # fmt: skip
    if statistics and len(statistics["mean"]) != c3:
        raise ValueError(f"its input statistics are of {len(statistics['mean'])} channels, not of {c3}")


def check_preprocessing(settings: Mapping[str, Any]) -> None:
    """Raise ValueError where ``Preprocessing`` cannot work with ``settings``."""
    usual = Preprocessing().to_dict()
    for name, value in settings.items():
        if name in usual and not _same_type(value, usual[name]):
            raise ValueError(f"the preprocessing's {name} cannot be {value!r:.60}")
    size = Preprocessing.from_dict(settings).size
    if size % 32 or size > _MAX_SIZE:
        raise ValueError(f"the input size should be a multiple of 32 up to {_MAX_SIZE} pixels, not {size}")


def _same_type(value: Any, usual: Any) -> bool:
    """Whether a setting has the type of its usual value and, where that is a number, is a finite one."""
    if isinstance(usual, list):
        return isinstance(value, list) and len(value) == len(usual) and all(map(_same_type, value, usual))
    if isinstance(usual, float):
        return type(value) in (int, float) and abs(value) < 1e9
    return type(value) is type(usual)
