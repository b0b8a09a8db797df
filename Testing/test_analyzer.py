"""The pipeline as scripts use it: steps, cancel, devices, presets, odd input. The network here is a stub."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_analyzer import small_bundle
from LesionAnalysisLib import AnalysisCancelled, AnalysisConfig, LesionAnalyzer, ct_from_array, make_phantom
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.out_of_distribution import input_statistics
from LesionAnalysisLib.network.devices import Runner, choose_device, choose_precision

CPU = AnalysisConfig(device="cpu", precision="float32", batch_size=4)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("models") / "stub")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((20, 128, 128), (2.8, 2.8, 14.0))


@pytest.fixture(scope="module")
def analysis(bundle, phantom):
    return LesionAnalyzer(bundle, CPU).analyze(phantom.ct)


def test_everything_lies_on_the_grid_of_the_ct(analysis, phantom):
    for array in (analysis.lam, analysis.lesion_labels, analysis.lung_mask):
        assert array.shape == phantom.ct.array.shape
    assert analysis.lam.dtype == np.uint8
    assert analysis.lam.max() <= 100


def test_counts_of_the_summary_agree_with_the_slices(analysis):
    summary = analysis.summary
    assert summary.total_slices == len(analysis.slices) == 20
    assert summary.positive_slices == sum(s.positive for s in analysis.slices) > 0
    assert summary.lung_slices == sum(s.lung for s in analysis.slices)
    assert summary.lesion_count == len(analysis.lesions) == sum(summary.lesions_by_cluster.values()) > 0


def test_every_slice_lesion_belongs_to_one_lesion(analysis):
    linked = [x for lesion in analysis.lesions for x in lesion.slice_lesions]
    single = [x for s in analysis.slices for x in s.lesions]
    assert sorted((x.slice_index, x.number) for x in linked) == sorted((x.slice_index, x.number) for x in single)


def test_lesion_volumes_are_those_of_their_labels(analysis, phantom):
    for lesion in analysis.lesions:
        voxels = np.count_nonzero(analysis.lesion_labels == lesion.id)
        assert lesion.volume_ml == pytest.approx(voxels * phantom.ct.voxel_ml)


def test_heat_and_lesions_stay_in_the_lungs(analysis):
    assert not analysis.lam[~analysis.lung_mask].any()
    assert not analysis.lesion_labels[~analysis.lung_mask].any()


def test_progress_rises_to_one_and_names_slices(bundle, phantom):
    heard = []
    LesionAnalyzer(bundle, CPU).analyze(phantom.ct, lambda fraction, message: heard.append((fraction, message)))
    fractions = [f for f, _ in heard]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert any("Slice" in m for _, m in heard)


def test_cancel_from_the_callback_ends_the_analysis(bundle, phantom):
    def cancel(fraction, message):
        if fraction > 0.3:
            raise AnalysisCancelled

    analyzer = LesionAnalyzer(bundle, CPU)
    with pytest.raises(AnalysisCancelled):
        analyzer.analyze(phantom.ct, cancel)
    assert analyzer.analyze(phantom.ct).summary.lesion_count > 0  # and the analyzer is as good as new


def test_steps_can_be_driven_one_by_one(bundle, phantom, analysis):
    steps = LesionAnalyzer(bundle, CPU).steps(phantom.ct)
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            result = end.value
            break
    assert count > 4
    assert result.summary == analysis.summary


def test_two_runs_give_the_same(bundle, phantom, analysis):
    again = LesionAnalyzer(bundle, CPU).analyze(phantom.ct)
    assert again.lesions == analysis.lesions
    assert np.array_equal(again.lam, analysis.lam)


def test_batch_size_changes_nothing_but_rounding(bundle, phantom, analysis):
    other = LesionAnalyzer(bundle, dataclasses.replace(CPU, batch_size=7)).analyze(phantom.ct)
    for a, b in zip(analysis.slices, other.slices, strict=True):
        assert a.lung == b.lung
        assert a.probability == pytest.approx(b.probability, abs=1e-4)


def test_own_lung_mask_is_used(bundle, phantom):
    mask = phantom.lung_mask.copy()
    mask[10:] = False
    result = LesionAnalyzer(bundle, CPU).analyze(phantom.ct, lung_mask=mask)
    assert all(not s.lung for s in result.slices[10:])
    assert np.array_equal(result.lung_mask, mask)


@pytest.mark.parametrize(
    ("mask", "word"), [(np.zeros((20, 128, 128), bool), "empty"), (np.ones((3, 3, 3), bool), "own grid")]
)
def test_wrong_lung_masks_are_refused(bundle, phantom, mask, word):
    with pytest.raises(ValueError, match=word):
        LesionAnalyzer(bundle, CPU).analyze(phantom.ct, lung_mask=mask)


def test_nothing_above_the_threshold_has_no_lesions(tmp_path, phantom):
    result = LesionAnalyzer(small_bundle(tmp_path / "m", bias=-60.0), CPU).analyze(phantom.ct)
    assert result.summary.positive_slices == result.summary.lesion_count == 0
    assert not result.lam.any()
    assert not result.summary.positive
    assert result.summary.diagnosis == "class 0"


def test_the_threshold_of_the_model_decides(tmp_path, phantom, analysis):
    probabilities = [s.probability for s in analysis.slices if s.lung]
    assert analysis.config["threshold"] == 0.5 and min(probabilities) > 0.5
    between = float(np.median(probabilities))
    model = small_bundle(tmp_path / "m", threshold=between)
    result = LesionAnalyzer(model, CPU).analyze(phantom.ct)
    expected = [s.lung and s.probability >= between for s in analysis.slices]
    assert [s.positive for s in result.slices] == expected
    assert 0 < result.summary.positive_slices < len(probabilities)
    assert [bool(s.diagnosis) and s.diagnosis == "class 1" for s in result.slices] == expected
    assert not any(s.lesions for s in result.slices if not s.positive)
    assert result.summary.positive == (result.summary.probability >= between)
    assert result.config["threshold"] == between


def test_a_threshold_above_the_study_makes_it_negative(tmp_path, phantom, analysis):
    above = (1 + analysis.summary.probability) / 2
    result = LesionAnalyzer(small_bundle(tmp_path / "m", threshold=above), CPU).analyze(phantom.ct)
    assert (analysis.summary.diagnosis, result.summary.diagnosis) == ("class 1", "class 0")
    assert analysis.summary.positive and not result.summary.positive


def test_a_threshold_that_is_given_outdoes_the_models(tmp_path):
    model = small_bundle(tmp_path / "m", threshold=0.9)
    assert LesionAnalyzer(model, CPU).threshold == 0.9
    assert LesionAnalyzer(model, dataclasses.replace(CPU, threshold=0.2)).threshold == 0.2
    assert LesionAnalyzer(model, dataclasses.replace(AnalysisConfig.paper(), device="cpu")).threshold == 0.5


def test_three_classes_name_the_positive_class_from_the_threshold_on_and_below_it_the_likelier_other(tmp_path, phantom):
    model = small_bundle(tmp_path / "m", classes=3)
    assert LesionAnalyzer(model, CPU).analyze(phantom.ct).summary.diagnosis == "class 2"
    strict = LesionAnalyzer(model, dataclasses.replace(CPU, threshold=1 - 1e-9))
    for likelier in (0, 1):
        with torch.no_grad():
            bias = torch.full((3,), -3.0)
            bias[likelier], bias[2] = 0.0, 4.0  # the positive class is the likeliest, but below the threshold
            strict.pipeline.runner.folded.head.fusion.classify.bias.copy_(bias)
        result = strict.analyze(phantom.ct)
        assert not result.summary.positive and result.summary.diagnosis == f"class {likelier}"
        assert {one.diagnosis for one in result.slices if one.lung} == {f"class {likelier}"}


def test_images_say_that_they_are_uncalibrated(bundle):
    ct = make_phantom((6, 128, 128), (2.8, 2.8, 40.0)).ct
    gray = np.clip((ct.array.astype(float) + 1200) * 255 / 1800, 0, 255).astype(np.uint8)
    images = ct_from_array(gray[2:4], np.diag([-1.0, -1, 1, 1]), "images", calibrated=False)
    result = LesionAnalyzer(bundle, CPU).analyze(images)
    assert not result.calibrated
    assert all(s.position_mm is None for s in result.slices)
    assert all(x.volume_ml is None and x.type is None for x in result.lesions)
    assert any("Uncalibrated images: no HU" in w for w in result.warnings)


def test_an_out_of_distribution_input_leaves_a_warning(tmp_path, phantom):
    rng = np.random.default_rng(0)
    strange = input_statistics(rng.normal(50, 1, (100, 128)), rng.normal(50, 1, (100, 128)))
    result = LesionAnalyzer(small_bundle(tmp_path / "m", input_statistics=strange), CPU).analyze(phantom.ct)
    assert any("out of distribution" in w for w in result.warnings)


def test_too_little_memory_makes_batches_smaller_and_leaves_a_warning(bundle, phantom, analysis):
    analyzer = LesionAnalyzer(bundle, CPU)
    backbone = analyzer.pipeline.runner.folded.backbone

    def greedy(images):
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return backbone(images)

    analyzer.pipeline.runner.folded.backbone = greedy
    result = analyzer.analyze(phantom.ct)
    assert result.summary.positive_slices == analysis.summary.positive_slices
    assert any("batch size reduced to 1" in w for w in result.warnings)


def test_other_errors_of_the_network_are_not_hidden(bundle, phantom):
    analyzer = LesionAnalyzer(bundle, CPU)

    def broken(images):
        raise RuntimeError("shapes do not fit")

    analyzer.pipeline.runner.folded.backbone = broken
    with pytest.raises(RuntimeError, match="shapes"):
        analyzer.analyze(phantom.ct)


def test_bfloat16_stays_near_float32(bundle, phantom, analysis):
    low = LesionAnalyzer(bundle, dataclasses.replace(CPU, precision="bfloat16")).analyze(phantom.ct)
    pairs = [(a, b) for a, b in zip(analysis.slices, low.slices, strict=True) if a.lung]
    assert max(abs(a.probability - b.probability) for a, b in pairs) < 0.01


def test_the_paper_preset_is_the_papers():
    paper = AnalysisConfig.paper()
    assert paper.preprocessing == Preprocessing.paper()
    assert (paper.threshold, paper.min_cells, paper.saliency) == (0.5, 2, "grad++")
    assert not (paper.calibrated or paper.split_merged or paper.inside_lungs)
    assert not (paper.fuse_scales or paper.refine or paper.lesion_head)
    assert AnalysisConfig.from_preset("paper") == paper


def test_the_default_is_the_preset_enhanced():
    assert AnalysisConfig().preset == "enhanced"
    assert AnalysisConfig.from_preset("enhanced") == AnalysisConfig()


def test_each_preset_clusters_lesions_by_what_its_clusters_were_learned_from(bundle, analysis):
    assert analysis.config["cluster_by"] == "density"
    parts = [part for lesion in analysis.lesions for part in lesion.slice_lesions]
    densities = {k: [part.mean_hu for part in parts if part.cluster == k] for k in (1, 2)}
    dense = 1 + bundle.clusters.density.cluster_centers_.sum(1).argmax()
    assert all(densities.values()) and np.mean(densities[dense]) > np.mean(densities[3 - dense]) + 200
    paper = LesionAnalyzer(bundle, dataclasses.replace(AnalysisConfig.paper(), device="cpu"))
    assert paper.clusters is bundle.clusters.features and paper.config.cluster_by == "features"
    with pytest.raises(ValueError, match="density or features"):
        AnalysisConfig(cluster_by="size")


@pytest.mark.parametrize(
    "settings",
    [
        {"refine": False}, {"fuse_scales": False}, {"split_merged": False},
        {"refine": False, "fuse_scales": False, "split_merged": False},
    ],
)  # fmt: skip
def test_every_step_of_the_map_can_be_switched(bundle, phantom, analysis, settings):
    other = LesionAnalyzer(bundle, dataclasses.replace(CPU, **settings)).analyze(phantom.ct)
    assert other.summary.lesion_count > 0
    assert not other.lesion_labels[~other.lung_mask].any()
    assert np.array_equal(other.lam, analysis.lam) == (settings == {"split_merged": False})  # nothing to part here
    assert [s.probability for s in other.slices] == [s.probability for s in analysis.slices]  # nothing but the map
    assert other.config["refine"] == settings.get("refine", True)


def test_contours_need_no_gray_anchors(tmp_path, phantom, analysis):
    model = small_bundle(tmp_path / "m", preprocessing=Preprocessing(size=128, anchor_gray_levels=False).to_dict())
    other = LesionAnalyzer(model, CPU).analyze(phantom.ct)
    a, b = analysis.lesion_labels > 0, other.lesion_labels > 0
    assert 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) > 0.5


def test_contours_keep_to_dense_lung_and_boxes_to_contours(analysis):
    view, hu = analysis.ct.axial(), analysis.ct.axial().array
    labels, lungs = (view.from_volume(a) for a in (analysis.lesion_labels, analysis.lung_mask))
    assert hu[labels > 0].mean() > hu[lungs & (labels == 0)].mean() + 100
    for lesion in analysis.lesions:
        voxels = np.argwhere(analysis.lesion_labels == lesion.id)[:, ::-1]  # I, J, K
        low, high = (np.array(end) for end in lesion.box_ijk)
        assert (voxels >= low - 1).all() and (voxels <= high + 1).all()


@pytest.mark.parametrize(
    "settings", [{"threshold": 0.0}, {"threshold": 1.0}, {"saliency": "magic"}, {"min_cells": 0}, {"batch_size": 0}]
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError):
        AnalysisConfig(**settings)


def test_unknown_presets_and_devices_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="enhanced or paper"):
        AnalysisConfig.from_preset("best")
    with pytest.raises(ValueError, match="auto"):
        choose_device("toaster")
    with pytest.raises(ValueError, match="float32"):
        choose_precision("int3", torch.device("cpu"))


def test_a_missing_gpu_is_said_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ValueError, match="not available"):
        choose_device("cuda")


def test_a_slice_too_large_for_memory_ends_in_a_sentence(bundle):
    runner = Runner(bundle.network(), torch.device("cpu"), "float32", 1)

    def never(network, device, portion):
        raise MemoryError

    with pytest.raises(MemoryError, match="close other programs"):
        list(runner.batches([1], never))
