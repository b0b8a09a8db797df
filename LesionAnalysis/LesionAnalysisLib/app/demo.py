"""``lesion-analysis demo``: a synthetic CT with known lesions, analyzed, and held against its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..results import Analysis
from ..volume.writing import write_volume
from .batch import Batch, Case
from .progress import Console

SMALL = {"shape": (60, 256, 256), "spacing_mm": (1.4, 1.4, 5.0)}  # a fraction of the time of the full size
_FOUND = 0.10  # a known lesion counts as found when so much of it is covered


def run_demo(batch: Batch, healthy: bool = False, small: bool = False, seed: int = 0) -> None:
    """Make the phantom, keep it as ``ct.nii.gz`` in the output folder, analyze it as if it were any CT."""
    from ..phantom import make_phantom

    console = batch.console
    kind = ("-healthy" if healthy else "") + ("-small" if small else "")
    console.note("Making a synthetic chest CT ...")
    phantom = make_phantom(diseased=not healthy, seed=seed, **(SMALL if small else {}))
    path = batch.output / f"ct{kind}.nii.gz"
    write_volume(phantom.ct.array, phantom.ct.ijk_to_ras, path)
    console.result(f"Synthetic CT: {path}")
    analysis = batch.run_case(Case(f"demo{kind}", str(path)))
    if analysis is None and not batch.skipped:
        return
    for line in compare(analysis, phantom) if analysis else ():
        console.result(line)
    say_where(console, batch.output / f"demo{kind}", batch.scene)


def say_where(console: Console, folder: Path, scene: bool) -> None:
    console.result(f"Look at {folder / 'report.html'} in a browser.")
    if scene:
        console.result(f"Open {folder / 'scene.mrb'} in 3D Slicer.")


def compare(analysis: Analysis, phantom: Any) -> list[str]:
    """Known against found lesions, voxel by voxel (both are on the CT's own grid), as lines of text."""
    truth, found = phantom.lesion_labels, analysis.lesion_labels
    lines = []
    hits = 0
    for lesion in phantom.lesions:
        inside = found[truth == lesion.label]
        share = float(np.mean(inside > 0)) if inside.size else 0.0
        hits += share >= _FOUND
        r, a, s = (f"{axis} {value:.0f}" for axis, value in zip("RAS", lesion.center_ras_mm, strict=True))
        ids = [f"L{one:02d}" for one in np.unique(inside[inside > 0])]
        result = f"{100 * share:.0f} % covered by {', '.join(ids)}" if ids else "not found"
        lines.append(f"  {lesion.label}  {lesion.type}, {lesion.volume_ml:.0f} ml at {r}, {a}, {s} mm: {result}")
    elsewhere = sorted(lesion.id for lesion in analysis.lesions if not np.any(truth[found == lesion.id]))
    heading = f"Known lesions: {len(phantom.lesions)}, found (at least {100 * _FOUND:.0f} % covered): {hits}"
    names = f" ({', '.join(f'L{one:02d}' for one in elsewhere)})" if elsewhere else ""
    ending = f"Lesions found where there is none: {len(elsewhere)} of {len(analysis.lesions)}{names}"
    return [heading, *lines, ending]
