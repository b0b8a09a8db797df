"""Speed and peak memory of lung segmentation and preprocessing (for accuracy: ``lesion-analysis evaluate lungs``).

    python Testing/benchmarks/lungs.py [../shared/data]

Milliseconds per slice on real volumes, whose slices are repeated to 300.
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
    """Print milliseconds per slice (wall and CPU) of segmentation and preprocessing, and peak memory."""
    thin = with_thin_slices(read_ct(str(path)), slices)
    print(f"{path.name}, repeated to {slices} slices, ms per slice:")
    for name, preprocessing in (("default", Preprocessing()), ("paper", Preprocessing.paper())):
        start = np.array([time.perf_counter(), time.process_time()])
        mask = segment_lungs(thin)
        segmented = np.array([time.perf_counter(), time.process_time()])
        kept = sum(1 for _ in lung_slices(thin, mask, preprocessing))
        done = np.array([time.perf_counter(), time.process_time()])
        lungs_ms, slices_ms = 1e3 * (segmented - start) / slices, 1e3 * (done - segmented) / slices
        print(f"  {name:8s} lungs {lungs_ms[0]:.1f} (CPU {lungs_ms[1]:.1f}), slices {slices_ms[0]:.1f} "
              f"(CPU {slices_ms[1]:.1f}), {kept} slices kept")
    tracemalloc.start()
    mask = segment_lungs(thin)
    sum(1 for _ in lung_slices(thin, mask, Preprocessing()))
    print(f"  peak additional memory {tracemalloc.get_traced_memory()[1] / 2**20:.0f} MiB")
    tracemalloc.stop()


def with_thin_slices(ct, slices):
    """``ct`` with its slices repeated to ``slices`` thinner ones."""
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
