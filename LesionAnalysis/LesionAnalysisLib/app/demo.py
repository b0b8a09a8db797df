"""``lesion-analysis demo``: a synthetic CT with known lesions, analyzed and compared with its ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import Analysis
from ..text import error_message
from ..volume.writing import write_volume
from .batch import Batch, Case
from .usage import UsageError

SMALL = {"shape": (60, 256, 256), "spacing_mm": (1.4, 1.4, 5.0)}  # a fraction of the time of the full size
_DETECTED = 0.10  # covered fraction from which a known lesion counts as detected


def run_demo(batch: Batch, healthy: bool = False, small: bool = False) -> None:
    """Make the phantom, save it as ``ct.nii.gz`` in the output folder, and analyze it like any other CT.

    Raises UsageError where the phantom cannot be saved.
    """
    from ..phantom import make_phantom

    console = batch.console
    suffix = "-healthy" * healthy + "-small" * small
    console.note("Making a synthetic chest CT ...")
    phantom = make_phantom(diseased=not healthy, **(SMALL if small else {}))
    path = batch.output / f"ct{suffix}.nii.gz"
    try:
        write_volume(phantom.ct.array, phantom.ct.ijk_to_ras, path)
    except OSError as error:
        raise UsageError(error_message(error)) from error
    console.result(f"Synthetic CT: {path}")
    analysis = batch.run_case(Case(f"demo{suffix}", str(path)))
    if analysis is None and not batch.skipped:
        return
    for line in compare_with_truth(analysis, phantom) if analysis else ():
        console.result(line)
    folder = batch.output / f"demo{suffix}"
    console.result(f"Open {folder / 'report.html'} in a browser.")
    if batch.scene:
        console.result(f"Open {folder / 'scene.mrb'} in 3D Slicer.")


def compare_with_truth(analysis: Analysis, phantom: Any) -> list[str]:
    """Known against detected lesions, voxel by voxel (both are on the CT's own grid), as lines of text."""
    truth, labels = phantom.lesion_labels, analysis.lesion_labels
    lines = []
    hits = 0
    for lesion in phantom.lesions:
        inside = labels[truth == lesion.label]
        covered = float(np.mean(inside > 0)) if inside.size else 0.0
        hits += covered >= _DETECTED
        r, a, s = (f"{axis} {value:.0f}" for axis, value in zip("RAS", lesion.center_ras_mm, strict=True))
        ids = [f"L{one:02d}" for one in np.unique(inside[inside > 0])]
        result = f"{100 * covered:.0f} % covered by {', '.join(ids)}" if ids else "not detected"
        lines.append(f"  {lesion.label}  {lesion.type}, {lesion.volume_ml:.0f} ml at {r}, {a}, {s} mm: {result}")
    false = sorted(lesion.id for lesion in analysis.lesions if not np.any(truth[labels == lesion.id]))
    heading = f"Known lesions: {len(phantom.lesions)}, detected (at least {100 * _DETECTED:.0f} % covered): {hits}"
    names = f" ({', '.join(f'L{one:02d}' for one in false)})" if false else ""
    return [heading, *lines, f"False-positive lesions: {len(false)} of {len(analysis.lesions)}{names}"]
