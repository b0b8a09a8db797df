"""Regions of heatmaps, their peaks, features and places on the slice, and their links in 3D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from LesionAnalysisLib.lesions.features import peak_features
from LesionAnalysisLib.lesions.lesion_types import lesion_type
from LesionAnalysisLib.lesions.linking import link_slices
from LesionAnalysisLib.lesions.placement import box_to_axial, cell_to_axial, place_heatmap
from LesionAnalysisLib.lesions.regions import Regions, find_regions, normalize_heatmap, split_merged
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from sklearn.cluster import KMeans

FULL = (-0.5, -0.5, 63.5, 63.5)  # the edges of an image of 64 x 64


def regions_of(labels, heatmap=None) -> Regions:
    labels = np.asarray(labels, dtype=np.int32)
    return Regions(labels, np.asarray(labels > 0 if heatmap is None else heatmap, dtype=np.float32))


def random_map(seed, shape=(16, 16)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.random(shape), rng.uniform(0, 2)) ** rng.integers(1, 5)


# --- normalization ---------------------------------------------------------------------------------------


def test_heatmaps_are_scaled_to_zero_to_one():
    assert normalize_heatmap([[2, 4], [6, 10]]).tolist() == [[0, 0.25], [0.5, 1]]


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e-12, 1.0, 1e30, 1e308])
def test_heatmaps_of_any_magnitude_are_scaled_alike(scale):
    heatmap = normalize_heatmap(np.array([[0.0, 0.25], [0.5, 1.0]]) * scale)
    np.testing.assert_allclose(heatmap, [[0, 0.25], [0.5, 1]], rtol=1e-6)


NOTHING = {
    "zero": np.zeros((16, 16)),
    "constant": np.full((16, 16), 0.7),
    "negative constant": np.full((16, 16), -3.0),
    "huge constant": np.full((16, 16), 1e308),
    "constant up to rounding": (0.7 + 6e-8 * np.eye(16)).astype(np.float32),
    "NaN": np.full((16, 16), np.nan),
    "one NaN": np.where(np.eye(16) * np.arange(16) == 3, np.nan, random_map(0)),
    "infinite": np.where(np.eye(16) * np.arange(16) == 3, np.inf, random_map(0)),
    "one cell": np.full((1, 1), 0.3),
    "empty": np.zeros((0, 0)),
}


@pytest.mark.parametrize("heatmap", NOTHING.values(), ids=NOTHING)
@pytest.mark.filterwarnings("error")
def test_a_map_without_information_has_no_lesion(heatmap):
    assert not normalize_heatmap(heatmap).any()
    regions = find_regions(heatmap, min_cells=1)
    assert len(regions) == 0 and regions.items == ()
    assert regions.labels.shape == regions.heatmap.shape == heatmap.shape
    lam, labels = place_heatmap(regions, FULL, (64, 64))
    assert not lam.any() and not labels.any()
    assert len(split_merged(regions)) == 0
    assert peak_features(np.zeros((5, *heatmap.shape)), regions).shape == (0, 5)


@pytest.mark.filterwarnings("error")
def test_a_single_cell_is_no_lesion():
    heatmap = np.zeros((16, 16))
    heatmap[3, 5] = 1
    assert len(find_regions(heatmap)) == 0
    (region,) = find_regions(heatmap, min_cells=1)
    assert (region.peak, region.cells, region.box, region.activation) == ((3, 5), 1, (3, 5, 4, 6), 1.0)


def test_a_heatmap_must_be_a_grid():
    with pytest.raises(ValueError, match="rows and columns"):
        normalize_heatmap(np.zeros((2, 3, 4)))


# --- regions ---------------------------------------------------------------------------------------------


def best_split(heatmap: np.ndarray) -> np.ndarray:
    """Otsu's method by trying every border between 256 bins: the largest variance between the classes."""
    counts, edges = np.histogram(heatmap, 256)
    centers = (edges[1:] + edges[:-1]) / 2
    between = []
    for i in range(1, 256):
        low, high = counts[:i], counts[i:]
        mean_low, mean_high = (low @ centers[:i]) / low.sum(), (high @ centers[i:]) / high.sum()
        between.append(low.sum() * high.sum() * (mean_low - mean_high) ** 2)
    return heatmap > centers[int(np.argmax(between))]


@pytest.mark.parametrize("seed", range(20))
def test_regions_are_what_lies_above_otsus_threshold(seed):
    heatmap = random_map(seed)
    regions = find_regions(heatmap, min_cells=1)
    normal = normalize_heatmap(heatmap)
    assert np.array_equal(regions.labels > 0, normal > threshold_otsu(normal))
    assert np.array_equal(regions.labels > 0, best_split(normal))
    assert np.array_equal(regions.heatmap, normal)


@pytest.mark.parametrize("seed", range(10))
def test_otsu_agrees_with_two_means(seed):
    """Otsu minimizes the variance within two classes: k-means in one dimension, up to a bin's width."""
    rng = np.random.default_rng(seed)
    heatmap = np.where(rng.random((16, 16)) < 0.3, rng.normal(3, 0.4, (16, 16)), rng.normal(0, 0.4, (16, 16)))
    normal = normalize_heatmap(heatmap)
    means = KMeans(2, n_init=10, random_state=0).fit(normal.reshape(-1, 1))
    expected = means.labels_.reshape(16, 16) == np.argmax(means.cluster_centers_)
    differ = (find_regions(heatmap, min_cells=1).labels > 0) != expected
    assert differ.sum() <= 2 and (normal[differ] > normal[~expected].max() - 1 / 256).all()


def test_cells_that_touch_at_a_corner_are_two_regions():
    heatmap = np.zeros((6, 6))
    heatmap[1, 1:3] = heatmap[2, 3:5] = 1
    regions = find_regions(heatmap)
    assert [(r.number, r.cells, r.box) for r in regions] == [(1, 2, (1, 1, 2, 3)), (2, 2, (2, 3, 3, 5))]
    heatmap[2, 2] = 1  # now they share a side
    assert [(r.cells, r.box) for r in find_regions(heatmap)] == [(5, (1, 1, 3, 5))]


def test_a_diagonal_line_of_cells_is_no_lesion():
    assert len(find_regions(np.eye(8))) == 0
    assert len(find_regions(np.eye(8), min_cells=1)) == 8


def test_numbers_are_in_raster_order_and_have_no_gaps():
    heatmap = np.zeros((8, 8))
    heatmap[0, 7] = 1  # dropped: one cell
    heatmap[1:4, 5] = heatmap[2, 0:2] = heatmap[6, 2:4] = 1
    regions = find_regions(heatmap)
    assert [r.number for r in regions] == [1, 2, 3]
    assert [r.box[:2] for r in regions] == [(1, 5), (2, 0), (6, 2)]
    assert regions.labels[0, 7] == 0 and regions.labels.dtype == np.int32


def flood(mask: np.ndarray) -> set[frozenset]:
    """4-connected regions, one cell at a time."""
    rest, found = {tuple(cell) for cell in np.argwhere(mask)}, set()
    while rest:
        region, front = set(), [rest.pop()]
        while front:
            r, c = front.pop()
            region.add((r, c))
            for neighbor in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if neighbor in rest:
                    rest.remove(neighbor)
                    front.append(neighbor)
        found.add(frozenset(region))
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("min_cells", [1, 2, 5])
def test_regions_equal_those_of_a_flood_fill(seed, min_cells):
    heatmap = random_map(seed, (12, 17))
    regions = find_regions(heatmap, min_cells)
    expected = {r for r in flood(best_split(normalize_heatmap(heatmap))) if len(r) >= min_cells}
    found = [frozenset(map(tuple, np.argwhere(regions.labels == r.number).tolist())) for r in regions]
    assert set(found) == expected and len(found) == len(expected)
    assert regions.labels.max() == len(regions)
    for region, cells in zip(regions, found, strict=True):
        rows, columns = zip(*cells, strict=True)
        assert region.cells == len(cells)
        assert region.box == (min(rows), min(columns), max(rows) + 1, max(columns) + 1)
        highest = max(sorted(cells), key=lambda cell: regions.heatmap[cell])  # max takes the first of equals
        assert region.peak == highest and region.activation == pytest.approx(regions.heatmap[highest])


# --- peaks and features ----------------------------------------------------------------------------------


def test_equal_peaks_go_to_the_first_in_raster_order():
    labels = [[0, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 2, 2, 0]]
    heatmap = [[9, 9, 5, 9], [7, 7, 6, 9], [9, 9, 9, 9], [9, 3, 3, 9]]  # higher cells outside do not count
    assert [r.peak for r in regions_of(labels, heatmap)] == [(1, 0), (3, 1)]


def test_a_region_without_activation_has_its_peak_inside():
    assert [r.peak for r in regions_of([[0, 1], [1, 1]], np.zeros((2, 2)))] == [(0, 1)]


def test_features_are_the_activations_at_the_peaks():
    activations = np.arange(3 * 4 * 4).reshape(3, 4, 4)
    labels = [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 2]]
    regions = regions_of(labels, np.arange(16).reshape(4, 4))
    assert [r.peak for r in regions] == [(0, 1), (3, 3)]
    assert peak_features(activations, regions).tolist() == [[1, 17, 33], [15, 31, 47]]
    coarse = activations[:, :2, :2]  # its cells are four of the regions' each
    assert peak_features(coarse, regions).tolist() == [[0, 16, 32], [5, 21, 37]]


# --- LAM on the slice ------------------------------------------------------------------------------------


def placed_by_torch(regions: Regions, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Map times mask, bilinear, times the nearest-upsampled mask: the same with torch's interpolate."""
    coupled = torch.from_numpy(np.where(regions.labels > 0, regions.heatmap, 0))[None, None].float()
    labels = torch.from_numpy(regions.labels)[None, None].float()
    lam = torch.nn.functional.interpolate(coupled, size, mode="bilinear", align_corners=False)[0, 0]
    labels = torch.nn.functional.interpolate(labels, size, mode="nearest-exact")[0, 0]
    return (lam * (labels > 0)).numpy(), labels.numpy().astype(int)


@pytest.mark.parametrize(
    ("cells", "size"),  # such that no pixel's center lies on the border of two cells, where either is right
    [((16, 16), (64, 64)), ((16, 16), (512, 512)), ((16, 16), (16, 16)), ((16, 12), (96, 60))]
    + [((13, 15), size) for size in ((64, 64), (61, 47), (300, 512), (10, 8))],
)
@pytest.mark.parametrize("seed", range(3))
def test_lam_equals_torchs_interpolation_where_the_crop_is_the_slice(cells, size, seed):
    regions = find_regions(random_map(seed, cells))
    lam, labels = place_heatmap(regions, (-0.5, -0.5, size[0] - 0.5, size[1] - 0.5), size)
    expected, expected_labels = placed_by_torch(regions, size)
    assert lam.dtype == np.float32 and labels.dtype == np.int32
    assert np.array_equal(labels, expected_labels)
    np.testing.assert_allclose(lam, expected, atol=1e-5)


def test_lam_equals_torchs_interpolation_inside_a_crop():
    regions = find_regions(random_map(1))
    lam, labels = place_heatmap(regions, (9.5, 19.5, 57.5, 99.5), (70, 110))
    expected, expected_labels = placed_by_torch(regions, (48, 80))
    np.testing.assert_allclose(lam[10:58, 20:100], expected, atol=1e-5)
    assert np.array_equal(labels[10:58, 20:100], expected_labels)
    outside = np.ones((70, 110), bool)
    outside[10:58, 20:100] = False
    assert not lam[outside].any() and not labels[outside].any()


def test_lam_by_hand():
    # Two cells of 2 x 2 pixels: between their centers, at 0.5 and 2.5, it goes from 1 to 0.5.
    lam, labels = place_heatmap(regions_of([[1, 1]], [[1, 0.5]]), (-0.5, -0.5, 1.5, 3.5), (2, 4))
    assert lam.tolist() == [[1, 0.875, 0.625, 0.5]] * 2
    assert labels.tolist() == [[1, 1, 1, 1]] * 2


def test_components_that_the_interpolation_blurs_together_stay_apart():
    labels = np.zeros((16, 16), dtype=np.int32)
    labels[4, 4:6], labels[5, 6:8], labels[6, 4:6] = 1, 2, 3
    lam, placed = place_heatmap(regions_of(labels), FULL, (64, 64))
    assert np.array_equal(lam > 0, placed > 0)
    for number, (rows, columns) in {1: ((16, 20), (16, 24)), 2: ((20, 24), (24, 32))}.items():
        expected = np.zeros((64, 64), bool)
        expected[slice(*rows), slice(*columns)] = True
        assert np.array_equal(placed == number, expected)


@pytest.mark.parametrize(
    "crop",
    [(-8.5, -20.5, 55.5, 43.5), (30.2, 41.7, 90.9, 71.3), (0.1, 0.2, 63.4, 50.0), (-100, -100, 200, 200)],
)
@pytest.mark.parametrize("seed", range(3))
def test_only_pixels_in_the_crop_and_the_slice_are_touched(crop, seed):
    shape = (64, 72)
    regions = find_regions(random_map(seed))
    lam, labels = place_heatmap(regions, crop, shape)
    assert lam.shape == labels.shape == shape
    for row in range(shape[0]):  # pixel by pixel, as the definition says
        for column in range(shape[1]):
            i = int(np.floor((row - crop[0]) / (crop[2] - crop[0]) * 16))
            j = int(np.floor((column - crop[1]) / (crop[3] - crop[1]) * 16))
            inside = 0 <= i < 16 and 0 <= j < 16
            assert labels[row, column] == (regions.labels[i, j] if inside else 0)
    assert np.array_equal(lam > 0, labels > 0)
    assert lam.max() <= 1


@pytest.mark.parametrize("crop", [(100, 0, 120, 20), (-30, -30, -1, -1), (10.1, 10.1, 10.9, 10.9)])
def test_a_crop_between_pixel_centers_has_no_lam(crop):
    lam, labels = place_heatmap(regions_of(np.ones((16, 16))), crop, (64, 64))
    assert not lam.any() and not labels.any()


@pytest.mark.parametrize("seed", range(5))
def test_the_center_of_the_peak_cell_lies_in_its_own_region(seed):
    crop, shape = (20.3, 31.9, 400.1, 480.7), (512, 512)
    regions = find_regions(random_map(seed))
    lam, labels = place_heatmap(regions, crop, shape)
    for region in regions:
        row, column = cell_to_axial(*region.peak, crop, regions.labels.shape)
        assert labels[round(row), round(column)] == region.number
        r0, c0, r1, c1 = box_to_axial(region.box, crop, regions.labels.shape, shape)
        rows, columns = np.nonzero(labels == region.number)
        assert r0 <= rows.min() < r0 + 1 and r1 - 1 <= rows.max() < r1  # the box fits to the pixel
        assert c0 <= columns.min() < c0 + 1 and c1 - 1 <= columns.max() < c1


def test_cells_and_boxes_in_axial_pixels_by_hand():
    crop = (99.5, 199.5, 355.5, 711.5)  # 256 x 512 pixels: cells of 16 x 32
    assert cell_to_axial(0, 0, crop, (16, 16)) == (107.5, 215.5)
    assert cell_to_axial(15, 15, crop, (16, 16)) == (347.5, 695.5)
    assert box_to_axial((0, 0, 1, 2), crop, (16, 16), (400, 800)) == (99.5, 199.5, 115.5, 263.5)
    assert box_to_axial((0, 0, 16, 16), crop, (16, 16), (300, 512)) == (99.5, 199.5, 299.5, 511.5)
    assert box_to_axial((0, 0, 16, 16), (-9, -9, 70, 70), (16, 16), (64, 64)) == FULL


def test_cells_agree_with_the_pixels_of_the_networks_image():
    """LungSlice puts pixel y of its image at r0 + (y + 0.5) (r1 - r0) / size; a cell is 32 such pixels."""
    crop = (30.3, 12.7, 401.9, 500.2)
    for cell in range(16):
        pixels = np.arange(32 * cell, 32 * cell + 32)
        middle = np.mean(crop[0] + (pixels + 0.5) * (crop[2] - crop[0]) / 512)
        assert cell_to_axial(cell, 0, crop, (16, 16))[0] == pytest.approx(middle)


# --- touching lesions ------------------------------------------------------------------------------------


def two_peaks(distance: float) -> np.ndarray:
    rows, columns = np.mgrid[:16, :16]
    centers = (8 - distance / 2, 8 + distance / 2)
    return sum(np.exp(-((rows - 8) ** 2 + (columns - c) ** 2) / 6) for c in centers)


def test_two_merged_peaks_are_split_at_their_valley():
    regions = find_regions(two_peaks(6))
    assert len(regions) == 1
    split = split_merged(regions)
    assert [r.peak for r in split] == [(8, 5), (8, 11)]
    assert np.array_equal(split.labels > 0, regions.labels > 0)  # no cell is lost
    assert sum(r.cells for r in split) == regions.items[0].cells


def test_a_shallow_valley_is_not_split():
    regions = find_regions(two_peaks(6))
    # the saddle is at 2 exp(-9/6) = 0.45 of the peaks' height
    assert len(split_merged(regions, height=0.5)) == 2
    assert np.array_equal(split_merged(regions, height=0.6).labels, regions.labels)
    one_peak = find_regions(two_peaks(2))
    assert np.array_equal(split_merged(one_peak).labels, one_peak.labels)


def test_no_part_is_smaller_than_wanted():
    labels = np.ones((1, 5), dtype=np.int32)
    regions = regions_of(labels, [[1.0, 0.2, 0.9, 0.8, 0.7]])  # the first peak has one or two cells
    assert [r.cells for r in split_merged(regions, min_cells=3)] == [5]
    assert len(split_merged(regions, min_cells=1)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_splitting_keeps_all_cells_and_joins_none(seed):
    regions = find_regions(random_map(seed))
    split = split_merged(regions)
    assert np.array_equal(split.labels > 0, regions.labels > 0)
    assert [r.number for r in split] == list(range(1, len(split) + 1))
    assert all(r.cells >= 2 for r in split)
    for region in split:
        assert len(np.unique(regions.labels[split.labels == region.number])) == 1
        assert len(flood(split.labels == region.number)) == 1


# --- links -----------------------------------------------------------------------------------------------

BOX, BESIDE, FAR = (0, 0, 10, 10), (5, 5, 15, 15), (50, 50, 60, 60)


def test_boxes_that_overlap_in_neighboring_slices_are_one_lesion():
    groups = link_slices([[BOX, FAR], [BESIDE], [BESIDE, FAR]])
    assert groups == [[(0, 0), (1, 0), (2, 0)], [(0, 1)], [(2, 1)]]


def test_lesions_fork_and_join():
    left, right, both = (0, 0, 4, 4), (0, 6, 4, 10), (0, 0, 4, 10)
    assert link_slices([[left, right], [both]]) == [[(0, 0), (0, 1), (1, 0)]]
    assert link_slices([[both], [left, right], [both]]) == [[(0, 0), (1, 0), (1, 1), (2, 0)]]


def test_overlap_within_one_slice_links_nothing():
    assert link_slices([[BOX, BESIDE]]) == [[(0, 0)], [(0, 1)]]


def test_boxes_that_share_only_an_edge_do_not_overlap():
    assert link_slices([[(0, 0, 10, 10)], [(10, 0, 20, 10)]]) == [[(0, 0)], [(1, 0)]]
    assert link_slices([[(0, 0, 10, 10)], [(9.99, 0, 20, 10)]]) == [[(0, 0), (1, 0)]]


def test_a_slice_without_the_lesion_ends_it():
    assert link_slices([[BOX], [], [BOX]]) == [[(0, 0)], [(2, 0)]]


def test_slices_too_far_apart_are_not_linked():
    boxes = [[BOX], [BOX], [BOX]]
    assert link_slices(boxes, [0, 5, 25], max_gap_mm=10) == [[(0, 0), (1, 0)], [(2, 0)]]
    assert link_slices(boxes, [25, 5, 0], max_gap_mm=10) == [[(0, 0)], [(1, 0), (2, 0)]]  # stored head first
    assert link_slices(boxes, [0.1, 2.6, 5.1000001], max_gap_mm=2.5) == [[(0, 0), (1, 0), (2, 0)]]
    assert link_slices(boxes) == [[(0, 0), (1, 0), (2, 0)]]


def test_nothing_to_link_is_no_error():
    assert link_slices([]) == link_slices([[], []]) == link_slices([[]], [1.0], 3.0) == []


@pytest.mark.parametrize("seed", range(10))
def test_groups_equal_those_of_merging_sets(seed):
    rng = np.random.default_rng(seed)
    corners = [rng.integers(0, 40, (rng.integers(0, 5), 2)) for _ in range(12)]
    boxes = [[(r, c, r + 9, c + 9) for r, c in slice_corners] for slice_corners in corners]
    positions = np.cumsum(rng.choice([2.0, 9.0], 12))
    groups = [{(k, i)} for k in range(12) for i in range(len(boxes[k]))]
    for k in range(11):
        if positions[k + 1] - positions[k] > 5:
            continue
        for i, a in enumerate(boxes[k]):
            for j, b in enumerate(boxes[k + 1]):
                if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
                    touched = [g for g in groups if (k, i) in g or (k + 1, j) in g]
                    groups = [g for g in groups if g not in touched] + [set().union(*touched)]
    assert link_slices(boxes, positions, 5) == sorted(sorted(group) for group in groups)


# --- names by HU -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dense", "type_"),
    [
        (0, "GGO"),
        (9, "GGO"),
        (10, "partial consolidation"),
        (80, "partial consolidation"),
        (81, "consolidation"),
        (100, "consolidation"),
    ],
)
def test_the_type_is_that_of_the_dense_share(dense, type_):
    assert lesion_type(np.r_[np.full(dense, -299), np.full(100 - dense, -300)]) == type_


def test_a_lesion_without_lung_voxels_has_no_type():
    assert lesion_type(np.array([], dtype=np.int16)) is None
