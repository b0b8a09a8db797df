"""Coverage-guided fuzzing of everything that parses untrusted data, with atheris (``pip install atheris``).

    python Testing/robustness/fuzz.py                       all targets, one minute each
    python Testing/robustness/fuzz.py nifti npz --seconds 300
    python Testing/robustness/fuzz.py nifti --input crash-...   run one input again

A target may return or raise its documented exceptions; anything else, more than 20 seconds, or more than 2 GB is a
finding, whose input is stored in ``--findings``. Earlier findings are tests in ``test_fuzz_findings.py``. Executions
and coverage (of the Python code of LesionAnalysisLib, LesionAnalysisTrainingLib and Pillow) are printed for each.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOTS = [HERE, HERE.parent, HERE.parents[1] / "LesionAnalysis", HERE.parents[1] / "LesionAnalysisTraining"]
sys.path[:0] = [str(root) for root in ROOTS]

INSTRUMENTED = ["LesionAnalysisLib", "LesionAnalysisTrainingLib", "PIL"]
_SCRATCH = Path(tempfile.gettempdir())

Target = Callable[[bytes], None]


# -- targets: each takes bytes and handles the documented exceptions ---------------------------


def _file(suffix: str) -> Target:
    """``read_ct`` of a file with this suffix; DICOM, detected by content, is a separate target."""
    from LesionAnalysisLib.volume import read_ct
    from LesionAnalysisLib.volume.dicom import is_dicom

    path = _SCRATCH / f"input{suffix}"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        if is_dicom(path) != (suffix == ".dcm"):
            return
        try:
            read_ct(path)
        except (OSError, ValueError, RuntimeError) as error:
            _check_sentence(error, RecursionError, NotImplementedError)

    return run


def _config() -> Target:
    """``config.json``, including its preprocessing settings."""
    from LesionAnalysisLib.model.bundle import check_preprocessing
    from LesionAnalysisLib.model.folder import damaged, parse_config

    def run(data: bytes) -> None:
        try:
            check_preprocessing(parse_config(data)["preprocessing"])
        except ValueError as error:
            _check_sentence(damaged(Path("model"), str(error)))

    return run


def _checksums() -> Target:
    from LesionAnalysisLib.model.folder import CARD, CHECKSUMS, CLUSTERS, CONFIG, WEIGHTS, read_model

    folder = _SCRATCH / "model"
    folder.mkdir(exist_ok=True)
    for name in (CONFIG, WEIGHTS, CLUSTERS, CARD):
        (folder / name).write_bytes(b"")

    def run(data: bytes) -> None:
        (folder / CHECKSUMS).write_bytes(data)
        try:
            read_model(folder)
        except (OSError, ValueError) as error:
            _check_sentence(error)

    return run


def _npz() -> Target:
    """The arrays of weights and clusters."""
    from LesionAnalysisLib.lesions.clusters import LesionClusters
    from LesionAnalysisLib.model.arrays import read_arrays
    from LesionAnalysisLib.model.folder import damaged

    def run(data: bytes) -> None:
        try:
            LesionClusters.from_arrays(read_arrays(data))
        except ValueError as error:
            _check_sentence(damaged(Path("model"), str(error)))

    return run


def _analysis() -> Target:
    """The JSON text of an analysis in an untrusted scene."""
    from LesionAnalysisLib.report.json_csv import from_json, to_json

    def run(data: bytes) -> None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return
        try:
            to_json(from_json(value))
        except ValueError as error:
            _check_sentence(error)

    return run


def _manifest() -> Target:
    from LesionAnalysisTrainingLib.dataset.manifest import read_manifest, read_slice_labels

    folder = _SCRATCH / "data"
    folder.mkdir(exist_ok=True)
    for name in ("a.png", "b.nii"):
        (folder / name).touch()

    def run(data: bytes) -> None:
        for name, read in (("manifest.csv", lambda: read_manifest(folder, "data")),
                           ("slice_labels.csv", lambda: read_slice_labels(folder, [folder / "b.nii"]))):  # fmt: skip
            (folder / name).write_bytes(data)
            try:
                read()
            except (OSError, ValueError) as error:
                _check_sentence(error)

    return run


def _check_sentence(error: Exception, *forbidden: type) -> None:
    from LesionAnalysisLib.text import error_message

    assert not isinstance(error, forbidden), type(error)
    message = error_message(error)
    assert message and "\n" not in message and len(message) <= 600, message


TARGETS: dict[str, Callable[[], Target]] = {
    "nifti": lambda: _file(".nii"),
    "nifti-gz": lambda: _file(".nii.gz"),
    "nrrd": lambda: _file(".nrrd"),
    "mha": lambda: _file(".mha"),
    "dicom": lambda: _file(".dcm"),
    "png": lambda: _file(".png"),
    "jpeg": lambda: _file(".jpg"),
    "tiff": lambda: _file(".tif"),
    "bmp": lambda: _file(".bmp"),
    "config": _config,
    "checksums": _checksums,
    "npz": _npz,
    "analysis": _analysis,
    "manifest": _manifest,
}


# -- seeds -----------------------------------------------------------------------------------------


def seeds(target: str, folder: Path) -> None:
    """Write a few valid inputs, which atheris mutates."""
    import hashlib

    folder.mkdir(parents=True, exist_ok=True)
    for content in _valid_inputs(target):
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def _valid_inputs(target: str) -> list[bytes]:
    import gzip

    import numpy as np
    from helpers_report import make_analysis
    from helpers_volume import chest, nifti, write_series, write_volume
    from LesionAnalysisLib.report.json_csv import to_json
    from PIL import Image

    ct = chest(2, 30, 40)[:, :12, :12].copy()
    gray = np.arange(144, dtype=np.uint8).reshape(12, 12)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if target in ("nifti", "nifti-gz"):
            plain = [nifti(ct, order, version) for order in "<>" for version in (1, 2)]
            return plain if target == "nifti" else [gzip.compress(one) for one in plain]
        if target in ("nrrd", "mha"):
            return [write_volume(folder / f"{n}.{target}", ct, useCompression=bool(n)).read_bytes() for n in range(2)]
        if target == "dicom":
            return [path.read_bytes() for path in write_series(folder / "series", ct[:1]).iterdir()]
        if target in ("png", "jpeg", "tiff", "bmp"):
            modes = {"png": ("L", "RGBA", "P", "I;16"), "jpeg": ("L", "RGB"), "tiff": ("L", "I;16", "F", "1")}
            contents = []
            for mode in modes.get(target, ("L", "RGB", "P")):
                buffer = io.BytesIO()
                base = Image.fromarray(gray)
                image = Image.fromarray(gray.astype(np.uint16) * 99) if mode == "I;16" else base.convert(mode)
                image.save(buffer, target.upper())
                contents.append(buffer.getvalue())
            return contents
        if target in ("config", "checksums", "npz"):
            from hostile_bundles import good_bundle, known_backbone

            with known_backbone():
                bundle = good_bundle(folder / "model")
            named = {"config": "config.json", "checksums": "checksums.json", "npz": "clusters.npz"}
            return [(bundle / named[target]).read_bytes()]
        if target == "analysis":
            return [json.dumps(to_json(make_analysis(healthy=healthy))).encode() for healthy in (True, False)]
        return [b"file,label,patient,split,slice\na.png,COVID,p1,train,\nb.nii,normal,p2,val,3\n",
                b"\xef\xbb\xbffile;slice;label\nb.nii;0;1\nb.nii;1;0\n"]  # fmt: skip


# -- running ---------------------------------------------------------------------------------------


def fuzz(target: str, seconds: int, findings: Path) -> None:
    """Fuzz in this process, which atheris ends."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import LesionAnalysisLib.volume  # noqa: F401

        run = TARGETS[target]()
    corpus = _SCRATCH / "corpus"
    seeds(target, corpus)
    options = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=65536",
               f"-artifact_prefix={findings}/{target}-", str(corpus)]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], run)
    atheris.Fuzz()


def measure(target: str, seconds: int, findings: Path) -> tuple[str, bool]:
    """Fuzz in another process with its own temporary folder; a line of statistics, and whether there was a finding."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        command = [sys.executable, __file__, target, "--seconds", str(seconds), "--findings", str(findings), "--here"]
        environment = {**os.environ, "TMPDIR": scratch, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    lines = re.findall(r"^#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr, re.MULTILINE)
    if not lines:
        return f"{target:10} did not start: {done.stderr.strip()[-600:]}", True
    first = next((line for line in lines if line[1] == "INITED"), lines[0])
    last = lines[-1]
    summary = (f"{target:10} {int(last[0]):9,} executions, coverage {first[2]} -> {last[2]} edges, "
               f"{first[3]} -> {last[3]} features, corpus {last[4]}")  # fmt: skip
    if done.returncode:
        trace = done.stderr[max(done.stderr.find("Uncaught Python exception"), 0) :] or done.stderr[-3000:]
        return f"{summary}: FINDING\n{trace[-2500:]}", True
    return summary, False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for inputs that fail")
    parser.add_argument("--input", type=Path, help="run the target on this file only")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.findings.mkdir(parents=True, exist_ok=True)
    if arguments.input:
        TARGETS[arguments.targets[0]]()(arguments.input.read_bytes())
        return 0
    if arguments.here:
        fuzz(arguments.targets[0], arguments.seconds, arguments.findings.absolute())
    found = False
    for target in arguments.targets or TARGETS:
        summary, finding = measure(target, arguments.seconds, arguments.findings)
        print(summary, flush=True)
        found |= finding
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
