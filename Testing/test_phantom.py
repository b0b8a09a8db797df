"""The synthetic CT: reproducible, the same patient in every orientation, with a correct ground truth."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from helpers_phantom import ORIENTATIONS, oriented_phantom
from LesionAnalysisLib.phantom import Phantom, make_phantom
from LesionAnalysisLib.phantom import phantom as phantom_module
from LesionAnalysisLib.phantom.grid import LPS_AXES, Coarse, Grid
from LesionAnalysisLib.phantom.lesion_shapes import GGO, LesionShape
from LesionAnalysisLib.phantom.noise import TextureTile, ValueNoise, generator, scanner_noise, wave
from LesionAnalysisLib.phantom.patient import Patient
from LesionAnalysisLib.phantom.render import render
from LesionAnalysisLib.phantom.trees import grow
from LesionAnalysisLib.phantom.tubes import Tubes, paint
from LesionAnalysisLib.volume import CtVolume, read_ct
from LesionAnalysisLib.volume.writing import write_volume
from scipy import ndimage

SHAPE, SPACING = (62, 110, 118), (3.1, 2.9, 4.9)  # every axis different, so that exchanged axes are noticed
STORAGE_ONLY = [name for name in ORIENTATIONS if not name.startswith(("oblique", "anisotropic"))]


@pytest.fixture(scope="module")
def axial() -> Phantom:
    return make_phantom(SHAPE, SPACING)


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return make_phantom(SHAPE, SPACING, diseased=False)


def centers(phantom: Phantom) -> np.ndarray:
    """(N, 3) RAS centroids of the labels, by the matrix of the CT."""
    m = phantom.ct.ijk_to_ras
    labels = [lesion.label for lesion in phantom.lesions]
    kji = np.array(ndimage.center_of_mass(phantom.lesion_labels > 0, phantom.lesion_labels, labels))
    return kji[:, ::-1] @ m[:3, :3].T + m[:3, 3]


def digest(phantom: Phantom) -> str:
    parts = (phantom.ct.array, phantom.ct.ijk_to_ras, phantom.lung_mask, phantom.lesion_labels)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()


# Reproducibility


def test_same_arguments_give_the_same_phantom_bit_for_bit(axial):
    phantom_module._patient.cache_clear()
    phantom_module._truth.cache_clear()
    again = make_phantom(SHAPE, SPACING)
    assert digest(again) == digest(axial)
    assert again.lesions == axial.lesions


def test_the_result_does_not_depend_on_the_number_of_threads():
    grid = Grid.centered((9, 64, 70), (5.0, 5.0, 20.0), LPS_AXES)
    one, four = (render(Patient(2), grid, True, 20.0, threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one.hu, four.hu)
    np.testing.assert_array_equal(one.labels, four.labels)


def test_another_seed_is_another_patient(axial):
    other = make_phantom(SHAPE, SPACING, seed=1)
    assert other.lesions != axial.lesions
    assert (other.lung_mask != axial.lung_mask).sum() > 1000


def test_healthy_and_diseased_phantoms_differ_only_in_the_lesions(axial, healthy):
    np.testing.assert_array_equal(healthy.lung_mask, axial.lung_mask)
    assert healthy.lesions == () and not healthy.lesion_labels.any()
    changed = healthy.ct.array != axial.ct.array
    at = np.argwhere(changed)[:, ::-1] @ axial.ct.ijk_to_ras[:3, :3].T + axial.ct.ijk_to_ras[:3, 3]
    shapes = Patient(0).lesions
    near = [(np.abs(at - shape.center) <= shape.reach() + 1.0).all(axis=1) for shape in shapes]
    assert np.any(near, axis=0).all()
    assert changed[axial.lesion_labels > 0].mean() > 0.8  # the rest are vessels


# Ground truth


GRIDS = [(SHAPE, SPACING), ((100, 180, 190), (1.9, 1.9, 3.0)), ((45, 200, 200), (1.8, 1.8, 6.5))]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_truth_about_every_lesion_agrees_with_the_voxels_of_any_grid(grid):
    phantom = make_phantom(*grid)
    voxel = max(phantom.ct.spacing_mm)
    for lesion, center in zip(phantom.lesions, centers(phantom), strict=True):
        inside = phantom.lesion_labels == lesion.label
        assert inside.sum() * phantom.ct.voxel_ml == pytest.approx(lesion.volume_ml, rel=0.09)
        assert phantom.ct.array[inside].mean() == pytest.approx(lesion.mean_hu, abs=15)
        np.testing.assert_allclose(center, lesion.center_ras_mm, atol=0.2 * voxel)
        points = np.argwhere(inside)[:, ::-1] @ phantom.ct.ijk_to_ras[:3, :3].T
        np.testing.assert_allclose(np.sqrt(5) * points.std(axis=0), lesion.radii_mm, atol=0.25 * voxel)


def test_a_smooth_lesion_has_the_volume_of_its_ellipsoid():
    noise = ValueNoise(generator(0, 1))
    noise._values = np.zeros_like(noise._values)
    radii, frame = np.array([12.0, 20.0, 16.0]), np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1.0]])
    center = np.array([40.0, -60.0, -80.0])
    shape = LesionShape(GGO, center, frame, radii, np.array([[0, 0, 0, 0.9]]), -550.0, 0.0, noise)
    grid = Grid.centered((90, 90, 90), (0.8, 0.8, 0.8), LPS_AXES, center=center)
    s, r, c = (np.arange(90) for _ in range(3))
    alpha, hu = shape(*grid.points(s[:, None, None], r[:, None], c))
    volume = (alpha >= 0.5).sum() * 0.8**3
    assert volume == pytest.approx(4 / 3 * np.pi * np.prod(0.9 * radii), rel=0.01)
    assert alpha.dtype == hu.dtype == np.float32
    assert (hu == -550.0).all() and alpha[45, 45, 45] == 1.0 and alpha[0, 0, 0] == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_lesions_resemble_those_of_covid_19(seed):
    lesions = make_phantom((4, 8, 8), (40.0, 40.0, 80.0), seed=seed).lesions
    centers_mm = np.array([lesion.center_ras_mm for lesion in lesions])
    volume = np.array([lesion.volume_ml for lesion in lesions])
    types = [lesion.type for lesion in lesions]
    assert 5 <= len(lesions) <= 10
    assert (centers_mm[:, 0] > 0).any() and (centers_mm[:, 0] < 0).any()  # both lungs
    lower, posterior = centers_mm[:, 2] < -35, centers_mm[:, 1] < -12
    assert volume[lower].sum() > volume[~lower].sum() and volume[posterior].sum() > volume[~posterior].sum()
    assert types.count("GGO") >= 3 and "consolidation" in types
    for lesion in lesions:
        low, high = {"GGO": (-650, -440), "consolidation": (-110, 50)}.get(lesion.type, (-520, -200))
        assert low <= lesion.mean_hu <= high
        assert 6 <= (750.0 * lesion.volume_ml / np.pi) ** (1 / 3) <= 31  # radius in mm


def test_lesions_lie_in_the_lungs_and_do_not_touch(axial):
    assert axial.lung_mask[axial.lesion_labels > 0].all()
    spread = ndimage.grey_dilation(axial.lesion_labels, size=3)
    touching = (axial.lesion_labels > 0) & (spread != axial.lesion_labels) & (spread > 0)
    assert not touching.any()


def test_anatomy_has_plausible_densities_and_sizes(healthy):
    hu, lungs = healthy.ct.array, healthy.lung_mask
    assert 3.5 < lungs.sum() * healthy.ct.voxel_ml / 1000 < 6.5  # liters
    assert -890 < np.median(hu[lungs]) < -810
    parts, count = ndimage.label(lungs)
    sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
    assert count >= 2 and sizes[1] > 0.7 * sizes[0] and sizes[:2].sum() > 0.99 * lungs.sum()
    _, y, _ = (a.astype(float) for a in np.nonzero(lungs))
    posterior = y > np.median(y)
    values = hu[lungs]
    assert np.median(values[posterior]) > np.median(values[~posterior]) + 10  # gravity
    assert (hu > 400).sum() * healthy.ct.voxel_ml > 150  # bone
    assert ((hu > 20) & (hu < 80)).mean() > 0.1 and ((hu > -140) & (hu < -70)).mean() > 0.05  # muscle, fat
    assert np.median(hu[:, 0]) < -950  # air in front of the body
    tops = np.array([[0.0, 0.0, 105.0]]) - healthy.ct.ijk_to_ras[:3, 3]
    column, row, plane = np.round(tops @ np.linalg.inv(healthy.ct.ijk_to_ras[:3, :3]).T)[0].astype(int)
    assert hu[plane, row - 6:row + 7, column - 2:column + 3].min() < -900  # trachea


# One patient in every orientation


def test_there_are_at_least_eight_different_orientations():
    assert len(ORIENTATIONS) >= 8
    matrices = [o.direction for o in ORIENTATIONS.values()]
    assert {round(float(np.linalg.det(m))) for m in matrices} == {1, -1}
    assert len({(o.direction.tobytes(), o.stretch) for o in ORIENTATIONS.values()}) == len(ORIENTATIONS)
    tilts = [np.rad2deg(np.arccos(np.abs(m).max(axis=0).min())) for m in matrices]
    assert sum(t > 14 for t in tilts) >= 3


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_lesions_are_at_the_same_ras_positions_in_every_orientation(name, axial):
    phantom = oriented_phantom(SHAPE, SPACING, ORIENTATIONS[name])
    assert phantom.lesions == axial.lesions
    m = phantom.ct.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(m / np.linalg.norm(m, axis=0), ORIENTATIONS[name].direction, atol=1e-12)
    truth = np.array([lesion.center_ras_mm for lesion in axial.lesions])
    np.testing.assert_allclose(centers(phantom), truth, atol=max(1.0, 0.25 * max(phantom.ct.spacing_mm)))
    for lesion in phantom.lesions:
        inside = phantom.lesion_labels == lesion.label
        assert phantom.ct.array[inside].mean() == pytest.approx(lesion.mean_hu, abs=30)


@pytest.mark.parametrize("name", STORAGE_ONLY)
def test_storage_alone_changes_no_voxel(name, axial):
    phantom = oriented_phantom(SHAPE, SPACING, ORIENTATIONS[name])
    assert sorted(phantom.ct.array.shape) == sorted(SHAPE)
    view = phantom.ct.axial()
    upwards = slice(None, None, 1 if view.position_mm(0) < view.position_mm(1) else -1)  # views keep stored order
    np.testing.assert_array_equal(view.array[upwards], axial.ct.array)
    np.testing.assert_array_equal(view.from_volume(phantom.lesion_labels)[upwards], axial.lesion_labels)


def test_axial_is_the_default_and_sagittal_exchanges_the_axes(axial):
    assert oriented_phantom(SHAPE, SPACING, ORIENTATIONS["sagittal"]).ct.array.shape == (118, 62, 110)
    assert digest(oriented_phantom(SHAPE, SPACING, ORIENTATIONS["axial"])) == digest(axial)


def test_a_finer_grid_shows_the_same_patient_at_common_positions():
    coarse = make_phantom((3, 150, 180), (1.7, 1.7, 60.0), noise_hu=0.0).ct.array.astype(float)
    fine = make_phantom((5, 299, 359), (0.85, 0.85, 30.0), noise_hu=0.0).ct.array[::2, ::2, ::2].astype(float)
    difference = np.abs(coarse - fine)
    assert np.median(difference) <= 1.0
    assert (difference > 60).mean() < 0.02  # edges, where smooth fields are interpolated


# Files and errors


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("name", ["axial", "sagittal", "axial_mirrored", "oblique_double", "oblique_coronal"])
def test_a_written_phantom_is_read_back_at_the_same_position(name, suffix, tmp_path):
    phantom = oriented_phantom((20, 40, 44), (8.2, 8.0, 15.0), ORIENTATIONS[name])
    write_volume(phantom.ct.array, phantom.ct.ijk_to_ras, tmp_path / f"ct{suffix}")
    ct = read_ct(tmp_path / f"ct{suffix}")
    assert isinstance(phantom.ct, CtVolume) and phantom.ct.calibrated and phantom.ct.array.dtype == np.int16
    np.testing.assert_array_equal(ct.array, phantom.ct.array)
    np.testing.assert_allclose(ct.ijk_to_ras, phantom.ct.ijk_to_ras, atol=1e-3)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"axes": np.ones((3, 3))}, "orthonormal"),
    ({"axes": np.eye(4)}, "orthonormal"),
    ({"shape": (0, 10, 10)}, "integers"),
    ({"shape": (10, 10)}, "integers"),
    ({"spacing_mm": (1.0, -1.0, 1.0)}, "lengths"),
    ({"noise_hu": -1.0}, "negative"),
    ({"seed": -1}, "negative"),
])
def test_impossible_phantoms_are_rejected_with_a_message(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_phantom(**{"shape": (4, 16, 16), "spacing_mm": (20.0, 20.0, 60.0), **arguments})


# Parts


def test_noise_has_unit_deviation_and_the_correlation_of_a_soft_kernel():
    noise = np.stack([scanner_noise(generator(0, k), 200, 220) for k in range(4)])
    assert noise.dtype == np.float32 and noise.shape == (4, 200, 220)
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(1.0, abs=0.02)
    assert (noise[:, 1:] * noise[:, :-1]).mean() == pytest.approx(6 / 11, abs=0.03)  # of 1 3 1: (3 + 3) / (1 + 9 + 1)
    assert (noise[:, :, 2:] * noise[:, :, :-2]).mean() == pytest.approx(1 / 11, abs=0.03)
    assert abs((noise[0] * noise[1]).mean()) < 0.03


def test_value_noise_is_a_continuous_function_of_position():
    noise = ValueNoise(generator(0, 1))
    x = np.linspace(-50, 50, 2001, dtype=np.float32)
    a = noise(x, np.float32([3.0]), np.float32([-7.0]), 10.0)
    assert a.dtype == np.float32 and np.abs(np.diff(a)).max() < 0.02 and a.std() > 0.2
    np.testing.assert_array_equal(a[::2], noise(x[::2], np.float32([3.0]), np.float32([-7.0]), 10.0))


def test_texture_has_unit_deviation_everywhere():
    points = (generator(0, 2).random((3, 20000)) * 300 - 150).astype(np.float32)
    values = TextureTile(generator(0, 3))(*points)
    assert values.std() == pytest.approx(1.0, abs=0.05) and abs(values.mean()) < 0.05


def test_wave_is_nearly_a_sine():
    t = np.linspace(-2, 2, 401, dtype=np.float32)
    np.testing.assert_allclose(wave(t), np.sin(2 * np.pi * t), atol=0.06)


def test_fields_are_single_precision_and_broadcast_to_the_grid():
    grid = Grid.centered((3, 20, 22), (17.0, 17.0, 90.0), ORIENTATIONS["oblique_double"].direction)
    for axes in (grid, Grid.centered((3, 20, 22), (17.0, 17.0, 90.0), LPS_AXES)):
        for name, values in Patient(0).fields(*Coarse(axes).points(slice(None))).items():
            assert values.dtype == np.float32, name
            assert np.broadcast_shapes(values.shape, (3, 20, 22)) == (3, 20, 22)


def test_interpolation_of_coarse_linear_fields_is_exact():
    grid = Grid.centered((8, 21, 30), (0.7, 0.9, 1.0), LPS_AXES)
    coarse = Coarse(grid)
    assert coarse.steps == (2, 2, 3)
    x, y, z = coarse.points(slice(None))
    nodes = np.broadcast_to(2 * x - y + 3 * z, coarse.nodes).astype(np.float32)[None]
    for s in range(8):
        x, y, z = grid.points(np.full((1, 1), s), np.arange(21)[:, None], np.arange(30))
        np.testing.assert_allclose(coarse.slice_fields(nodes, s)[0], 2 * x - y + 3 * z, atol=2e-3)


def test_every_point_of_a_tree_is_reached_once_and_branches_connect():
    points = generator(0, 4).random((2, 60, 3)) * 100
    tree = grow(generator(0, 5), points, np.array([[50.0, 50, 50], [0.0, 0, 0]]))
    leaf = tree.share < 1.5 / 60
    assert leaf.sum() == 120
    reached = tree.end[leaf]
    np.testing.assert_allclose(np.sort(reached, axis=0), np.sort(points.reshape(-1, 3), axis=0))
    ends = {tuple(p) for p in np.concatenate([tree.end, [[50.0, 50, 50], [0.0, 0, 0]]]).round(9)}
    assert all(tuple(p) in ends for p in tree.start.round(9))


@pytest.mark.parametrize("name", ["axial", "oblique_double"])
def test_a_rasterized_tube_has_the_depth_of_its_distance(name):
    grid = Grid.centered((20, 30, 40), (1.0, 1.2, 2.0), ORIENTATIONS[name].direction, center=np.zeros(3))
    tube = Tubes(np.array([[-8.0, 1, -6]]), np.array([[9.0, -4, 7]]), np.array([[3.0, 4.0]]))
    volume = np.zeros(grid.shape, np.uint8)
    paint(volume, grid, tube, blur_mm=1.0, scale=40.0)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)[..., ::-1]
    points = index @ grid.index_to_ras[:3, :3].T + grid.index_to_ras[:3, 3]
    start, along = tube.start[0], tube.end[0] - tube.start[0]
    t = np.clip((points - start) @ along / (along @ along), 0, 1)
    depth = 3.0 + t - np.linalg.norm(points - start - t[..., None] * along, axis=-1) + 0.5
    np.testing.assert_allclose(volume, np.clip(40.0 * depth, 0, 255), atol=1.01)
