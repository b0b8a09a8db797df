"""Settings, views and the training loop: repeatable, resumable, and stopped where it goes wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_training import chest_image
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisTrainingLib.augmentation import view
from LesionAnalysisTrainingLib.data_loading import Views, draw_order, plain_batches, share_of_batches
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, Sample, SliceStore
from LesionAnalysisTrainingLib.distributed import Team
from LesionAnalysisTrainingLib.trainer import CHECKPOINT, Trainer
from LesionAnalysisTrainingLib.training_config import Augmentation, Phase, TrainingConfig
from PIL import Image

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = Team(torch.device("cpu"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder, rng, rows = tmp_path_factory.mktemp("slices"), np.random.default_rng(0), []
    for patient in range(8):
        for i in range(3):
            path = folder / f"{patient}-{i}.png"
            Image.fromarray(chest_image(rng, patient % 2)).save(path)
            split = VALIDATION if patient >= 6 else TRAIN
            rows.append(Sample(str(path), patient % 2, f"p{patient}", "toy", split))
    return rows


@pytest.fixture(scope="module")
def store(samples, tmp_path_factory):
    return SliceStore(samples, tmp_path_factory.mktemp("store"), TrainingConfig().preprocessing())


def tiny(**changes):
    return replace(
        # not bfloat16: oneDNN's gradient of P7's weights on a single cell (64 px) does not repeat bit by bit
        TrainingConfig(backbone="resnet18", phases=(Phase(64, 3, 4),), samples_per_epoch=8, workers=0,
                       precision="float32", omega_samples=6, omega_start=0.0, omega_frozen_epochs=1, keep_best=False),
        **changes,
    )  # fmt: skip


def trainer_of(samples, store, folder, config=None, **options):
    folder.mkdir(exist_ok=True)
    return Trainer(samples, store, 2, 1, config or tiny(), folder, CPU, log=lambda _: None, **options)


# --- settings ------------------------------------------------------------------------------------------------


def test_the_paper_recipe_is_the_papers():
    paper = TrainingConfig.paper()
    assert [(p.size, p.epochs, p.batch) for p in paper.phases] == [(512, 50, 10)]
    assert (paper.learning_rate, paper.schedule, paper.dropout) == (1e-5, "constant", 0.5)
    assert (paper.augmentation.rotation, paper.augmentation.shift) == (180.0, 0.05)
    assert (paper.validation_share, paper.test_share, paper.split) == (0.15, 0.05, "patients")
    assert (paper.average, paper.balance, paper.patience, paper.keep_best) == (0.0, False, None, False)
    assert paper.preprocessing().mask_images and not paper.preprocessing().anchor_gray_levels


@pytest.mark.parametrize("config", [TrainingConfig(), TrainingConfig.paper()])
def test_settings_survive_json(config):
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"phases": (Phase(100, 1, 4),)}, "multiple of 32"), ({"phases": ()}, "nothing to train"),
     ({"phases": (Phase(64, 1, 1),)}, "batches of 2"), ({"validation_share": 0.0}, "Validation"),
     ({"validation_share": 0.5, "test_share": 0.5}, "Validation"), ({"split": "slices"}, "patients or random"),
     ({"recipe": "secret"}, "improved, lesions or paper"), ({"learning_rate": 0.0}, "above 0"),
     ({"clusters": 0}, "1 to 20"),
     ({"schedule": "steps"}, "cosine"), ({"dropout": 1.0}, "Dropout"), ({"patience": 0}, "start at 1")],
)  # fmt: skip
def test_settings_out_of_range_are_refused_in_a_sentence(changes, word):
    with pytest.raises(ValueError, match=word):
        replace(TrainingConfig(), **changes)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="Unknown training settings: learning_speed"):
        TrainingConfig.from_dict({"learning_speed": 1})


# --- views ---------------------------------------------------------------------------------------------------


def test_views_repeat_with_their_seed_and_stray_from_it(store):
    a, b, c = (view(store[3], 64, 0.03, Augmentation(), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_an_augmentation_of_nothing_is_the_plain_crop(store):
    nothing = Augmentation(*([0.0] * 14))
    plain = view(store[3], 64, 0.0, None, None).astype(int)
    same = view(store[3], 64, 0.0, nothing, np.random.default_rng(0)).astype(int)
    assert np.abs(plain - same).mean() < 3


def test_plain_views_of_pictures_and_volumes_are_masked_as_an_analysis_masks_them(samples, store):
    class Volume:
        def __getitem__(self, i):
            return replace(store[i], calibrated=True)

    order = np.array([3])
    picture = Views(store, samples, order, 64, tiny())[0][0]
    volume = Views(Volume(), samples, order, 64, tiny())[0][0]
    assert (volume == 0).float().mean() > (picture == 0).float().mean() + 0.05
    assert torch.equal(volume, Views(store, samples, order, 64, tiny(), masked=True)[0][0])
    assert torch.equal(volume, Views(store, samples, order, 64, tiny(mask_images=True))[0][0])


def test_both_classes_are_drawn_equally_often(samples):
    rows = [s for s in samples if s.label == 0 or s.patient == "p1"]
    order = draw_order(rows, tiny(samples_per_epoch=2000), 0)
    assert np.mean([rows[i].label for i in order]) == pytest.approx(0.5, abs=0.05)
    assert all(rows[i].split == TRAIN for i in order)


def test_small_sources_are_drawn_more_often_than_their_size():
    rows = [Sample(str(i), 0, str(i), "large" if i < 900 else "small", TRAIN) for i in range(1000)]
    order = draw_order(rows, tiny(samples_per_epoch=4000, source_power=0.5), 0)
    assert np.mean(order >= 900) == pytest.approx(0.25, abs=0.03)  # sqrt(100) / (sqrt(900) + sqrt(100))


def test_an_unbalanced_epoch_shows_every_training_slice_once(samples):
    order = draw_order(samples, tiny(balance=False), 1)
    assert sorted(order) == [i for i, s in enumerate(samples) if s.split == TRAIN]
    assert list(order) != sorted(order)


def test_the_parts_of_all_processes_are_the_batches_of_one():
    whole = share_of_batches(23, 8, 0, 1)
    assert [list(b) for b in whole] == [list(range(8)), list(range(8, 16))]
    parts = [share_of_batches(23, 8, rank, 2) for rank in range(2)]
    assert [[*a, *b] for a, b in zip(*parts, strict=True)] == [list(b) for b in whole]
    assert [i for b in plain_batches(5, 2) for i in b] == [0, 1, 2, 3, 4]


# --- the loop ------------------------------------------------------------------------------------------------


class StopError(Exception):
    pass


def test_a_run_that_stops_in_mid_epoch_ends_as_an_unbroken_one(samples, store, tmp_path):
    whole = trainer_of(samples, store, tmp_path / "whole")
    expected = whole.run()

    def stop(fraction, message):
        if "Epoch 3" in message:
            raise StopError

    with pytest.raises(StopError):
        trainer_of(samples, store, tmp_path / "broken", progress=stop).run()
    resumed = trainer_of(samples, store, tmp_path / "broken")
    for (name, a), b in zip(expected.state_dict().items(), resumed.run().state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]


def test_two_runs_give_the_same_network_and_another_seed_another_one(samples, store, tmp_path):
    runs = [trainer_of(samples, store, tmp_path / str(i), tiny(seed=s)).run() for i, s in enumerate((0, 0, 1))]
    weights = [network.head.fusion.classify.weight for network in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_other_settings_are_not_resumed_but_another_machine_is(samples, store, tmp_path):
    trainer_of(samples, store, tmp_path / "run").run()
    with pytest.raises(ValueError, match="another setting of dropout"):
        trainer_of(samples, store, tmp_path / "run", tiny(dropout=0.1)).run()
    again = trainer_of(samples, store, tmp_path / "run", tiny(workers=1))
    again.run()
    assert len(again.history) == 3


def test_a_damaged_checkpoint_is_said(samples, store, tmp_path):
    trainer_of(samples, store, tmp_path / "run").run()
    whole = (tmp_path / "run" / CHECKPOINT).read_bytes()
    (tmp_path / "run" / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        trainer_of(samples, store, tmp_path / "run").run()


def test_early_layers_keep_imagenets_weights_and_learn_without_them(samples, store, tmp_path):
    weights = tmp_path / "resnet18.pth"
    torch.save(FeCNN("resnet18").backbone_maps.state_dict(), weights)
    for imagenet, kept in ((weights, True), (None, False)):
        trainer = trainer_of(samples, store, tmp_path / str(kept), imagenet=imagenet)
        before = trainer.network.backbone_maps.layer1[0].conv1.weight.clone()
        later = trainer.network.backbone_maps.layer2[0].conv1.weight.clone()
        trainer._train_epoch()
        assert torch.equal(before, trainer.network.backbone_maps.layer1[0].conv1.weight) is kept
        assert not torch.equal(later, trainer.network.backbone_maps.layer2[0].conv1.weight)


def test_a_phase_ends_when_validation_gains_nothing_and_its_best_network_is_kept(samples, store, tmp_path):
    config = tiny(phases=(Phase(64, 9, 4), Phase(96, 4, 4)), patience=2, keep_best=True)
    trainer = trainer_of(samples, store, tmp_path / "run", config)
    aucs = iter([0.5, 0.9, 0.8, 0.7, 0.6, 0.95, 0.9, 0.85, 0.8])
    kept = []

    def validate():
        row = trainer.history[-1]
        row |= {"val_loss": 0.5, "val_auc": next(aucs)}
        kept.append({name: value.clone() for name, value in trainer.averaged.state_dict().items()})
        trainer._keep_best(row)

    trainer._validate = validate
    network = trainer.run()
    assert [(row["epoch"], row["size"]) for row in trainer.history] == [
        (1, 64), (2, 64), (3, 64), (4, 64), (10, 96), (11, 96), (12, 96), (13, 96)]  # fmt: skip
    assert trainer.best_epoch == 10  # the second of 96 px, counted from 0
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[5][name])


def test_omega_is_relative_with_a_floor_and_as_equation_2_in_the_papers_recipe(samples, store, tmp_path):
    scores = torch.zeros(10, 5, 2)
    scores[:9, 0, 1] = 1.0  # all slices are sick: the first level errs in one of ten, the others always
    for floor, expected in ((0.2, [1.0, 0.2]), (0.0, [0.5 * np.log(9), 0.002])):
        trainer = trainer_of(samples, store, tmp_path / str(floor), tiny(omega_floor=floor))
        trainer.forward = lambda *_: (scores, torch.ones(10, dtype=int))
        trainer.history.append({})
        trainer._update_omega(trainer.config.phases[0])
        assert trainer.network.head.fusion.omega[:2].tolist() == pytest.approx(expected, abs=1e-4)
        assert torch.equal(trainer.network.head.fusion.omega, trainer.averaged.head.fusion.omega)


def test_a_training_that_diverges_is_stopped(samples, store, tmp_path):
    config = tiny(learning_rate=1e30, head_learning_rate=1e30, warm_up=0.0, samples_per_epoch=300)
    with pytest.raises(RuntimeError, match="diverged"):
        trainer_of(samples, store, tmp_path / "run", config).run()


def test_a_batch_larger_than_the_data_is_refused(samples, store, tmp_path):
    config = tiny(phases=(Phase(64, 1, 64),), samples_per_epoch=None)
    with pytest.raises(ValueError, match="batch of 64 is larger than the 18"):
        trainer_of(samples, store, tmp_path / "run", config)


def test_a_batch_must_divide_among_the_processes(samples, store, tmp_path):
    with pytest.raises(ValueError, match="does not divide among 3"):
        Trainer(samples, store, 2, 1, tiny(), tmp_path, Team(torch.device("cpu"), 0, 3))


def test_worker_processes_change_nothing(samples, store, tmp_path):
    alone, helped = (trainer_of(samples, store, tmp_path / str(n), tiny(workers=n)) for n in (0, 2))
    for trainer in (alone, helped):
        trainer._train_epoch()
    assert torch.equal(alone.network.head.fusion.classify.weight, helped.network.head.fusion.classify.weight)


def test_memory_is_flat_over_epochs(samples, store, tmp_path):
    trainer = trainer_of(samples, store, tmp_path / "run", tiny(phases=(Phase(64, 12, 4),)))
    resident = []
    checkpoint = trainer._checkpoint

    def measure():
        checkpoint()
        resident.append(int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6)

    trainer._checkpoint = measure
    trainer.run()
    assert np.median(resident[8:]) - np.median(resident[2:6]) < 25, resident  # MB; a leaked network is 45


def test_the_benchmark_of_the_throughput_runs(capsys):
    import training_throughput

    training_throughput.main("--backbone resnet18 --size 64 --batch 4 --batches 1 --turns 1 --device cpu".split())
    assert float(capsys.readouterr().out.split("ratio ")[1]) > 0
