"""Untrusted model folders: every manipulation ends in one clear error, and no pickle is ever executed."""

import shutil

import numpy as np
import pytest
from hostile_bundles import ACCEPTED, CANARY, CARD, REFUSED, SCRIPT, analyze, attempt, good_bundle, known_backbone, text
from LesionAnalysisLib import cli
from LesionAnalysisLib.model.arrays import read_arrays
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.folder import ADVICE, describe_model

MOST_BYTES = 30e6  # peak memory of a small model, whatever size it claims
ADVISED = (ADVICE, "choose another model folder", "Too many levels of symbolic links")


@pytest.fixture(scope="module", autouse=True)
def backbone(one_thread):
    with known_backbone():
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = good_bundle(tmp_path_factory.mktemp("models") / "good")
    assert analyze(folder).summary.positive  # and lazy imports do not count as memory of the tests
    return folder


@pytest.fixture
def changed(good, tmp_path):
    """Copies of the good model, each changed in one way."""

    def make(change):
        folder = shutil.copytree(good, tmp_path / "model")
        change(folder, tmp_path)
        return folder

    return make


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def pytest_generate_tests(metafunc):
    """All cases with --full, else a quarter."""
    step = 1 if metafunc.config.getoption("--full") else 4
    for name, cases in (("refused", REFUSED), ("accepted", ACCEPTED)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(cases)[::step])


def test_a_manipulated_model_is_refused_with_one_clear_error(changed, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    folder = changed(REFUSED[refused])
    before = files(tmp_path)
    outcome = attempt(folder)
    assert outcome.error is not None, "it was accepted"
    assert issubclass(outcome.error, (ValueError, OSError))
    assert any(advice in outcome.message for advice in ADVISED), outcome.message
    assert "\n" not in outcome.message and outcome.message.isprintable() and len(outcome.message) < 600
    assert outcome.peak_bytes < MOST_BYTES
    assert files(tmp_path) == before and CANARY not in before


def test_an_odd_but_harmless_model_is_accepted(changed, accepted):
    outcome = attempt(changed(ACCEPTED[accepted]))
    assert not outcome.message
    assert outcome.peak_bytes < MOST_BYTES
    assert 0 <= outcome.analysis.summary.probability <= 1


def test_the_command_line_prints_the_error_and_nothing_else(good, tmp_path, capsys):
    folder = shutil.copytree(good, tmp_path / "model")
    REFUSED["deep nesting"](folder, tmp_path)
    code = cli.main(["analyze", "ct.nii", "--no-scene", "--output", str(tmp_path / "out"), "--model", str(folder)])
    shown = capsys.readouterr()
    assert code == cli.USAGE and not shown.out and not (tmp_path / "out").exists()
    assert shown.err == f"lesion-analysis: The model in {folder} is damaged (config.json cannot be read): {ADVICE}.\n"


def test_a_damaged_model_is_not_described(changed):
    with pytest.raises(ValueError, match="should be a text of at most"):
        describe_model(changed(REFUSED["a title that writes to the terminal"]))


def test_what_load_refuses_is_not_saved(good, tmp_path):
    """Rather than after the training: a size, class or title that ``load`` refuses is an error of ``save``."""
    for changes in ({"classes": ("same", "same")}, {"title": "a\x1bb"}, {"preprocessing": {"size": 33}}):
        with pytest.raises(ValueError, match="cannot be saved"):
            good_bundle(tmp_path / "model", **changes)
        assert not (tmp_path / "model").exists()


def test_arrays_are_read_as_numpy_reads_them(good):
    for name in ("weights.npz", "clusters.npz"):
        ours = read_arrays((good / name).read_bytes())
        with np.load(good / name) as theirs:
            assert set(ours) == set(theirs.files)
            for key in theirs.files:
                assert ours[key].dtype == theirs[key].dtype and np.array_equal(ours[key], theirs[key])


def test_the_card_of_an_untrusted_model_is_plain_text(changed):
    bundle = ModelBundle.load(changed(text("MODEL_CARD.md", CARD)))
    assert SCRIPT in bundle.card
