"""Reading DICOM files and folders, written here as scanners write them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_volume import RAS, chest, refusal, write_series
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisLib.volume.dicom import is_dicom, scan
from LesionAnalysisLib.volume.dicom_lengths import has_valid_lengths


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


def test_slices_are_sorted_by_position_not_by_name_or_number(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    positions = along(*(order * 2.5))
    folder = write_series(tmp_path / "a", chest()[order], positions=positions, names=[f"IM{k}" for k in range(12)])
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
def test_coronal_sagittal_rotated_and_oblique_series_lie_where_itk_places_them(tmp_path, orientation):
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.add((-10, 20, 30), np.outer(np.arange(12) * 2.5, normal))
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=positions, orientation=orientation))
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
    series, _ = scan(tmp_path)
    assert [(s.number, s.scout) for s in series] == [(4, False), (2, False), (5, False), (6, True)]


def test_a_series_is_chosen_by_number_uid_or_description(tmp_path):
    write_series(tmp_path, chest(5), "1.2.3.2", "Mediastinum 5.0", 2, names=[f"a{k}" for k in range(5)])
    write_series(tmp_path, chest(), "1.2.3.4", "Lung 1.0", 4)
    for wanted in (2, "2", "1.2.3.2", "mediastinum 5.0", "Mediast"):
        assert read_ct(tmp_path, series=wanted).array.shape[0] == 5
    message = refusal(lambda: read_ct(tmp_path, series=7))
    assert '"Lung 1.0"' in message and '"Mediastinum 5.0"' in message
    assert "UID 1.2.3.2" in refusal(lambda: read_ct(tmp_path, series=".0"))


def test_no_series_is_chosen_among_several_patients(tmp_path):
    write_series(tmp_path / "a", chest())
    write_series(tmp_path / "b", chest(5), "1.2.3.9", number=9, tags={"0010|0020": "OTHER"})
    assert "several patients" in refusal(tmp_path)
    assert read_ct(tmp_path, series=9).array.shape[0] == 5


def test_phases_within_one_series_are_separate_stacks(tmp_path):
    write_series(tmp_path / "a", chest(), tags={"0020|0012": "1"})
    write_series(tmp_path / "b", chest() + np.int16(5), tags={"0020|0012": "2"})
    ct = read_ct(tmp_path)
    assert ct.array.shape[0] == 12 and len(np.unique(ct.array - chest())) == 1
    assert "not read" in ct.warnings[0]


def test_missing_slices_and_uneven_spacing_give_a_warning(tmp_path):
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=along(*(np.r_[0:5, 6:13] * 2.5))))
    assert ct.warnings == ("1 slice(s) seem to be missing: positions along the patient are off by up to 1.4 mm.",)
    np.testing.assert_allclose((ct.ijk_to_ras @ (0, 0, 11, 1))[2], 60.0)  # the ends keep their positions
    uneven = np.r_[np.arange(6) * 2.5, 12.5 + np.arange(1, 7) * 3.2]
    ct = read_ct(write_series(tmp_path / "b", chest(), positions=along(*uneven)))
    assert "not equally spaced" in ct.warnings[0]


def test_a_gantry_tilt_keeps_true_positions_and_gives_a_warning(tmp_path):
    positions = along(*np.arange(12) * 2.5) + np.outer(np.arange(12), (0, 0.5, 0))
    ct = read_ct(write_series(tmp_path / "a", chest(), positions=positions))
    assert "tilted by 11 degrees" in ct.warnings[0]
    np.testing.assert_allclose((ct.ijk_to_ras @ (0, 0, 11, 1))[:3], positions[11] * (-1, -1, 1), atol=1e-4)
    assert ct.axial().array.shape == (12, 40, 50)
    assert ct.voxel_ml == pytest.approx(0.7 * 0.8 * 2.5 / 1000)


def test_duplicate_slices_are_ignored_with_a_warning(tmp_path):
    write_series(tmp_path, chest())
    write_series(tmp_path / "copy", chest(3))
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, chest())
    assert ct.warnings == ("3 DICOM file(s) repeat the position of another slice and were ignored.",)


def test_slices_without_usable_positions_are_sorted_by_instance_number(tmp_path):
    same = along(*[0] * 12)
    tags = {"0018|0050": "3"}
    names = [f"{k * 7 % 12}" for k in range(12)]
    ct = read_ct(write_series(tmp_path, chest(), positions=same, names=names, tags=tags))
    np.testing.assert_array_equal(ct.array, chest())
    assert ct.spacing_mm == pytest.approx((0.7, 0.8, 3.0))
    assert "sorted by instance number" in ct.warnings[0]


def test_series_descriptions_in_latin_1_are_readable(tmp_path):
    folder = write_series(tmp_path / "a", chest(), description="Lunge gr.")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"Lunge gr.", b"Lunge gr\xfc"))
    (series,), _ = scan(folder)
    assert series.description == "Lunge gr\u00fc"
    assert read_ct(folder, series="gr\u00fc").array.shape[0] == 12


def test_damaged_slices_are_ignored_with_a_warning(tmp_path):
    folder = write_series(tmp_path / "a", chest())
    files = sorted(folder.iterdir())
    files[3].write_bytes(files[3].read_bytes()[:2000])
    files[7].write_bytes(b"")
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.array, np.delete(chest(), (3, 7), axis=0))
    assert ct.warnings[0].startswith("2 DICOM file(s) hold no readable image")
    assert "2 slice(s) seem to be missing" in ct.warnings[1]


def test_folders_without_a_ct_are_rejected(tmp_path):
    scout = {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    assert "scout" in refusal(write_series(tmp_path / "a", chest(2), tags=scout))
    assert "MR" in refusal(write_series(tmp_path / "b", np.abs(chest()), modality="MR"))
    offset = write_series(tmp_path / "c", chest() + np.int16(1024), modality="MR", intercept=0)
    assert "Hounsfield" in refusal(offset)  # only in a CT is a missing intercept corrected
    folder = write_series(tmp_path / "d", chest(1))
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[:600])
    assert "DICOM" in refusal(folder, OSError)
    assert "DICOM file cannot be read" in refusal(file, OSError)


def test_images_in_hu_under_another_modality_are_read_with_a_warning(tmp_path):
    ct = read_ct(write_series(tmp_path / "a", chest(), modality="OT"))
    np.testing.assert_array_equal(ct.array, chest())
    assert "OT, not CT" in ct.warnings[0]


def test_a_single_file_is_one_slice_named_after_its_folder(tmp_path):
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
    for source in (path, path.parent):
        ct = read_ct(source)
        np.testing.assert_array_equal(ct.array, chest())
        np.testing.assert_allclose(ct.ijk_to_ras, RAS, atol=1e-5)
        assert ct.name == "enhanced"


def test_no_message_names_the_patient(tmp_path, capfd):
    write_series(tmp_path / "a", chest(), positions=along(*(np.r_[0:5, 6:13] * 2.5)))
    write_series(tmp_path / "a", chest(4), "1.2.3.9", "Other", 9, names=[f"JANE{k}" for k in range(4)])
    ct = read_ct(tmp_path / "a")
    text = " ".join((*ct.warnings, ct.name, repr(scan(tmp_path))))
    assert "DOE" not in text and "JANE" not in text and "PATIENT77" not in text
    assert capfd.readouterr().err == ""


def element(group, number, vr, value, order="<", length=None):
    """Bytes of one element; without a VR as in implicit files."""
    length, tag = len(value) if length is None else length, struct.pack(order + "2H", group, number)
    if not vr:
        return tag + struct.pack(order + "I", length) + value
    if vr in ("SQ", "UN", "OB", "OW"):
        return tag + vr.encode() + struct.pack(order + "xxI", length) + value
    return tag + vr.encode() + struct.pack(order + "H", length) + value


def dicom_file(path, syntax, *elements):
    meta = element(2, 0x10, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    path.write_bytes(bytes(128) + b"DICM" + meta + b"".join(elements))
    return path


UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


@pytest.mark.parametrize(
    "syntax, explicit, order", [("1.2.840.10008.1.2", False, "<"), ("1.2.840.10008.1.2.1", True, "<"),
                             ("1.2.840.10008.1.2.2", True, ">"), ("1.2.840.10008.1.2.1", False, "<")],
)  # fmt: skip
def test_lengths_are_checked_in_every_transfer_syntax_and_within_sequences(tmp_path, syntax, explicit, order):
    def of(group, number, vr, value, length=None):
        return element(group, number, vr if explicit else "", value, order, length)

    def item(*inner, length=None):
        return element(0xFFFE, ITEM, "", b"".join(inner), order, length)

    modality = of(8, 0x60, "CS", b"CT")
    ends = [element(0xFFFE, number, "", b"", order) for number in (ITEM_END, SEQUENCE_END)]
    closed = of(8, 0x1140, "SQ", item(modality) + item(modality))
    opened = of(8, 0x1140, "SQ", item(modality, length=UNDEFINED) + ends[0] + ends[1], UNDEFINED)
    pixels = of(0x7FE0, 0x10, "OW", b"12", 10_000)  # checked by GDCM
    assert has_valid_lengths(dicom_file(tmp_path / "a", syntax, modality, closed, opened, modality, pixels))
    long = of(0x10, 0x10, "UN", b"ab", 2**31)
    assert not has_valid_lengths(dicom_file(tmp_path / "b", syntax, modality, long, pixels))
    inside = of(8, 0x1140, "SQ", item(modality, long, length=UNDEFINED) + ends[0] + ends[1], UNDEFINED)
    assert not has_valid_lengths(dicom_file(tmp_path / "c", syntax, modality, inside, pixels))
    assert not has_valid_lengths(dicom_file(tmp_path / "d", syntax, modality[:-1]))


def test_files_that_only_resemble_dicom_are_rejected_before_gdcm_reads_them(tmp_path):
    path = tmp_path / "a"
    for start in (b"\x02\x00\x01\x00 a text", b"\x08\x00\x00\x00\xff\xff\xff\x7f" + bytes(200)):
        path.write_bytes(start)
        assert is_dicom(path) and not has_valid_lengths(path)
        refusal(path, OSError)


def test_deflated_and_implicit_parts_are_left_to_gdcm(tmp_path):
    deflated = dicom_file(tmp_path / "a", "1.2.840.10008.1.2.1.99", b"\xff" * 64)
    implicit = element(9, 0x1001, "UN", b"\xff" * 64, length=UNDEFINED)
    assert has_valid_lengths(deflated)
    assert has_valid_lengths(dicom_file(tmp_path / "b", "1.2.840.10008.1.2.1", implicit))


def test_control_characters_are_removed_from_messages(tmp_path):
    folder = write_series(tmp_path / "a", chest())
    write_series(folder, chest()[:3], uid="1.2.3.7", number=2, description="\x1b[31mred\x07\u202e", names=list("xyz"))
    (warning,) = read_ct(folder).warnings
    assert "[31mred" in warning and warning.isprintable()
