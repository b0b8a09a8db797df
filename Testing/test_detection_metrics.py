"""Figures of lesion detection, each verified by hand calculation."""

import numpy as np
import pytest
from LesionAnalysisTrainingLib.metrics import detection_metrics as dm
from LesionAnalysisTrainingLib.metrics.detection_metrics import (
    Candidates,
    SliceCounts,
    Truth,
    detection_estimates,
    evaluate_slice,
    summarize,
    truth_lesions,
)


def mask_of(*boxes, shape=(100, 100)):
    mask = np.zeros(shape, bool)
    for r0, c0, r1, c1 in boxes:
        mask[r0:r1, c0:c1] = True
    return mask


def candidates(*boxes, peaks=None, shape=(100, 100)):
    """Boxes that are marked in full, with their peaks in the middle unless told."""
    boxes = np.array(boxes, float).reshape(-1, 4)
    peaks = (boxes[:, :2] + boxes[:, 2:]) / 2 if peaks is None else np.array(peaks, float)
    return Candidates(boxes, peaks, mask_of(*boxes.astype(int), shape=shape))


def overlap(box, other, ratio):
    return dm.box_overlaps(np.array([box], float), np.array([other], float), ratio).item()


# What counts as a lesion


def test_parts_with_a_gap_of_eight_pixels_are_one_lesion_and_nine_are_two():
    for gap, count in ((7, 1), (8, 1), (9, 2)):
        truth = truth_lesions(mask_of((10, 10, 30, 30), (10, 30 + gap, 30, 50 + gap)))
        assert len(truth.boxes) == count, gap


def test_joined_parts_have_one_box_and_no_pixels_in_the_gap():
    truth = truth_lesions(mask_of((10, 10, 30, 30), (12, 35, 40, 50)))
    assert truth.boxes.tolist() == [[10, 10, 40, 50]]
    assert truth.labels.sum() == 20 * 20 + 28 * 15
    assert not truth.labels[:, 32].any()


def test_lesions_have_at_least_225_pixels_of_mask():
    assert len(truth_lesions(mask_of((10, 10, 25, 25))).boxes) == 1  # 15 x 15
    assert len(truth_lesions(mask_of((10, 10, 24, 26))).boxes) == 0  # 14 x 16 = 224
    both = truth_lesions(mask_of((10, 10, 24, 18), (10, 22, 24, 31)))  # 112 + 126, 4 apart: joined first
    assert both.boxes.tolist() == [[10, 10, 24, 31]]


def test_without_joining_touching_corners_still_belong_together():
    assert len(truth_lesions(mask_of((10, 10, 30, 30), (30, 30, 50, 50)), gap=0).boxes) == 1
    assert len(truth_lesions(mask_of((10, 10, 30, 30), (31, 31, 50, 50)), gap=0).boxes) == 2


def test_empty_mask_has_no_lesion():
    truth = truth_lesions(np.zeros((20, 20)))
    assert truth.boxes.shape == (0, 4) and not truth.labels.any()


# Overlap and hits


def test_overlap_over_the_box_and_over_the_union():
    found, lesion = (0, 0, 10, 20), (5, 10, 25, 30)  # 200 and 400 pixels, 5 x 10 shared
    assert overlap(found, lesion, "box") == pytest.approx(50 / 200)
    assert overlap(found, lesion, "iou") == pytest.approx(50 / 550)
    assert overlap(found, (50, 50, 60, 60), "iou") == 0
    assert overlap(found, (10, 0, 20, 20), "box") == 0  # a shared edge is no area
    with pytest.raises(ValueError, match="choose one of box, iou"):
        overlap(found, lesion, "dice")


def test_hit_needs_more_than_the_threshold():
    truth = truth_lesions(mask_of((0, 0, 20, 20)))
    found = candidates((0, 10, 20, 30))  # half of its box
    found = Candidates(found.boxes, np.array([[10.0, 15.0]]), found.area)
    assert dm.hits(truth, found, "box", 0.4).tolist() == [[True]]
    assert dm.hits(truth, found, "box", 0.5).tolist() == [[False]]  # exceeds
    assert dm.hits(truth, found, "iou", 0.3).tolist() == [[True]]  # 200 / 600
    assert dm.hits(truth, found, "iou", 0.4).tolist() == [[False]]


def test_hit_needs_the_peak_in_the_lesions_box():
    truth = truth_lesions(mask_of((0, 0, 20, 20)))
    for column, hit in ((19.5, True), (20.0, False), (25.0, False)):
        found = candidates((0, 10, 20, 30), peaks=[(10.0, column)])
        assert dm.hits(truth, found, "box", 0.1).tolist() == [[hit]]


def test_one_box_can_hit_two_lesions_and_two_boxes_one():
    truth = truth_lesions(mask_of((0, 0, 20, 60), (30, 0, 60, 20), (30, 40, 60, 60)))
    everything = candidates((0, 0, 60, 60), peaks=[(10.0, 10.0)])
    assert dm.hits(truth, everything, "box", 0.1).sum() == 1  # one peak lies in one lesion's box
    twice = candidates((0, 0, 20, 30), (0, 30, 20, 60))
    assert dm.hits(truth, twice, "box", 0.1).tolist() == [[True, True], [False, False], [False, False]]
    nested = Truth(truth.labels, np.array([[0.0, 0, 60, 60], [0, 0, 20, 20]]), truth.mask)
    assert dm.hits(nested, candidates((0, 0, 20, 20)), "box", 0.9).tolist() == [[True], [True]]


# Figures


def test_figures_of_one_slice_by_hand():
    truth = truth_lesions(mask_of((0, 0, 20, 20), (50, 50, 80, 80), (0, 90, 10, 100)))  # 400, 900, 100: too small
    found = candidates((0, 0, 20, 40), (60, 60, 70, 70), (90, 0, 100, 10), peaks=[(5, 5), (65, 65), (95, 5)])
    counts = evaluate_slice(truth, found)
    assert (counts.lesions, counts.boxes, counts.quotients["pointing"]) == (2, 3, (2, 3))
    assert counts.quotients["hit box 0.4"] == (2, 2) and counts.quotients["hit box 0.5"] == (1, 2)  # ratios 1/2 and 1
    assert counts.quotients["hit iou 0.1"] == (2, 2)  # 1/2 and 1/9
    assert counts.quotients["hit iou 0.2"] == (1, 2)
    figures = summarize([counts])
    assert figures["hit box 0.9"] == pytest.approx(1 / 2)
    assert figures["precision box 0.4"] == pytest.approx(2 / 3)
    assert figures["pointing"] == pytest.approx(2 / 3)
    assert figures["area hit"] == pytest.approx((400 + 100) / 1300)
    assert figures["dice"] == pytest.approx(2 * 500 / (1400 + 800 + 100 + 100))
    assert figures["boxes a slice"] == 3


def test_error_of_the_involved_lung_fraction_counts_segmented_lesions_as_lung():
    mask, lungs = mask_of((0, 0, 20, 20)), mask_of((10, 0, 50, 20))  # 400 segmented, half of it in the lungs' 800
    counts = evaluate_slice(truth_lesions(mask), candidates((0, 0, 20, 20)), lungs=lungs)
    assert counts.quotients["share error"] == (pytest.approx(abs(200 / 800 - 400 / 1000)), 1)
    nothing = evaluate_slice(truth_lesions(mask), candidates(), lungs=lungs)
    assert summarize([counts, nothing])["share error"] == pytest.approx((0.15 + 0.4) / 2)
    assert np.isnan(summarize([evaluate_slice(truth_lesions(mask), candidates())])["share error"])
    without = evaluate_slice(truth_lesions(mask), candidates(), lungs=lungs & False)
    assert without.quotients["share error"] == (1, 1)  # lungs that were not found at all


def test_figures_are_quotients_of_sums_over_slices():
    one = evaluate_slice(truth_lesions(mask_of((0, 0, 20, 20))), candidates((0, 0, 20, 20)))
    three = evaluate_slice(
        truth_lesions(mask_of((0, 0, 20, 20), (0, 40, 20, 60), (40, 0, 60, 20))), candidates()
    )
    figures = summarize([one, three])
    assert figures["hit box 0.5"] == pytest.approx(1 / 4)
    assert figures["precision box 0.5"] == 1
    assert figures["boxes a slice"] == pytest.approx(1 / 2)
    assert figures["dice"] == pytest.approx(2 * 400 / (1600 + 400))


def test_peak_beside_the_lesion_but_in_its_box_hits_and_fails_the_pointing_game():
    ring = mask_of((0, 0, 40, 40)) & ~mask_of((10, 10, 30, 30))
    counts = evaluate_slice(truth_lesions(ring), candidates((0, 0, 40, 40)))
    assert counts.quotients["hit iou 0.9"] == (1, 1) and counts.quotients["pointing"] == (0, 1)


def test_nothing_found_and_nothing_to_find():
    nothing = evaluate_slice(truth_lesions(np.zeros((100, 100))), candidates())
    figures = summarize([nothing])
    assert np.isnan(figures["pointing"]) and np.isnan(figures["hit box 0.1"])
    assert isinstance(nothing, SliceCounts)
    assert summarize([])["slices"] == 0


# Upper bound and frames


def test_oracle_map_is_the_fraction_of_mask_in_each_cell():
    heatmap = dm.oracle_map(mask_of((0, 0, 8, 4), shape=(16, 16)), 2)
    assert heatmap.tolist() == [[0.5, 0], [0, 0]]
    with pytest.raises(ValueError, match="cannot be divided"):
        dm.oracle_map(np.zeros((16, 16)), 3)


def test_mask_is_cut_and_stretched_to_what_the_network_saw():
    mask = mask_of((2, 0, 4, 8), shape=(8, 8))
    whole = dm.resize_mask(mask, (-0.5, -0.5, 7.5, 7.5), 16)
    assert np.flatnonzero(whole[:, 0]).tolist() == [4, 5, 6, 7]
    part = dm.resize_mask(mask, (1.5, -0.5, 5.5, 7.5), 16)
    assert np.flatnonzero(part[:, 0]).tolist() == list(range(8))


def test_auc_within_scans_ignores_differences_between_them():
    scores, lesions, scans = [0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0], ["a", "a", "b", "b"]
    assert dm.auc(lesions, scores) == pytest.approx(3 / 4)
    assert dm.auc_within(lesions, scores, scans) == 1
    assert np.isnan(dm.auc_within([1], [0.1], ["a"]))


def test_intervals_over_patients_hold_the_figure_and_one_patient_has_none():
    found = evaluate_slice(truth_lesions(mask_of((0, 0, 20, 20))), candidates((0, 0, 20, 20)))
    missed = evaluate_slice(truth_lesions(mask_of((0, 0, 20, 20))), candidates())
    several = detection_estimates([found, missed, found, missed], ["a", "b", "c", "d"])["hit box 0.5"]
    assert several.value == 0.5 and several.low < 0.5 < several.high
    alone = detection_estimates([found, missed], ["a", "a"])["hit box 0.5"]
    assert alone.value == 0.5 and np.isnan(alone.low)
