"""Kills commands at random moments and checks what they leave.

A server imports everything once and forks a child for every command, so that a trial takes no longer than the command
itself. ``Server`` runs in the process of the test, ``python interruptions.py`` in the other one.
"""

from __future__ import annotations

import csv
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = [ROOT / "LesionAnalysis", ROOT / "LesionAnalysisTraining", ROOT / "Testing"]
TIMEOUT_S = 300.0  # a command, or its end after a signal, that takes longer hangs
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"
)
_MODULES = (
    "LesionAnalysisLib.analyzer",
    "LesionAnalysisLib.app.batch",
    "LesionAnalysisLib.scene",
    "LesionAnalysisTrainingLib.train_command",
    "LesionAnalysisTrainingLib.training",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: by that signal), what it printed, seconds."""

    code: int
    text: str
    seconds: float
    renames: int  # how many files and folders it renamed
    hung: bool = False


class Server:
    """Runs ``lesion-analysis`` commands in forked children; ``temporary`` is their folder for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir(parents=True)
        environment = {**os.environ, **_ONE_THREAD, "TMPDIR": str(self.temporary)}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, LIBRARIES))
        self._process = subprocess.Popen([sys.executable, __file__], env=environment, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)

    def run(self, *arguments: object, after: float | None = None, kind: int = signal.SIGKILL,
            step: float | None = None, plots: bool = True) -> Ended:  # fmt: skip
        """One command, to its end or until its process group gets the signal ``kind`` ``after`` so many seconds.

        step: instead, kill it just before that rename (0, 1, ...), or just after it (0.5, 1.5, ...), the most critical
        moments. plots: whether a training draws plots.
        """
        job = {"arguments": [*map(str, arguments)], "after": after, "kind": int(kind), "step": step, "plots": plots,
               "text": str(self.folder / "printed.txt")}  # fmt: skip
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def warm_up(self, *arguments: object) -> None:
        """Run a command in the server itself, so that libraries are initialized in all children."""
        self._process.stdin.write(json.dumps({"arguments": [*map(str, arguments)]}) + "\n")
        self._process.stdin.flush()
        assert json.loads(self._process.stdout.readline()) == {"code": 0, "threads": 1}, "threads do not survive a fork"

    def left(self) -> list[str]:
        """Names in the folder for temporary files, except for torch's own."""
        return sorted(path.name for path in self.temporary.iterdir() if not path.name.startswith("torchinductor_"))


def moments(count: int, duration: float, seed: int = 0) -> Iterator[float]:
    """Times in a run in seconds, a random one in each of ``count`` equal parts."""
    draw = random.Random(seed)
    for i in range(count):
        yield (i + draw.random()) / count * duration


# -- what a command leaves ---------------------------------------------------------------------------------------------


def complete_cases(output: Path) -> list[str]:
    """Names of the cases in ``output``. AssertionError if one is incomplete."""
    folders = sorted(path for path in output.glob("[!.]*") if path.is_dir())
    for folder in folders:
        check_case(folder)
    return [folder.name for folder in folders]


def check_case(folder: Path, scene: bool = True) -> None:
    """AssertionError if a case folder is incomplete."""
    import SimpleITK as sitk
    from LesionAnalysisLib.app.case import FILES, SCENE
    from LesionAnalysisLib.report.json_csv import from_json

    assert {p.name for p in folder.iterdir()} == set(FILES) - (set() if scene else {SCENE}), folder
    analysis = from_json(json.loads((folder / "analysis.json").read_text(encoding="utf-8")))
    assert len(table(folder / "slices.csv")) == len(analysis.slices) == analysis.summary.total_slices
    assert len(table(folder / "lesions.csv")) == len(analysis.lesions) == analysis.summary.lesion_count
    lam = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "lam.nrrd")))
    assert len(lam) == analysis.summary.total_slices
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    if scene:
        with zipfile.ZipFile(folder / "scene.mrb") as bundle:
            assert bundle.testzip() is None and any(name.endswith(".mrml") for name in bundle.namelist())


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def rows(output: Path) -> dict[str, dict[str, str]]:
    """The rows of ``summary.csv`` by case."""
    from LesionAnalysisLib.app.summary_table import Summary

    found = Summary(output / "summary.csv").rows()
    assert len({row["case"] for row in found}) == len(found)
    return {row["case"]: row for row in found}


def content(output: Path) -> dict[str, object]:
    """The content of the cases in ``output`` and their rows, without times."""
    found: dict[str, object] = {}
    for name in complete_cases(output):
        data = json.loads((output / name / "analysis.json").read_text(encoding="utf-8"))
        found[name] = {key: value for key, value in data.items() if key != "timing_s"}
        for file in ("slices.csv", "lesions.csv"):
            found[f"{name}/{file}"] = (output / name / file).read_text(encoding="utf-8")
        found[f"{name}/lam.nrrd"] = (output / name / "lam.nrrd").read_bytes()
    found["summary.csv"] = {case: {**row, "seconds": ""} for case, row in rows(output).items()}
    return found


def model_content(folder: Path) -> dict[str, object]:
    """The content of a model folder and the table beside it, without times and the model's own name."""
    from LesionAnalysisLib.model.bundle import ModelBundle
    from thin_networks import thin_networks

    with thin_networks():
        ModelBundle.load(folder)
    with np.load(folder / "weights.npz") as archive:
        found: dict[str, object] = {name: archive[name].tobytes() for name in archive.files}
    found["files"] = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for row in metrics["history"]:
        del row["seconds"]
    found["metrics"] = {key: value for key, value in metrics.items() if key not in ("training_s", "finish_s")}
    found["slices"] = folder.with_name(f"{folder.name}.slices.csv").read_text(encoding="utf-8")
    return found


def temporary_files(*folders: Path) -> list[str]:
    """Names of hidden and temporary files and folders anywhere below ``folders``."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return sorted(p.name for p in found if p.name.startswith(".") or p.name.endswith((".tmp", ".old", ".new")))


# -- the server process --------------------------------------------------------------------------------------------


def _serve() -> None:
    for name in _MODULES:
        import_module(name)
    import torch
    from LesionAnalysisTrainingLib.plots.canvas import new_figure
    from thin_networks import thin_networks

    torch.set_num_threads(1)
    new_figure(1, 1)
    with thin_networks():
        _answer()


def _answer() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(_trial(job) if "step" in job else _warm_up(job["arguments"])), flush=True)


def _warm_up(arguments: list[str]) -> dict:
    from LesionAnalysisLib.cli import main

    code = main([*arguments, "--quiet"])
    gc.freeze()  # or garbage collection in a child would copy all of its memory
    return {"code": code, "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1}


def _trial(job: dict) -> dict:
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(job)
    _own_group(pid)
    status = _wait(pid, start + (TIMEOUT_S if job["after"] is None else job["after"]))
    hung = False
    if status is None:
        os.killpg(pid, job["kind"])
        status = _wait(pid, time.monotonic() + TIMEOUT_S)
        if status is None or job["after"] is None:
            hung = True
            os.killpg(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1] if status is None else status
    text = Path(job["text"])
    return {
        "code": os.waitstatus_to_exitcode(status), "text": text.read_text(encoding="utf-8", errors="replace"),
        "renames": int(text.with_suffix(".renames").read_text() or 0) if text.with_suffix(".renames").exists() else 0,
        "seconds": time.monotonic() - start, "hung": hung,
    }  # fmt: skip


def _wait(pid: int, deadline: float) -> int | None:
    """The status with which the child ended, or None at the deadline."""
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    return None


def _own_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)  # in parent and child, whichever comes first
    except (PermissionError, ProcessLookupError):
        pass


def _child(job: dict) -> None:
    """Run the command; does not return."""
    code = 70
    try:
        _own_group(0)
        out = os.open(job["text"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        from LesionAnalysisLib.cli import main

        if not job["plots"]:
            from LesionAnalysisTrainingLib import plots

            plots.available = lambda: False
        _count_renames(job["step"], Path(job["text"]).with_suffix(".renames"))
        code = main(job["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _count_renames(step: float | None, count: Path) -> None:
    """Kill this process at a rename, and write the number of renames to the file ``count``."""
    done = 0

    def wrapped(rename):
        def counted(*arguments, **options):
            nonlocal done
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*arguments, **options)
            done += 1
            count.write_text(str(done))
            if done - 0.5 == step:
                os.kill(os.getpid(), signal.SIGKILL)

        return counted

    count.write_text("0")
    os.rename, os.replace = wrapped(os.rename), wrapped(os.replace)


if __name__ == "__main__":
    assert tempfile.gettempdir() == os.environ["TMPDIR"]
    _serve()
