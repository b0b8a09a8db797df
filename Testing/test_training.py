"""Settings, views and the training loop: repeatable, resumable, and stopped where it goes wrong."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_training import chest_image
from LesionAnalysisLib.network.backbones import BACKBONES
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisTrainingLib.augmentation import augmented_view
from LesionAnalysisTrainingLib.data_loading import Views, draw_order, plain_batches, training_batches
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, Sample, SliceStore
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.optimization import averaged_copy, make_optimizer, phase_schedule
from LesionAnalysisTrainingLib.trainer import CHECKPOINT, Trainer
from LesionAnalysisTrainingLib.training_config import Augmentation, Phase, TrainingConfig
from PIL import Image
from thin_networks import thin_networks

pytestmark = pytest.mark.usefixtures("one_thread", "thin")
FULL = BACKBONES["resnet18"]
CPU = ProcessGroup(torch.device("cpu"))


@pytest.fixture(scope="module")
def thin():
    with thin_networks():
        yield


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
        TrainingConfig(backbone="resnet18", phases=(Phase(64, 2, 4),), samples_per_epoch=8, workers=0,
                       precision="float32", omega_samples=6, omega_start=0.0, omega_frozen_epochs=1, keep_best=False),
        **changes,
    )  # fmt: skip


def trainer_of(samples, store, folder, config=None, **options):
    folder.mkdir(exist_ok=True)
    return Trainer(samples, store, 2, 1, config or tiny(), folder, CPU, log=lambda _: None, **options)


@pytest.fixture(scope="module")
def finished(samples, store, thin, tmp_path_factory):
    """A finished training, its network, and its folder (to be copied)."""
    trainer = trainer_of(samples, store, tmp_path_factory.mktemp("finished") / "run")
    return trainer, trainer.run(), trainer.folder


# --- settings ------------------------------------------------------------------------------------------------


def test_the_paper_recipe_is_the_papers():
    paper = TrainingConfig.paper()
    assert [(p.size, p.epochs, p.batch) for p in paper.phases] == [(512, 50, 10)]
    assert (paper.learning_rate, paper.schedule, paper.dropout) == (1e-5, "constant", 0.5)
    assert (paper.augmentation.rotation, paper.augmentation.shift) == (180.0, 0.05)
    assert (paper.validation_share, paper.test_share, paper.split) == (0.05, 0.15, "patients")
    assert (paper.average, paper.balance, paper.patience, paper.keep_best) == (0.0, False, None, False)
    assert (paper.clip_norm, paper.drop_last, paper.vote_start) == (None, False, False)
    assert paper.preprocessing().mask_images and not paper.preprocessing().anchor_gray_levels


def test_the_paper_recipe_lists_its_deviations_and_other_recipes_have_none():
    listed = TrainingConfig.paper().deviations
    assert any("by patient" in text for text in listed) and not any("random weights" in text for text in listed)
    changed = TrainingConfig.from_recipe("paper", split="random", imagenet=None, learning_rate=1e-4).deviations
    assert "learning_rate is 0.0001, not 1e-05." in changed and any("random weights" in text for text in changed)
    assert not any("by patient" in text for text in changed)
    assert TrainingConfig().deviations == TrainingConfig.lesions().deviations == []


@pytest.mark.parametrize("config", [TrainingConfig(), TrainingConfig.paper()])
def test_settings_survive_json(config):
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"phases": (Phase(100, 1, 4),)}, "multiple of 32"), ({"phases": ()}, "nothing to train"),
     ({"phases": (Phase(64, 1, 1),)}, "batches of 2"), ({"validation_share": 0.0}, "Validation"),
     ({"validation_share": 0.5, "test_share": 0.5}, "Validation"), ({"split": "slices"}, "patients or random"),
     ({"recipe": "secret"}, "improved, lesions or paper"), ({"learning_rate": 0.0}, "above 0"),
     ({"clusters": 0}, "1 to 20"), ({"clip_norm": 0.0}, "above 0"),
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
    a, b, c = (augmented_view(store[3], 64, 0.03, Augmentation(), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_an_augmentation_of_nothing_is_the_plain_crop(store):
    nothing = Augmentation(*([0.0] * 14))
    plain = store[3].view(64, 0.0, False).image.astype(int)
    same = augmented_view(store[3], 64, 0.0, nothing, np.random.default_rng(0)).astype(int)
    assert np.abs(plain - same).mean() < 3


def test_plain_views_of_images_and_volumes_are_masked_as_an_analysis_masks_them(samples, store):
    class Volume:
        def __getitem__(self, i):
            return replace(store[i], calibrated=True)

    order = np.array([3])
    image = Views(store, samples, order, 64, tiny())[0][0]
    volume = Views(Volume(), samples, order, 64, tiny())[0][0]
    assert (volume == 0).float().mean() > (image == 0).float().mean() + 0.05
    assert torch.equal(volume[0], torch.tensor(store[3].view(64, tiny().margin, True).image))
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
    whole = training_batches(23, 8)
    assert [list(b) for b in whole] == [list(range(8)), list(range(8, 16))]
    parts = [training_batches(23, 8, True, rank, 2) for rank in range(2)]
    assert [[*a, *b] for a, b in zip(*parts, strict=True)] == [list(b) for b in whole]
    assert [i for b in plain_batches(5, 2) for i in b] == [0, 1, 2, 3, 4]


def test_an_incomplete_last_batch_is_kept_on_request_if_it_has_two_slices_for_every_process():
    assert [list(b) for b in training_batches(11, 8, False)][1] == [8, 9, 10]
    assert len(training_batches(9, 8, False)) == 1
    assert [list(training_batches(12, 8, False, rank, 2)[1]) for rank in range(2)] == [[8, 9], [10, 11]]
    assert len(training_batches(11, 8, False, 0, 2)) == 1


@pytest.mark.parametrize(("schedule", "warm_up"), [("cosine", 0.2), ("cosine", 0.0), ("constant", 0.0)])
def test_each_phase_warms_up_and_falls_to_a_hundredth_from_wherever_it_is_resumed(schedule, warm_up):
    config = tiny(schedule=schedule, warm_up=warm_up)
    parameter, rates = torch.nn.Parameter(torch.zeros(1)), []
    optimizer = make_optimizer(torch.nn.ParameterList([parameter]), config, True)
    for _ in range(2):  # two phases
        plan = phase_schedule(optimizer, config, Phase(64, 1, 4, 0.5), 100)
        rates.append([optimizer.param_groups[1]["lr"]])
        for _ in range(100):
            optimizer.step()
            plan.step()
            rates[-1].append(optimizer.param_groups[1]["lr"])
    assert rates[0] == rates[1]
    peak = 0.5 * config.head_learning_rate
    assert rates[0][0] == pytest.approx(peak * (0.01 if warm_up else 1.0))
    assert rates[0][-1] == pytest.approx(peak * (0.01 if schedule == "cosine" else 1.0))
    assert np.argmax(rates[0]) == (20 if warm_up else 0) and max(rates[0]) > 0.85 * peak
    phase_schedule(optimizer, config, Phase(64, 1, 4, 0.5), 100, 37)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(rates[0][37])


def test_the_running_average_follows_fast_at_first_and_copies_counts():
    network = torch.nn.BatchNorm1d(1)
    averaged = averaged_copy(network, 0.9)
    for step in range(40):
        network.weight.data.fill_(float(step))
        network.running_mean.fill_(float(step))
        network.num_batches_tracked += 1
        before = float(averaged.module.weight)
        averaged.update_parameters(network)
        decay = min(0.9, (2 + step) / (11 + step)) if step else 0.0
        assert float(averaged.module.weight) == pytest.approx(decay * before + (1 - decay) * step, abs=1e-5)
        assert float(averaged.module.running_mean) == pytest.approx(float(averaged.module.weight), abs=1e-5)
    assert int(averaged.module.num_batches_tracked) == 40


# --- the loop ------------------------------------------------------------------------------------------------


class StopError(Exception):
    pass


def test_a_run_that_stops_in_mid_epoch_ends_as_an_unbroken_one(samples, store, finished, tmp_path):
    whole, expected, _ = finished

    def stop(fraction, message):
        if "Epoch 2" in message:
            raise StopError

    with pytest.raises(StopError):
        trainer_of(samples, store, tmp_path / "broken", progress=stop).run()
    resumed = trainer_of(samples, store, tmp_path / "broken")
    for (name, a), b in zip(expected.state_dict().items(), resumed.run().state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]


def test_two_runs_give_the_same_network_and_another_seed_another_one(samples, store, finished, tmp_path):
    others = [trainer_of(samples, store, tmp_path / str(s), tiny(seed=s)).run() for s in (0, 1)]
    weights = [network.head.fusion.classify.weight for network in (finished[1], *others)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_other_settings_are_not_resumed_but_another_machine_is(samples, store, finished, tmp_path):
    shutil.copytree(finished[2], tmp_path / "run")
    with pytest.raises(ValueError, match="another setting of dropout"):
        trainer_of(samples, store, tmp_path / "run", tiny(dropout=0.1)).run()
    again = trainer_of(samples, store, tmp_path / "run", tiny(workers=1))
    again.run()
    assert len(again.history) == 2


def test_a_damaged_checkpoint_is_reported(samples, store, finished, tmp_path):
    whole = (finished[2] / CHECKPOINT).read_bytes()
    (tmp_path / "run").mkdir()
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
    config = tiny(phases=(Phase(64, 9, 4), Phase(96, 4, 4)), patience=2, keep_best=True, samples_per_epoch=4)
    trainer = trainer_of(samples, store, tmp_path / "run", config)
    trainer._checkpoint = lambda: None
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
        assert torch.equal(value, kept[5][f"module.{name}"])


def test_omega_is_relative_with_a_floor_and_as_equation_2_in_the_papers_recipe(samples, store, tmp_path):
    scores = torch.zeros(10, 5, 2)
    scores[:9, 0, 1] = 1.0  # all slices are diseased: the first level errs in one of ten, the others always
    for floor, expected in ((0.2, [1.0, 0.2]), (0.0, [0.5 * np.log(9), 0.002])):
        trainer = trainer_of(samples, store, tmp_path / str(floor), tiny(omega_floor=floor))
        trainer.evaluate = lambda *_: (scores, torch.ones(10, dtype=int))
        trainer.history.append({})
        trainer._update_omega(trainer.config.phases[0])
        assert trainer.network.head.fusion.omega[:2].tolist() == pytest.approx(expected, abs=1e-4)
        assert torch.equal(trainer.network.head.fusion.omega, trainer.averaged.module.head.fusion.omega)


def test_a_training_that_diverges_is_stopped(samples, store, tmp_path):
    config = tiny(learning_rate=1e30, head_learning_rate=1e30, warm_up=0.0, samples_per_epoch=110,
                  phases=(Phase(64, 2, 2),))  # fmt: skip
    with pytest.raises(RuntimeError, match="diverged"):
        trainer_of(samples, store, tmp_path / "run", config).run()


def test_a_batch_larger_than_the_data_is_refused(samples, store, tmp_path):
    config = tiny(phases=(Phase(64, 1, 64),), samples_per_epoch=None)
    with pytest.raises(ValueError, match="batch of 64 is larger than the 18"):
        trainer_of(samples, store, tmp_path / "run", config)


def test_a_batch_must_divide_among_the_processes(samples, store, tmp_path):
    with pytest.raises(ValueError, match="does not divide among 3"):
        Trainer(samples, store, 2, 1, tiny(), tmp_path, ProcessGroup(torch.device("cpu"), 0, 3))


def test_the_last_layer_starts_as_a_vote_except_in_the_papers_recipe(samples, store, tmp_path):
    vote, paper = (trainer_of(samples, store, tmp_path / str(start), tiny(vote_start=start)) for start in (True, False))
    diagonal = torch.eye(2).repeat(1, 5)
    assert (vote.network.head.fusion.classify.weight - diagonal).abs().max() < 0.05
    assert paper.network.head.fusion.classify.weight.abs().max() < 0.5


def test_gradients_are_clipped_unless_the_recipe_says_otherwise(samples, store, tmp_path, monkeypatch):
    limits = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda p, limit: limits.append(limit) or clip(p, limit))
    for norm in (5.0, None):
        trainer_of(samples, store, tmp_path / str(norm), tiny(clip_norm=norm, samples_per_epoch=4))._train_epoch()
    assert limits == [5.0, np.inf]


def test_worker_processes_change_nothing(samples, store, tmp_path):
    alone, helped = (trainer_of(samples, store, tmp_path / str(n), tiny(workers=n)) for n in (0, 2))
    for trainer in (alone, helped):
        trainer._train_epoch()
    assert torch.equal(alone.network.head.fusion.classify.weight, helped.network.head.fusion.classify.weight)


def test_memory_is_flat_over_epochs(samples, store, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "resnet18", FULL)
    trainer = trainer_of(samples, store, tmp_path / "run", tiny(phases=(Phase(64, 6, 4),), samples_per_epoch=4))
    resident = []
    checkpoint = trainer._checkpoint

    def measure():
        checkpoint()
        resident.append(int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6)

    trainer._checkpoint = measure
    trainer.run()
    assert np.median(resident[4:]) - np.median(resident[2:4]) < 25, resident  # MB; a leaked network is 45


def test_the_benchmark_of_the_throughput_runs(capsys):
    import training_throughput

    training_throughput.main("--backbone resnet18 --size 64 --batch 4 --batches 1 --turns 1 --device cpu".split())
    assert float(capsys.readouterr().out.split("ratio ")[1]) > 0
