"""Speed and memory of the whole analysis on the CPU.

    python Testing/benchmarks/analyze.py                          # a synthetic CT of 120 slices of 512 x 512
    python Testing/benchmarks/analyze.py --volume ct.nii.gz --repeats 3
    python Testing/benchmarks/analyze.py --quick                  # 24 slices, no long parts

Compares the analysis with the pipeline of straightforward.py in one run and with the same weights (alternating;
medians), then measures its parts. Prints a table; writes nothing. Close other programs first: times are wall-clock
times. Needs ``grad-cam`` (the extra ``test``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "LesionAnalysis")]

import straightforward  # noqa: E402
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer  # noqa: E402
from LesionAnalysisLib.lungs import lung_slices, segment_lungs  # noqa: E402
from LesionAnalysisLib.model.bundle import ModelBundle  # noqa: E402
from LesionAnalysisLib.network.saliency import log_odds  # noqa: E402
from LesionAnalysisLib.phantom import make_phantom  # noqa: E402
from LesionAnalysisLib.volume import CtVolume, ct_from_array, read_ct  # noqa: E402

MEMORY_SLICES = (50, 300, 1200)
GROWTH = (50, 300, 1200)  # slices


class Table:
    """Rows of measurements beside their targets."""

    def __init__(self) -> None:
        self.failed = 0
        print(f"{'':58}{'measured':>12}  {'target':>10}")

    def row(self, what: str, value: float, unit: str = "", limit: float | None = None, at_least: bool = False):
        target, verdict = "", ""
        if limit is not None:
            good = value >= limit if at_least else value <= limit
            target, verdict = f"{'>=' if at_least else '<='} {limit:g}", "" if good else "  MISSED"
            self.failed += not good
        print(f"{what:58}{value:9.2f} {unit:<4}{target:>9}{verdict}", flush=True)


def take_slices(ct: CtVolume, count: int) -> CtVolume:
    """The CT resampled (nearest neighbor) to ``count`` axial slices over the same extent."""
    view = ct.axial()
    total = view.array.shape[0]
    step = total / count
    chosen = np.clip(((np.arange(count) + 0.5) * step).astype(int), 0, total - 1)
    scale = np.diag([1.0, 1.0, step, 1.0])
    scale[2, 3] = 0.5 * step - 0.5
    return ct_from_array(np.ascontiguousarray(view.array[chosen]), view.index_to_ras @ scale, ct.name)


def compare(table: Table, bundle: ModelBundle, ct: CtVolume, repeats: int, every: bool) -> None:
    """The whole analysis with both presets against the straightforward pipeline."""
    analyzers = {name: LesionAnalyzer(bundle, AnalysisConfig.from_preset(name)) for name in ("enhanced", "paper")}
    network, volume = bundle.network(), ct.axial().array
    analyzers["enhanced"].analyze(take_slices(ct, 8))  # warm-up
    straightforward.run(volume[len(volume) // 2 :][:2], network, bundle.clusters.features, bundle.positive)
    seconds: dict[str, list[float]] = {name: [] for name in (*analyzers, "straightforward")}
    for _ in range(repeats):
        for name, analyzer in analyzers.items():
            analysis, took = timed(analyzer.analyze, ct)
            seconds[name].append(took)
            report_run(name, took, analysis.timing_s, analysis.summary)
        outcome, took = timed(straightforward.run, volume, network, bundle.clusters.features, bundle.positive, every)
        seconds["straightforward"].append(took)
        positive = sum(p >= 0.5 for p in outcome.probabilities.values())
        print(f"  straightforward: {took:7.1f} s; {len(outcome.probabilities)} slices, {positive} positive; "
              + ", ".join(f"{k} {v:.1f}" for k, v in outcome.seconds.items()))  # fmt: skip
    for name in analyzers:
        ratios = [b / a for a, b in zip(seconds[name], seconds["straightforward"], strict=True)]
        table.row(f"whole analysis, {name} preset: speedup", median(ratios), "x", 5, at_least=True)
        print(f"{'':20}of {repeats} runs: {min(ratios):.2f} to {max(ratios):.2f}")


def report_run(name: str, took: float, timing: dict[str, float], summary) -> None:
    parts = ", ".join(f"{k} {v:.1f}" for k, v in timing.items() if k != "total")
    print(f"  {name:>15}: {took:7.1f} s; {summary.lung_slices} slices, {summary.positive_slices} positive; {parts}")


def network_part(table: Table, bundle: ModelBundle, ct: CtVolume, repeats: int) -> None:
    """Classification and maps of a half-positive study relative to a forward pass of the backbone alone.

    Includes everything the network does: log-odds of all slices, and the activation maps of every second one. The
    backbone is the plain module in channels-last format with the same precision and batch size. Alternating runs;
    median ratios.
    """
    for name in ("enhanced", "paper"):
        analyzer = LesionAnalyzer(bundle, AnalysisConfig.from_preset(name))
        runner = analyzer.pipeline.runner
        images = [s.image for s in lung_slices(ct, segment_lungs(ct), analyzer.preprocessing)]
        batches = torch.from_numpy(np.stack(images)).split(runner.batch_size)
        backbone = bundle.network().backbone_maps.to(runner.dtype).to(memory_format=torch.channels_last)
        inputs = [bare_input(b, runner.dtype) for b in batches]
        bare_forward(backbone, inputs[:1])
        classify_and_map(analyzer, batches[:1], True)
        ratios: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(repeats):
            for mapped, values in ratios.items():
                _, bare = timed(bare_forward, backbone, inputs)
                _, took = timed(classify_and_map, analyzer, batches, mapped)
                values.append(took / bare)
        precision = str(runner.dtype).removeprefix("torch.")
        table.row(f"{name}: classification over the {precision} backbone alone", median(ratios[False]), "x")
        table.row(f"{name}: the same with half of the slices mapped", median(ratios[True]), "x", 1.15)


def classify_and_map(analyzer: LesionAnalyzer, batches: Sequence[torch.Tensor], mapped: bool) -> None:
    """The network's part of an analysis: log-odds of all slices; with ``mapped``, maps of every second one."""
    pipeline = analyzer.pipeline
    network = pipeline.runner.folded
    for batch in batches:
        with torch.inference_mode():
            maps = network.backbone(batch[:, None].float() / 255)
            log_odds(network.head(*maps), pipeline.positive)
        if mapped:
            pipeline._heatmaps(network, [m[::2] for m in maps])


def bare_input(batch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    batch = (batch[:, None].float() / 255).expand(-1, 3, -1, -1)
    return batch.to(dtype).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def bare_forward(backbone: torch.nn.Module, inputs: list[torch.Tensor]) -> None:
    for batch in inputs:
        backbone(batch)


def preprocessing_part(table: Table, bundle: ModelBundle, ct: CtVolume) -> None:
    """Lung segmentation and network inputs, without the network running in parallel."""
    for name in ("enhanced", "paper"):
        preprocessing = LesionAnalyzer(bundle, AnalysisConfig.from_preset(name)).preprocessing
        began = time.perf_counter()
        count = sum(1 for _ in lung_slices(ct, segment_lungs(ct), preprocessing))
        took = 1000 * (time.perf_counter() - began)
        table.row(f"preprocessing, {name} preset, per slice of the volume", took / len(ct.axial().array), "ms", 15)
        print(f"{'':20}{took / max(1, count):.1f} ms for each of {count} lung slices")


def linearity(table: Table, bundle: ModelBundle, ct: CtVolume) -> None:
    """Seconds per slice for the same volume with more and more slices, and the share of each stage."""
    analyzer, costs = LesionAnalyzer(bundle), []
    for count in GROWTH:
        analysis, took = timed(analyzer.analyze, take_slices(ct, count))
        costs.append(took / max(1, analysis.summary.lung_slices))
        table.row(f"{count} slices ({analysis.summary.lung_slices} with lungs): per lung slice", 1000 * costs[-1], "ms")
    table.row(f"time per slice, {GROWTH[-1]} slices over {GROWTH[0]} slices", costs[-1] / costs[0], "x", 1.2)
    for stage, seconds in analysis.timing_s.items():  # slices are prepared in parallel to the network
        if stage != "total":
            table.row(f"share of the time for {count} slices: {stage}", 100 * seconds / analysis.timing_s["total"], "%")


def memory(table: Table, model: str | None, slices: int) -> None:
    """Peak memory of a new process that reads a CT from a file and analyzes it."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii.gz"
        phantom = make_phantom((slices, 512, 512), (0.7, 0.7, 300 / slices))
        image = sitk.GetImageFromArray(phantom.ct.array)
        image.SetSpacing(tuple(map(float, phantom.ct.spacing_mm)))
        sitk.WriteImage(image, str(path))
        command = [sys.executable, __file__, "--measure-memory", str(path), *(["--model", model] if model else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The analysis of {slices} slices failed:\n{done.stderr}")
    *_, kilobytes = done.stdout.split()
    limit = 2.5 if slices <= 300 else None
    table.row(f"peak memory for {slices} slices of 512 x 512", int(kilobytes) / 1e6, "GB", limit)


def measure_memory(path: Path, bundle: ModelBundle) -> None:
    """In the new process: analyze, then print the peak in kilobytes."""
    LesionAnalyzer(bundle).analyze(read_ct(path))
    print(peak_kilobytes())


def peak_kilobytes() -> int:
    """Peak resident memory of this process."""
    try:  # on Linux getrusage includes the parent's memory before this program was loaded
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1000 if sys.platform == "darwin" else peak


def timed(function, *arguments):
    began = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volume", type=Path, help="a CT instead of the synthetic one")
    parser.add_argument("--slices", type=int, help="number of slices (default: 120, or all of --volume)")
    parser.add_argument("--model", help="model folder (default: the bundled one)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--positive-maps", action="store_true",
                        help="the straightforward pipeline classifies first and maps positive slices only")  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=["compare", "network", "preprocessing", "linear", "memory"],
                        default=["compare", "network", "preprocessing", "linear", "memory"])  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="24 slices, once, without time and memory of long CTs")
    parser.add_argument("--measure-memory", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    if args.measure_memory:
        measure_memory(args.measure_memory, bundle)
        return 0
    if args.quick:
        args.slices, args.repeats = 24, 1
        args.parts = [p for p in args.parts if p not in ("linear", "memory")]
    ct = read_ct(args.volume) if args.volume else make_phantom((120, 512, 512), (0.7, 0.7, 2.5)).ct
    ct = take_slices(ct, args.slices) if args.slices else ct
    print(f"{ct.name}: {' x '.join(map(str, ct.axial().array.shape))}; model {bundle.id}; {torch.get_num_threads()} "
          f"threads; torch {torch.__version__}")  # fmt: skip
    table = Table()
    parts = {
        "compare": lambda: compare(table, bundle, ct, args.repeats, not args.positive_maps),
        "network": lambda: network_part(table, bundle, ct, args.repeats),
        "preprocessing": lambda: preprocessing_part(table, bundle, ct),
        "linear": lambda: linearity(table, bundle, ct),
        "memory": lambda: [memory(table, args.model, slices) for slices in MEMORY_SLICES],
    }
    for name in args.parts:
        parts[name]()
    print(f"{table.failed} targets missed" if table.failed else "all targets reached")
    return 0


if __name__ == "__main__":
    sys.exit(main())
