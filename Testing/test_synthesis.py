"""Synthesized lesions: where they lie, what they change, and how a network is trained on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_training import chest_image
from LesionAnalysisLib.lungs import LungRegion
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisTrainingLib.augmentation import augmented_view
from LesionAnalysisTrainingLib.data_loading import UNKNOWN, Views
from LesionAnalysisTrainingLib.dataset import TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.distributed import ProcessGroup
from LesionAnalysisTrainingLib.losses import lesion_loss
from LesionAnalysisTrainingLib.synthesis import add_lesions
from LesionAnalysisTrainingLib.trainer import Trainer
from LesionAnalysisTrainingLib.training_config import Augmentation, Phase, TrainingConfig
from thin_networks import thin_networks

pytestmark = pytest.mark.usefixtures("one_thread")


def lungs(size=192):
    y, x = np.mgrid[:size, :size] / size - 0.5
    return (((np.abs(x) - 0.2) / 0.15) ** 2 + (y / 0.28) ** 2 < 1) & (np.abs(x) > 0.04)


def clear_slice(size=192):
    """Lungs of gray 60 with a vessel of 185, in soft tissue of 190."""
    mask = lungs(size)
    gray_levels = np.where(mask, 60, 190).astype(np.uint8)
    gray_levels[size // 2 : size // 2 + 3][mask[size // 2 : size // 2 + 3]] = 185
    return gray_levels, mask


@pytest.mark.parametrize("seed", range(8))
def test_lesions_lie_in_the_lungs_and_fill_air_only(seed):
    gray_levels, mask = clear_slice()
    changed, visible = add_lesions(gray_levels, mask, np.random.default_rng(seed))
    assert changed.dtype == np.uint8 and visible.dtype == bool and visible.any()
    difference = changed.astype(int) - gray_levels
    assert (difference >= 0).all() and changed.max() <= 190
    assert not difference[~mask].any()  # soft tissue is as dense as a lesion can get
    assert not (visible & (difference < 5) & (gray_levels == 60)).any()
    assert difference[mask & ~visible].max() <= 0.11 * 130 + 1
    assert difference[gray_levels == 185].max() <= 5  # the vessel stays


def test_lesions_repeat_with_their_seed_and_differ_without():
    gray_levels, mask = clear_slice()
    a, b, c = (add_lesions(gray_levels, mask, np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_too_little_lung_gets_no_lesion():
    gray_levels, mask = clear_slice()
    assert add_lesions(gray_levels, np.zeros_like(mask), np.random.default_rng(0)) is None


# --- views ---------------------------------------------------------------------------------------------------


class Regions:
    def __getitem__(self, i):
        gray_levels, mask = clear_slice()
        return LungRegion(gray_levels, mask, (20.0, 20.0, 170.0, 170.0), True)


def samples():
    return [Sample(f"{i}", i % 2, f"p{i}", "toy", TRAIN if i < 6 else VALIDATION) for i in range(8)]


def config(**changes):
    still = Augmentation(*([0.0] * 14))
    settings = {"lesion_head": True, "augmentation": replace(still, lesion_chance=1.0), **changes}
    return TrainingConfig(backbone="resnet18", phases=(Phase(64, 2, 4),), samples_per_epoch=8, workers=0,
                          omega_samples=4, **settings)  # fmt: skip


def views(settings, seed=(0,), **options):
    return Views(Regions(), samples(), np.arange(6), 64, settings, seed, positive=1, **options)


def test_a_slice_with_synthesized_lesions_has_the_disease_and_its_marks():
    image, label, marks = views(config(), marks=True)[0]
    clear = Regions()[0].view(64, 0.03, False).image
    assert label == 1 and marks.shape == (8, 8) and marks.dtype == torch.float32
    assert 0 < marks.max() <= 1 and marks.min() == 0
    brighter = (image[0].numpy().astype(int) - clear).reshape(8, 8, 8, 8).mean((1, 3))
    assert np.corrcoef(brighter.ravel(), marks.numpy().ravel())[0, 1] > 0.6  # the marks lie where the lesions are


def test_marks_of_real_slices_are_zero_without_the_disease_and_unknown_with_it():
    never = config(augmentation=Augmentation(lesion_chance=1e-9))
    assert [views(never, marks=True)[i][1] for i in (0, 1)] == [0, 1]
    assert not views(never, marks=True)[0][2].any()
    assert (views(never, marks=True)[1][2] == UNKNOWN).all()


def test_plain_views_and_those_without_marks_show_no_synthesized_lesion():
    assert views(config(), seed=None)[0][1] == 0
    assert len(views(config())[0]) == 2


def test_erased_boxes_are_even():
    erased = replace(Augmentation(*([0.0] * 14)), erase_chance=1.0)
    changed, plain = (
        augmented_view(Regions()[0], 64, 0.03, settings, np.random.default_rng(3)).astype(int)
        for settings in (erased, replace(erased, erase_chance=0.0))
    )
    inside = np.abs(changed - plain) > 2
    assert 0.005 < inside.mean() < 0.3
    assert len(np.unique(changed[inside])) <= 3  # one gray a box


@pytest.fixture
def thin():
    with thin_networks():
        yield


# --- training ----------------------------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_where_lesions_are_known():
    cells, marks = torch.full((1, 8, 8), 2.0), torch.zeros(1, 8, 8)
    assert float(lesion_loss(cells, marks)) == pytest.approx(np.log1p(np.exp(2.0)), abs=1e-5)
    assert float(lesion_loss(cells, marks + 1)) == pytest.approx(3 * np.log1p(np.exp(-2.0)), abs=1e-5)


def test_a_slice_with_unknown_marks_trains_its_highest_cells_only():
    cells = torch.full((1, 8, 8), -3.0, requires_grad=True)
    with torch.no_grad():
        cells[0, 2, 5] = 1.0
    lesion_loss(cells, torch.full((1, 8, 8), UNKNOWN)).backward()
    assert cells.grad[0, 2, 5] < 0 and int((cells.grad != 0).sum()) == 1


def test_a_lesion_head_learns_and_leaves_the_diagnosis_alone(tmp_path, thin):
    trainer = Trainer(samples(), Regions(), 2, 1, config(), tmp_path, ProcessGroup(torch.device("cpu")),
                      log=lambda _: None)  # fmt: skip
    network = trainer.run()
    assert network.settings["lesion_head"] and len(trainer.history) == 2
    maps = network.backbone(torch.rand(1, 1, 64, 64))
    assert network.head.lesions(network.head.pyramid(*maps)[0]).shape == (1, 8, 8)
    bare = FeCNN("resnet18").eval()
    bare.load_state_dict({n: v for n, v in network.state_dict().items() if not n.startswith("head.lesions")})
    with torch.inference_mode():
        assert torch.equal(bare.head(*maps), network.head(*maps))


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"lesion_head": True}, "synthesized"), ({"lesion_head": True, "fpn": False}, "needs FPN")],
)
def test_settings_that_do_not_fit_are_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        TrainingConfig(**changes)


def test_an_image_without_lungs_gets_no_lesions():
    class NoLungs(Regions):
        def __getitem__(self, i):
            return replace(super().__getitem__(i), found=False)

    item = Views(NoLungs(), samples(), np.arange(6), 64, config(), (0,), positive=1, marks=True)[0]
    assert item[1] == 0 and not item[2].any()


def test_toy_lungs_can_hold_lesions():
    image = chest_image(np.random.default_rng(0), False, 192)
    assert add_lesions(image, lungs(), np.random.default_rng(0)) is not None
