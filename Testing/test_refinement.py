"""Contours by density, on a synthetic slice with lungs, chest wall, a vessel and blurred lesions of known position."""

import numpy as np
import pytest
from LesionAnalysisLib import ct_from_array
from LesionAnalysisLib.lesions.refinement import density, known_gray_levels, refine
from LesionAnalysisLib.lungs import LungRegion, Preprocessing, lung_regions
from LesionAnalysisLib.lungs.slicing import image_region
from scipy import ndimage

SIZE, AIR, LESION, TISSUE = 192, 60, 120, 190
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
LUNGS = ((ROWS - 96) / 80) ** 2 + ((COLUMNS - 96) / 85) ** 2 < 1


def disc_at(row, column, radius):
    return np.hypot(ROWS - row, COLUMNS - column) < radius


def slice_image(*lesions, gray_levels=(AIR, LESION, TISSUE), vessel=True, noise=4.0):
    """The network's input (SIZE, SIZE) uint8, not masked outside the lungs."""
    air, lesion, tissue = gray_levels
    image = np.full((SIZE, SIZE), float(tissue))
    image[LUNGS] = air
    for where in lesions:
        image[where & LUNGS] = lesion
    if vessel:
        image[(np.abs(ROWS - COLUMNS + 20) < 3) & LUNGS] = tissue
    image = ndimage.gaussian_filter(image, 1.0) + np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def heatmap_at(*places, grid=12):
    """A coarse heatmap with activation at (row, column) of the image."""
    heatmap = np.zeros((grid, grid), np.float32)
    for row, column in places:
        heatmap[int(row * grid / SIZE), int(column * grid / SIZE)] = 1.0
    return ndimage.uniform_filter(heatmap, 3)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


LEFT, RIGHT = disc_at(110, 50, 16), disc_at(80, 140, 12)


def test_a_lesion_gets_its_contour_from_a_coarse_heatmap():
    regions = refine(heatmap_at((110, 50)), slice_image(LEFT), LUNGS)
    assert len(regions) == 1
    assert dice(regions.labels > 0, LEFT) > 0.85
    row, column = regions.items[0].peak
    assert LEFT[row, column]


def test_opacities_without_activation_are_no_lesions():
    regions = refine(heatmap_at((110, 50)), slice_image(LEFT, RIGHT), LUNGS)
    assert not (regions.labels[RIGHT] > 0).any()
    assert len(refine(heatmap_at((110, 50), (80, 140)), slice_image(LEFT, RIGHT), LUNGS)) == 2


def test_a_vessel_is_no_lesion_at_any_activation():
    assert len(refine(np.ones((12, 12)) + heatmap_at((120, 140)), slice_image(), LUNGS)) == 0


def test_a_lesion_at_the_pleura_is_kept_and_the_chest_wall_is_not():
    lesion = disc_at(96, 178, 16) & LUNGS
    regions = refine(heatmap_at((96, 170)), slice_image(lesion), LUNGS)
    assert dice(regions.labels > 0, lesion) > 0.8
    assert not regions.labels[~LUNGS].any()
    rim = ndimage.binary_dilation(LUNGS)  # a mask that includes some of the wall
    assert len(refine(np.ones((12, 12)) + heatmap_at((96, 20)), slice_image(vessel=False), rim)) == 0


def test_lesions_joined_by_a_narrow_bridge_are_separated():
    bridge = (np.abs(ROWS - 96) < 6) & (COLUMNS > 60) & (COLUMNS < 130)
    image = slice_image(disc_at(96, 60, 18), disc_at(96, 130, 18), bridge, vessel=False)
    heatmap = heatmap_at((96, 60), (96, 130))
    assert len(refine(heatmap, image, LUNGS)) == 2
    assert len(refine(heatmap, image, LUNGS, split=False)) == 1


def test_vessels_within_a_lesion_belong_to_it():
    lesion = disc_at(96, 96, 25)
    image = slice_image(lesion, vessel=False)
    image[disc_at(96, 96, 2)] = AIR  # a bronchus
    assert refine(heatmap_at((96, 96)), image, LUNGS).labels[96, 96] == 1


@pytest.mark.parametrize("heatmap", [np.zeros((12, 12)), np.ones((12, 12)), np.full((12, 12), np.nan)])
def test_a_map_without_information_gives_no_lesion(heatmap):
    assert len(refine(heatmap, slice_image(LEFT), LUNGS)) == 0


def test_activation_outside_the_lungs_and_empty_lungs_give_no_lesion():
    assert len(refine(heatmap_at((5, 5)), slice_image(LEFT), LUNGS)) == 0
    assert len(refine(heatmap_at((110, 50)), slice_image(LEFT), LUNGS & False)) == 0


def test_an_image_without_contrast_gives_no_lesion():
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    assert density(flat, LUNGS, gray_levels=None) is None
    assert len(refine(heatmap_at((110, 50)), flat, LUNGS, gray_levels=None)) == 0


def test_gray_levels_that_are_not_anchored_are_estimated():
    other = slice_image(LEFT, gray_levels=(20, 20 + (LESION - AIR) // 2, 20 + (TISSUE - AIR) // 2), noise=2.0)
    regions = refine(heatmap_at((110, 50)), other, LUNGS, gray_levels=None)
    assert dice(regions.labels > 0, LEFT) > 0.8


def test_gray_levels_are_known_by_the_anchors_or_by_the_window():
    assert all(known_gray_levels(Preprocessing(), calibrated) == (60, 190) for calibrated in (True, False))
    fixed = Preprocessing(anchor_gray_levels=False, window_hu=(-1360, 640))
    assert known_gray_levels(fixed, calibrated=True) == pytest.approx((255 * 500 / 2000, 255 * 1400 / 2000))
    assert known_gray_levels(fixed, calibrated=False) is None


def test_air_is_that_of_the_slice_and_a_lung_without_air_is_dense():
    deep_inspiration = slice_image(LEFT, gray_levels=(AIR - 30, LESION - 30, TISSUE))
    assert dice(refine(heatmap_at((110, 50)), deep_inspiration, LUNGS).labels > 0, LEFT) > 0.8
    white = slice_image(LUNGS, vessel=False)  # all of it diseased
    assert np.median(density(white, LUNGS)[LUNGS]) > 1


def test_masking_outside_the_lungs_has_no_effect():
    image = slice_image(LEFT, disc_at(96, 178, 16))
    black = image * LUNGS
    heatmap = heatmap_at((110, 50), (96, 170))
    assert np.array_equal(refine(heatmap, image, LUNGS).labels, refine(heatmap, black, LUNGS).labels)


def test_the_grid_of_the_contour_changes_it_little():
    crop, heatmap, image = (-0.5, -0.5, SIZE - 0.5, SIZE - 0.5), heatmap_at((110, 50)), slice_image(LEFT)
    for cell in ((1.2, 0.8), (1.3, 1.3)):
        inside = region_of(LUNGS, cell).lungs_on_cells(crop)
        labels = refine(heatmap, image, inside).labels
        assert labels.shape == inside.shape == (round(SIZE / cell[0]), round(SIZE / cell[1]))
        area = np.count_nonzero(labels) * SIZE**2 / labels.size
        assert area == pytest.approx(np.count_nonzero(LEFT), rel=0.15)


def test_cells_have_one_size_in_the_body_and_in_images_one_share_of_the_longer_side():
    matrix = np.diag([-0.8, -0.4, 5.0, 1.0])  # columns 0.8 mm apart, rows 0.4 mm
    array = np.full((3, 64, 64), -850, np.int16)
    array[:, 40:], array[:, 39] = 40, -1000
    ct = ct_from_array(array, matrix, "ct")
    mask = np.zeros((3, 64, 64), bool)
    mask[:, 16:48, 16:48] = True
    region, *_ = lung_regions(ct, mask, Preprocessing(min_mean=0))
    assert region.cell == pytest.approx((1.6 / 0.4, 1.6 / 0.8))
    image = np.random.default_rng(0).integers(0, 255, (448, 300), np.uint8)
    assert image_region(image, image > 255, Preprocessing(), 0, 0.0).cell == (2.0, 2.0)


def test_lungs_on_a_grid_are_those_at_the_centers_of_its_cells():
    lungs = np.zeros((8, 8), bool)
    lungs[2:6, 4:] = True
    assert region_of(lungs, (2, 4)).lungs_on_cells((-0.5, -0.5, 7.5, 7.5)).tolist() == [
        [False, False], [False, True], [False, True], [False, False]]  # fmt: skip
    assert region_of(lungs, (2, 2)).lungs_on_cells((2.0, 4.0, 2.4, 4.4)).tolist() == [[True]]  # at least one cell
    part = LungRegion(np.zeros((6, 6), np.uint8), lungs[1:7, 2:], (1.5, 3.5, 5.5, 7.5), cell=(2, 4), origin=(1, 2))
    assert part.lungs_on_cells((0.5, 1.5, 6.5, 7.5)).shape == (3, 2)


def test_share_of_lung_is_that_of_each_cell():
    lungs = np.zeros((8, 8), bool)
    lungs[2:6, 4:] = True
    share = region_of(lungs, (1, 1)).lung_share((-0.5, -0.5, 7.5, 7.5), (2, 4))
    assert share.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]


def region_of(lungs, cell):
    return LungRegion(np.zeros(lungs.shape, np.uint8), lungs, (-0.5, -0.5, 7.5, 7.5), cell=cell)
