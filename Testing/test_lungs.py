"""Lung segmentation in volumes and images, and preprocessing of slices with exactly known positions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_lungs import prepare_image
from LesionAnalysisLib.lungs import (
    LungSlice,
    Preprocessing,
    kept_slices,
    lung_slices,
    segment_image,
    segment_lungs,
)
from LesionAnalysisLib.lungs.gray_scale import gray_anchors, gray_table, window
from LesionAnalysisLib.lungs.lung_region import crop_box, resample
from LesionAnalysisLib.lungs.slicing import slab_mean
from LesionAnalysisLib.volume import CtVolume, ct_from_array

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SPACING = (1.5, 1.5, 5.0)
LPS = np.diag([-1.5, -1.5, 5.0, 1.0])


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def ellipse(shape, row, column, height, width):
    rows, columns = np.ogrid[:shape[0], :shape[1]]
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1


def chest(slices=12, consolidated=False):
    """A chest (S, R, C) int16 in HU with table and trachea, and its lung mask; 300 x 360 mm, slices of 5 mm."""
    shape = (200, 240)
    rng = np.random.default_rng(0)
    hu = np.full((slices, *shape), -1000, dtype=np.float32)
    hu[:, 178:181, 10:230] = 100  # table: two shells and foam
    hu[:, 181:190, 10:230] = -900
    hu[:, 190:193, 10:230] = 100
    hu[:, ellipse(shape, 100, 120, 75, 110)] = 40
    for column in (70, 170):  # ribs, with a gap towards the heart
        ring = ellipse(shape, 100, column, 55, 40) & ~ellipse(shape, 100, column, 52, 37)
        hu[:, ring & (np.abs(np.arange(240) - 120) > 25)] = 500
    lungs = np.zeros(hu.shape, dtype=bool)
    lungs[1:-1] = ellipse(shape, 100, 70, 50, 35) | ellipse(shape, 100, 170, 50, 35)
    hu[lungs] = -850 + rng.normal(0, 30, np.count_nonzero(lungs))
    vessel = ellipse(shape, 100, 70, 3, 3) | ellipse(shape, 110, 170, 3, 3)
    hu[1:-1, vessel] = 50
    if consolidated:  # posterior in the right lung, without an edge towards the chest wall
        wedge = ellipse(shape, 146, 62, 14, 16) & ellipse(shape, 100, 70, 50, 35)
        hu[3:-3, wedge] = 30
    hu[:, ellipse(shape, 80, 120, 7, 7)] = -1000  # trachea
    return np.clip(hu + rng.normal(0, 15, hu.shape), -1024, None).astype(np.int16), lungs


def ct_of(hu, matrix=LPS):
    return ct_from_array(hu, matrix, "chest")


def image_ct(array, shapes=None):
    return CtVolume(array, np.diag([-1.0, -1.0, 1.0, 1.0]), "images", "folder", False, (), shapes)


# Settings


def test_preprocessing_is_restored_from_its_dict():
    settings = Preprocessing(window_hu=[-1000, 400], margin=0.1, size=256)
    assert settings.window_hu == (-1000.0, 400.0)
    assert Preprocessing.from_dict(settings.to_dict()) == settings
    assert Preprocessing.from_dict({"size": 128}) == Preprocessing(size=128)


def test_preprocessing_of_the_paper_has_its_settings():
    paper = Preprocessing.paper()
    assert paper.mask_lungs and not paper.anchor_gray_levels
    assert (paper.margin, paper.slab_mm, paper.min_mean, paper.size) == (0.0, 0.0, 0.08, 512)
    assert paper.window_hu == (-1200.0, 600.0)


@pytest.mark.parametrize("wrong", [{"window_hu": (0, 0)}, {"size": 8}, {"margin": -1}, {"slab_mm": -2}])
def test_impossible_settings_are_rejected(wrong):
    with pytest.raises(ValueError):
        Preprocessing(**wrong)


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="sharpen"):
        Preprocessing.from_dict({"sharpen": True})


# Crop and gray levels


def test_crop_box_is_the_outer_edge_of_the_pixels():
    lungs = np.zeros((50, 60), dtype=bool)
    lungs[10:20, 20:40] = True
    assert crop_box(lungs) == (9.5, 19.5, 19.5, 39.5)
    assert crop_box(lungs, 0.1) == (8.5, 17.5, 20.5, 41.5)
    lungs[0, 0] = True
    assert crop_box(lungs, 0.1) == (-0.5, -0.5, pytest.approx(21.5), pytest.approx(43.5))
    with pytest.raises(ValueError, match="no lungs"):
        crop_box(lungs & False)


def test_rows_of_the_network_input_lie_at_the_positions_given_by_the_crop():
    gray_levels = np.repeat(np.arange(40, dtype=np.uint8)[:, None] * 6, 50, axis=1)  # 6 gray levels a row
    crop = (9.5, 4.5, 29.5, 44.5)
    image = resample(gray_levels, crop, 512)
    rows = crop[0] + (np.arange(512) + 0.5) * (crop[2] - crop[0]) / 512
    inner = slice(26, -26)  # within half a source pixel of the border, the edge is repeated
    assert np.abs(image[inner, 256] - 6 * rows[inner]).max() <= 0.51


def test_a_dot_keeps_its_position_after_masking_and_resampling():
    hu, lungs = chest()
    np.minimum(hu, 100, out=hu)[5, 97:100, 160:163] = 3000
    settings = Preprocessing(anchor_gray_levels=False, slab_mm=0, margin=0.05)
    cut, = lung_slices(ct_of(hu), lungs, settings, indices=[5])
    r0, c0, r1, c1 = cut.crop
    row, column = (np.mean(line) for line in np.nonzero(cut.image > 225))
    assert r0 + (row + 0.5) * (r1 - r0) / 512 == pytest.approx(98, abs=0.2)
    assert c0 + (column + 0.5) * (c1 - c0) / 512 == pytest.approx(161, abs=0.2)


def test_downsampling_averages_all_pixels():
    stripes = np.zeros((400, 400), dtype=np.uint8)
    stripes[:, ::4] = 200  # mean 50
    assert resample(stripes, (-0.5, -0.5, 399.5, 399.5), 100)[:, 5:-5] == pytest.approx(50, abs=3)


def test_window_ends_become_black_and_white():
    assert window(np.array([-2000, -1200, -300, 600, 3000]), (-1200, 600)).tolist() == [0, 0, 128, 255, 255]


def test_anchors_are_the_medians_of_lung_and_tissue():
    values = np.full((20, 20), 200, dtype=np.uint8)
    values[:10] = 40
    values[0] = 0  # air outside of the body
    lungs = values == 40
    assert gray_anchors(values, lungs) == (40, 200)
    assert gray_anchors(values) == (40, 200)  # pure black is padding
    table = gray_table((40, 200))
    assert (table[40], table[200], table[120], table[0], table[255]) == (60, 190, 125, 28, 235)
    assert gray_anchors(np.full((5, 5), 9, dtype=np.uint8)) is None
    assert (gray_table(None) == np.arange(256)).all()


def test_slab_mean_weights_slices_by_the_part_that_is_covered():
    hu = np.arange(10, dtype=np.int16)[:, None, None] ** 2 * np.ones((1, 2, 2), dtype=np.int16)
    assert slab_mean(hu, 4, 2.0, 6.0)[0, 0] == pytest.approx((9 + 16 + 25) / 3)
    assert slab_mean(hu, 4, 4.0, 6.0)[0, 0] == pytest.approx((0.25 * 9 + 16 + 0.25 * 25) / 1.5)
    assert slab_mean(hu, 0, 2.0, 6.0)[0, 0] == pytest.approx(0.5)  # cut off at the end
    assert slab_mean(hu, 4, 8.0, 6.0)[0, 0] == 16
    assert slab_mean(hu, 4, 1.0, 0.0)[0, 0] == 16


# Which slices are kept


def test_slices_with_little_lung_or_a_dark_crop_are_dropped():
    hu = np.full((5, 100, 100), -1020, dtype=np.int16)  # 0.1 of the window
    mask = np.zeros(hu.shape, dtype=bool)
    mask[0, 10:30, 10:30] = True  # 400 pixels, mean 0.1
    mask[1, 10:16, 10:16] = True  # 36 pixels: 9 %
    mask[2, 10:30, 10:30] = True
    hu[2] = -1110  # mean 0.05
    mask[3, 10:16, 10:17] = True  # 42 pixels: 10.5 %
    ct = CtVolume(hu, LPS, "x", "", True)
    assert kept_slices(ct, mask, Preprocessing(min_mean=0.08)).tolist() == [0, 3]
    assert kept_slices(ct, mask, Preprocessing(min_mean=0.03)).tolist() == [0, 2, 3]
    assert kept_slices(ct, mask & False, Preprocessing()).tolist() == []
    with pytest.raises(ValueError, match="does not fit"):
        kept_slices(ct, mask[:3], Preprocessing())


def test_slices_are_computed_lazily_and_by_index():
    hu, lungs = chest()
    slices = lung_slices(ct_of(hu), lungs, Preprocessing())
    first = next(slices)
    assert isinstance(first, LungSlice) and first.image.shape == (512, 512) and first.image.dtype == np.uint8
    assert [piece.index for piece in slices] == list(range(2, 11))
    chosen = lung_slices(ct_of(hu), lungs, Preprocessing(), indices=[7, 3, 0, 99])
    assert [piece.index for piece in chosen] == [3, 7]  # the first has no lung, the last does not exist


def test_gray_anchors_of_a_volume_do_not_depend_on_the_chosen_slices():
    hu, lungs = chest()
    hu[2:5] += 60
    ct = ct_of(hu)
    everything = {piece.index: piece.image for piece in lung_slices(ct, lungs, Preprocessing())}
    alone, = lung_slices(ct, lungs, Preprocessing(), indices=[8])
    assert np.array_equal(alone.image, everything[8])
    assert np.median(everything[8][lungs_at(alone, lungs[8])]) == pytest.approx(60, abs=3)


def lungs_at(piece, lungs):
    """The mask ``lungs`` (R, C) on the grid of the network input."""
    r0, c0, r1, c1 = piece.crop
    steps = (np.arange(512) + 0.5) / 512
    rows, columns = (np.rint(low + steps * (high - low)).astype(int) for low, high in ((r0, r1), (c0, c1)))
    return lungs[np.ix_(rows.clip(0, lungs.shape[0] - 1), columns.clip(0, lungs.shape[1] - 1))]


@pytest.mark.parametrize("settings", [Preprocessing.paper(), Preprocessing()])
def test_volumes_are_black_outside_the_lungs(settings):
    hu, lungs = chest()
    piece, = lung_slices(ct_of(hu), lungs, settings, indices=[5])
    outside = ~lungs_at(piece, lungs[5])
    assert np.mean(piece.image[outside] == 0) > 0.9  # except for the blur of the border


def test_without_the_mask_soft_tissue_has_its_anchor_gray_level():
    hu, lungs = chest()
    piece, = lung_slices(ct_of(hu), lungs, Preprocessing(mask_lungs=False), indices=[5])
    assert np.median(piece.image[~lungs_at(piece, lungs[5])]) == pytest.approx(190, abs=4)


# Volumes


def test_lungs_are_segmented_without_trachea_and_table():
    hu, lungs = chest()
    mask = segment_lungs(ct_of(hu))
    assert mask.shape == hu.shape and mask.dtype == bool
    assert dice(mask, lungs) > 0.97
    assert not mask[:, 174:].any()  # table
    assert not mask[:, 73:88, 113:128].any()  # trachea
    assert mask[5, 100, 70] and mask[5, 110, 170]  # vessels belong to the lungs


def test_consolidation_at_the_pleura_is_part_of_the_lung():
    hu, lungs = chest(consolidated=True)
    mask = segment_lungs(ct_of(hu))
    solid = lungs & (hu > -300)
    assert solid.sum() > 2000
    assert np.mean(mask[solid]) > 0.85
    assert dice(mask, lungs) > 0.96


@pytest.mark.parametrize("flips", [(2,), (1,), (1, 2), (0,)])
def test_the_lungs_do_not_depend_on_the_stored_direction(flips):
    hu, _ = chest(consolidated=True)
    matrix = LPS.copy()
    for axis in flips:
        matrix[2 - axis, 2 - axis] *= -1
    reference = segment_lungs(ct_of(hu))
    stored = ct_of(np.ascontiguousarray(np.flip(hu, flips)), matrix)
    back = np.flip(stored.axial().to_volume(segment_lungs(stored)), flips)
    assert np.array_equal(back, reference)


def test_sagittal_storage_gives_the_same_lungs():
    hu, lungs = chest()
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = 5.0, -1.5, -1.5, 1.0  # I superior, J posterior, K left
    stored = ct_of(np.ascontiguousarray(hu.transpose(2, 1, 0)), matrix)
    assert dice(segment_lungs(stored), lungs) > 0.97


PARTS = np.s_[3:4], np.s_[2:4], np.s_[5:], np.s_[:, 45:155, 30:210], np.s_[:, 60:140]


@pytest.mark.parametrize("part", PARTS)
def test_any_part_of_the_chest_is_segmented(part):
    hu, lungs = chest()
    ct = ct_of(np.ascontiguousarray(hu[part]))
    assert dice(segment_lungs(ct), lungs[part]) > 0.95


@pytest.mark.parametrize("thickness", [0.5, 1.0, 10.0])
def test_any_slice_thickness_is_segmented(thickness):
    hu, lungs = chest(slices=round(60 / thickness))
    ct = ct_of(hu, np.diag([-1.5, -1.5, thickness, 1.0]))
    assert dice(segment_lungs(ct), lungs) > 0.96


def without_lungs():
    rows, columns = np.ogrid[-60:60, -60:60]
    radius = np.hypot(rows, columns)
    abdomen = np.full((10, 120, 120), -1000, dtype=np.int16)
    abdomen[:, radius < 55] = 50
    bowel = abdomen.copy()
    bowel[:, radius < 15] = -990
    head = abdomen.copy()
    head[:, (radius < 55) & (radius > 50)] = 1000
    return {"abdomen": abdomen, "bowel": bowel, "head": head, "block": np.full_like(abdomen, -700),
            "tissue": np.full_like(abdomen, 40), "air": np.full_like(abdomen, -1000)}


@pytest.mark.parametrize("name", ["abdomen", "bowel", "head", "block", "tissue", "air"])
def test_volumes_without_lungs_are_rejected(name):
    with pytest.raises(ValueError, match="No lungs were found in nothing: provide"):
        segment_lungs(CtVolume(without_lungs()[name], np.diag([-3.0, -3.0, 5.0, 1.0]), "nothing", "", True))


# Images


def chest_image(slice_=5):
    hu, lungs = chest()
    return window(hu[slice_], (-1200, 600)), lungs[slice_]


def test_lungs_of_a_whole_image_are_segmented_without_outside_air():
    image, lungs = chest_image()
    mask = segment_image(image)
    assert dice(mask, lungs) > 0.95
    prepared = prepare_image(image, Preprocessing(margin=0.0))
    assert prepared.found
    assert prepared.crop == pytest.approx(crop_box(lungs), abs=1.5)


def test_lungs_of_an_image_cropped_to_them_are_segmented():
    image, lungs = chest_image()
    part = np.s_[55:148, 40:200]  # cuts both lungs at three sides
    mask = segment_image(np.ascontiguousarray(image[part]))
    assert dice(mask, lungs[part]) > 0.95
    prepared = prepare_image(np.ascontiguousarray(image[part]), Preprocessing())
    assert prepared.found and prepared.crop == (-0.5, -0.5, 92.5, 159.5)


def test_a_white_frame_with_a_letter_does_not_matter():
    image, lungs = chest_image()
    framed = np.pad(image, 12, constant_values=255)
    framed[2:10, 4:10] = 0
    assert dice(segment_image(framed)[12:-12, 12:-12], lungs) > 0.95


def test_lungs_that_nearly_touch_anteriorly_and_posteriorly_do_not_enclose_the_mediastinum():
    image = np.where(ellipse((256, 256), 128, 128, 90, 115), 200, 5).astype(np.uint8)
    both = ellipse((256, 256), 128, 128, 60, 85)
    between = ellipse((256, 256), 128, 128, 48, 22)
    between[:, 126:131] |= both[:, 126:131]  # the lungs are separated by five pixels
    image[both & ~between] = 40
    mask = segment_image(image)
    assert mask[between].mean() < 0.3
    assert mask[both & ~between].mean() > 0.97
    vessel = ellipse((256, 256), 128, 70, 12, 12)
    image[vessel] = 200
    assert segment_image(image)[vessel].all()


def test_an_image_without_lungs_is_taken_whole_and_flagged():
    image = np.full((100, 120), 20, dtype=np.uint8)
    image[ellipse(image.shape, 50, 60, 40, 50)] = 180
    prepared = prepare_image(image, Preprocessing())
    assert not prepared.found and prepared.image.shape == (512, 512)
    assert prepare_image(np.full((100, 120), 7, dtype=np.uint8), Preprocessing()) is None


def test_images_with_any_window_get_the_same_gray_levels():
    hu, lungs = chest()
    images = [prepare_image(window(hu[5], w), Preprocessing()).image for w in ((-1200, 600), (-1000, 2000))]
    assert np.abs(images[0].astype(int) - images[1]).mean() < 6


def test_images_are_cropped_from_their_common_canvas():
    image, _ = chest_image()
    small = np.ascontiguousarray(image[40:160, 20:220])
    canvas = np.zeros((3, *image.shape), dtype=np.uint8)
    canvas[0], canvas[1, :120, :200] = image, small
    ct = image_ct(canvas, (image.shape, small.shape, (50, 50)))
    mask = segment_lungs(ct)
    assert np.array_equal(mask[1, :120, :200], segment_image(small)) and not mask[2].any()
    pieces = list(lung_slices(ct, mask, Preprocessing()))
    assert [piece.index for piece in pieces] == [0, 1]  # the last has no lungs
    alone = prepare_image(small, Preprocessing(), index=1)
    assert np.array_equal(pieces[1].image, alone.image) and pieces[1].crop == alone.crop


def test_images_without_any_lungs_are_rejected():
    with pytest.raises(ValueError, match="No lungs"):
        segment_lungs(image_ct(np.full((2, 64, 64), 90, dtype=np.uint8)))


def test_dark_images_are_not_dropped():
    image, _ = chest_image()
    dark = image_ct((image // 4)[None])
    settings = replace(Preprocessing.paper(), min_mean=0.5)
    assert len(list(lung_slices(dark, segment_lungs(dark), settings))) == 1


# Real data


@pytest.mark.skipif(not (DATA / "lung-masks").exists(), reason="needs ../shared/data")
def test_dice_on_real_lungs():
    import SimpleITK as sitk
    from LesionAnalysisLib.volume import read_ct

    ct = read_ct(str(DATA / "lung-masks" / "3DCT_lung_baseline.mha"))
    truth = sitk.ReadImage(str(DATA / "lung-masks" / "3DCT_lung_baseline_mask.mha"))
    truth = sitk.GetArrayFromImage(truth) > 0
    assert dice(segment_lungs(ct), ct.axial().from_volume(truth)) > 0.97


@pytest.mark.skipif(not (DATA / "volumes").exists(), reason="needs ../shared/data")
def test_slices_with_lesions_of_a_real_volume_are_kept():
    import csv

    from LesionAnalysisLib.volume import read_ct

    name = "covid-ct-md_covid_P001.nii.gz"
    with open(DATA / "volumes" / "slice_labels.csv", newline="") as file:
        with_lesions = {int(row["slice_index"]) for row in csv.DictReader(file)
                    if row["volume"] == name and row["infected"] == "1"}
    ct = read_ct(str(DATA / "volumes" / name))
    mask = segment_lungs(ct)
    assert with_lesions <= set(kept_slices(ct, mask, Preprocessing()).tolist())
    assert 5.8 < np.count_nonzero(mask) * ct.voxel_ml / 1000 < 6.5  # liters: no table, no heart
