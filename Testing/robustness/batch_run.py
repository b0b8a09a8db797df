"""A batch of many small cases, some of them broken, run through the command line; measures memory after each case.

    python batch_run.py FOLDER COUNT BROKEN      # makes inputs, runs twice, prints the measurements as JSON
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = [ROOT / "LesionAnalysis", ROOT / "LesionAnalysisTraining", ROOT / "Testing"]
SCENE_EVERY = 3  # every third case gets a scene


def measure(folder: Path, count: int, broken: int) -> dict:
    """Run the batch in a process of its own; ``runs`` has a dict for each of the two runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, LIBRARIES)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder), str(count), str(broken)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def make_inputs(folder: Path, count: int, broken: int) -> tuple[list[Path], list[str]]:
    """``count`` inputs, of which ``broken``, evenly distributed, cannot be read; and the names of the broken ones."""
    from LesionAnalysisLib.phantom import make_phantom
    from LesionAnalysisLib.volume.writing import write_volume

    folder.mkdir(parents=True)
    ct = make_phantom((8, 80, 80), (4.4, 4.4, 36.0), noise_hu=5).ct
    write_volume(ct.array, ct.ijk_to_ras, folder / "good.nrrd")
    damages = list(DAMAGES.values())
    damage_of = {int(i): damages[n % len(damages)] for n, i in enumerate(np.linspace(1, count - 2, broken))}
    paths = []
    for i in range(count):
        path = folder / f"case{i:03d}.nrrd"
        if i in damage_of:
            damage_of[i](path, (folder / "good.nrrd").read_bytes())
        else:  # different noise in each
            noise = np.random.default_rng(i).integers(-20, 20, ct.array.shape, dtype=np.int16)
            write_volume(np.where(ct.array > -1000, ct.array + noise, ct.array), ct.ijk_to_ras, path)
        paths.append(path)
    return paths, [paths[i].stem for i in sorted(damage_of)]


def _folder_with(path: Path, name: str, content: bytes) -> None:
    path.mkdir()
    (path / name).write_bytes(content)


DAMAGES = {
    "cut off": lambda path, good: path.write_bytes(good[: len(good) // 2]),
    "empty": lambda path, good: path.write_bytes(b""),
    "another file": lambda path, good: path.write_bytes(b"The results are attached. " * 99),
    "missing": lambda path, good: None,
    "no spacing": lambda path, good: path.write_bytes(good.replace(b"directions: (", b"directions: none (")),
    "empty folder": lambda path, good: path.mkdir(),
    "folder of texts": lambda path, good: _folder_with(path, "letter.txt", b"Dear colleague"),
    "half a DICOM file": lambda path, good: _folder_with(path, "IM0", bytes(128) + b"DICM" + good[:500]),
}


def resident_mb() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _run(paths: list[Path], output: Path, model: Path) -> dict:
    """Run the command, measuring memory after each case."""
    from LesionAnalysisLib import cli
    from LesionAnalysisLib.app import batch

    memory, seconds, run_case = [], [], batch.Batch.run_case

    def measured(self, case, *rest):
        self.scene = len(memory) % SCENE_EVERY == 0
        start = time.monotonic()
        try:
            return run_case(self, case, *rest)
        finally:
            seconds.append(time.monotonic() - start)
            memory.append(resident_mb())

    batch.Batch.run_case = measured
    try:
        code = cli.main(["analyze", *map(str, paths), "--output", str(output), "--model", str(model), "--device", "cpu",
                         "--quiet"])  # fmt: skip
    finally:
        batch.Batch.run_case = run_case
    with open(output / "summary.csv", newline="", encoding="utf-8") as stream:
        rows = [{name: row[name] for name in ("case", "status", "error")} for row in csv.DictReader(stream)]
    made = {path.parent.name: path.stat().st_mtime_ns for path in sorted(output.glob("*/analysis.json"))}
    return {"code": code, "memory": memory, "seconds": seconds, "rows": rows, "made": made,
            "names": sorted(path.name for path in output.iterdir())}  # fmt: skip


def main(folder: Path, count: int, broken: int) -> None:
    from thin_networks import thin_bundle, thin_networks

    paths, bad = make_inputs(folder / "inputs", count, broken)
    thin_bundle(folder / "model")
    with thin_networks():
        runs = [_run(paths, folder / "output", folder / "model") for _ in range(2)]
    print(json.dumps({"broken": bad, "runs": runs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
