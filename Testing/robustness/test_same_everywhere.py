"""The same result in every process, precision, batch and number of threads; what was written before stays readable."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_analyzer import small_bundle
from hostile_bundles import analyze, known_backbone
from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, make_phantom
from LesionAnalysisLib.app.batch import Batch, Case
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.folder import describe_model
from LesionAnalysisLib.report.json_csv import from_json, to_json
from make_schema1 import FOLDER, picture

CPU = AnalysisConfig(device="cpu", precision="float32", batch_size=4)


@cache
def ct():
    return make_phantom((6, 128, 128), (2.8, 2.8, 45.0)).ct


def run(folder, config=CPU):
    return LesionAnalyzer(ModelBundle.load(folder), config).analyze(ct())


def digest(analysis):
    """Of everything but the times that it took."""
    text = json.dumps({**to_json(analysis, card=True), "timing_s": None}, sort_keys=True)
    arrays = (analysis.lam, analysis.lesion_labels, analysis.lung_mask, analysis.ct.array)
    return hashlib.sha256(b"".join([text.encode(), *(np.ascontiguousarray(a).tobytes() for a in arrays)])).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def threads(one_thread):
    yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("models") / "small").folder


@pytest.fixture(scope="module")
def usual(folder):
    return run(folder)


def in_another_process(folder, seed):
    """The digest of the same analysis there, with another order of sets and dictionaries' hashes."""
    lines = "import torch; torch.set_num_threads(1); import test_same_everywhere as t; "
    lines += f"print(t.digest(t.run({str(folder)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_every_process_gives_every_bit_alike(folder, usual, full):
    assert usual.summary.lesion_count > 0 and usual.summary.positive_slices > 0
    for seed in (1, 2, 3) if full else (1,):
        assert in_another_process(folder, seed) == digest(usual)


def probabilities(analysis):
    return np.array([np.nan if one.probability is None else one.probability for one in analysis.slices])


def assert_alike(first, second, probability, percent):
    """Alike within ``probability``, and maps but for a hundredth of the voxels within ``percent``."""
    assert np.allclose(probabilities(first), probabilities(second), atol=probability, equal_nan=True)
    assert first.summary.probability == pytest.approx(second.summary.probability, abs=probability)
    assert np.array_equal(first.lung_mask, second.lung_mask)
    apart = np.abs(first.lam.astype(int) - second.lam)[first.lung_mask]
    assert np.mean(apart > percent) <= 0.01


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_size_of_batches_makes_no_difference(folder, usual, size):
    """The usual run has batches of 4."""
    other = run(folder, dataclasses.replace(CPU, batch_size=size))
    assert_alike(usual, other, 1e-5, 1)
    assert [one.label for one in other.lesions] == [one.label for one in usual.lesions]
    assert [one.volume_ml for one in other.lesions] == pytest.approx([one.volume_ml for one in usual.lesions], rel=0.02)


def test_the_number_of_threads_makes_no_difference(folder, usual):
    torch.set_num_threads(2)
    try:
        other = run(folder)
    finally:
        torch.set_num_threads(1)
    assert_alike(usual, other, 1e-5, 1)
    assert [one.label for one in other.lesions] == [one.label for one in usual.lesions]


def test_bfloat16_says_nearly_the_same(folder, usual):
    assert_alike(usual, run(folder, dataclasses.replace(CPU, precision="bfloat16")), 0.02, 10)


# -- what was written with schema 1 ----------------------------------------------------------------


def test_an_analysis_of_schema_1_is_read():
    data = json.loads((FOLDER / "analysis.json").read_text(encoding="utf-8"))
    analysis = from_json(data)
    assert data["schema"] == 1 and to_json(analysis) == data
    assert analysis.summary.probability == 0.93 and analysis.summary.diagnosis == "COVID-19"
    assert [one.label for one in analysis.lesions] == ["L01 GGO 0.90", "L02 consolidation 0.80",
                                                       "L03 partial consolidation 0.70"]  # fmt: skip
    assert analysis.cluster_names == {1: "ground-glass", 2: "consolidation"} and len(analysis.slices) == 12
    assert analysis.warnings == ("Probabilities are unreliable: ümlaut.",)
    assert [len(one.lesions) for one in analysis.slices] == [len(one["lesions"]) for one in data["slices"]]


def test_a_result_of_schema_1_counts_as_done(tmp_path):
    (tmp_path / "small").mkdir()
    shutil.copy(FOLDER / "analysis.json", tmp_path / "small")
    batch = Batch(tmp_path, None, Console(quiet=True), scene=False)
    batch.run([Case("small", "small.nii.gz")])
    assert (batch.skipped, batch.failed) == (1, 0)
    assert [row["probability"] for row in batch.summary.rows()] == ["0.93"]


def test_a_model_of_schema_1_says_what_it_said_then():
    expected = json.loads((FOLDER / "expected.json").read_text())
    with known_backbone():
        bundle = ModelBundle.load(FOLDER / "model")
        with torch.inference_mode():
            logits = bundle.network()(picture())
        analysis = analyze(FOLDER / "model")
    assert np.allclose(logits, expected["logits"], atol=1e-4)
    features = np.abs(np.random.default_rng(0).normal(0, 1, (20, bundle.clusters.centers_.shape[1])))
    assert np.allclose(bundle.clusters.distances(features[:2]), expected["distances"])
    assert isinstance(bundle.clusters, LesionClusters) and bundle.clusters.n_clusters == 2
    assert (bundle.temperature, bundle.threshold, bundle.classes) == (1.5, 0.4, ("normal", "COVID-19"))
    assert bundle.study == {"scale": 0.9, "offset": -0.25, "chance": 1.5}
    assert bundle.cluster_names == {1: "one", 2: "two"} and bundle.input_statistics["limit"] == 3.0
    assert 0 <= analysis.summary.probability <= 1 and analysis.summary.lung_slices == 12


def test_a_model_of_schema_1_introduces_itself():
    assert describe_model(FOLDER / "model")["title"] == "A model of schema 1, ümlaut 患"
    assert Path(FOLDER / "model" / "weights.npz").stat().st_size < 100_000
