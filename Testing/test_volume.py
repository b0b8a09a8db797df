"""Reading volume files and arrays, and the axial view of a CT."""

from __future__ import annotations

import itertools
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_volume import RAS, chest, nifti, patch, refusal, write_volume
from LesionAnalysisLib.volume import CtVolume, ct_from_array, read_ct
from scipy.spatial.transform import Rotation

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def ras_of(ct: CtVolume, value: int) -> np.ndarray:
    """RAS position of the voxel with this value."""
    ((k, j, i),) = np.argwhere(ct.array == value)
    return (ct.ijk_to_ras @ (i, j, k, 1))[:3]


# ---------------------------------------------------------------- the axial view


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_stored_orientation_has_the_same_axial_view_and_is_restored_exactly(axes, signs):
    patient = chest(7, 30, 34)  # slices run superiorly, rows posteriorly, columns to the left
    patient[1, 3, 5], patient[5, 20, 30] = 2001, 2002
    stored = patient.transpose(axes)  # numpy axis n of the file is axis axes[n] of the patient
    matrix = np.eye(4)
    for n, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        column = 2 - n  # of the matrix: I is the last axis of the array
        matrix[:3, column] = RAS[:3, 2 - axis] * sign
        if sign < 0:
            stored = np.flip(stored, n)
            matrix[:3, 3] += RAS[:3, 2 - axis] * (patient.shape[axis] - 1)
    matrix[:3, 3] += RAS[:3, 3]
    ct = ct_from_array(stored, matrix, "case")
    expected = (RAS @ (5, 3, 1, 1))[:3]
    np.testing.assert_allclose(ras_of(ct, 2001), expected)

    view = ct.axial()
    flipped = signs[axes.index(0)] < 0  # slices stay in stored order
    np.testing.assert_array_equal(view.array, patient[::-1] if flipped else patient)
    s, r, c = np.argwhere(view.array == 2001)[0]
    np.testing.assert_allclose(view.to_ras(c, r, s), expected)
    assert view.position_mm(s) == pytest.approx(32.5)
    assert view.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert np.shares_memory(view.array, ct.array)

    back = view.to_volume(view.array)
    np.testing.assert_array_equal(back, ct.array)
    assert back.flags.c_contiguous
    low, high = view.box_to_ijk(((c - 0.5, r - 0.5, s - 0.5), (c + 2.5, r + 1.5, s + 0.5)))
    k, j, i = np.argwhere(ct.array == 2001)[0]
    assert all(a - 0.5 >= b - 1e-9 and a + 0.5 <= d + 1e-9 for a, b, d in zip((i, j, k), low, high, strict=True))
    assert sorted(np.subtract(high, low)) == pytest.approx([1, 2, 3])


@pytest.mark.parametrize("seed", range(12))
def test_oblique_grids_keep_their_axes_and_their_positions(seed):
    rng = np.random.default_rng(seed)
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-25, 25, 3), degrees=True).as_matrix()
    array = chest(7, 30, 34)
    array[2, 4, 6] = 2001
    ct = ct_from_array(array, tilt @ RAS, "case")
    view = ct.axial()
    np.testing.assert_array_equal(view.array, array)  # up to 25 degrees each axis keeps its role
    np.testing.assert_allclose(view.to_ras(6, 4, 2), ras_of(ct, 2001))
    assert ct.voxel_ml == pytest.approx(0.7 * 0.8 * 2.5 / 1000)


def test_strongly_oblique_grids_get_three_different_axes():
    for seed in range(50):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
        view = ct_from_array(chest(5, 30, 34), matrix, "case").axial()
        assert sorted(view.array.shape) == [5, 30, 34]
        right, front, _ = view.index_to_ras[:3, :3].T
        assert right[0] <= 0 and front[1] <= 0  # columns never run to the right, rows never anteriorly


def test_a_grid_at_45_degrees_stays_in_stored_order():
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("x", 45, degrees=True).as_matrix()
    assert ct_from_array(chest(), turn, "case").axial().array.shape == (12, 40, 50)


# ---------------------------------------------------------------- volume files


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "NII.GZ", "NRRD"])
def test_every_volume_format_gives_the_same_ct(tmp_path, suffix):
    path = write_volume(tmp_path / f"case.1.{suffix.lower()}", chest())
    path = path.rename(tmp_path / f"case.1.{suffix}")
    ct = read_ct(path)
    np.testing.assert_array_equal(ct.array, chest())
    np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)
    assert (ct.name, ct.source, ct.calibrated, ct.warnings) == ("case.1", str(path), True, ())
    assert ct.array.dtype == np.int16 and ct.array.flags.writeable


@pytest.mark.parametrize("forms", [(1, 1), (1, 0), (0, 1), (2, 2), (1, 2), (2, 1), (0, 0)])
def test_nifti_geometry_is_that_of_slicer(tmp_path, forms):
    for seed in range(20):
        image = sitk.GetImageFromArray(chest(5, 30, 34))
        axes, signs = ORIENTATIONS[seed * 2]
        turn = Rotation.random(random_state=seed).as_matrix() if seed % 2 else np.eye(3)
        image.SetDirection((turn @ np.eye(3)[:, axes] * signs).ravel())
        image.SetSpacing((0.7, 0.8, 2.5))
        image.SetOrigin((-10, 20, 30))
        path = str(tmp_path / "reference.nii")
        sitk.WriteImage(image, path)
        patch(path, 252, "<2h", *forms)
        reference = sitk.ReadImage(path)
        ct = read_ct(path)
        for index in ((0, 0, 0), (33, 29, 4)):
            ras = np.multiply(reference.TransformIndexToPhysicalPoint(index), (-1, -1, 1))
            np.testing.assert_allclose((ct.ijk_to_ras @ (*index, 1))[:3], ras, atol=2e-2)
        assert bool(ct.warnings) == (forms == (0, 0))


def test_a_sheared_nifti_keeps_its_exact_matrix(tmp_path):
    path = write_volume(tmp_path / "tilted.nii", chest())
    srow = (-0.7, 0, 0, 10, 0, -0.8, 0.5, -20, 0, 0, 2.5, 30)
    patch(path, 252, "<2h", 0, 1)
    patch(path, 280, "<12f", *srow)
    np.testing.assert_allclose(read_ct(path).ijk_to_ras[:3].ravel(), srow, atol=1e-6)


def test_nifti_of_either_version_and_byte_order_is_read(tmp_path):
    array = chest()
    for order, version in itertools.product("<>", (1, 2)):
        path = tmp_path / "case.nii"
        path.write_bytes(nifti(array, order, version))
        ct = read_ct(path)
        np.testing.assert_array_equal(ct.array, array)
        np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_other_data_types_are_rounded_to_integer_hu(tmp_path, suffix, dtype):
    values = chest().astype(dtype)
    if values.dtype.kind == "f":
        values += dtype(0.4)
    np.testing.assert_array_equal(read_ct(write_volume(tmp_path / f"x.{suffix}", values)).array, chest())


def test_slope_and_intercept_of_nifti_are_applied(tmp_path):
    path = write_volume(tmp_path / "x.nii", ((chest().astype(int) + 1000) * 2).astype(np.int16))
    patch(path, 112, "<2f", 0.5, -1000.0)
    np.testing.assert_array_equal(read_ct(path).array, chest())


def test_padding_becomes_air_and_metal_is_kept(tmp_path):
    array = chest()
    array[:, 0, :20], array[0, 20, 20] = -3024, 9000
    ct = read_ct(write_volume(tmp_path / "x.nrrd", array))
    assert ct.array.min() == -1024 and ct.array[0, 0, 0] == -1024 and ct.array[0, 20, 20] == 9000
    huge = chest().astype(np.int32)
    huge[0, 20, 20] = 100_000
    assert ct_from_array(huge, RAS, "x").array.max() == 32767


def test_a_large_nifti_is_held_in_memory_once(tmp_path):
    big = np.tile(chest(1, 512, 512), (64, 1, 1)).astype(np.float32)
    path = write_volume(tmp_path / "x.nii", big)
    tracemalloc.start()
    ct = read_ct(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * ct.array.nbytes


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_one_slice_is_a_ct_and_a_fourth_axis_of_length_one_is_dropped(tmp_path, suffix):
    assert read_ct(write_volume(tmp_path / f"a.{suffix}", chest()[:1])).array.shape == (1, 40, 50)
    assert read_ct(write_volume(tmp_path / f"b.{suffix}", chest()[0])).array.shape == (1, 40, 50)
    four = sitk.JoinSeries([sitk.GetImageFromArray(chest())])
    sitk.WriteImage(four, str(tmp_path / f"c.{suffix}"))
    np.testing.assert_array_equal(read_ct(tmp_path / f"c.{suffix}").array, chest())


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha", "nii"])
def test_file_and_folder_names_may_be_in_any_script(tmp_path, suffix):
    folder = tmp_path / "Müller 肺 пример"
    folder.mkdir()
    path = write_volume(tmp_path / f"x.{suffix}", chest()).rename(folder / f"ÄÖ 胸部.{suffix}")
    assert read_ct(path).name == "ÄÖ 胸部"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_a_file_name_in_another_encoding_is_read_and_shown_as_utf_8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.nrrd")
    os.rename(write_volume(tmp_path / "x.nrrd", chest()), path)
    ct = read_ct(path)
    assert ct.name == "caf?" and ct.source.encode("utf-8")


# ---------------------------------------------------------------- rejected volume files


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.5, 0.97])
def test_empty_and_truncated_files_are_rejected(tmp_path, capfd, suffix, share):
    path = write_volume(tmp_path / f"x.{suffix}", chest(), useCompression=suffix != "nii")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    message = refusal(path, OSError)
    assert ("empty" if share == 0 else "damaged") in message
    assert capfd.readouterr().err == ""  # no output of the libraries used by ITK


@pytest.mark.parametrize("suffix", "nii nii.gz nrrd nhdr mha mhd png jpg tif bmp".split())
def test_text_files_with_an_image_suffix_are_rejected(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    path.write_text("This is not an image.\n" * 40)
    refusal(path, OSError)


def test_missing_and_unsupported_files_are_rejected(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nothing.nii", OSError)
    (tmp_path / "x.txt").write_text("text")
    assert "NIfTI" in refusal(tmp_path / "x.txt")
    write_volume(tmp_path / "y.mhd", chest())
    next(tmp_path.glob("y.*raw")).unlink()
    refusal(tmp_path / "y.mhd", OSError)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_rejected(tmp_path, suffix, bad):
    values = chest().astype(np.float32)
    values[3, 4, 5] = bad
    assert "NaN" in refusal(write_volume(tmp_path / f"x.{suffix}", values))


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_four_dimensions_and_several_values_per_voxel_are_rejected(tmp_path, suffix):
    four = sitk.JoinSeries([sitk.GetImageFromArray(chest())] * 3)
    sitk.WriteImage(four, str(tmp_path / f"x.{suffix}"))
    assert "50 x 40 x 12 x 3" in refusal(tmp_path / f"x.{suffix}")
    colors = sitk.GetImageFromArray(np.stack([chest()] * 3, axis=-1), isVector=True)
    sitk.WriteImage(colors, str(tmp_path / f"y.{suffix}"))
    assert "values per voxel" in refusal(tmp_path / f"y.{suffix}")


def not_ct() -> dict[str, np.ndarray]:
    ct, rng = chest(), np.random.default_rng(1)
    return {
        "MR": np.abs(rng.normal(300, 250, ct.shape)),
        "chest MR": np.where(ct > -300, rng.gamma(6, 150, ct.shape), rng.gamma(2, 15, ct.shape)),
        "inverted": np.abs(ct),
        "normalized": (ct + 1000.0) / 2000,
        "z-scores": (ct - ct.mean()) / ct.std(),
        "8 bits": np.clip((ct.astype(int) + 1200) // 8, 0, 255).astype(np.uint8),
        "mask": (ct < -500).astype(np.uint8),
        "constant": np.full_like(ct, -1000),
        "zeros": np.zeros_like(ct),
    }


@pytest.mark.parametrize("name", list(not_ct()))
def test_intensities_that_are_not_hu_are_rejected(tmp_path, name):
    values = not_ct()[name]
    values = values.astype(np.int16) if name in ("MR", "chest MR") else values
    message = refusal(write_volume(tmp_path / "x.nii.gz", values))
    assert "Hounsfield" in message or "single value" in message
    refusal(lambda: ct_from_array(values, RAS, "x"))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_a_missing_rescale_intercept_is_corrected_with_a_warning(dtype):
    ct = ct_from_array((chest().astype(np.int32) + 1024).astype(dtype), RAS, "x")
    np.testing.assert_array_equal(ct.array, chest())
    assert any("1024" in warning for warning in ct.warnings)


def test_single_voxel_rows_are_rejected(tmp_path):
    assert "50 x 1" in refusal(write_volume(tmp_path / "x.nii.gz", chest()[:, 20:21]))
    assert "1 x 40" in refusal(write_volume(tmp_path / "x.nrrd", chest()[:, :, 4:5] + np.eye(40, 1, dtype="i2")))
    assert "1 x 1" in refusal(lambda: ct_from_array(np.array([[[-1000]], [[50]]]), RAS, "x"))


def test_nifti_without_spacing_is_rejected(tmp_path):
    for value in (0.0, -2.5, float("nan")):
        path = write_volume(tmp_path / "x.nii", chest())
        patch(path, 76 + 12, "<f", value)
        assert "spacing" in refusal(path)
    path = write_volume(tmp_path / "x.nii", chest())
    patch(path, 252, "<2h", 0, 1)
    patch(path, 280, "<12f", *([0] * 12))
    assert "geometry" in refusal(path)


@pytest.mark.parametrize("lines", ["1 0 0 0 0 0 0 0 1|1 1 1", "0 0 0 0 0 0 0 0 0|1 1 1", "1 0 0 0 1 0 0 0 1|1 1 0"])
def test_metaimages_with_unusable_geometry_are_rejected(tmp_path, lines):
    directions, spacing = lines.split("|")
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"TransformMatrix = {directions}\nOffset = 0 0 0\nElementSpacing = {spacing}\n"
        "DimSize = 50 40 12\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "x.mha").write_bytes(header.encode() + chest().tobytes())
    assert "geometry" in refusal(tmp_path / "x.mha")


# ---------------------------------------------------------------- arrays of MRML nodes


def test_an_array_is_copied_and_never_changed():
    array = chest()
    array[0, 0, 0] = -2000
    ct = ct_from_array(array, RAS, "CTChest")
    assert array[0, 0, 0] == -2000 and not np.shares_memory(array, ct.array)
    assert (ct.name, ct.source, ct.calibrated) == ("CTChest", "MRML node", True)


def test_uncalibrated_arrays_are_taken_as_gray_levels():
    gray = np.random.default_rng(0).integers(0, 256, (3, 20, 20))
    ct = ct_from_array(gray, np.diag([-1, -1, 1, 1]), "slices", calibrated=False)
    assert ct.array.dtype == np.uint8 and not ct.calibrated
    np.testing.assert_array_equal(ct.array, gray)
    refusal(lambda: ct_from_array(chest(), RAS, "x", calibrated=False))


@pytest.mark.parametrize("matrix", ["zero", "flat", "nan", "small"])
def test_unusable_matrices_are_rejected(matrix):
    matrix = {
        "zero": np.zeros((4, 4)),
        "flat": np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        "nan": np.diag([1, np.nan, 1, 1]),
        "small": np.eye(3),
    }[matrix]
    assert "geometry" in refusal(lambda: ct_from_array(chest(), matrix, "x"))


def test_arrays_of_other_shapes():
    assert ct_from_array(chest()[0], RAS, "x").array.shape == (1, 40, 50)
    assert ct_from_array(chest()[..., None], RAS, "x").array.shape == (12, 40, 50)
    assert "dimensions" in refusal(lambda: ct_from_array(np.stack([chest()] * 3, -1), RAS, "x"))
    assert "dimensions" in refusal(lambda: ct_from_array(chest()[0, 0], RAS, "x"))
    assert "empty" in refusal(lambda: ct_from_array(np.empty((0, 4, 4)), RAS, "x"))
    assert "integers or real numbers" in refusal(lambda: ct_from_array(chest() > 0, RAS, "x"))


# ---------------------------------------------------------------- real data


@pytest.mark.skipif(not (DATA / "volumes").exists(), reason="needs ../shared/data")
def test_slices_of_real_volumes_lie_where_their_table_says():
    rows = [line.split(",") for line in (DATA / "volumes/slice_labels.csv").read_text().split()[1:]]
    for path in sorted((DATA / "volumes").glob("*.nii.gz")):
        ct = read_ct(path)
        view = ct.axial()
        assert ct.warnings == () and ct.array.min() == -1024
        for _, index, z, *_ in (row for row in rows if row[0] == path.name):
            assert view.position_mm(int(index)) == pytest.approx(float(z), abs=0.06)


@pytest.mark.skipif(not (DATA / "lung-masks").exists(), reason="needs ../shared/data")
def test_real_slices_are_read_and_their_masks_rejected():
    for path in sorted((DATA / "lung-masks" / "slices").glob("*.mha"))[:12]:
        if "mask" in path.name:
            refusal(path)
        else:
            assert read_ct(path).array.shape[0] == 1
