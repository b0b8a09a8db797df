"""Reading uncalibrated images of slices, which have neither HU nor voxel spacing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_volume import chest, refusal, write_volume
from LesionAnalysisLib.volume import read_ct
from PIL import Image


def save(path: Path, values: np.ndarray, **options) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


@pytest.fixture
def gray() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "bmp", "PNG"])
def test_one_image_is_one_axial_slice_without_hu(tmp_path, gray, suffix):
    ct = read_ct(save(tmp_path / f"slice.{suffix}", gray))
    np.testing.assert_array_equal(ct.array, gray[None])
    np.testing.assert_array_equal(ct.axial().array, gray[None])
    np.testing.assert_array_equal(ct.ijk_to_ras, np.diag([-1, -1, 1, 1]))
    assert not ct.calibrated and ct.name == "slice" and ct.slice_shapes is None
    assert "no HU, no voxel spacing" in ct.warnings[0]


def test_jpeg_color_palette_and_transparency_become_gray(tmp_path, gray):
    smooth = np.tile(np.linspace(0, 255, 50).astype(np.uint8), (40, 1))
    jpeg = read_ct(save(tmp_path / "a.jpg", smooth, quality=95)).array[0]
    assert np.abs(jpeg.astype(int) - smooth).max() <= 6
    np.testing.assert_array_equal(read_ct(save(tmp_path / "b.png", np.dstack([gray] * 3))).array[0], gray)
    Image.fromarray(gray).convert("P").save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_ct(tmp_path / "c.png").array[0], gray)
    alpha = np.full_like(gray, 255)
    alpha[:10] = 0
    ct = read_ct(save(tmp_path / "d.png", np.dstack([gray, gray, gray, alpha])))
    np.testing.assert_array_equal(ct.array[0], np.where(alpha, gray, 0))
    red = np.zeros((40, 50, 3), np.uint8)
    red[..., 0] = 255
    assert np.unique(read_ct(save(tmp_path / "e.png", red)).array) == [76]  # 0.299 of 255


def test_16_bit_images_are_scaled_over_their_full_range(tmp_path):
    deep = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    for name, values in (("a.png", deep), ("a.tif", deep), ("b.tif", deep.astype(np.float32))):
        ct = read_ct(save(tmp_path / name, values))
        np.testing.assert_array_equal(ct.array[0], np.rint(deep * (255 / 1999)))
        assert any("0 to 1999" in warning for warning in ct.warnings)


def test_a_folder_of_images_is_one_study_in_natural_order(tmp_path):
    folder = tmp_path / "Fall Ä"
    folder.mkdir()
    for number in (10, 9, 2, 1):
        save(folder / f"Slice{number}.png", np.full((20, 30), number, np.uint8))
    save(folder / "slice3.PNG", np.full((20, 30), 3, np.uint8))
    for other in ("notes.txt", ".hidden.png", "empty"):
        (folder / other).touch()
    ct = read_ct(folder)
    assert ct.array[:, 0, 0].tolist() == [1, 2, 3, 9, 10]
    assert ct.name == "Fall Ä" and ct.slice_shapes is None


def test_images_of_different_size_share_a_black_canvas(tmp_path):
    save(tmp_path / "1.png", np.full((20, 30), 7, np.uint8))
    save(tmp_path / "2.png", np.full((25, 10), 9, np.uint8))
    ct = read_ct(tmp_path)
    assert ct.array.shape == (2, 25, 30) and ct.slice_shapes == ((20, 30), (25, 10))
    assert ct.array[0, :20].min() == 7 and ct.array[0, 20:].max() == 0
    assert ct.array[1, :, :10].min() == 9 and ct.array[1, :, 10:].max() == 0


def test_pages_of_a_tiff_are_slices(tmp_path, gray):
    pages = [Image.fromarray(gray), Image.fromarray(gray[::-1].copy())]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_ct(tmp_path / "x.tif").array, [gray, gray[::-1]])


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_damaged_images_are_rejected_also_within_a_folder(tmp_path, gray, suffix):
    path = save(tmp_path / f"x.{suffix}", gray)
    data = path.read_bytes()
    save(tmp_path / "y.png", gray)
    for share in (0, 0.02, 0.5):
        path.write_bytes(data[: int(len(data) * share)])
        assert f"x.{suffix}" in refusal(path, OSError)
        assert f"x.{suffix}" in refusal(tmp_path, OSError)


def test_a_image_of_one_row_is_rejected(tmp_path, gray):
    assert "50 x 1" in refusal(save(tmp_path / "x.png", gray[:1]))


def test_folders_without_images_are_rejected(tmp_path):
    assert "no images" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    assert "no images" in refusal(tmp_path)
    write_volume(tmp_path / "x.nii.gz", chest())
    assert "each file" in refusal(tmp_path)
