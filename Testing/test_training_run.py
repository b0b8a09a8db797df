"""From a folder of images to a model: the whole training, interrupted, resumed, and by several processes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_training import chest_image
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.phantom import make_phantom
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib import Phase, TrainingConfig, check_data, train
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.train_command import train_main
from LesionAnalysisTrainingLib.training_run import Run, TrainingData, start_weights, usable_slices
from PIL import Image
from thin_networks import thin_networks

pytestmark = pytest.mark.usefixtures("one_thread", "thin")
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("LesionAnalysis", "LesionAnalysisTraining", "Testing",
                                                                "Testing/robustness")),
    "OMP_NUM_THREADS": "1",
}
QUICK = ["--backbone", "resnet18", "--weights", "none", "--sizes", "64", "--batch", "8", "--device", "cpu",
         "--workers", "1", "--precision", "float32", "--epochs", "6"]  # fmt: skip
MODULE = ["-m", "LesionAnalysisTrainingLib"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
THIN = """
import sys
from LesionAnalysisLib.cli import main
from thin_networks import thin_networks
with thin_networks():
    sys.exit(main(sys.argv[1:]))
"""


def make_data(folder, patients, slices=5, size=128):
    """DATA/<class>/<patient>/n.png; those with the disease have a bright patch in a lung."""
    rng = np.random.default_rng(1)
    for patient in range(patients):
        name = "COVID" if patient % 2 else "NonCOVID"
        place = folder / name / f"DoeJane{patient}"
        place.mkdir(parents=True)
        for i in range(slices):
            Image.fromarray(chest_image(rng, patient % 2, size)).save(place / f"{i}.png")
    return folder


def cli(script, *arguments, start=()):
    """Run ``train`` in a process of its own, or in those that ``start`` makes."""
    command = [sys.executable, *start, *script, "train", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def in_process(capfd, *arguments):
    """Exit code and standard error of the command, without starting Python anew."""
    try:
        code = train_main([*map(str, arguments)])
    except SystemExit as request:
        code = request.code
    return code, capfd.readouterr().err


def probabilities(model, data):
    """Of all images below ``data``, by the model as an analysis uses it; and which of them show the disease."""
    bundle = ModelBundle.load(model)
    analyzer = LesionAnalyzer(bundle, AnalysisConfig(device="cpu"))
    paths = sorted(data.rglob("*.png"))
    found = [analyzer.analyze(read_ct(path)).slices[0].probability for path in paths]
    return np.array(found), np.array(["Non" not in str(path.relative_to(data)) for path in paths])


@pytest.fixture(scope="module")
def thin():
    with thin_networks():
        yield


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The command with thin networks."""
    path = tmp_path_factory.mktemp("script") / "thin.py"
    path.write_text(THIN)
    return [str(path)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "clinic", 40, 4)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("small") / "clinic", 12, 3)


@pytest.fixture(scope="module")
def model(data, thin, tmp_path_factory):
    """160 images, a small backbone at a low resolution: what a user's first try looks like."""
    output = tmp_path_factory.mktemp("models") / "first-try"
    config = TrainingConfig(backbone="resnet18", imagenet=None, phases=(Phase(64, 8, 8),), clusters=2, test_share=0.1,
                            lesion_samples=24, device="cpu", precision="float32")  # fmt: skip
    lines, shares = [], []
    bundle = train(data, output, config, license="CC0", log=lines.append, progress=lambda s, m: shares.append(s))
    return bundle, lines, shares


# --- a model ------------------------------------------------------------------------------------------------


def test_the_model_recognizes_the_disease_in_images_that_it_was_not_trained_on(model, tmp_path):
    rng = np.random.default_rng(77)
    for i in range(12):
        folder = tmp_path / ("sick" if i % 2 else "Nonsick")
        folder.mkdir(exist_ok=True)
        Image.fromarray(chest_image(rng, i % 2, 128)).save(folder / f"{i}.png")
    probability, sick = probabilities(model[0].folder, tmp_path)
    assert probability[sick].min() > probability[~sick].max()
    assert np.mean((probability >= model[0].threshold) == sick) > 0.9


def test_the_model_describes_itself(model):
    bundle, _, _ = model
    assert (bundle.id, bundle.license, bundle.classes) == ("first-try", "CC0", ("NonCOVID", "COVID"))
    assert bundle.positive == 1 and 0 < bundle.threshold < 1 and bundle.temperature > 0
    assert len(bundle.clusters.features.cluster_centers_) == len(bundle.clusters.density.cluster_centers_) == 2
    assert bundle.preprocessing["size"] == 64
    assert TrainingConfig.from_dict(bundle.training["config"]).phases == (Phase(64, 8, 8),)
    assert bundle.input_statistics["limit"] > 0


def test_clusters_by_features_are_of_lesions_as_published_and_those_by_density_of_enhanced_ones(model, data):
    """As many as each preset maps in the same training images with the stored model, whose weights are rounded."""
    bundle, mapped = model[0], []
    with open(bundle.folder.with_name("first-try.slices.csv"), newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["label"] == "COVID"]
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, 24).astype(int)]
    for config, clusters in ((AnalysisConfig.paper(), bundle.clusters.features),
                             (AnalysisConfig(), bundle.clusters.density)):  # fmt: skip
        analyzer = LesionAnalyzer(bundle, replace(config, device="cpu", precision="float32"))
        analyses = [analyzer.analyze(read_ct(row["file"])) for row in chosen]
        shown = [lesion for analysis in analyses for piece in analysis.slices for lesion in piece.lesions]
        mapped.append(len(shown))
        counts = np.bincount([lesion.cluster for lesion in shown], minlength=3)[1:]
        assert clusters.counts_ == pytest.approx(counts, abs=0.1 * len(shown) + 1) and counts.all()
    assert abs(mapped[0] - mapped[1]) > 0.4 * max(mapped), mapped  # or the two could not be told apart


def test_the_evidence_is_there_and_agrees_with_itself(model):
    folder = model[0].folder
    plots = {path.name for path in (folder / "plots").iterdir()}
    lesions = {f"{name}_{part}.png" for name in ("features", "density") for part in ("elbow", "space", "1", "2")}
    assert plots == {"training.png", "roc.png", "pr.png", "calibration.png", "confusion.png", "errors.png"} | lesions
    facts = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert facts["slices"]["train"] + facts["slices"]["val"] + facts["slices"]["test"] == 160
    assert facts["test"]["rows"][0]["slices"] == facts["slices"]["test"] > 0
    assert len(facts["history"]) == 8 and facts["stored_weights_change"] < 0.02
    auc = facts["validation"]["rows"][0]["metrics"]["auc"]["value"]
    assert f"{auc:.3f}" in model[0].card and "Research use only" in model[0].card


def test_the_card_states_what_each_part_of_the_data_did_and_how_probabilities_are_to_be_read(model):
    facts = json.loads((model[0].folder / "metrics.json").read_text(encoding="utf-8"))
    for split, role in (("train", "trained the weights"), ("val", "development"), ("test", "untouched")):
        name = {"train": "training", "val": "validation", "test": "test"}[split]
        assert f"| {name} | {facts['slices'][split]} | {facts['patients'][split]} | {role}" in model[0].card
    assert model[0].study == facts["study"] == {"chance": 0.0}  # of three validation patients without the disease
    assert "not corrected for the number of slices" in model[0].card
    assert f"{model[0].threshold:.3f}" in model[0].card and "## License\n\nCC0." in model[0].card
    assert "Deviations" not in model[0].card  # of the recipe ``paper`` only


def test_the_table_beside_the_model_names_every_slice_and_its_figures_can_be_repeated(model):
    folder = model[0].folder
    with open(folder.with_name("first-try.slices.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 160
    held_out = [row for row in rows if row["split"] == "val"]
    assert all(row["probability"] for row in held_out)
    assert not any(row["probability"] for row in rows if row["split"] == "train")
    called = [(float(row["probability"]) >= model[0].threshold) == (row["label"] == "COVID") for row in held_out]
    facts = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert np.mean(called) == pytest.approx(facts["validation"]["rows"][0]["metrics"]["accuracy"]["value"])


def test_no_name_of_a_patient_or_file_goes_into_the_model_folder(model):
    for path in model[0].folder.rglob("*"):
        if path.is_file():
            assert b"DoeJane" not in path.read_bytes(), path.name


def test_progress_only_rises_and_nothing_is_left_beside_the_model(model):
    bundle, lines, shares = model
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert {p.name for p in bundle.folder.parent.iterdir()} == {"first-try", "first-try.slices.csv"}
    assert any("train" in line and "patients" in line for line in lines)
    assert any(line.startswith("Warning: resnet18 starts from random weights") for line in lines)


# --- before it starts ---------------------------------------------------------------------------------------


def test_a_dry_run_shows_counts_and_writes_nothing(small, tmp_path):
    done = cli(MODULE, small, "--output", tmp_path / "model", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "patients: " in done.stderr and "Nothing was written" in done.stdout
    assert not list(tmp_path.iterdir())
    assert check_data(small).classes == ("NonCOVID", "COVID")


def test_wrong_data_end_with_exit_code_1_and_a_sentence(tmp_path, capfd):
    (tmp_path / "data" / "COVID" / "p1").mkdir(parents=True)
    Image.new("L", (64, 64)).save(tmp_path / "data" / "COVID" / "p1" / "a.png")
    code, error = in_process(capfd, tmp_path / "data", "--output", tmp_path / "model")
    assert code == 1 and "Traceback" not in error
    assert error.splitlines()[-1].startswith("lesion-analysis train: ") and "COVID" in error
    assert {p.name for p in tmp_path.iterdir()} == {"data"}


def test_wrong_settings_and_existing_models_end_with_exit_code_2(small, tmp_path, model, capfd):
    assert in_process(capfd, small, "--output", tmp_path / "m", "--sizes", "100")[0] == 2
    assert in_process(capfd, small)[0] == 2
    code, error = in_process(capfd, small, "--output", model[0].folder)
    assert code == 2 and "exists already" in error and "--overwrite" in error
    ModelBundle.load(model[0].folder)


def test_a_folder_that_is_no_model_is_never_replaced(small, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a model folder"):
        train(small, tmp_path / "thesis", overwrite=True, log=lambda _: None)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "years of work"


def test_the_papers_recipe_starts_without_imagenet_weights_only_if_told_to(small, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert start_weights(TrainingConfig()) is None
    assert start_weights(TrainingConfig.from_recipe("paper", imagenet=None)) is None
    code, error = in_process(capfd, small, "--output", tmp_path / "m", "--recipe", "paper")
    assert code == 1 and "ImageNet" in error and "--weights" in error
    assert not list(tmp_path.iterdir())


def test_a_slice_that_cannot_be_prepared_is_left_out_for_its_own_reason(tmp_path):
    rows = [Sample(f"{i}.png", i % 2, f"p{i}", "s", split) for i, split in enumerate([TRAIN, TRAIN, VALIDATION] * 2)]
    reasons = [None, None, None, None, "It cannot be read: truncated.", None]
    store = SimpleNamespace(reasons=reasons, only=lambda kept: kept)
    data = TrainingData(("a", "b"), 1, rows, {"left_out": [], "counts": {"left_out": "0 slices"}}, None)
    lines = []
    run = Run((), tmp_path / "m", TrainingConfig(), log=lines.append)
    samples, kept = usable_slices(run, data, store)
    assert kept == [0, 1, 2, 3, 5] and [s.path for s in samples] == [f"{i}.png" for i in kept]
    assert lines == ["1 slice is left out. It cannot be read: truncated."]
    assert data.report["left_out"] == [{"file": "4.png", "slice": None, "reason": "It cannot be read: truncated."}]
    with pytest.raises(ValueError, match="No slice of a is left for training"):
        usable_slices(run, data, SimpleNamespace(reasons=["x", "x", None, "x", "x", None], only=lambda kept: kept))


def test_missing_start_weights_are_reported_before_data_are_read(small, tmp_path):
    config = TrainingConfig(imagenet=str(tmp_path / "no.pth"))
    assert config.to_publish() == {**config.to_dict(), "imagenet": "no.pth"}  # folders stay private
    with pytest.raises(FileNotFoundError, match="start weights"):
        train(small, tmp_path / "m", config, log=lambda _: None)


# --- interrupted ---------------------------------------------------------------------------------------------


def weights_of(folder):
    with np.load(folder / "weights.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def unbroken(small, script, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "model"
    done = cli(script, small, "--output", output, *QUICK)
    assert done.returncode == 0, done.stderr
    return output


def test_a_run_killed_in_mid_epoch_is_resumed_to_the_same_model(small, script, unbroken, tmp_path, capfd):
    output, work = tmp_path / "model", tmp_path / "model.training"
    arguments = [small, "--output", output, *QUICK]
    command = [sys.executable, *script, "train", *map(str, arguments)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (work / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.1)  # into another epoch
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (work / "checkpoint.pt").exists() and not output.exists()
    assert len(json.loads((work / "history.json").read_text())) < 6

    code, error = in_process(capfd, *arguments)
    assert code == 2 and "--resume" in error
    done = cli(script, *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "Resumed after epoch" in done.stderr
    assert not work.exists()
    for (name, a), b in zip(weights_of(unbroken).items(), weights_of(output).values(), strict=True):
        assert np.array_equal(a, b), name
    same = {"metrics.json", "config.json", "MODEL_CARD.md", "checksums.json"}  # hold times and the model's name
    for path in sorted(unbroken.rglob("*")):
        if path.is_file() and path.name not in same:
            other = output / path.relative_to(unbroken)
            assert other.is_file(), other.name


def test_resume_needs_the_same_settings_and_data(small, tmp_path):
    class StopError(Exception):
        pass

    def stop(share, message):
        if "Epoch 2" in message:
            raise StopError

    config = TrainingConfig(backbone="resnet18", imagenet=None, phases=(Phase(64, 2, 8),), device="cpu", workers=1,
                            precision="float32")  # fmt: skip
    with pytest.raises(StopError):
        train(small, tmp_path / "m", config, log=lambda _: None, progress=stop)
    assert (tmp_path / "m.training" / "checkpoint.pt").exists()
    with pytest.raises(ValueError, match="another setting of seed"):
        train(small, tmp_path / "m", replace(config, seed=1), resume=True, log=lambda _: None)
    with pytest.raises(ValueError, match="data folders"):
        train(tmp_path, tmp_path / "m", config, resume=True, log=lambda _: None)
    with pytest.raises(FileExistsError, match="unfinished run"):
        train(small, tmp_path / "m", config, log=lambda _: None)
    assert (tmp_path / "m.training" / "checkpoint.pt").exists()


# --- several processes ---------------------------------------------------------------------------------------


def test_two_processes_train_the_model_of_one(small, script, unbroken, tmp_path):
    done = cli(script, small, "--output", tmp_path / "model", *QUICK, start=TWO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The model is in") == 1
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (unbroken, tmp_path / "model"))
    assert (one["processes"], two["processes"]) == (1, 2)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a["slices"] == b["slices"]
        assert a["loss"] == pytest.approx(b["loss"], abs=0.5)  # dropout and batch norm differ
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=0.02)


STEPS = """
import sys, torch
import torch.nn.functional as F
from LesionAnalysisLib.network import fecnn
from LesionAnalysisTrainingLib.distributed import ProcessGroup, process_group
from thin_networks import thin_networks

def train(group):
    torch.manual_seed(0)
    with thin_networks():
        network = fecnn.FeCNN("resnet18").double()
    trained = group.wrap(network).eval()  # batch norm by its running statistics, no dropout
    images = torch.rand(8, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1] * 4)
    part = slice(group.rank * 8 // group.size, (group.rank + 1) * 8 // group.size)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(trained(images[part]), labels[part]).backward()
        optimizer.step()
    return network.state_dict()

fecnn.Summary.forward = lambda self, levels: torch.stack([p(x).mean((2, 3)) for p, x in zip(self.project, levels)], 1)
with process_group("cpu") as group:
    two = train(group)
    assert group.gather([group.rank, "a"]) == [0, "a", 1, "a"]
    buffers = torch.nn.BatchNorm1d(2)
    buffers.running_mean += 1 + group.rank
    group.share_buffers(buffers)
    assert buffers.running_mean.tolist() == [1, 1]
if group.is_rank0:
    one = train(ProcessGroup(torch.device("cpu")))
    print(max(float((one[name] - two[name]).abs().max()) for name in one))
"""


def test_gradients_of_two_processes_are_those_of_one_but_for_rounding(tmp_path):
    """In float64, where rounding cannot hide a mistake."""
    script = tmp_path / "steps.py"
    script.write_text(STEPS)
    done = subprocess.run([sys.executable, *TWO, str(script)], env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-10


def test_wrong_data_end_all_processes_with_one_sentence(tmp_path):
    (tmp_path / "data").mkdir()
    done = cli(MODULE, tmp_path / "data", "-o", tmp_path / "m", start=TWO)
    assert done.returncode != 0
    assert done.stderr.count("lesion-analysis train: ") == 1


# --- three classes -------------------------------------------------------------------------------------------


def test_three_classes_in_the_papers_recipe_with_volumes_among_the_images(tmp_path):
    rng = np.random.default_rng(2)
    for patient in range(9):
        name = ("COVID-19", "Normal", "Pneumonia")[patient % 3]
        place = tmp_path / "data" / name / f"p{patient}"
        place.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(chest_image(rng, name != "Normal", 96)).save(place / f"{i}.png")
    ct = make_phantom((20, 128, 128), (2.8, 2.8, 14.0)).ct
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.ijk_to_ras
    image = sitk.GetImageFromArray(ct.array)
    image.SetSpacing(ct.spacing_mm)
    image.SetDirection((lps[:3, :3] / ct.spacing_mm).ravel())
    image.SetOrigin(lps[:3, 3])
    sitk.WriteImage(image, str(tmp_path / "data" / "COVID-19" / "p0" / "ct.nii.gz"))
    rows = "".join(f"COVID-19/p0/ct.nii.gz,{i},COVID-19\n" for i in range(7, 11))
    (tmp_path / "data" / "slice_labels.csv").write_text("file,slice,label\n" + rows)
    config = TrainingConfig.from_recipe("paper", backbone="resnet18", imagenet=None, phases=(Phase(64, 1, 4),),
                                        test_share=0.0, validation_share=0.3, lesion_samples=8, device="cpu",
                                        workers=1)  # fmt: skip
    bundle = train(tmp_path / "data", tmp_path / "model", config, log=lambda _: None)
    assert bundle.classes == ("Normal", "Pneumonia", "COVID-19") and bundle.positive == 2
    assert bundle.fecnn["classes"] == bundle.fecnn["rho"] == 3
    facts = json.loads((bundle.folder / "metrics.json").read_text(encoding="utf-8"))
    assert sum(facts["slices"].values()) == 9 * 3 + 4
    assert len(facts["validation"]["rows"][0]["classes"]) == 3
    analysis = LesionAnalyzer(bundle, AnalysisConfig(device="cpu")).analyze(ct)
    assert analysis.summary.diagnosis in bundle.classes
    assert "## Deviations from the paper" in bundle.card and "random weights, not from ImageNet" in bundle.card
    assert bundle.training["deviations"] == facts["deviations"] == config.deviations
