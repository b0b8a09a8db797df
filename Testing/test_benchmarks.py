"""The benchmarks measure correctly; they are too slow to run in full here."""

import os
import subprocess
import sys

import analyze
import numpy as np
import pytest
import straightforward
import torch
from helpers_analyzer import random_clusters
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import ModelBundle, ModelDescription
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((12, 128, 128), (2.8, 2.8, 25.0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    network = FeCNN("resnet18").eval()
    with torch.no_grad():
        network.head.fusion.classify.bias[1] += 5  # every slice positive
    description = ModelDescription(
        title="t", license="CC0", classes=("no", "yes"), preprocessing=Preprocessing(size=128).to_dict()
    )
    return ModelBundle.save(tmp_path_factory.mktemp("models") / "m", network, description, random_clusters(), card="")


def test_straightforward_lungs_agree_with_the_phantom(phantom):
    middle = len(phantom.lung_mask) // 2
    found, true = straightforward.segment_slice(phantom.ct.array[middle]), phantom.lung_mask[middle]
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.8


def test_straightforward_pipeline_gives_equal_results_in_one_and_two_passes(phantom, bundle, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("ttach")
    monkeypatch.setattr(straightforward, "SIZE", 128)
    volume = phantom.ct.axial().array[4:8]
    results = [
        straightforward.run(volume, bundle.network(), bundle.clusters.features, every=every) for every in (True, False)
    ]
    assert results[0].probabilities == pytest.approx(results[1].probabilities, abs=1e-5)
    assert set(results[0].probabilities) == {0, 1, 2, 3}
    assert np.allclose(results[0].lam, results[1].lam, atol=1e-4)
    assert all(box[0] < box[2] for _, box, _ in results[0].lesions)


def test_resampling_slices_keeps_the_extent(phantom):
    ct = phantom.ct
    for count in (6, 12, 24):
        taken = analyze.take_slices(ct, count)
        view, given = taken.axial(), ct.axial()
        assert view.array.shape[0] == count
        assert count * view.spacing[2] == pytest.approx(12 * given.spacing[2])
        first, last = (v.position_mm(-0.5) for v in (view, given))
        assert first == pytest.approx(last)  # the lower edge of the lowest slice
    assert np.array_equal(analyze.take_slices(ct, 12).axial().array, ct.axial().array)


def test_table_marks_missed_targets(capsys):
    table = analyze.Table()
    table.row("fast enough", 6, "x", 5, at_least=True)
    table.row("too large", 3, "GB", 2.5)
    fast, large = capsys.readouterr().out.splitlines()[1:]
    assert "MISSED" in large and "MISSED" not in fast
    assert table.failed == 1


MEMORY = """
import analyze
import numpy as np
before = analyze.peak_kilobytes()
np.ones(400_000_000, np.uint8)
print(analyze.peak_kilobytes() - before)
"""


def test_peak_memory_includes_what_was_used():
    path = os.pathsep.join(p for p in sys.path if p)  # a process of its own: the peak of this one may be higher
    done = subprocess.run([sys.executable, "-c", MEMORY], env={**os.environ, "PYTHONPATH": path}, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert int(done.stdout.splitlines()[-1]) > 300_000
