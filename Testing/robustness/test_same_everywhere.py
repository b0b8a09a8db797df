"""The same result in every process, precision, batch size and number of threads."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from helpers_analyzer import small_bundle
from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, make_phantom
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.report.json_csv import to_json

CPU = AnalysisConfig(device="cpu", precision="float32", batch_size=4)


@cache
def ct():
    return make_phantom((6, 128, 128), (2.8, 2.8, 45.0)).ct


def run(folder, config=CPU):
    return LesionAnalyzer(ModelBundle.load(folder), config).analyze(ct())


def digest(analysis):
    """Hash of everything but the durations."""
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
    """The digest of the same analysis in a process with another hash seed."""
    lines = "import torch; torch.set_num_threads(1); import test_same_everywhere as t; "
    lines += f"print(t.digest(t.run({str(folder)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_every_process_gives_identical_results(folder, usual, full):
    assert usual.summary.lesion_count > 0 and usual.summary.positive_slices > 0
    for seed in (1, 2, 3) if full else (1,):
        assert in_another_process(folder, seed) == digest(usual)


def probabilities(analysis):
    return np.array([np.nan if one.probability is None else one.probability for one in analysis.slices])


def assert_close(first, second, probability, percent):
    """Equal within ``probability``, and the LAM within ``percent`` but for one in a hundred voxels."""
    assert np.allclose(probabilities(first), probabilities(second), atol=probability, equal_nan=True)
    assert first.summary.probability == pytest.approx(second.summary.probability, abs=probability)
    assert np.array_equal(first.lung_mask, second.lung_mask)
    difference = np.abs(first.lam.astype(int) - second.lam)[first.lung_mask]
    assert np.mean(difference > percent) <= 0.01


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_batch_size_makes_no_difference(folder, usual, size):
    """The usual batch size is 4."""
    other = run(folder, dataclasses.replace(CPU, batch_size=size))
    assert_close(usual, other, 1e-5, 1)
    assert [one.label for one in other.lesions] == [one.label for one in usual.lesions]
    assert [one.volume_ml for one in other.lesions] == pytest.approx([one.volume_ml for one in usual.lesions], rel=0.02)


def test_the_number_of_threads_makes_no_difference(folder, usual):
    torch.set_num_threads(2)
    try:
        other = run(folder)
    finally:
        torch.set_num_threads(1)
    assert_close(usual, other, 1e-5, 1)
    assert [one.label for one in other.lesions] == [one.label for one in usual.lesions]


def test_bfloat16_gives_nearly_the_same(folder, usual):
    assert_close(usual, run(folder, dataclasses.replace(CPU, precision="bfloat16")), 0.02, 10)
