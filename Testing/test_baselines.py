"""The systems that the paper compares with: features, classifiers, networks, and their list."""

import numpy as np
import pytest
import torch
from helpers_training import chest_image
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.network.backbones import make_backbone
from LesionAnalysisTrainingLib import Phase, TrainingConfig
from LesionAnalysisTrainingLib.dataset import TEST, TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.metrics import auc
from reproduction.baselines import SYSTEMS, Task, find_systems
from reproduction.baselines.baseline import shown_slices
from reproduction.baselines.covidnet import CovidNetCt
from reproduction.baselines.decovnet import DeCoVNet
from reproduction.baselines.handcrafted import HandCrafted
from reproduction.baselines.handcrafted_features import gray_histogram, lbp_histogram, slice_features
from reproduction.baselines.mlp import Mlp, MlpNetwork
from reproduction.baselines.network_baseline import FeCnnVariant, he_initialization
from reproduction.baselines.svm import Svm
from reproduction.baselines.wsnet import WsNet
from scipy.ndimage import gaussian_filter
from sklearn.svm import SVC
from torch import nn

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = TrainingConfig(phases=(Phase(64, 1, 8),), imagenet=None, device="cpu", workers=0, precision="float32")


def toy(train=24, val=8, test=12):
    """Synthetic chests, each of another patient: lung regions, samples, indices of the test slices."""
    rng = np.random.default_rng(3)
    regions, samples = [], []
    for split, count in ((TRAIN, train), (VALIDATION, val), (TEST, test)):
        for i in range(count):
            y, x = np.mgrid[:96, :96] / 96 - 0.5
            lungs = sum((((x - 0.2 * side) / 0.15) ** 2 + (y / 0.28) ** 2 < 1) for side in (-1, 1)) > 0
            gray_levels = chest_image(rng, i % 2)
            patch = lungs & (gray_levels > 90)
            gray_levels = np.where(patch, gaussian_filter(gray_levels, 1.5), gray_levels)  # lesions have less texture
            regions.append(LungRegion(gray_levels, lungs, (20.0, 14.0, 75.0, 81.0), True))
            samples.append(Sample(f"{split}{i}.png", i % 2, f"s/{split}{i}", "s", split))
    return regions, samples, np.array([i for i, s in enumerate(samples) if s.split == TEST])


def task(config=CONFIG, classes=2, **starts):
    return Task(classes, 1, config, ProcessGroup(torch.device("cpu")), starts)


# --- features -----------------------------------------------------------------------------------------------


def test_a_flat_lung_has_one_pattern_and_one_gray():
    gray_levels, lungs = np.full((9, 9), 77, np.uint8), np.zeros((9, 9), bool)
    lungs[2:7, 2:7] = True  # no neighbor lies outside the image
    patterns, levels = lbp_histogram(gray_levels, lungs), gray_histogram(gray_levels, lungs)
    assert patterns.shape == (59,) and levels.shape == (64,)
    assert sorted(patterns)[-2:] == [0.0, 1.0]  # all neighbors are as bright
    assert levels[77 // 4] == 1.0 and levels.sum() == 1.0


def test_bright_dots_and_checkers_fall_into_other_bins_than_flat_lungs():
    lungs = np.zeros((9, 9), bool)
    lungs[4, 4] = True
    dot, flat = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    dot[4, 4] = 200  # no neighbor is as bright: the pattern 00000000
    cross = np.zeros((9, 9), np.uint8)
    cross[4, 4], cross[[3, 5, 4, 4], [4, 4, 3, 5]] = 200, 250  # 10101010 changes eight times: not uniform
    found = [int(lbp_histogram(p, lungs).argmax()) for p in (dot, flat, cross)]
    assert len(set(found)) == 3 and found[2] == 58


def test_gray_levels_are_counted_over_the_lungs_alone():
    gray_levels = np.array([[0, 3, 4], [255, 128, 128]], np.uint8)
    shares = gray_histogram(gray_levels, np.array([[True, True, True], [True, False, False]]))
    assert shares[[0, 1, 63]].tolist() == [0.5, 0.25, 0.25] and shares[32] == 0


@pytest.mark.parametrize("feature", [lbp_histogram, gray_histogram])
def test_without_lung_pixels_all_shares_are_0(feature):
    assert not feature(np.ones((4, 4), np.uint8), np.zeros((4, 4), bool)).any()


def test_features_come_from_the_lungs_of_the_plain_view():
    regions, samples, _ = toy(2, 0, 0)
    shares = slice_features(gray_histogram, regions, samples, np.arange(2), task())
    assert shares.shape == (2, 64) and np.allclose(shares.sum(1), 1)
    assert shares[0, :18].sum() > 0.9  # healthy lungs are dark; the bright body beside them does not count
    assert 0.15 < shares[1, 26:].sum() < 0.6


# --- classifiers --------------------------------------------------------------------------------------------


def blobs(n=60, classes=2):
    rng = np.random.default_rng(5)
    y = np.arange(n) % classes
    return rng.normal(0, 0.3, (n, 4)) + y[:, None] * [[1.0, -1.0, 0.0, 1000.0]], y, np.array([f"p{i // 2}" for i in y])


@pytest.mark.parametrize("classes", [2, 3])
def test_svm_gives_probabilities_of_all_classes(classes):
    x, y, _ = blobs(classes=classes)
    groups = np.array([f"p{i}" for i in range(len(y))])
    table = Svm(classes).fit(x, y, groups).predict_proba(x)
    assert table.shape == (60, classes) and np.allclose(table.sum(1), 1)
    assert (table.argmax(1) == y).mean() > 0.95


def test_svm_learns_where_a_class_has_a_single_patient():
    x, y, _ = blobs()
    table = Svm().fit(x, y, np.where(y == 1, "one", "other")).predict_proba(x)
    assert (table.argmax(1) == y).mean() > 0.95


def test_svm_calibrates_on_patients_that_it_was_not_trained_on():
    """Features that only tell patients apart give certainty on known patients and must give none on others."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    y = groups % 2
    x = rng.normal(0, 1, (12, 4))[groups] + rng.normal(0, 0.01, (60, 4))
    table = Svm().fit(x, y, groups).predict_proba(x)
    assert np.abs(table[:, 1] - 0.5).max() < 0.48


def test_weights_count_as_repeated_slices():
    x, y, _ = blobs(20)
    times = np.where(y == 1, 3, 1)
    once, repeated = x[:, :3], np.repeat(x[:, :3], times, axis=0)  # the fourth would make any margin wide
    scaler = Svm().fit(once, y, np.arange(20)).machine_[0]
    machine = Svm()._machine(once, y, times.astype(float))[-1]
    other = SVC(C=1.0, gamma="scale").fit(scaler.transform(repeated), np.repeat(y, times))
    assert machine.decision_function(scaler.transform(once)) == pytest.approx(
        other.decision_function(scaler.transform(once)), abs=0.1)  # fmt: skip


def test_mlp_is_batch_norm_linear_tanh_without_the_last_tanh():
    network = MlpNetwork(59, 2)
    types = [type(layer) for layer in network]
    assert types == [nn.BatchNorm1d, nn.Linear, nn.Tanh] * 2 + [nn.BatchNorm1d, nn.Linear]
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [25, 10, 2]


def test_mlp_repeats_itself_and_keeps_its_best_epoch():
    x, y, _ = blobs()
    one, other = (Mlp(epochs=100, rate=0.01).fit(x, y, validation=(x, y)) for _ in range(2))
    assert np.array_equal(one.predict_proba(x), other.predict_proba(x))
    assert 1 <= one.epoch_ <= 100 and (one.predict_proba(x).argmax(1) == y).all()


def test_mlp_needs_two_slices():
    with pytest.raises(ValueError, match="at least two"):
        Mlp().fit(np.zeros((1, 3)), np.zeros(1, int))


@pytest.mark.parametrize("feature", ["lbp", "hist"])
@pytest.mark.parametrize("classifier", ["svm", "mlp"])
def test_handcrafted_systems_learn_bright_patches(feature, classifier, tmp_path):
    regions, samples, test = toy()
    system = HandCrafted(task(), feature, classifier).fit(regions, samples, tmp_path)
    table = system.predict_proba(regions, samples, test)
    truth = np.array([samples[i].label for i in test])
    assert table.shape == (12, 2) and np.allclose(table.sum(1), 1)
    assert auc(truth, table[:, 1]) > 0.9
    assert system.facts_["slices"] <= 24


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match="Unknown system sift"):
        HandCrafted(task(), "sift", "svm")


def test_the_slices_are_those_that_a_network_receives_within_the_budget():
    _, samples, _ = toy()
    order, weight = shown_slices(samples, CONFIG)
    assert all(samples[i].split == TRAIN for i in order) and weight.mean() == pytest.approx(1)
    few = TrainingConfig(phases=(Phase(64, 1, 2),), samples_per_epoch=5)
    assert len(shown_slices(samples, few)[0]) <= 5
    assert len(shown_slices(samples, TrainingConfig.paper())[0]) == 24


# --- networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, channels", [(WsNet, 1), (DeCoVNet, 2), (CovidNetCt, 1)])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_network_gives_logits_and_a_gradient_to_all_parameters(make, channels, classes):
    torch.manual_seed(0)
    network = make(classes)
    logits = network(torch.rand(4, channels, 64, 64))
    assert logits.shape == (4, classes) and getattr(network, "wants_lungs", False) == (channels == 2)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_decovnet_uses_the_lung_mask():
    network = DeCoVNet().eval()
    images = torch.rand(1, 2, 64, 64)
    without = torch.cat([images[:, :1], torch.zeros(1, 1, 64, 64)], 1)
    assert not torch.equal(network(images), network(without))


def test_wsnet_sums_the_largest_scores_of_three_scales():
    network = WsNet().eval()
    found = []
    for head in network.class_maps:
        head.register_forward_hook(lambda module, inputs, output: found.append(output))
    logits = network(torch.rand(1, 1, 64, 64))
    assert [m.shape[-1] for m in found] == [16, 8, 4]
    assert torch.allclose(logits, sum(m.amax((2, 3)) for m in found))


def test_vgg16_with_random_weights_keeps_its_signal():
    torch.manual_seed(0)
    network = make_backbone("vgg16")
    with torch.no_grad():
        faded = network(torch.randn(1, 3, 64, 64))[2].std()
        he_initialization(network)
        kept = network(torch.randn(1, 3, 64, 64))[2].std()
    assert kept > 0.1 > 100 * faded or kept > 20 * faded


def test_a_network_is_trained_with_the_trainer_and_continues_where_it_stopped(tmp_path):
    regions, samples, test = toy(16, 4, 4)
    system = SYSTEMS["DeCoVNet"].make(task())
    table = system.fit(regions, samples, tmp_path / "d", log=lambda _: None).predict_proba(regions, samples, test)
    assert table.shape == (4, 2) and np.allclose(table.sum(1), 1)
    assert system.facts_["epochs"] == system.facts_["chosen_epoch"] == 1 and system.facts_["start"] is None
    lines = []
    again = SYSTEMS["DeCoVNet"].make(task()).fit(regions, samples, tmp_path / "d", log=lines.append)
    assert lines == ["Resumed after epoch 1."]
    assert np.array_equal(again.predict_proba(regions, samples, test), table)


def test_fecnn_starts_from_the_weights_of_its_backbone_alone(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "resnet18-given.pth"
    torch.save(make_backbone("resnet18").state_dict(), path)
    form = FeCnnVariant(task(resnet18=path), "resnet18")
    assert form.start == path and FeCnnVariant(task(resnet18=path), "vgg16").start is None
    regions, samples, test = toy(8, 4, 2)
    form.fit(regions, samples, tmp_path / "f", log=lambda _: None)
    assert form.facts_["start"] == "resnet18-given.pth"
    assert form.predict_proba(regions, samples, np.zeros(0, int)).shape == (0, 2)


# --- the list -----------------------------------------------------------------------------------------------


def test_fourteen_systems_are_listed_in_the_order_of_the_tables():
    assert list(SYSTEMS) == [
        "LBP + SVM", "LBP + MLP", "Hist + SVM", "Hist + MLP", "Resnet50", "VGG16", "Xception", "WsNet", "DeCoVNet",
        "COVIDNet-CT", "FeCNN", "FeCNN without FPN and fusion", "FeCNN without fusion", "FeCNN without FPN",
    ]  # fmt: skip
    assert all(s.description and s.reference for s in SYSTEMS.values())
    assert "not the original" in SYSTEMS["COVIDNet-CT"].description


def test_every_system_can_be_made_and_only_two_rows_are_the_same_network():
    recipes = {name: str(system.make(task()).recipe) for name, system in SYSTEMS.items()}
    assert recipes["Resnet50"] == recipes["FeCNN without FPN and fusion"]
    assert len(set(recipes.values())) == 13
    small = Task(2, 1, TrainingConfig(backbone="resnet18"), ProcessGroup(torch.device("cpu")))
    assert len({str(system.make(small).recipe) for system in SYSTEMS.values()}) == 14


def test_systems_are_found_by_name_or_slug():
    assert len(find_systems(["all"])) == 14
    found = find_systems(["fecnn", "LBP + svm", "covidnet-ct"])
    assert [system.name for system in found] == ["LBP + SVM", "COVIDNet-CT", "FeCNN"]
    with pytest.raises(ValueError, match="Unknown system 'alexnet'"):
        find_systems(["alexnet"])
    with pytest.raises(ValueError, match="No system was named"):
        find_systems([" "])
