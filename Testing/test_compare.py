"""The comparison of systems: same slices for all, continuation, tables beside the paper's figures, HTML page."""

import csv
import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers_training import chest_image, save
from LesionAnalysisTrainingLib import Phase, TrainingConfig
from LesionAnalysisTrainingLib.metrics.significance import auc_difference, p_value
from reproduction.baselines import SYSTEMS, find_systems
from reproduction.baselines.handcrafted import HandCrafted
from reproduction.baselines.network_baseline import Network
from reproduction.comparison import comparison_data, comparison_report
from reproduction.comparison.compare_command import compare_main
from reproduction.comparison.comparison_data import RECORD
from reproduction.comparison.comparison_report import make_report, printed, write
from reproduction.comparison.comparison_runs import RESULT, compare
from reproduction.published import TABLE_3, TABLE_4, published
from sklearn.metrics import f1_score, recall_score, roc_auc_score

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = TrainingConfig(phases=(Phase(64, 2, 4),), samples_per_epoch=8, imagenet=None, backbone="resnet18", workers=0,
                        device="cpu", precision="float32", test_share=0.25)  # fmt: skip
COMMON = ["--weights", "none", "--workers", "0", "--device", "cpu", "--sizes", "64", "--batch", "4", "--epochs", "1",
          "--slices-per-epoch", "8"]  # fmt: skip
FAST = "hist-svm,lbp-mlp"


def make_data(folder, names=("NonCOVID", "COVID"), patients=16, slices=1):
    rng = np.random.default_rng(1)
    for patient in range(patients):
        for i in range(slices):
            save(folder / names[patient % 2] / f"DoeJane{patient}" / f"{i}.png", chest_image(rng, patient % 2))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("compare") / "clinic")


@pytest.fixture
def fits(monkeypatch):
    """Names of the classes whose ``fit`` is called, in order."""
    called = []
    for cls in (HandCrafted, Network):
        def counted(self, *given, fit=cls.fit, **named):
            called.append(type(self).__name__)
            return fit(self, *given, **named)

        monkeypatch.setattr(cls, "fit", counted)
    return called


@pytest.fixture(scope="module")
def started(data, tmp_path_factory):
    """A comparison with one finished system, to be copied."""
    folder = tmp_path_factory.mktemp("started") / "c"
    run(data, folder, "hist-svm")
    return folder


@pytest.fixture
def comparison(started, tmp_path):
    """A copy of ``started``."""
    return shutil.copytree(started, tmp_path / "c")


def without_training(monkeypatch):
    """Replace the training of networks by random predictions, which differ between networks; their recipes."""
    made = []

    def fit(self, regions, samples, folder, log=print, progress=None):
        made.append(self.recipe)
        self.facts_ = {"slices": 1, "start": None, "parameters": 1, "epochs": 1, "chosen_epoch": 1, "seconds": 0.0}
        return self

    def predict_proba(self, regions, samples, order):
        one = np.random.default_rng(len(made)).uniform(size=len(order))
        return np.stack([1 - one, one], 1)

    monkeypatch.setattr(Network, "fit", fit)
    monkeypatch.setattr(Network, "predict_proba", predict_proba)
    return made


@pytest.fixture
def no_training(monkeypatch):
    return without_training(monkeypatch)


def run(data, output, names=FAST, config=CONFIG, **options):
    lines = []
    return compare([data], output, find_systems(names.split(",")), config, log=lines.append, **options), lines


# --- the paired bootstrap -----------------------------------------------------------------------------------


def test_equal_scores_have_no_difference():
    truth, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    found = auc_difference(truth, score, score, np.array(list("abcd")), 200)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_bootstrap_agrees_with_all_resamples():
    """Four patients with one slice each; the first system is perfect, the second ranks one positive last: 4^4."""
    truth, first, second = np.array([1, 1, 0, 0]), np.array([0.9, 0.8, 0.2, 0.1]), np.array([0.9, 0.0, 0.2, 0.1])
    differences = []
    for resample in itertools.product(range(4), repeat=4):
        positive, negative = ([i for i in resample if truth[i] == label] for label in (1, 0))
        if positive and negative:  # AUC: share of the pairs in the right order; there are no ties
            one, other = ((s[positive][:, None] > s[negative]).mean() for s in (first, second))
            differences.append(one - other)
    exact = 2 * np.mean(np.array(differences) <= 1e-12)
    found = auc_difference(truth, first, second, np.array(list("abcd")), 4000)
    assert found.value == 0.5 and (found.low, found.high) == (0, 1)
    assert found.p == pytest.approx(exact, abs=0.05) and 0.4 < exact < 0.7


def test_slices_of_a_patient_are_resampled_together():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 60)
    first, second = truth + rng.normal(0, 1.0, 120), truth + rng.normal(0, 1.6, 120)
    many = auc_difference(truth, first, second, np.arange(120), 500)
    few = auc_difference(truth, first, second, np.arange(120) // 20, 500)
    assert many.value == few.value == pytest.approx(roc_auc_score(truth, first) - roc_auc_score(truth, second))
    assert auc_difference(truth, first, second, np.arange(120), 500) == many  # repeats itself
    assert auc_difference(truth, second, first, np.arange(120), 500).p == many.p


def test_a_class_of_one_patient_gives_no_interval():
    found = auc_difference(np.array([0, 0, 1, 1]), np.arange(4), -np.arange(4), np.array(list("aabc")), 100)
    assert found.value == 1 and np.isnan([found.low, found.high, found.p]).all()
    assert found.to_dict() == {"value": 1.0, "low": None, "high": None, "p": None}


def test_p_is_twice_the_smaller_side_and_never_0():
    assert p_value(np.array([1.0] * 99)) == pytest.approx(0.02)
    assert p_value(np.array([1.0] * 90 + [-1.0] * 9)) == pytest.approx(0.2)
    assert p_value(np.array([np.nan, 1.0])) == 1.0


# --- the run ------------------------------------------------------------------------------------------------


def test_a_finished_system_is_not_trained_again(data, tmp_path, fits):
    first, _ = run(data, tmp_path / "c", "hist-svm,lbp-mlp,decovnet")
    assert fits == ["HandCrafted", "HandCrafted", "Network"]
    again, lines = run(data, tmp_path / "c", "hist-svm,lbp-mlp,decovnet")
    assert len(fits) == 3 and sum("already finished" in line for line in lines) == 3
    for one, other in zip(first.results, again.results, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities) and one.facts.keys() == other.facts.keys()
    result = tmp_path / "c" / "systems" / "lbp-mlp" / RESULT
    result.write_text(result.read_text()[:50])  # damaged
    (tmp_path / "c" / "systems" / "decovnet" / RESULT).unlink()
    third, _ = run(data, tmp_path / "c", "hist-svm,lbp-mlp,decovnet")
    assert fits[3:] == ["HandCrafted", "Network"]
    assert np.array_equal(third.results[2].probabilities, first.results[2].probabilities)  # seeded
    assert not list((tmp_path / "c" / "systems").rglob("checkpoint.pt"))


def test_systems_can_be_added_to_a_finished_comparison(data, comparison, fits):
    both, _ = run(data, comparison, "hist-svm,lbp-svm")
    assert len(fits) == 1 and [r.system.name for r in both.results] == ["LBP + SVM", "Hist + SVM"]


def test_a_stopped_network_continues_after_its_last_complete_epoch(data, comparison, tmp_path):
    def stop(share, message):
        if "Epoch 2" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, comparison, "hist-svm,decovnet", progress=stop)
    resumed, lines = run(data, comparison, "hist-svm,decovnet")
    assert "DeCoVNet: Resumed after epoch 1." in lines and "Hist + SVM: already finished." in lines
    whole, _ = run(data, tmp_path / "whole", "decovnet")
    assert np.array_equal(resumed.results[1].probabilities, whole.results[0].probabilities)


def test_all_systems_are_evaluated_on_the_same_slices(data, comparison, no_training):
    compared, _ = run(data, comparison, "all")
    assert [r.system.name for r in compared.results] == list(SYSTEMS) and not compared.failed
    assert compared.split == "test" and compared.counts["test"] == len(compared.labels) > 0
    assert all(r.probabilities.shape == (len(compared.labels), 2) for r in compared.results)
    train = {json.loads(path.read_text())["facts"]["slices"] for path in comparison.rglob(RESULT)}
    assert max(train) <= compared.counts["train"]


def test_rows_of_the_same_network_are_trained_once(data, tmp_path, no_training):
    config = replace(CONFIG, backbone="resnet50")
    compared, lines = run(data, tmp_path / "c", "resnet50,fecnn-without-fpn-and-fusion,fecnn", config)
    assert len(no_training) == 2 and compared.results[2].same_as == "Resnet50"
    assert np.array_equal(compared.results[0].probabilities, compared.results[2].probabilities)
    assert any("trained once" in line for line in lines)
    assert any("same network" in note for note in make_report(compared).notes)


def test_without_a_test_split_the_tables_name_the_validation_slices(data, tmp_path):
    compared, _ = run(data, tmp_path / "c", "hist-svm", replace(CONFIG, test_share=0.0))
    report = make_report(compared)
    assert compared.split == "val" and "validation slices" in report.tables[0].title
    assert any("also selected the epochs" in note for note in report.notes)


def test_a_failed_system_does_not_stop_the_others(data, comparison, monkeypatch):
    def fit(self, *_, **__):
        raise RuntimeError("The training diverged.")

    monkeypatch.setattr(Network, "fit", fit)
    compared, _ = run(data, comparison, "hist-svm,decovnet")
    assert compared.failed == {"DeCoVNet": "The training diverged."} and len(compared.results) == 1
    assert not (comparison / "systems" / "decovnet" / RESULT).exists()


def test_other_settings_or_folders_are_refused(data, comparison, tmp_path):
    with pytest.raises(ValueError, match="another setting of seed"):
        run(data, comparison, "hist-svm", replace(CONFIG, seed=1))
    with pytest.raises(ValueError, match="started without --quick"):
        run(data, comparison, "hist-svm", quick=True)
    run(data, comparison, "hist-svm", replace(CONFIG, seed=1), overwrite=True)
    save(tmp_path / "mine" / "holiday.png", np.zeros((4, 4), np.uint8))
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="something other than a comparison"):
            run(data, tmp_path / "mine", "hist-svm", overwrite=overwrite)
    assert (tmp_path / "mine" / "holiday.png").exists()


def test_quick_thins_every_split_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_data, "QUICK_SLICES", {"train": 8, "val": 4, "test": 4})
    data = make_data(tmp_path / "d", patients=24, slices=2)
    compared, _ = run(data, tmp_path / "c", "hist-svm", quick=True)
    assert compared.counts == {"train": 8, "val": 4, "test": 4}
    assert np.bincount(compared.labels).tolist() == [2, 2]
    assert any("quick run" in note for note in make_report(compared).notes)


# --- what is shown ------------------------------------------------------------------------------------------


def test_impossible_figures_of_the_paper_are_not_quoted():
    assert published("FeCNN") == TABLE_3["FeCNN"] == (None, 0.859, 0.994)
    assert published("Resnet50") == published("FeCNN without FPN and fusion") == (0.908, 0.851, 0.976)
    assert published("FeCNN without fusion")[1] == 0.843 and published("FeCNN without FPN")[0] == 0.941
    assert list(TABLE_4)[-1] == "FeCNN" and set(TABLE_3) | set(TABLE_4) == set(SYSTEMS)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A comparison with markup in the names of classes, and its folder."""
    folder = tmp_path_factory.mktemp("odd")
    data = make_data(folder / "d", ("Non<b>COVID&", "COVID<script>"))
    with pytest.MonkeyPatch.context() as patch:
        without_training(patch)
        compared, _ = run(data, folder / "c", "hist-svm,hist-mlp,fecnn", replace(CONFIG, disease="COVID<script>"))
    report = make_report(compared)
    write(report, folder / "c")
    return compared, report, folder / "c"


def test_everything_is_written(odd):
    _, _, folder = odd
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"metrics.json", "table3.csv", "table4.csv", "systems.csv", "report.html", RECORD, "plots/roc.png",
            "plots/roc.svg", "plots/pr.png", "plots/pr.svg"} <= found  # fmt: skip
    assert not [name for name in found if "/." in name or name.startswith(".")]


def test_the_page_escapes_names_and_has_no_scripts(odd):
    page = (odd[2] / "report.html").read_text(encoding="utf-8")
    tags = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    reader.feed(page)
    names = {tag for tag, _ in tags}
    assert "script" not in names and "b" not in names and "COVID&lt;script&gt;" in page
    assert "DoeJane" not in page and "DoeJane" not in (odd[2] / "metrics.json").read_text(encoding="utf-8")
    sources = [a["src"] for tag, a in tags if tag == "img"]
    assert len(sources) == 2 and all(source.startswith("data:image/png") for source in sources)
    assert not re.findall(r"https?://", page)


def test_figures_agree_with_scikit_learn(odd):
    compared, _, folder = odd
    facts = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    truth = compared.labels == compared.positive
    for result in compared.results:
        score = result.probabilities[:, compared.positive]
        metrics = facts["systems"][result.system.name]["figures"]["rows"][0]["metrics"]
        assert metrics["auc"]["value"] == pytest.approx(roc_auc_score(truth, score))
        assert metrics["f1"]["value"] == pytest.approx(f1_score(truth, score >= 0.5))
        assert metrics["sensitivity"]["value"] == pytest.approx(recall_score(truth, score >= 0.5))
    assert facts["systems"]["FeCNN"]["difference_to_fecnn"] is None
    assert facts["systems"]["Hist + SVM"]["difference_to_fecnn"]["p"] > 0
    assert facts["budget"].startswith("2 epochs at 64 px in batches of 4, 8 slices per epoch")


def test_the_tables_have_intervals_and_the_papers_figures(odd):
    _, report, folder = odd
    with open(folder / "table3.csv", newline="", encoding="utf-8") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["Hist + SVM", "Hist + MLP", "FeCNN"]
    assert float(rows["Hist + SVM"]["AUC low"]) <= float(rows["Hist + SVM"]["AUC"])
    assert rows["Hist + SVM"]["paper, Own"] == "0.718" and rows["FeCNN"]["paper, Own"] == ""
    with open(folder / "table4.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["system"], row["FPN"], row["fusion"]) == ("FeCNN", "yes", "yes")
    lines = printed(report).splitlines()
    assert sum("Hist + SVM" in line for line in lines) == 3 and max(map(len, lines)) <= 150
    rates, areas, paper = (line.count(" to ") for line in lines if "Hist + SVM" in line)
    assert rates >= 3 and areas == 3 and paper == 0  # precision is undefined where nothing is called positive


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def no_plots(monkeypatch):
    """``odd`` draws them."""
    monkeypatch.setattr(comparison_report, "_plots", lambda compared: [])


def test_the_command_runs_through_and_runs_again(data, tmp_path, capsys, no_plots):
    output = tmp_path / "c"
    command = [str(data), "-o", str(output), "--systems", FAST, "--test-share", "0.25", *COMMON]
    assert compare_main(command) == 0
    first = capsys.readouterr()
    assert "Table 3" in first.out and "0.718" in first.out and str(output) in first.out
    assert "2 systems, each with 1 epoch at 64 px in batches of 4, 8 slices per epoch." in first.err
    assert compare_main([*command, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (output / "report.html").is_file()


def test_a_failed_system_makes_exit_code_1(data, tmp_path, capsys, monkeypatch, no_plots):
    def fit(self, *_, **__):
        raise ValueError("Too few slices.")

    monkeypatch.setattr(Network, "fit", fit)
    command = [str(data), "-o", str(tmp_path / "c"), "--systems", "hist-svm,wsnet", *COMMON]
    assert compare_main(command) == 1
    assert "WsNet failed: Too few slices." in capsys.readouterr().err


def test_quick_gives_a_small_budget_that_options_change(data, capsys):
    options = ["--quick", "--dry-run", "--epochs", "1", "--weights", "none", "--workers", "0"]
    assert compare_main([str(data), *options]) == 0
    said = capsys.readouterr()
    assert "1 epoch at 64 px in batches of 8, 96 slices per epoch" in said.err and "Nothing was written" in said.out


@pytest.mark.parametrize("wrong, words", [
    (["-o", "{out}", "--systems", "alexnet"], "Unknown system 'alexnet'"),
    ([], "--output"),
    (["-o", "{out}", "--sizes", "65"], "multiple of 32"),
])  # fmt: skip
def test_wrong_usage_is_exit_code_2_in_one_sentence(data, tmp_path, capsys, wrong, words):
    out = tmp_path / "c"
    assert compare_main([str(data), *(word.format(out=out) for word in wrong)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not out.exists()


def test_options_that_make_other_systems_are_not_offered(capsys):
    for option in ("--no-fpn", "--resume", "--title"):
        with pytest.raises(SystemExit, match="2"):
            compare_main(["d", "-o", "o", option])
    with pytest.raises(SystemExit, match="0"):
        compare_main(["--help"])
    shown = "".join(capsys.readouterr().out.split())  # lines may break at hyphens
    assert all(system.slug in shown for system in SYSTEMS.values())
