"""Untrusted model folders: each is a good one, damaged or manipulated in one way, with valid checksums.

    folder = good_bundle(tmp_path / "good")
    for name, change in REFUSED.items():
        copy = shutil.copytree(folder, tmp_path / name)
        change(copy, tmp_path)
        outcome = attempt(copy)          # error message, duration, peak memory
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import signal
import struct
import time
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from helpers_volume import RAS, chest
from LesionAnalysisLib.analyzer import LesionAnalyzer
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle, ModelClusters, ModelDescription
from LesionAnalysisLib.network.backbones import BACKBONES
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.text import error_message
from LesionAnalysisLib.volume import ct_from_array
from torch import nn

BACKBONE = "three convolutions"
C3, WIDTH = 8, 32  # channels of its C3 and C5
CANARY = "unpickled"  # file that appears where a pickle was executed


class ThreeConvolutions(nn.Module):
    """A backbone of a few kilobytes: the folder is tested, not the network."""

    channels = (C3, 16, WIDTH)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.conv3, self.bn3 = nn.Conv2d(16, WIDTH, 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        c3 = self.bn1(self.conv1(x)).relu()
        c4 = self.bn2(self.conv2(c3)).relu()
        return c3, c4, self.bn3(self.conv3(c4)).relu()


@contextmanager
def known_backbone():
    """Registers the small backbone within the context."""
    BACKBONES[BACKBONE] = ThreeConvolutions
    try:
        yield
    finally:
        del BACKBONES[BACKBONE]


def good_bundle(folder: Path, **changes) -> Path:
    """A model that calls every slice positive, of some hundred kilobytes."""
    torch.manual_seed(0)
    network = FeCNN(BACKBONE).eval()
    with torch.no_grad():
        network.head.fusion.classify.bias.copy_(torch.tensor([0.0, 4.0]))
    features = np.abs(np.random.default_rng(0).normal(0, 1, (20, WIDTH)))
    clusters = ModelClusters(LesionClusters(2).fit(features), LesionClusters(3).fit(np.arange(50.0).reshape(10, 5)))
    settings = {
        "title": "A good model", "license": "none", "classes": ("normal", "COVID-19"),
        "preprocessing": Preprocessing(size=64).to_dict(), "study": {"scale": 0.9, "offset": 0.1, "chance": 0.2},
        "input_statistics": {"level": "c3", "mean": [0.5] * C3, "deviation": [1.0] * C3,
                             "components": [[0.1] * C3], "limit": 3.0},
    }  # fmt: skip
    parts = {"clusters": clusters, "card": "# A good model\n"}
    parts |= {name: changes.pop(name) for name in set(parts) & set(changes)}
    ModelBundle.save(folder, network, ModelDescription(**{**settings, **changes}), **parts)
    return folder


# -- manipulations ---------------------------------------------------------------------------------


def put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, and its checksum."""
    (folder / name).write_bytes(content)
    sums = json.loads((folder / "checksums.json").read_text())
    sums[name] = hashlib.sha256(content).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))


def set_config(folder: Path, path: str, value) -> None:
    """Set the value at ``path``, such as ``preprocessing.size``."""
    config = json.loads((folder / "config.json").read_text())
    *parents, last = path.split(".")
    table = config
    for parent in parents:
        table = table[parent]
    table[last] = value
    put(folder, "config.json", json.dumps(config).encode())


def config(path: str, value):
    return lambda folder, _: set_config(folder, path, value)


def text(name: str, content: str | bytes):
    return lambda folder, _: put(folder, name, content.encode() if isinstance(content, str) else content)


def arrays(name: str, change):
    """Change the arrays of an .npz file: ``change`` takes and returns a dict of them."""

    def apply(folder: Path, _) -> None:
        with np.load(folder / name) as archive:
            stored = change(dict(archive))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **stored)
        put(folder, name, buffer.getvalue())

    return apply


def member(name: str, entry: str, content: bytes, method: int = zipfile.ZIP_DEFLATED):
    """Add one file to the archive ``name``, or replace it."""

    def apply(folder: Path, _) -> None:
        with zipfile.ZipFile(folder / name) as archive:
            entries = {one: archive.read(one) for one in archive.namelist()}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for one, held in {**entries, entry: content}.items():
                archive.writestr(one, held)
        put(folder, name, buffer.getvalue())

    return apply


def npy(header: str, data: bytes = b"") -> bytes:
    """The bytes of a .npy file with any header."""
    raw = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + data


def header(descr: str = "'<f4'", shape: str = "(2, 32)", data: bytes = b"") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data)


class _Harmful:
    """A pickle that creates a file when it is executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return open, (str(self.folder / CANARY), "w")


def _pickled(name: str):
    def apply(folder: Path, work: Path) -> None:
        array = np.empty(1, object)
        array[0] = _Harmful(work)
        buffer = io.BytesIO()
        np.savez(buffer, centers=array)
        put(folder, name, buffer.getvalue())

    return apply


def _bare_pickle(name: str):
    return lambda folder, work: put(folder, name, pickle.dumps(_Harmful(work)))


def _torch_pickle(folder: Path, work: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": _Harmful(work)}, buffer)
    put(folder, "weights.npz", buffer.getvalue())


def _sums(change):
    def apply(folder: Path, _) -> None:
        sums = json.loads((folder / "checksums.json").read_text())
        (folder / "checksums.json").write_text(json.dumps(change(sums)))

    return apply


def _instead(name: str, make):
    """Replace a file by something else: a folder, a pipe, a device."""

    def apply(folder: Path, work: Path) -> None:
        (folder / name).unlink()
        make(folder / name, work)

    return apply


def _sparse(path: Path, _) -> None:
    with open(path, "wb") as file:
        file.truncate(10**11)


def _secret(path: Path, work: Path) -> None:
    (work / "secret.txt").write_text("a file of the user, not of the model")
    path.symlink_to(work / "secret.txt")


def _duplicate(folder: Path, _) -> None:
    content = (folder / "config.json").read_text().rstrip().removesuffix("}")
    put(folder, "config.json", (content + ', "license": "another license"}').encode())


def _encrypted(folder: Path, _) -> None:
    content = bytearray((folder / "clusters.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 4)
    put(folder, "clusters.npz", bytes(content))


def _lying_bomb(folder: Path, work: Path) -> None:
    """A bomb whose archive claims the small size of its array header."""
    bomb = header("'|i1'", "(4,)", b"\0" * 2**25)
    member("weights.npz", "zeros.npy", bomb)(folder, work)
    content, claim = (folder / "weights.npz").read_bytes(), len(bomb) - 2**25 + 4
    put(folder, "weights.npz", content.replace(struct.pack("<I", len(bomb)), struct.pack("<I", claim)))


def _broken_stream(folder: Path, _) -> None:
    content = bytearray((folder / "clusters.npz").read_bytes())
    start = 30 + struct.unpack_from("<H", content, 26)[0] + struct.unpack_from("<H", content, 28)[0]
    content[start : start + 8] = b"\xff" * 8
    put(folder, "clusters.npz", bytes(content))


def _filled(value: float):
    def change(stored: dict) -> dict:
        name = next(n for n, a in stored.items() if a.dtype.kind == "f" and a.ndim > 1)
        stored[name] = np.full_like(stored[name], value)
        return stored

    return change


def _variance(value: float):
    return lambda stored: {n: np.full_like(a, value) if n.endswith("running_var") else a for n, a in stored.items()}


def _with(**changes):
    return lambda stored: {**stored, **changes}


def _without(name: str):
    return lambda stored: {other: array for other, array in stored.items() if other != name}


_FIRST = "backbone_maps.conv1.weight"
_LARGE = np.zeros((1, 300_000), np.int8)
_BOMB = header("'|i1'", "(4294967296,)", b"\0" * 2**24)
_OMEGA = "head.fusion.omega"

REFUSED = {
    # pickles
    "a pickle among the weights": _pickled("weights.npz"),
    "a pickle among the clusters": _pickled("clusters.npz"),
    "a pickle in place of the weights": _bare_pickle("weights.npz"),
    "a pickle in place of the clusters": _bare_pickle("clusters.npz"),
    "a torch checkpoint in place of the weights": _torch_pickle,
    "a pickle in place of the configuration": _bare_pickle("config.json"),
    # arrays
    "a header of 2^50 numbers": member("clusters.npz", "centers.npy", header(shape=f"({2**25}, {2**25})")),
    "a header of 2^34 numbers": member("clusters.npz", "centers.npy", header(shape=f"({2**34},)")),
    "a header of 10^30 numbers": member("clusters.npz", "centers.npy", header(shape=f"({10**30},)")),
    "a header of negative numbers": member("clusters.npz", "centers.npy", header(shape="(-2, -32)", data=bytes(256))),
    "a header of True": member("clusters.npz", "centers.npy", header(shape="(True, 32)", data=bytes(128))),
    "a header of thousands of signs": member("clusters.npz", "centers.npy", npy("-" * 9000 + "1")),
    "a header of thousands of brackets": member("clusters.npz", "centers.npy", npy("(" * 9000)),
    "a header that is a call": member("clusters.npz", "centers.npy", npy("__import__('os').getcwd()")),
    "a header without end": member("clusters.npz", "centers.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
    "an array of unknown version": member("clusters.npz", "centers.npy", b"\x93NUMPY\x09\x00" + bytes(64)),
    "a dtype of two gigabytes": member("clusters.npz", "centers.npy", header("'|V2147483647'", "(1,)")),
    "a dtype of text": member("clusters.npz", "centers.npy", header("'<U9'", "(1,)", bytes(36))),
    "a dtype of objects": member("clusters.npz", "centers.npy", header("'|O'", "(1,)", pickle.dumps(1))),
    "a dtype of structures": member("clusters.npz", "centers.npy", header("[('a', '<f4'), ('b', '|O')]", "(1,)")),
    "a text among the arrays": member("clusters.npz", "readme.txt", b"hello"),
    "an array of another byte order": arrays("clusters.npz", lambda a: {**a, "centers": a["centers"].astype(">f8")}),
    "a bomb among the weights": member("weights.npz", "zeros.npy", _BOMB),
    "a bomb in a small array": member("weights.npz", "zeros.npy", header("'|i1'", "(4,)", b"\0" * 2**25)),
    "a bomb in an archive that lies": _lying_bomb,
    "an archive of bzip2": member("weights.npz", "zeros.npy", b"\0" * 2**25, zipfile.ZIP_BZIP2),
    "an archive of lzma": member("weights.npz", "zeros.npy", b"\0" * 2**25, zipfile.ZIP_LZMA),
    "an encrypted archive": _encrypted,
    "a broken stream of deflate": _broken_stream,
    "no archive": text("weights.npz", b"PK\x05\x06" + bytes(17)),
    "an empty archive": text("weights.npz", b"PK\x05\x06" + bytes(18)),
    # weights
    "NaN among the weights": arrays("weights.npz", _filled(float("nan"))),
    "infinity among the weights": arrays("weights.npz", _filled(float("inf"))),
    "a negative variance": arrays("weights.npz", _variance(-1.0)),
    "NaN for omega": arrays("weights.npz", _with(**{_OMEGA: np.full(5, np.nan, np.float32)})),
    "a scale that makes infinity": arrays("weights.npz", _with(**{
        _FIRST: np.full((8, 3, 8, 8), 127, np.int8), f"scale/{_FIRST}": np.full(8, 3e38, np.float32)})),
    "scales that multiply the size": arrays("weights.npz", _with(**{
        _FIRST: _LARGE, f"scale/{_FIRST}": np.ones(10**6, np.float32)})),
    "integers in place of a norm's mean": arrays("weights.npz", _with(**{
        "backbone_maps.bn1.running_mean": np.ones(8, np.int8)})),
    "a missing tensor": arrays("weights.npz", lambda a: {n: x for n, x in a.items() if n != _FIRST}),
    "a tensor too many": arrays("weights.npz", _with(extra=np.zeros(3, np.float32))),
    "a tensor of another shape": arrays("weights.npz", _with(**{_FIRST: np.zeros((8, 3, 7, 7), np.float32)})),
    # clusters
    "no cluster": arrays("clusters.npz", _with(centers=np.zeros((0, WIDTH)), counts=np.zeros(0, int))),
    "clusters of no feature": arrays("clusters.npz", _with(centers=np.zeros((2, 0)))),
    "clusters of other features": arrays("clusters.npz", _with(centers=np.zeros((2, 7)))),
    "NaN for a cluster": arrays("clusters.npz", _with(centers=np.full((2, WIDTH), np.nan))),
    "NaN for a cluster by density": arrays("clusters.npz", _with(density_centers=np.full((3, 5), np.nan))),
    "clusters by other percentiles": arrays("clusters.npz", _with(density_centers=np.ones((3, 4)))),
    "no clusters by density": arrays("clusters.npz", lambda a: {n: x for n, x in a.items() if "density" not in n}),
    "clusters by density without centers": arrays("clusters.npz", _without("density_centers")),
    "clusters at 10^300": arrays("clusters.npz", _with(centers=np.full((2, WIDTH), 1e300))),
    "an infinite number of starts": arrays("clusters.npz", _with(n_init=np.array(np.inf))),
    # configuration
    "another schema": config("schema", 2),
    "a schema of text": config("schema", "1"),
    "a schema that is True": config("schema", True),
    "no configuration": text("config.json", "[]"),
    "a configuration of null": text("config.json", "null"),
    "a configuration that is not UTF-8": text("config.json", b"\xff\xfe{}"),
    "deep nesting": text("config.json", "[" * 100_000 + "]" * 100_000),
    "deep nesting of tables": text("config.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "a number of a million digits": text("config.json", '{"schema": ' + "1" * 1_000_000 + "}"),
    "duplicate keys": _duplicate,
    "a huge configuration": text("config.json", '{"schema": 1, "id": "' + "x" * 2**25 + '"}'),
    "a title of a number": config("title", 3),
    "a title of a megabyte": config("title", "x" * 2**20),
    "a title that writes to the terminal": config("title", "good\x1b[2J\x1b]0;evil\x07"),
    "classes of one text": config("classes", "AB"),
    "classes of numbers": config("classes", [0, 1]),
    "a class of two lines": config("classes", ["normal", "COVID\n19"]),
    "two classes of one name": config("classes", ["same", "same"]),
    "10^9 classes": config("fecnn.classes", 10**9),
    "a negative class": config("positive", -1),
    "a class of text": config("positive", "1"),
    "half a class": config("positive", 0.5),
    "temperature 0": config("temperature", 0),
    "a negative temperature": config("temperature", -1.0),
    "NaN for the temperature": config("temperature", float("nan")),
    "an infinite temperature": config("temperature", float("inf")),
    "a temperature of 10^400": config("temperature", 10**400),
    "a temperature of text": config("temperature", "1"),
    "a temperature of True": config("temperature", True),
    "threshold 0": config("threshold", 0.0),
    "threshold 1": config("threshold", 1.0),
    "threshold 7": config("threshold", 7),
    "NaN for the threshold": config("threshold", float("nan")),
    "rho of 10^9": config("fecnn.rho", 10**9),
    "rho of 10^30": config("fecnn.rho", 10**30),
    "a negative rho": config("fecnn.rho", -1),
    "a dropout of text": config("fecnn.dropout", "half"),
    "a dropout of NaN": config("fecnn.dropout", float("nan")),
    "a backbone of a list": config("fecnn.backbone", ["resnet18"]),
    "an unknown backbone": config("fecnn.backbone", "__import__('os')"),
    "another backbone": config("fecnn.backbone", "resnet18"),
    "an unknown setting of the network": config("fecnn.x", 1),
    "no settings of the network": config("fecnn", []),
    "an input of 10^6 pixels": config("preprocessing.size", 10**6),
    "an input of 33 pixels": config("preprocessing.size", 33),
    "an input of 0 pixels": config("preprocessing.size", 0),
    "an input of 64.5 pixels": config("preprocessing.size", 64.5),
    "an input of text": config("preprocessing.size", "64"),
    "a window of one value": config("preprocessing.window_hu", [0]),
    "a window from high to low": config("preprocessing.window_hu", [600, -1200]),
    "a window of NaN": config("preprocessing.window_hu", [float("nan"), 600]),
    "an infinite window": config("preprocessing.window_hu", [-float("inf"), 600]),
    "a window of text": config("preprocessing.window_hu", "ab"),
    "an infinite slab": config("preprocessing.slab_mm", float("inf")),
    "a slab of text": config("preprocessing.slab_mm", "4"),
    "a margin of null": config("preprocessing.margin", None),
    "a mask of text": config("preprocessing.mask_lungs", "no"),
    "an unknown preprocessing": config("preprocessing.x", 1),
    "a calibration of text": config("study.scale", "1"),
    "a calibration of NaN": config("study.scale", float("nan")),
    "statistics without deviation": config("input_statistics", {"level": "c3", "mean": [0.5] * C3, "limit": 3.0}),
    "statistics of other features": config("input_statistics", {
        "level": "c3", "mean": [0.5], "deviation": [1.0], "components": [], "limit": 3.0}),
    "statistics of text": config("input_statistics.limit", "3"),
    "statistics of another level": config("input_statistics.level", "c5"),
    "statistics of an unknown level": config("input_statistics.level", "c9"),
    "statistics along other directions": config("input_statistics.components", [[1.0]]),
    "statistics of deviation 0": config("input_statistics.deviation", [0.0] * C3),
    # the folder
    "no checksums": lambda folder, _: (folder / "checksums.json").unlink(),
    "checksums of a list": lambda folder, _: (folder / "checksums.json").write_text("[]"),
    "checksums without the weights": _sums(lambda s: {n: v for n, v in s.items() if n != "weights.npz"}),
    "wrong checksums": _sums(lambda s: dict.fromkeys(s, "0" * 64)),
    "checksums of numbers": _sums(lambda s: dict.fromkeys(s, 0)),
    "deeply nested checksums": lambda folder, _: (folder / "checksums.json").write_text("[" * 100_000),
    "checksums of a way out": _sums(lambda s: {**s, "../secret.txt": "0" * 64}),
    "checksums of an absolute path": _sums(lambda s: {**s, "/etc/hostname": "0" * 64}),
    "checksums of a drive": _sums(lambda s: {**s, "C:secret.txt": "0" * 64}),
    "checksums of a missing file": _sums(lambda s: {**s, "more.bin": "0" * 64}),
    "checksums of ten thousand files": _sums(lambda s: {**s, **{f"f{i}": "0" * 64 for i in range(10_000)}}),
    "a link to a secret": _instead("MODEL_CARD.md", _secret),
    "a link to nowhere": _instead("config.json", lambda path, _: path.symlink_to("nowhere")),
    "a link to itself": _instead("config.json", lambda path, _: path.symlink_to(path)),
    "a link to an endless device": _instead("weights.npz", lambda path, _: path.symlink_to("/dev/zero")),
    "a pipe": _instead("weights.npz", lambda path, _: os.mkfifo(path)),
    "a pipe for checksums": _instead("checksums.json", lambda path, _: os.mkfifo(path)),
    "a folder for a file": _instead("clusters.npz", lambda path, _: path.mkdir()),
    "a file of 100 gigabytes": _instead("weights.npz", _sparse),
    "checksums of 100 gigabytes": _instead("checksums.json", _sparse),
    "a card that is not UTF-8": text("MODEL_CARD.md", b"\xff\xfe"),
    "a card of 40 megabytes": text("MODEL_CARD.md", "# x\n" * 10**7),
}  # fmt: skip

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href='javascript:alert(1)'>"
LINKS = "[x](javascript:alert(1)) ![x](http://evil.example/x.png)"
CARD = f"# {SCRIPT}\n\n{LINKS}\n\n| a |\n|---|\n| {SCRIPT} |\n\n`{SCRIPT}`\n"
ACCEPTED = {  # odd, but harmless: the model works, and the report shows its text as text
    "a script in the card": text("MODEL_CARD.md", CARD),
    "a script in the title": config("title", SCRIPT),
    "a script in the license": config("license", SCRIPT),
    "a script in the classes": config("classes", ["normal", SCRIPT]),
    "a formula in the classes": config("classes", ["normal", "=cmd|'/c calc'!A0"]),
    "ten thousand quotes in the card": text("MODEL_CARD.md", ">" * 10_000 + "x"),
    "ten thousand levels of a list": text("MODEL_CARD.md", "".join(f"{' ' * i}- x\n" for i in range(500))),
    "backticks, stars and brackets in the card": text("MODEL_CARD.md", "".join(c * 20_000 + "\n\n" for c in "`*_[|-")),
    "a rule of a table without end": text("MODEL_CARD.md", "|a\n" + "|-" * 20_000 + "x\n"),
    "weights of 10^38": arrays("weights.npz", _filled(3e38)),
    "zero variance of the norms": arrays("weights.npz", _variance(0.0)),
    "a link to its own files": _instead("MODEL_CARD.md", lambda path, work: _elsewhere(path, work)),
}  # fmt: skip


def _elsewhere(path: Path, work: Path) -> None:
    """As model caches do: the file is in another folder, and is the right one."""
    (work / "blob").write_text("# A good model\n")
    path.symlink_to(work / "blob")


# -- outcome ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """``message``: of the error, "" where the model works; ``error``: the class of the exception."""

    message: str
    error: type | None
    seconds: float
    peak_bytes: int
    analysis: object = None


def attempt(folder: Path, seconds: float = 20.0) -> Outcome:
    """Load the model and analyze a small CT with it. Raises TimeoutError where that takes longer than ``seconds``."""

    def late(*_):
        raise TimeoutError(f"{folder.name} hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    tracemalloc.start(1)
    began = time.perf_counter()
    message, error_type, analysis = "", None, None
    try:
        analysis = analyze(folder)
    except TimeoutError:
        raise
    except Exception as error:
        message, error_type = error_message(error), type(error)
    finally:
        took, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return Outcome(message, error_type, took, peak, analysis)


def analyze(folder: Path):
    bundle = ModelBundle.load(folder)
    analyzer = LesionAnalyzer(bundle, AnalysisConfig(device="cpu", precision="float32"))
    array = chest()
    lungs = np.zeros(array.shape, bool)
    lungs[:, 12:-12, 9:-9] = array[:, 12:-12, 9:-9] < -500
    return analyzer.analyze(ct_from_array(array, RAS, "small"), lung_mask=lungs)
