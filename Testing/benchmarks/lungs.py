"""How well and how fast lungs are found: Dice against lung masks, milliseconds per slice, peak memory.

    python Testing/benchmarks/lungs.py [../shared/data]

Dice over the whole volume of the lung-mask data, and per slice of its single slices (given as volumes of one
slice). The time is that of all preprocessing of real volumes, whose slices are repeated to 300.
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


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


def read_array(path):
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def measure_dice(folder):
    """Print the Dice of every case; the paper has 0.82."""
    baseline = folder / "3DCT_lung_baseline.mha"
    if baseline.exists():
        ct = read_ct(str(baseline))
        truth = ct.axial().from_volume(read_array(folder / "3DCT_lung_baseline_mask.mha")) > 0
        print(f"{baseline.name:28s} Dice {dice(segment_lungs(ct), truth):.3f}")
    scores = []
    for path in sorted((folder / "slices").glob("*_mask.mha")):
        picture = path.with_name(path.name.replace("_mask", ""))
        hu = np.clip(read_array(picture).astype(np.int16).reshape(1, 512, 512), -1024, None)
        ct = ct_from_array(hu, np.diag([-0.7, -0.7, 5.0, 1.0]), picture.stem)  # pixel size unknown
        try:
            mask = segment_lungs(ct)[0]
        except ValueError as error:
            print(f"{picture.name:28s} {error}")
            mask = np.zeros((512, 512), dtype=bool)
        scores.append(dice(mask, read_array(path).reshape(512, 512) > 0))
        print(f"{picture.name:28s} Dice {scores[-1]:.3f}")
    if scores:
        print(f"{len(scores)} single slices: Dice mean {np.mean(scores):.3f}, "
              f"median {np.median(scores):.3f}, lowest {np.min(scores):.3f}")


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
    measure_dice(folder / "lung-masks")
    for path in sorted((folder / "volumes").glob("*.nii.gz")):
        measure_time(path)
