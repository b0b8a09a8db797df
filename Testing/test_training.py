"""The first trainer: data stay with their patients, an interrupted run ends as an unbroken one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from LesionAnalysisTrainingLib.augmentation import Augmentation, view
from LesionAnalysisTrainingLib.calibration import fit_temperature
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, PictureStore, Sample, prepare, read_manifest
from LesionAnalysisTrainingLib.evaluation import accuracy, auc, bootstrap
from LesionAnalysisTrainingLib.splits import split_by_patient
from LesionAnalysisTrainingLib.trainer import Phase, Trainer, TrainingConfig, draw_order
from PIL import Image


def chest_picture(rng, sick, size=96):
    """Two dark lungs in a bright body on black; sick ones have a bright patch in a lung."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    picture = np.where((x / 0.48) ** 2 + (y / 0.4) ** 2 < 1, 180.0, 0.0)
    for side in (-1, 1):
        picture[((x - 0.2 * side) / 0.15) ** 2 + (y / 0.28) ** 2 < 1] = 50
    if sick:
        picture[((x - 0.2) / 0.07) ** 2 + ((y - 0.1) / 0.08) ** 2 < 1] = 130
    return np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder, rng, rows = tmp_path_factory.mktemp("slices"), np.random.default_rng(0), []
    for patient in range(8):
        for i in range(3):
            path = folder / f"{patient}-{i}.png"
            Image.fromarray(chest_picture(rng, patient % 2)).save(path)
            split = VALIDATION if patient >= 6 else TRAIN
            rows.append(Sample(str(path), patient % 2, f"p{patient}", "toy", split))
    return rows


@pytest.fixture(scope="module")
def store(samples, tmp_path_factory):
    return PictureStore(samples, tmp_path_factory.mktemp("store"), workers=1)


def tiny(**changes):
    return replace(
        TrainingConfig(backbone="resnet18", phases=(Phase(128, 2, 4),), samples_per_epoch=8, workers=0,
                       omega_samples=6, omega_frozen_epochs=1),
        **changes,
    )  # fmt: skip


def test_a_patient_in_two_splits_is_refused(samples):
    torn = [replace(samples[0], split=TRAIN), replace(samples[1], split=VALIDATION)]
    with pytest.raises(ValueError, match="two splits"):
        split_by_patient(torn)


def test_splits_keep_patients_together_and_near_the_share():
    rows = [Sample(f"{p}-{i}", p % 2, f"p{p}", "s") for p in range(60) for i in range(1 + p % 4)]
    done = split_by_patient(rows, 0.2)
    sides = {}
    for s in done:
        sides.setdefault(s.patient, set()).add(s.split)
    assert all(len(v) == 1 for v in sides.values())
    assert np.mean([s.split == VALIDATION for s in done]) == pytest.approx(0.2, abs=0.06)


def test_given_splits_are_kept(samples):
    assert split_by_patient(samples) == samples


def test_manifest_reads_labels_and_patients(tmp_path):
    Image.new("L", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("file,label,patient,dataset\na.png,COVID,7,x\n")
    (sample,) = read_manifest(tmp_path / "manifest.csv", ("NonCOVID", "COVID"))
    assert (sample.label, sample.patient, sample.source, sample.split) == (1, "x/7", "x", None)


@pytest.mark.parametrize(
    ("text", "word"),
    [("file,label\na.png,COVID\n", "lacks the columns patient"), ("file,label,patient\na.png,FLU,1\n", "FLU"),
     ("file,label,patient\nno.png,COVID,1\n", "does not exist")],
)  # fmt: skip
def test_wrong_manifests_are_refused(tmp_path, text, word):
    Image.new("L", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=word):
        read_manifest(tmp_path / "manifest.csv", ("NonCOVID", "COVID"))


def test_store_keeps_greys_to_the_lowest_bit_and_lungs_exactly(samples, store):
    direct = prepare(samples[5].path)
    kept = store[5]
    assert np.array_equal(kept.lungs, direct.lungs)
    assert np.abs(kept.greys.astype(int) - direct.greys).max() <= 1
    assert kept.box == direct.box


def test_greys_are_brought_to_the_anchors(samples):
    picture = prepare(samples[0].path)
    inner = picture.greys[picture.lungs]
    assert np.median(inner) == pytest.approx(60, abs=3)


def test_views_repeat_with_their_seed_and_stray_from_it(store):
    a, b, c = (view(store[3], 64, 0.03, Augmentation(), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_an_augmentation_of_nothing_is_the_plain_crop(store):
    nothing = Augmentation(*([0.0] * 14))
    plain = view(store[3], 64, 0.0, None, None).astype(int)
    same = view(store[3], 64, 0.0, nothing, np.random.default_rng(0)).astype(int)
    assert np.abs(plain - same).mean() < 3


def test_both_classes_are_drawn_equally_often(samples):
    rows = [s for s in samples if s.label == 0 or s.patient == "p1"]
    order = draw_order(rows, replace(tiny(), samples_per_epoch=2000), 0)
    assert np.mean([rows[i].label for i in order]) == pytest.approx(0.5, abs=0.05)
    assert all(rows[i].split == TRAIN for i in order)


def test_the_paper_recipe_is_the_papers():
    paper = TrainingConfig.paper()
    assert [(p.size, p.epochs, p.batch) for p in paper.phases] == [(512, 50, 10)]
    assert (paper.learning_rate, paper.schedule, paper.dropout) == (1e-5, "constant", 0.5)
    assert (paper.augmentation.rotation, paper.augmentation.shift) == (180.0, 0.05)


def test_an_interrupted_run_ends_as_an_unbroken_one(samples, store, tmp_path):
    whole = Trainer(samples, store, tiny(), tmp_path / "whole", log=lambda _: None).run()
    stopped = Trainer(samples, store, tiny(), tmp_path / "broken", log=lambda _: None)
    stopped._train_epoch(stopped.plan[0])
    stopped.epoch += 1
    stopped._checkpoint()
    resumed = Trainer(samples, store, tiny(), tmp_path / "broken", log=lambda _: None).run()
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


def test_other_settings_are_not_resumed(samples, store, tmp_path):
    first = Trainer(samples, store, tiny(), tmp_path, log=lambda _: None)
    first._checkpoint()
    with pytest.raises(ValueError, match="other settings"):
        Trainer(samples, store, tiny(dropout=0.1), tmp_path, log=lambda _: None).run()


def test_early_layers_stay_as_they_were(samples, store, tmp_path):
    trainer = Trainer(samples, store, tiny(), tmp_path, log=lambda _: None)
    before = trainer.network.backbone_maps.layer1[0].conv1.weight.clone()
    after = trainer.network.backbone_maps.layer2[0].conv1.weight.clone()
    trainer._train_epoch(trainer.plan[0])
    assert torch.equal(before, trainer.network.backbone_maps.layer1[0].conv1.weight)
    assert not torch.equal(after, trainer.network.backbone_maps.layer2[0].conv1.weight)


def test_temperature_softens_log_odds_that_are_too_sure():
    rng = np.random.default_rng(0)
    true_odds = rng.normal(0, 2, 20000)
    truth = rng.random(20000) < 1 / (1 + np.exp(-true_odds))
    assert fit_temperature(3 * true_odds, truth) == pytest.approx(3, rel=0.05)


def test_bootstrap_redraws_patients_and_brackets_the_value():
    truth, score = np.array([0, 0, 1, 1] * 10), np.tile([0.1, 0.6, 0.4, 0.9], 10)
    value, low, high = bootstrap(auc, truth, score, np.repeat(np.arange(20), 2), rounds=50)
    assert value == pytest.approx(0.75)
    assert low <= value <= high
    assert accuracy(truth, score) == pytest.approx(0.5)
