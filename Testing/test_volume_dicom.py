"""volume: DICOM files and folders, written here as a scanner writes them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_volume import RAS, chest, refusal, write_series
from LesionAnalysisLib.volume import list_series, read_ct
from LesionAnalysisLib.volume.dicom import is_dicom
from LesionAnalysisLib.volume.dicom_lengths import keeps_lengths


def along(*z: float) -> np.ndarray:
    return np.array([(-10, 20, 30 + value) for value in z])


def test_a_series_reads_as_simpleitk_reads_it(tmp_path):
    folder = write_series(tmp_path / "Fall 1 肺", chest())
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.array, chest())
    np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)
    assert (ct.name, ct.source, ct.calibrated, ct.warnings) == ("Fall 1 肺", str(folder), True, ())
    oracle = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    np.testing.assert_array_equal(ct.array, sitk.GetArrayFromImage(oracle))
    assert oracle.GetSpacing() == pytest.approx(ct.spacing_mm)


def test_slices_are_ordered_by_place_not_by_name_or_number(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    places = along(*(order * 2.5))
    folder = write_series(
        tmp_path / "a", chest()[order], positions=places, names=[f"IM{k}" for k in range(12)]
    )
    np.testing.assert_array_equal(read_ct(folder).array, chest())
    reverse = write_series(tmp_path / "b", chest()[::-1], positions=along(*np.arange(12)[::-1] * 2.5))
    ct = read_ct(reverse)
    np.testing.assert_array_equal(ct.array, chest())
    np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)


def test_slope_and_intercept_are_applied(tmp_path):
    folder = write_series(tmp_path / "a", chest(), slope=0.5, intercept=-1000)
    np.testing.assert_array_equal(read_ct(folder).array, chest())


@pytest.mark.parametrize(
    "orientation",
    [(1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)],
)
def test_coronal_sagittal_turned_and_oblique_series_are_where_itk_puts_them(tmp_path, orientation):
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.add((-10, 20, 30), np.outer(np.arange(12) * 2.5, normal))
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=places, orientation=orientation))
    oracle = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "a")))
    for index in ((0, 0, 0), (49, 39, 11), (7, 3, 2)):
        ras = np.multiply(oracle.TransformIndexToPhysicalPoint(index), (-1, -1, 1))
        np.testing.assert_allclose((ct.ijk_to_ras @ (*index, 1))[:3], ras, atol=1e-3)
        assert ct.array[index[::-1]] == oracle[index]


def test_the_largest_ct_series_is_read_and_the_others_are_named(tmp_path):
    write_series(tmp_path, chest(5), "1.2.3.2", "Mediastinum 5.0", 2, names=[f"a{k}" for k in range(5)])
    write_series(tmp_path / "deep" / "er", chest(), "1.2.3.4", "Lung 1.0", 4)
    write_series(tmp_path, np.abs(chest(30)), "1.2.3.5", "T1", 5, modality="MR")
    scout = {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    write_series(tmp_path / "scout", chest(1, 90, 90), "1.2.3.6", "Topogram", 6, tags=scout)
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, chest())
    assert 'series 2 "Mediastinum 5.0" (CT, 5 slices of 50 x 40)' in ct.warnings[0]
    assert "T1" not in ct.warnings[0] and "Topogram" not in ct.warnings[0]
    assert [s.number for s in list_series(tmp_path)] == [4, 2, 5, 6]
    assert [s.scout for s in list_series(tmp_path)] == [False, False, False, True]


def test_a_series_is_chosen_by_number_uid_or_description(tmp_path):
    write_series(tmp_path, chest(5), "1.2.3.2", "Mediastinum 5.0", 2, names=[f"a{k}" for k in range(5)])
    write_series(tmp_path, chest(), "1.2.3.4", "Lung 1.0", 4)
    for wanted in (2, "2", "1.2.3.2", "mediastinum 5.0", "Mediast"):
        assert read_ct(tmp_path, series=wanted).array.shape[0] == 5
    message = refusal(lambda: read_ct(tmp_path, series=7))
    assert '"Lung 1.0"' in message and '"Mediastinum 5.0"' in message
    assert "UID 1.2.3.2" in refusal(lambda: read_ct(tmp_path, series=".0"))


def test_series_of_several_patients_are_not_guessed_among(tmp_path):
    write_series(tmp_path / "a", chest())
    write_series(tmp_path / "b", chest(5), "1.2.3.9", number=9, tags={"0010|0020": "OTHER"})
    assert "several patients" in refusal(tmp_path)
    assert read_ct(tmp_path, series=9).array.shape[0] == 5


def test_phases_of_one_series_are_kept_apart(tmp_path):
    write_series(tmp_path / "a", chest(), tags={"0020|0012": "1"})
    write_series(tmp_path / "b", chest() + np.int16(5), tags={"0020|0012": "2"})
    ct = read_ct(tmp_path)
    assert ct.array.shape[0] == 12 and len(np.unique(ct.array - chest())) == 1
    assert "not read" in ct.warnings[0]


def test_missing_slices_and_uneven_spacing_are_said(tmp_path):
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=along(*(np.r_[0:5, 6:13] * 2.5))))
    assert ct.warnings == (
        "1 slice(s) seem to be missing: positions along the patient are off by up to 1.4 mm.",
    )
    np.testing.assert_allclose((ct.ijk_to_ras @ (0, 0, 11, 1))[2], 60.0)  # the ends are where they are
    uneven = np.r_[np.arange(6) * 2.5, 12.5 + np.arange(1, 7) * 3.2]
    ct = read_ct(write_series(tmp_path / "b", chest(), positions=along(*uneven)))
    assert "equal distances" in ct.warnings[0]


def test_a_tilted_gantry_keeps_true_positions_and_is_said(tmp_path):
    places = along(*np.arange(12) * 2.5) + np.outer(np.arange(12), (0, 0.5, 0))
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=places))
    assert "tilted by 11 degrees" in ct.warnings[0]
    np.testing.assert_allclose((ct.ijk_to_ras @ (0, 0, 11, 1))[:3], places[11] * (-1, -1, 1), atol=1e-4)
    assert ct.axial().array.shape == (12, 40, 50)
    assert ct.voxel_ml == pytest.approx(0.7 * 0.8 * 2.5 / 1000)


def test_duplicates_are_left_out_and_said(tmp_path):
    write_series(tmp_path, chest())
    write_series(tmp_path / "copy", chest(3))
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, chest())
    assert ct.warnings == ("3 DICOM file(s) lie at the place of another slice and were left out.",)


def test_slices_without_usable_places_are_in_the_order_of_their_numbers(tmp_path):
    same = along(*[0] * 12)
    tags = {"0018|0050": "3"}
    ct = read_ct(
        write_series(tmp_path, chest(), positions=same, names=[f"{k * 7 % 12}" for k in range(12)], tags=tags)
    )
    np.testing.assert_array_equal(ct.array, chest())
    assert ct.spacing_mm == pytest.approx((0.7, 0.8, 3.0))
    assert "order of their numbers" in ct.warnings[0]


def test_descriptions_in_old_encodings_are_readable(tmp_path):
    folder = write_series(tmp_path / "a", chest(), description="Lunge gr.")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"Lunge gr.", b"Lunge gr\xfc"))
    (series,) = list_series(folder)
    assert series.description == "Lunge gr\u00fc"
    assert read_ct(folder, series="gr\u00fc").array.shape[0] == 12


def test_damaged_slices_are_left_out_and_said(tmp_path):
    folder = write_series(tmp_path / "a", chest())
    files = sorted(folder.iterdir())
    files[3].write_bytes(files[3].read_bytes()[:2000])
    files[7].write_bytes(b"")
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.array, np.delete(chest(), (3, 7), axis=0))
    assert ct.warnings[0].startswith("2 DICOM file(s) hold no readable image")
    assert "2 slice(s) seem to be missing" in ct.warnings[1]


def test_folders_without_a_ct_are_refused(tmp_path):
    scout = {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    assert "scout" in refusal(write_series(tmp_path / "a", chest(2), tags=scout))
    assert "MR" in refusal(write_series(tmp_path / "b", np.abs(chest()), modality="MR"))
    offset = write_series(tmp_path / "c", chest() + np.int16(1024), modality="MR", intercept=0)
    assert "Hounsfield" in refusal(offset)  # only a CT may have lost its intercept
    folder = write_series(tmp_path / "d", chest(1))
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[:600])
    assert "DICOM" in refusal(folder, OSError)
    assert "DICOM file cannot be read" in refusal(file, OSError)
    assert "folder only" in refusal(lambda: list_series(file), OSError)
    (tmp_path / "e").mkdir()
    assert "no DICOM" in refusal(lambda: list_series(tmp_path / "e"))


def test_images_in_hu_under_another_modality_are_read_with_a_warning(tmp_path):
    ct = read_ct(write_series(tmp_path / "a", chest(), modality="OT"))
    np.testing.assert_array_equal(ct.array, chest())
    assert "OT, not CT" in ct.warnings[0]


def test_one_file_is_read_alone_and_named_after_its_folder(tmp_path):
    folder = write_series(tmp_path / "case 7", chest())
    ct = read_ct(folder / "DOE_JANE_004.dcm")
    np.testing.assert_array_equal(ct.array, chest()[4:5])
    assert ct.name == "case 7" and ct.spacing_mm[2] == pytest.approx(2.5)
    assert ct.axial().position_mm(0) == pytest.approx(40.0)


def test_a_multi_frame_file_is_a_whole_ct(tmp_path):
    image = sitk.GetImageFromArray(chest())
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10, 20, 30))
    for tag, value in (("0008|0060", "CT"), ("0028|1052", "-1024"), ("0028|1053", "1")):
        image.SetMetaData(tag, value)
    path = tmp_path / "enhanced" / "x.dcm"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    for place in (path, path.parent):
        ct = read_ct(place)
        np.testing.assert_array_equal(ct.array, chest())
        np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)
        assert ct.name == "enhanced"


def test_nothing_that_is_said_holds_the_patient(tmp_path, capfd):
    write_series(tmp_path / "a", chest(), positions=along(*(np.r_[0:5, 6:13] * 2.5)))
    write_series(tmp_path / "a", chest(4), "1.2.3.9", "Other", 9, names=[f"JANE{k}" for k in range(4)])
    ct = read_ct(tmp_path / "a")
    said = " ".join((*ct.warnings, ct.name, repr(list_series(tmp_path))))
    assert "DOE" not in said and "JANE" not in said and "PATIENT77" not in said
    assert capfd.readouterr().err == ""


def element(group, number, kind, value, order="<", length=None):
    """Bytes of one element; without a type, as implicit files have them."""
    length, tag = len(value) if length is None else length, struct.pack(order + "2H", group, number)
    if not kind:
        return tag + struct.pack(order + "I", length) + value
    if kind in ("SQ", "UN", "OB", "OW"):
        return tag + kind.encode() + struct.pack(order + "xxI", length) + value
    return tag + kind.encode() + struct.pack(order + "H", length) + value


def dicom_file(path, syntax, *elements):
    meta = element(2, 0x10, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    path.write_bytes(bytes(128) + b"DICM" + meta + b"".join(elements))
    return path


UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


@pytest.mark.parametrize(
    "syntax, typed, order", [("1.2.840.10008.1.2", False, "<"), ("1.2.840.10008.1.2.1", True, "<"),
                             ("1.2.840.10008.1.2.2", True, ">"), ("1.2.840.10008.1.2.1", False, "<")],
)  # fmt: skip
def test_lengths_are_checked_in_every_transfer_syntax_and_within_sequences(tmp_path, syntax, typed, order):
    def of(group, number, kind, value, length=None):
        return element(group, number, kind if typed else "", value, order, length)

    def item(*inner, length=None):
        return element(0xFFFE, ITEM, "", b"".join(inner), order, length)

    modality = of(8, 0x60, "CS", b"CT")
    ends = [element(0xFFFE, number, "", b"", order) for number in (ITEM_END, SEQUENCE_END)]
    closed = of(8, 0x1140, "SQ", item(modality) + item(modality))
    opened = of(8, 0x1140, "SQ", item(modality, length=UNDEFINED) + ends[0] + ends[1], UNDEFINED)
    pixels = of(0x7FE0, 0x10, "OW", b"12", 10_000)  # who reads them finds out
    assert keeps_lengths(dicom_file(tmp_path / "a", syntax, modality, closed, opened, modality, pixels))
    long = of(0x10, 0x10, "UN", b"ab", 2**31)
    assert not keeps_lengths(dicom_file(tmp_path / "b", syntax, modality, long, pixels))
    inside = of(8, 0x1140, "SQ", item(modality, long, length=UNDEFINED) + ends[0] + ends[1], UNDEFINED)
    assert not keeps_lengths(dicom_file(tmp_path / "c", syntax, modality, inside, pixels))
    assert not keeps_lengths(dicom_file(tmp_path / "d", syntax, modality[:-1]))


def test_what_only_looks_like_dicom_is_refused_before_gdcm_sees_it(tmp_path):
    path = tmp_path / "a"
    for start in (b"\x02\x00\x01\x00 a text", b"\x08\x00\x00\x00\xff\xff\xff\x7f" + bytes(200)):
        path.write_bytes(start)
        assert is_dicom(path) and not keeps_lengths(path)
        refusal(path, OSError)


def test_deflated_and_untyped_parts_are_left_to_gdcm(tmp_path):
    deflated = dicom_file(tmp_path / "a", "1.2.840.10008.1.2.1.99", b"\xff" * 64)
    untyped = element(9, 0x1001, "UN", b"\xff" * 64, length=UNDEFINED)
    assert keeps_lengths(deflated) and keeps_lengths(dicom_file(tmp_path / "b", "1.2.840.10008.1.2.1", untyped))


def test_control_characters_stay_out_of_what_is_said(tmp_path):
    folder = write_series(tmp_path / "a", chest())
    write_series(folder, chest()[:3], uid="1.2.3.7", number=2, description="\x1b[31mred\x07\u202e", names=list("xyz"))
    (warning,) = read_ct(folder).warnings
    assert "[31mred" in warning and warning.isprintable()
