"""How fast lungs are found: milliseconds per slice, and peak memory. How well: ``lesion-analysis evaluate lungs``.

    python Testing/benchmarks/lungs.py [../shared/data]

The time is that of all preprocessing of real volumes, whose slices are repeated to 300.
"""

import argparse
import os
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "LesionAnalysis"))

from LesionAnalysisLib.lungs import Preprocessing, lung_slices, segment_lungs  # noqa: E402
from LesionAnalysisLib.volume import ct_from_array, read_ct  # noqa: E402


def measure_time(path, slices=300):
    """Print milliseconds a slice (wall and CPU) of finding lungs and cutting slices, and peak memory."""
    thin = thinned(read_ct(str(path)), slices)
    print(f"{path.name}, repeated to {slices} slices, ms/slice:")
    for name, preprocessing in (("default", Preprocessing()), ("paper", Preprocessing.paper())):
        start = np.array([time.perf_counter(), time.process_time()])
        mask = segment_lungs(thin)
        found = np.array([time.perf_counter(), time.process_time()])
        kept = sum(1 for _ in lung_slices(thin, mask, preprocessing))
        cut = np.array([time.perf_counter(), time.process_time()])
        find_ms, cut_ms = 1e3 * (found - start) / slices, 1e3 * (cut - found) / slices
        print(f"  {name:8s} find {find_ms[0]:.1f} (CPU {find_ms[1]:.1f}), cut {cut_ms[0]:.1f} "
              f"(CPU {cut_ms[1]:.1f}), {kept} slices kept")
    tracemalloc.start()
    mask = segment_lungs(thin)
    sum(1 for _ in lung_slices(thin, mask, Preprocessing()))
    print(f"  peak of extra memory {tracemalloc.get_traced_memory()[1] / 2**20:.0f} MiB")
    tracemalloc.stop()


def thinned(ct, slices):
    """`ct` cut into thinner slices by repeating them."""
    count = len(ct.array)
    nearest = np.arange(slices) * count // slices
    matrix = ct.ijk_to_ras @ np.diag([1, 1, count / slices, 1])
    return ct_from_array(ct.array[nearest], matrix, ct.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=default)
    folder = parser.parse_args().data
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for path in sorted((folder / "volumes").glob("*.nii.gz")):
        measure_time(path)
