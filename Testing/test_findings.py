"""Slice lesions are measured, linked in 3D, assigned to clusters by vote and named by their HU: values by hand."""

import numpy as np
import pytest
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.lesions.findings import Findings
from LesionAnalysisLib.lesions.regions import find_regions
from LesionAnalysisLib.volume import ct_from_array

SPACING = (2.0, 2.0, 5.0)
CROP = (-0.5, -0.5, 31.5, 31.5)  # the whole 32 x 32 slice under a 4 x 4 map: a cell is 8 x 8 pixels


def clusters():
    """Two clusters at 0 and 10 on the first feature."""
    fitted = LesionClusters(2)
    fitted.cluster_centers_ = np.array([[0.0, 0.0], [10.0, 0.0]])
    return fitted


def chest(hu=-850, slices=6):
    """A block of ``hu`` with enough air and soft tissue for the reader; everything counts as lung."""
    array = np.full((slices, 32, 32), hu, np.int16)
    array[:, 30:] = 40
    array[:, 29] = -1000
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])  # columns to the left, rows to the back
    ct = ct_from_array(array, matrix, "block")
    return ct, np.ones(ct.array.shape, bool)


def heatmap(*cells):
    """A 4 x 4 heatmap with these cells active, the first the most."""
    grid = np.zeros((4, 4))
    for rank, cell in enumerate(cells):
        grid[cell] = 1.0 - 0.01 * rank
    return grid


def findings(ct, lungs, inside=True):
    return Findings(ct, lungs, clusters(), inside)


def add(found, index, cells, feature=0.0, probability=0.8):
    regions = find_regions(heatmap(*cells))
    features = np.tile([feature, 0.0], (len(regions), 1))
    found.add(index, CROP, regions, features, probability)


def test_one_region_is_measured_in_millimeters_and_hu():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 2, [(1, 1), (1, 2)])
    (lesion,) = found.slice_lesions(2)
    assert lesion.area_mm2 == pytest.approx(2 * 8 * 8 * 4.0)
    assert lesion.mean_hu == pytest.approx(-850)
    assert lesion.peak_ras_mm == pytest.approx((-2 * 11.5, -2 * 11.5, 10.0))  # center of cell (1, 1)
    assert np.allclose(lesion.box_ras_mm, ((-2 * 23.5, -2 * 15.5, 7.5), (-2 * 7.5, -2 * 7.5, 12.5)))
    assert lesion.activation == pytest.approx(0.8)


def test_score_margin_and_paper_score_come_from_the_distances():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)], feature=4.0)  # distances 4 and 6
    (lesion,) = found.slice_lesions(0)
    best = 1 / (1 + np.exp(-2.0))
    assert lesion.cluster == 1
    assert lesion.score == pytest.approx(best)
    assert lesion.margin == pytest.approx(2 * best - 1)
    assert lesion.paper_score == pytest.approx(1 - best)


def test_boxes_that_overlap_in_neighboring_slices_become_one_lesion():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 1, [(1, 1), (1, 2)])
    add(found, 2, [(1, 2), (1, 3)], feature=10.0)
    add(found, 3, [(3, 0), (3, 1)])
    lesions, _ = found.link([1, 2, 3])
    assert [(x.first_slice, x.last_slice) for x in lesions] == [(1, 2), (3, 3)]
    assert lesions[0].volume_ml == pytest.approx(4 * 64 * 20 / 1000)
    assert np.allclose(lesions[0].box_ijk, ((7.5, 7.5, 0.5), (31.5, 15.5, 2.5)))


def test_a_kept_slice_without_lesions_separates_them():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 1, [(1, 1), (1, 2)])
    add(found, 3, [(1, 1), (1, 2)])
    assert len(found.link([1, 2, 3])[0]) == 2


def test_a_dropped_slice_within_ten_millimeters_does_not_separate_them():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 1, [(1, 1), (1, 2)])
    add(found, 3, [(1, 1), (1, 2)])
    assert len(found.link([1, 3])[0]) == 1


def test_slices_farther_apart_are_not_linked():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)])
    add(found, 5, [(1, 1), (1, 2)])
    assert len(found.link([0, 5])[0]) == 2


def test_clusters_are_voted_by_score():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)], feature=5.1)  # barely cluster 2
    add(found, 1, [(1, 1), (1, 2)], feature=4.9)  # barely cluster 1
    add(found, 2, [(1, 1), (1, 2)], feature=0.0)  # surely cluster 1
    (lesion,), _ = found.link([0, 1, 2])
    low = 1 / (1 + np.exp(-0.2))
    assert lesion.cluster == 1
    assert lesion.score == pytest.approx((low + 1 / (1 + np.exp(-10.0))) / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("hu", "type_", "name"),
    [(-600, "GGO", "Cluster 1: ground-glass opacity"), (-100, "consolidation", "Cluster 1: consolidation")],
)
def test_lesions_and_clusters_are_named_by_their_hu(hu, type_, name):
    ct, lungs = chest(hu)
    if hu > -500:  # enough air for the reader
        ct.array[:, :8] = -1000
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)])
    (lesion,), names = found.link([0])
    assert lesion.type == type_
    assert lesion.cluster_name == names[1] == name
    assert names[2] == "Cluster 2"


def test_larger_lesions_come_first_and_labels_hold_their_ids():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(0, 0), (0, 1)])
    add(found, 4, [(1, 1), (1, 2), (2, 1), (2, 2)])
    lesions, _ = found.link([0, 4])
    assert [x.first_slice for x in lesions] == [4, 0]
    assert found.labels[4, 12, 12] == 1
    assert found.labels[0, 2, 2] == 2


def test_the_lam_is_the_heatmap_times_the_probability_in_percent():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2), (2, 1), (2, 2)], probability=0.5)
    assert found.lam.max() == 50
    assert found.lam[0, 0, 0] == 0


def test_inside_lungs_clips_lesions_to_the_lung_and_drops_those_outside():
    ct, lungs = chest()
    lungs[:, :, 16:] = False
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)])
    add(found, 1, [(1, 2), (1, 3)])
    assert found.slice_lesions(0)[0].area_mm2 == pytest.approx(64 * 4)
    assert found.slice_lesions(1) == ()
    assert found.lam[0, 12, 16:].max() == 0


def test_small_lesions_are_removed_from_the_lam():
    ct, lungs = chest()
    found = findings(ct, lungs)
    add(found, 0, [(0, 0), (0, 1)])  # 2.56 ml
    add(found, 4, [(1, 1), (1, 2), (2, 1), (2, 2)])  # 5.12 ml
    lesions, _ = found.link([0, 4], min_ml=3.0)
    assert len(lesions) == 1
    assert found.lam[0].max() == 0
    assert found.slice_lesions(0) == ()


def test_involved_share_counts_lung_voxels():
    ct, lungs = chest(slices=2)
    found = findings(ct, lungs)
    add(found, 0, [(1, 1), (1, 2)])
    assert found.involved_share() == pytest.approx(128 / (2 * 1024))


def test_uncalibrated_images_have_no_volume_no_hu_and_numbered_clusters():
    ct = ct_from_array(np.arange(2 * 32 * 32, dtype=np.uint8).reshape(2, 32, 32), np.diag([-1.0, -1, 1, 1]),
                       "images", calibrated=False)  # fmt: skip
    found = findings(ct, np.ones((2, 32, 32), bool))
    add(found, 0, [(1, 1), (1, 2)])
    add(found, 1, [(1, 1), (1, 2)])
    (lesion,), names = found.link([0, 1])
    assert (lesion.volume_ml, lesion.mean_hu, lesion.type) == (None, None, None)
    assert names == {1: "Cluster 1", 2: "Cluster 2"}
    assert lesion.label == f"L01 C1 {lesion.activation:.2f}"
