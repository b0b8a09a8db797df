"""What a model sees in one image: maps by each method, upper bounds, and masks found by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_evaluate import ground_glass_image, tiny_model
from helpers_training import save
from LesionAnalysisLib.analyzer import AnalysisConfig, LesionAnalyzer
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.volume import ct_from_array
from LesionAnalysisTrainingLib.evaluate import mapper as maps
from LesionAnalysisTrainingLib.evaluate.image_mask_pairs import match, read_mask
from LesionAnalysisTrainingLib.metrics.detection_metrics import truth_lesions
from PIL import Image
from torch import nn

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "m2")


@pytest.mark.parametrize("preset", ["enhanced", "paper"])
def test_the_method_of_the_preset_is_what_an_analysis_shows(bundle, preset):
    mapper = maps.Mapper(bundle, preset, min_cells=1)
    assert mapper.shown == {"enhanced": "enhanced", "paper": "lam"}[preset]
    analyzer = LesionAnalyzer(bundle, replace(AnalysisConfig.from_preset(preset), threshold=1e-9, min_cells=1))
    image = ground_glass_image(np.random.default_rng(0))
    result = mapper.analyze("s", image)
    regions = mapper.lesions(result, mapper.shown)
    heat, labels, kept = mapper.place(result, regions)
    analysis = analyzer.analyze(ct_from_array(image[None], np.diag([-1.0, -1, 1, 1]), "s", calibrated=False))
    assert result.probability == pytest.approx(analysis.slices[0].probability, abs=1e-5)
    assert len(kept) == len(analysis.slices[0].lesions) > 0
    assert np.array_equal(labels > 0, analysis.ct.axial().from_volume(analysis.lesion_labels)[0] > 0)
    found = mapper.candidates(result, regions)
    assert found.area.shape == (512, 512) and len(found.boxes) == len(kept)
    for box, peak in zip(found.boxes, found.peaks, strict=True):
        assert (box[:2] < peak).all() and (peak < box[2:]).all()


def test_rivals_get_the_papers_step_whatever_the_preset(bundle):
    mapper = maps.Mapper(bundle, min_cells=1)
    result = mapper.analyze("s", ground_glass_image(np.random.default_rng(0)))
    assert mapper.lesions(result, "lam").labels.shape == mapper.lesions(result, "normgrad").labels.shape == (4, 4)
    assert mapper.lesions(result, "enhanced").labels.shape > (4, 4)
    assert mapper.features(result, mapper.lesions(result, "enhanced")).shape[1] == 5  # densities
    paper = maps.Mapper(bundle, "paper", min_cells=1)
    assert "enhanced" not in paper.methods
    assert paper.features(result, paper.lesions(result, "lam")).shape[1] == 512  # activations


def test_an_image_without_lungs_has_no_result_and_other_errors_are_not_taken_for_that(bundle, monkeypatch):
    gray = np.full((64, 64), 200, np.uint8)
    gray[:32] = 190
    assert maps.Mapper(bundle).analyze("s", gray) is None

    def broken(ct):
        raise ValueError("another reason")

    monkeypatch.setattr(maps, "segment_lungs", broken)
    with pytest.raises(ValueError, match="another reason"):
        maps.Mapper(bundle).analyze("s", gray)


def test_oracle_map_on_a_fine_grid_is_nearly_the_mask():
    mask = np.zeros((256, 200), bool)
    mask[40:100, 50:110] = True
    found = maps.oracle_candidates(mask, (19.5, 9.5, 219.5, 189.5), 32, 1)
    truth = truth_lesions(maps.resize_mask(mask, maps.whole(mask)))
    assert len(found.boxes) == 1
    assert found.boxes[0] == pytest.approx(truth.boxes[0], abs=0.6 * 512 / 32)
    both, either = (found.area & (truth.labels > 0)).sum(), (found.area | (truth.labels > 0)).sum()
    assert both / either > 0.8


def test_cam_needs_pooling_and_one_linear_layer():
    class Pooled(nn.Module):
        def __init__(self, largest):
            super().__init__()
            self.linear, self.largest = nn.Linear(512, 2), largest

        def forward(self, c3, c4, c5):
            return self.linear(c5.amax((2, 3)) if self.largest else c5.mean((2, 3)))

    network = FeCNN("resnet18").eval()
    assert maps.cam_weights(network, 1) is None
    assert maps.cam_weights(FeCNN("resnet18", fpn=False, fusion=False).eval(), 1) is None
    linear = FeCNN("resnet18", fpn=False, fusion=False, linear_top=True).eval()
    assert torch.equal(maps.cam_weights(linear, 1), linear.head.classify[-1].weight[1])
    network.head = Pooled(largest=False)
    assert torch.equal(maps.cam_weights(network, 1), network.head.linear.weight[1])
    network.head = Pooled(largest=True)
    assert maps.cam_weights(network, 1) is None


def test_a_map_without_the_common_step_gives_one_box_around_the_largest_part_above_a_fifth():
    heat = np.zeros((6, 6))
    heat[0, 0], heat[3:5, 2:5], heat[5, 5] = 10, 3, 1
    regions = maps.largest_region(heat)
    assert [r.box for r in regions] == [(3, 2, 5, 5)]
    assert len(maps.largest_region(np.zeros((4, 4)))) == 0


# Names and values of masks


def test_masks_are_found_by_name_with_or_without_an_ending(tmp_path):
    for name in ("a.png", "b.png", "b_mask.png", "a_mask.png", "c.png"):
        save(tmp_path / name, np.zeros((4, 4), np.uint8))
    pairs, notes = match(tmp_path, tmp_path, (".png",))
    assert [(p.name, p.mask.name, p.patient) for p in pairs] == [("a", "a_mask.png", "a"), ("b", "b_mask.png", "b")]
    assert notes == ["Left out without a mask: c.png (1 in all)."]
    assert len(match(tmp_path, tmp_path, (".png",), limit=1)[0]) == 1


def test_values_of_a_mask_are_its_palette_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.putdata([0, 1, 2, 0])
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[[0, 1], [2, 0]]]
    Image.fromarray(np.dstack([np.eye(4, dtype=np.uint8) * 255] + [np.zeros((4, 4), np.uint8)] * 2)).save(
        tmp_path / "c.png"
    )
    with pytest.raises(ValueError, match="has colors"):
        read_mask(tmp_path / "c.png")
