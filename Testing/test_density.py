"""Densities of lesions lie between air and soft tissue, whatever the window of the image."""

import numpy as np
import pytest
from helpers_lungs import prepare_image
from LesionAnalysisLib.lesions.features import density_profiles
from LesionAnalysisLib.lesions.regions import Regions
from LesionAnalysisLib.lungs import Preprocessing, lung_slices, segment_lungs
from LesionAnalysisLib.phantom import make_phantom


def regions(labels):
    return Regions(np.asarray(labels, np.int32), np.ones(np.shape(labels), np.float32))


def test_percentiles_are_in_percent_between_air_and_soft_tissue():
    image = np.zeros((8, 8), np.uint8)
    image[:, :4] = np.repeat([50, 100, 150, 200], 2)[:, None]
    profiles = density_profiles(image, regions([[1, 2], [1, 2], [1, 0], [1, 0]]), (50.0, 250.0))
    assert profiles.dtype == np.float32 and profiles.shape == (2, 5)
    # cells of 2 x 4 pixels: 50, 100, 150, 200 are 0, 25, 50, 75 percent
    assert np.allclose(profiles[0], [7.5, 18.75, 37.5, 56.25, 67.5])
    assert np.allclose(profiles[1], -25)  # darker than air


def test_no_lesion_has_no_profile_and_an_image_without_contrast_no_division_by_zero():
    assert density_profiles(np.zeros((4, 4), np.uint8), regions(np.zeros((4, 4))), (0, 255)).shape == (0, 5)
    assert np.isfinite(density_profiles(np.zeros((4, 4), np.uint8), regions(np.ones((4, 4))), (7.0, 7.0))).all()


@pytest.fixture(scope="module")
def volume():
    ct = make_phantom((12, 128, 128), (2.8, 2.8, 24.0)).ct
    return ct, segment_lungs(ct)


@pytest.mark.parametrize("window", [(-1200.0, 600.0), (-1400.0, 400.0)])
@pytest.mark.parametrize("anchored", [False, True])
def test_a_volume_has_the_same_densities_in_any_window(volume, window, anchored):
    ct, mask = volume
    settings = Preprocessing(window_hu=window, anchor_gray_levels=anchored, mask_lungs=False, size=128, slab_mm=0.0)
    piece = list(lung_slices(ct, mask, settings))[5]
    rows, columns = (np.array(edges) for edges in (piece.crop[::2], piece.crop[1::2]))
    hu = ct.axial().array[piece.index][int(rows[0] + 1) : int(rows[1]), int(columns[0] + 1) : int(columns[1])]
    whole = density_profiles(piece.image, regions(np.ones((128, 128))), piece.scale)[0]
    expected = (np.percentile(hu, [10, 25, 50, 75, 90]) + 1000) / 10.4
    assert np.allclose(whole, expected, atol=4), (whole, expected)


def test_gray_anchors_do_not_change_the_densities_of_an_image():
    ct = make_phantom((12, 160, 160), (2.2, 2.2, 24.0)).ct
    image = np.clip((ct.axial().array[6] + 1200) / 1800 * 200, 0, 255).astype(np.uint8)
    one, other = (prepare_image(image, Preprocessing(anchor_gray_levels=a, size=160)) for a in (False, True))
    whole = regions(np.ones((40, 40)))
    assert not np.allclose(one.image, other.image, atol=10)
    profiles = [density_profiles(p.image, whole, p.scale)[0] for p in (one, other)]
    assert np.allclose(*profiles, atol=1.5), profiles
