"""Models from strangers: each harm ends in one sentence, does no harm, and never runs a pickle."""

import shutil

import numpy as np
import pytest
from hostile_bundles import CANARY, CARD, MET, REFUSED, SCRIPT, analyze, attempt, good_bundle, known_backbone, text
from LesionAnalysisLib import cli
from LesionAnalysisLib.model.arrays import _read_arrays
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.folder import ADVICE, describe_model

MOST_BYTES = 30e6  # that a small model may take, whatever it claims to be
ADVISED = (ADVICE, "choose another model folder", "Too many levels of symbolic links")


@pytest.fixture(scope="module", autouse=True)
def backbone(one_thread):
    with known_backbone():
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = good_bundle(tmp_path_factory.mktemp("models") / "good")
    assert analyze(folder).summary.positive  # and what is imported at first use has been so, for the memory
    return folder


@pytest.fixture
def harmed(good, tmp_path):
    """Copies of the good model, each harmed in one way, beside the files that were there before and after."""

    def make(name, harm):
        folder = shutil.copytree(good, tmp_path / "model")
        harm(folder, tmp_path)
        return folder

    return make


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def pytest_generate_tests(metafunc):
    """All harms with --full, else a quarter."""
    step = 1 if metafunc.config.getoption("--full") else 4
    for name, harms in (("refused", REFUSED), ("met", MET)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(harms)[::step])


def test_a_harmed_model_is_refused_in_one_sentence(harmed, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    folder = harmed(refused, REFUSED[refused])
    before = files(tmp_path)
    outcome = attempt(folder)
    assert outcome.kind is not None, "it was used"
    assert issubclass(outcome.kind, (ValueError, OSError))
    assert any(advice in outcome.words for advice in ADVISED), outcome.words
    assert "\n" not in outcome.words and outcome.words.isprintable() and len(outcome.words) < 600
    assert outcome.peak_bytes < MOST_BYTES
    assert files(tmp_path) == before and CANARY not in before


def test_an_odd_model_is_used(harmed, met):
    outcome = attempt(harmed(met, MET[met]))
    assert not outcome.words
    assert outcome.peak_bytes < MOST_BYTES
    assert 0 <= outcome.analysis.summary.probability <= 1


def test_the_command_line_prints_the_sentence_and_nothing_else(good, tmp_path, capsys):
    folder = shutil.copytree(good, tmp_path / "model")
    REFUSED["deep nesting"](folder, tmp_path)
    code = cli.main(["analyze", "ct.nii", "--no-scene", "--output", str(tmp_path / "out"), "--model", str(folder)])
    shown = capsys.readouterr()
    assert code == cli.USAGE and not shown.out and not (tmp_path / "out").exists()
    assert shown.err == f"lesion-analysis: The model in {folder} is damaged (config.json cannot be read): {ADVICE}.\n"


def test_a_model_introduces_itself_only_when_it_is_whole(harmed):
    with pytest.raises(ValueError, match="should be a text that can be shown"):
        describe_model(harmed("terminal", REFUSED["a title that writes to the terminal"]))


def test_what_is_saved_could_not_be_refused_later(good, tmp_path):
    """After days of training is too late: a size, class or title that ``load`` refuses is not saved."""
    for changes in ({"classes": ("same", "same")}, {"title": "a\x1bb"}, {"preprocessing": {"size": 33}}):
        with pytest.raises(ValueError):
            good_bundle(tmp_path / "model", **changes)
        assert not (tmp_path / "model").exists()


def test_arrays_are_read_as_numpy_reads_them(good):
    for name in ("weights.npz", "clusters.npz"):
        ours = _read_arrays((good / name).read_bytes())
        with np.load(good / name) as theirs:
            assert set(ours) == set(theirs.files)
            for key in theirs.files:
                assert ours[key].dtype == theirs[key].dtype and np.array_equal(ours[key], theirs[key])


def test_the_card_of_a_stranger_is_text_in_the_bundle(harmed):
    bundle = ModelBundle.load(harmed("card", text("MODEL_CARD.md", CARD)))
    assert SCRIPT in bundle.card
