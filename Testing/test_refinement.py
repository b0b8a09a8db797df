"""Contours by density: a synthetic slice with lungs, chest wall, a vessel and blurred lesions of known place."""

import numpy as np
import pytest
from LesionAnalysisLib import ct_from_array
from LesionAnalysisLib.lesions.refinement import cell_size, density, known_gray_levels, on_grid, refine
from LesionAnalysisLib.lungs import Preprocessing
from scipy import ndimage

SIZE, AIR, LESION, TISSUE = 192, 60, 120, 190
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
LUNGS = ((ROWS - 96) / 80) ** 2 + ((COLUMNS - 96) / 85) ** 2 < 1


def disc_at(row, column, radius):
    return np.hypot(ROWS - row, COLUMNS - column) < radius


def picture(*lesions, gray_levels=(AIR, LESION, TISSUE), vessel=True, noise=4.0):
    """A slice (SIZE, SIZE) uint8 as the network sees it, not blackened outside of the lungs."""
    air, lesion, tissue = gray_levels
    image = np.full((SIZE, SIZE), float(tissue))
    image[LUNGS] = air
    for where in lesions:
        image[where & LUNGS] = lesion
    if vessel:
        image[(np.abs(ROWS - COLUMNS + 20) < 3) & LUNGS] = tissue
    image = ndimage.gaussian_filter(image, 1.0) + np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def heat_at(*places, grid=12):
    """A coarse map with hot cells at (row, column) of the picture."""
    heat = np.zeros((grid, grid), np.float32)
    for row, column in places:
        heat[int(row * grid / SIZE), int(column * grid / SIZE)] = 1.0
    return ndimage.uniform_filter(heat, 3)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


LEFT, RIGHT = disc_at(110, 50, 16), disc_at(80, 140, 12)


def test_a_lesion_gets_its_contour_from_coarse_heat():
    regions = refine(heat_at((110, 50)), picture(LEFT), LUNGS)
    assert len(regions) == 1
    assert dice(regions.labels > 0, LEFT) > 0.85
    row, column = regions.items[0].peak
    assert LEFT[row, column]


def test_what_the_heat_does_not_reach_is_no_lesion():
    regions = refine(heat_at((110, 50)), picture(LEFT, RIGHT), LUNGS)
    assert not (regions.labels[RIGHT] > 0).any()
    assert len(refine(heat_at((110, 50), (80, 140)), picture(LEFT, RIGHT), LUNGS)) == 2


def test_a_vessel_is_no_lesion_however_hot():
    assert len(refine(np.ones((12, 12)) + heat_at((120, 140)), picture(), LUNGS)) == 0


def test_a_lesion_at_the_pleura_is_kept_and_the_chest_wall_is_not():
    lesion = disc_at(96, 178, 16) & LUNGS
    regions = refine(heat_at((96, 170)), picture(lesion), LUNGS)
    assert dice(regions.labels > 0, lesion) > 0.8
    assert not regions.labels[~LUNGS].any()
    rim = ndimage.binary_dilation(LUNGS)  # a mask that holds some of the wall
    assert len(refine(np.ones((12, 12)) + heat_at((96, 20)), picture(vessel=False), rim)) == 0


def test_lesions_that_hang_together_by_a_neck_are_parted():
    bridge = (np.abs(ROWS - 96) < 6) & (COLUMNS > 60) & (COLUMNS < 130)
    image = picture(disc_at(96, 60, 18), disc_at(96, 130, 18), bridge, vessel=False)
    heat = heat_at((96, 60), (96, 130))
    assert len(refine(heat, image, LUNGS)) == 2
    assert len(refine(heat, image, LUNGS, part=False)) == 1


def test_vessels_within_a_lesion_belong_to_it():
    lesion = disc_at(96, 96, 25)
    image = picture(lesion, vessel=False)
    image[disc_at(96, 96, 2)] = AIR  # a bronchus
    assert refine(heat_at((96, 96)), image, LUNGS).labels[96, 96] == 1


@pytest.mark.parametrize("heat", [np.zeros((12, 12)), np.ones((12, 12)), np.full((12, 12), np.nan)])
def test_a_map_that_says_nothing_gives_no_lesion(heat):
    assert len(refine(heat, picture(LEFT), LUNGS)) == 0


def test_heat_outside_of_the_lungs_and_empty_lungs_give_no_lesion():
    assert len(refine(heat_at((5, 5)), picture(LEFT), LUNGS)) == 0
    assert len(refine(heat_at((110, 50)), picture(LEFT), LUNGS & False)) == 0


def test_a_picture_without_contrast_gives_no_lesion():
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    assert density(flat, LUNGS, gray_levels=None) is None
    assert len(refine(heat_at((110, 50)), flat, LUNGS, gray_levels=None)) == 0


def test_grays_that_are_not_anchored_are_measured():
    other = picture(LEFT, gray_levels=(20, 20 + (LESION - AIR) // 2, 20 + (TISSUE - AIR) // 2), noise=2.0)
    regions = refine(heat_at((110, 50)), other, LUNGS, gray_levels=None)
    assert dice(regions.labels > 0, LEFT) > 0.8


def test_grays_are_known_by_the_anchors_or_by_the_window():
    assert known_gray_levels(Preprocessing(), calibrated=True) == known_gray_levels(Preprocessing(), calibrated=False) == (60, 190)
    fixed = Preprocessing(anchor_gray_levels=False, window_hu=(-1360, 640))
    assert known_gray_levels(fixed, calibrated=True) == pytest.approx((255 * 500 / 2000, 255 * 1400 / 2000))
    assert known_gray_levels(fixed, calibrated=False) is None


def test_air_is_that_of_the_slice_and_a_lung_without_any_is_dense():
    deep_breath = picture(LEFT, gray_levels=(AIR - 30, LESION - 30, TISSUE))
    assert dice(refine(heat_at((110, 50)), deep_breath, LUNGS).labels > 0, LEFT) > 0.8
    white = picture(LUNGS, vessel=False)  # all of it diseased
    assert np.median(density(white, LUNGS)[LUNGS]) > 1


def test_blackened_surroundings_change_nothing():
    image = picture(LEFT, disc_at(96, 178, 16))
    black = image * LUNGS
    heat = heat_at((110, 50), (96, 170))
    assert np.array_equal(refine(heat, image, LUNGS).labels, refine(heat, black, LUNGS).labels)


def test_the_grid_of_the_contour_changes_it_little():
    crop, heat, image = (-0.5, -0.5, SIZE - 0.5, SIZE - 0.5), heat_at((110, 50)), picture(LEFT)
    for cell in ((1.2, 0.8), (1.3, 1.3)):
        inside = on_grid(LUNGS, crop, cell)
        labels = refine(heat, image, inside).labels
        assert labels.shape == inside.shape == (round(SIZE / cell[0]), round(SIZE / cell[1]))
        area = np.count_nonzero(labels) * SIZE**2 / labels.size
        assert area == pytest.approx(np.count_nonzero(LEFT), rel=0.15)


def test_cells_have_one_size_in_the_body_and_in_pictures_one_share_of_the_longer_side():
    matrix = np.diag([-0.8, -0.4, 5.0, 1.0])  # columns 0.8 mm apart, rows 0.4 mm
    array = np.full((3, 64, 64), -850, np.int16)
    array[:, 40:], array[:, 39] = 40, -1000
    height, width = cell_size(ct_from_array(array, matrix, "ct"), 0)
    assert (height, width) == pytest.approx((1.6 / 0.4, 1.6 / 0.8))
    pictures = ct_from_array(np.zeros((1, 448, 300), np.uint8), np.diag([-1.0, -1, 1, 1]), "p", calibrated=False)
    assert cell_size(pictures, 0) == (2.0, 2.0)


def test_lungs_on_a_grid_are_those_at_the_cells_centers():
    lungs = np.zeros((8, 8), bool)
    lungs[2:6, 4:] = True
    assert on_grid(lungs, (-0.5, -0.5, 7.5, 7.5), (2, 4)).tolist() == [[False, False], [False, True], [False, True],
                                                                       [False, False]]  # fmt: skip
    assert on_grid(lungs, (2.0, 4.0, 2.4, 4.4), (2, 2)).tolist() == [[True]]  # never without a cell
