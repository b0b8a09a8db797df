"""From folders to prepared slices: what is read, what is refused and why, and the store of lung regions."""

import csv
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_lungs import prepare_image
from helpers_training import chest_image, class_folders, other_image, save
from helpers_volume import chest, refusal, write_series, write_volume
from LesionAnalysisLib.lungs import LungRegion, Preprocessing, lung_slices, segment_lungs
from LesionAnalysisLib.phantom import make_phantom
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.dataset import (
    TEST,
    TRAIN,
    VALIDATION,
    Sample,
    SliceStore,
    collect,
    describe,
    prepare_file,
    read_layout,
)
from LesionAnalysisTrainingLib.dataset.duplicates import find_repeats
from LesionAnalysisTrainingLib.dataset.inspection import inspect
from LesionAnalysisTrainingLib.dataset.parallel import in_order
from LesionAnalysisTrainingLib.dataset.prepared import NO_CONTENT, NO_SLICE
from LesionAnalysisTrainingLib.training_config import TrainingConfig
from PIL import Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PAPER, IMPROVED = Preprocessing.paper(), Preprocessing()


def write(folder, name, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def manifest(folder, *lines, head="file,label,patient"):
    return write(folder, "manifest.csv", head, *lines)


@pytest.fixture
def images(tmp_path):
    """DATA with four different images, to be named in a manifest."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        save(tmp_path / "data" / f"{name}.png", other_image(rng))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((24, 128, 128), (2.8, 2.8, 12.0))


@pytest.fixture(scope="module")
def phantom_file(phantom, tmp_path_factory):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(phantom.ct.array)
    image.SetSpacing(tuple(map(float, phantom.ct.spacing_mm)))
    path = tmp_path_factory.mktemp("phantom") / "v.nii"
    sitk.WriteImage(image, str(path))
    return path


# --- layout


def test_class_folders_give_classes_patients_and_sources(tmp_path):
    layout = read_layout([class_folders(tmp_path / "clinic é", classes=("COVID", "NonCOVID"))])
    assert (layout.classes, layout.positive) == (("NonCOVID", "COVID"), 1)
    assert Counter(s.label for s in layout.samples) == {0: 8, 1: 8}
    assert {s.patient for s in layout.samples} == {f"clinic é/{c}{p}" for c in "CN" for p in range(4)}
    assert layout.notes == [] and all(s.patient_known and s.slice is None for s in layout.samples)


def test_several_folders_are_sources_of_their_own_even_with_one_name(tmp_path):
    folders = [class_folders(tmp_path / top / "data", 2, 1) for top in "ab"]
    assert len({s.patient for s in read_layout(folders).samples}) == 8
    assert "given twice" in refusal(lambda: read_layout([folders[0], folders[0]]))
    assert "given twice" in refusal(lambda: read_layout([tmp_path, folders[0]]))


def test_hidden_files_are_skipped_and_others_counted(tmp_path):
    data = class_folders(tmp_path / "data")
    for name in (".DS_Store", "__MACOSX/x.png", "COVID/C0/notes.txt", "COVID/C0/.hidden.png"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"x")
    save(data / "loose.png", other_image(np.random.default_rng(9)))
    layout = read_layout([data])
    assert len(layout.samples) == 16
    assert layout.notes[0] == "Ignored in data: files outside of the class folders (loose.png)."
    assert layout.notes[1] == "Ignored in data: 1 other file without slices."


def test_files_without_patient_folder_are_patients_of_their_own(tmp_path):
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for i in range(3):
        save(data / "COVID" / f"c{i}.png", other_image(rng))
        save(data / "healthy" / "p" / f"h{i}.png", other_image(rng))
    layout = read_layout([data])
    unknown = [s for s in layout.samples if not s.patient_known]
    assert len({s.patient for s in unknown}) == 3
    assert any("patients are unknown" in note for note in layout.notes)


def test_dicom_slices_belong_to_the_patient_of_their_header_under_a_pseudonym(tmp_path):
    data = class_folders(tmp_path / "data", classes=("healthy",))
    write_series(data / "COVID", chest(4))
    layout = read_layout([data])
    patients = {s.patient for s in layout.samples if s.label == 1}
    assert len(patients) == 1 and "PATIENT77" not in patients.pop()
    assert all(s.patient_known for s in layout.samples)


def test_a_manifest_gives_everything_and_other_columns_are_ignored(images):
    manifest(images, "a.png,x;y,COVID,7,train,siteA", "b.png,,sane,8,Validation,", "c.png,,sane,7,,siteB",
             head="\ufefffile,remark,label,patient,official_split,dataset")  # fmt: skip
    a, b, c = read_layout([images]).samples
    assert (a.label, a.patient, a.source, a.split) == (1, "siteA/7", "siteA", TRAIN)
    assert (b.label, b.patient, b.source, b.split) == (0, "data/8", "data", VALIDATION)
    assert c.patient == "siteB/7" and c.split is None


def test_a_manifest_of_a_spreadsheet_with_semicolons_is_read(images):
    manifest(images, "a.png;COVID;1", "b.png;sane;2", head="File; Label ;PATIENT")
    assert len(read_layout([images]).samples) == 2


REFUSED = [
    (["a.png,COVID"], "file,label", ["lacks", "patient"]),
    (["a.png,,1", "b.png,,1"], None, ["class", "row 2, row 3"]),
    (["a.png,COVID,"], None, ["patient", "row 2"]),
    (["no.png,COVID,1"], None, ["do not exist", "no.png"]),
    (["../x.png,COVID,1"], None, ["outside", "../x.png"]),
    (["/etc/x.png,COVID,1"], None, ["outside", "/etc/x.png"]),
    (["C:\\x.png,COVID,1"], None, ["outside", "C:\\x.png"]),
    (["a.png,COVID,1", "a.png,COVID,1"], None, ["a.png", "twice"]),
    (["a.png,COVID,1,2", "a.png,COVID,1,"], "file,label,patient,slice", ["a.png", "twice"]),
    (["a.png,COVID,1,-2"], "file,label,patient,slice", ["'-2'", "row 2"]),
    (["a.png,COVID,1,dev"], "file,label,patient,split", ["dev", "train, val or test"]),
    (["a.png,COVID,1,train", "b.png,COVID,1,val", "c.png,sane,2,"], "file,label,patient,split",
     ["two splits", "data/1", "a.png"]),
    (["a.png,COVID,1", "b.png,sane,1"], None, ["two classes", "data/1", "a.png", "--mixed-patients"]),
    (["a.png,COVID,1", "b.png,COVID,2"], None, ["only one class", "COVID"]),
    (["a.png,u,1", "b.png,v,2", "c.png,w,3", "d.png,COVID,4"], None, ["4 classes"]),
    (["a.png,sick,1", "b.png,sane,2"], None, ["--disease", "sane, sick"]),
    (["a.png,COVID,1", "b.png,covid-19,2"], None, ["--disease", "COVID, covid-19"]),
    ([], None, ["no rows"]),
]


@pytest.mark.parametrize(("lines", "head", "words"), REFUSED)
def test_wrong_manifests_are_refused_in_one_sentence_with_the_names(images, lines, head, words):
    manifest(images, *lines, head=head or "file,label,patient")
    message = refusal(lambda: read_layout([images]))
    assert all(word in message for word in words), message


def test_mixed_patients_are_allowed_on_request(images):
    manifest(images, "a.png,COVID,1", "b.png,sane,1")
    assert len(read_layout([images], mixed_patients=True).samples) == 2


def test_many_names_are_cut_short(images):
    manifest(images, *(f"no{i}.png,COVID,1" for i in range(8)))
    assert "no4.png and 3 more" in refusal(lambda: read_layout([images]))


@pytest.mark.parametrize(
    ("names", "disease", "order"),
    [(("COVID", "NonCOVID"), None, ("NonCOVID", "COVID")), (("CT_COVID", "CT_NonCOVID"), None, None),
     (("0", "1"), None, ("0", "1")), (("positive", "negative"), None, ("negative", "positive")),
     (("Covid-19", "other", "sane"), None, ("other", "sane", "Covid-19")), (("flu", "sane"), "FLU", ("sane", "flu"))],
)  # fmt: skip
def test_the_disease_is_the_last_class(tmp_path, names, disease, order):
    layout = read_layout([class_folders(tmp_path / "d", 1, 1, names)] if names[0][0] != names[1][0] else
                         [class_folders(tmp_path / "d", 1, 1, names[:1]),
                          class_folders(tmp_path / "e", 1, 1, names[1:])], disease)  # fmt: skip
    assert layout.classes == (order or ("CT_NonCOVID", "CT_COVID"))


def test_an_unknown_disease_is_refused_with_the_classes(tmp_path):
    message = refusal(lambda: read_layout([class_folders(tmp_path / "d")], "flu"))
    assert "'flu'" in message and "COVID, NonCOVID" in message


def test_folders_that_hold_nothing_to_learn_from_are_refused(tmp_path):
    assert "no folder" in refusal(lambda: read_layout([tmp_path / "absent"]))
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(lambda: read_layout([tmp_path / "empty"]))
    data = class_folders(tmp_path / "data")
    (data / "other").mkdir()
    assert "data/other" in refusal(lambda: read_layout([data]))
    splits = class_folders(tmp_path / "splits", classes=("train", "validation"))
    assert "look like splits" in refusal(lambda: read_layout([splits]))


def test_two_files_of_one_name_are_refused(tmp_path):
    data, rng = class_folders(tmp_path / "data"), np.random.default_rng(5)
    save(data / "COVID" / "C0" / "0.jpg", other_image(rng))
    message = refusal(lambda: read_layout([data]))
    assert "COVID/C0/0.jpg and COVID/C0/0.png" in message
    flat = tmp_path / "flat"
    save(flat / "COVID" / "1.png", other_image(rng))
    save(flat / "sane" / "1.png", other_image(rng))
    assert "COVID/1.png and sane/1.png" in refusal(lambda: read_layout([flat]))


def test_dicom_names_with_dots_are_not_the_same(tmp_path):
    data = class_folders(tmp_path / "data", classes=("healthy",))
    write_series(data / "COVID" / "p", chest(3), names=["1.2.1", "1.2.2", "1.2.3"])
    assert len(read_layout([data]).samples) == 11


# --- volumes and their slice labels


@pytest.fixture
def volumes(tmp_path):
    """DATA with images of two classes and a volume in its own folder."""
    data = class_folders(tmp_path / "data")
    (data / "volumes").mkdir()
    write_volume(data / "volumes" / "v.nii.gz", chest())
    return data


def test_slice_labels_name_the_classes_of_a_volume(volumes):
    write(volumes, "slice_labels.csv", "file,slice,label", "v.nii.gz,0,NonCOVID", "v.nii.gz,1,", "v.nii.gz,2,COVID")
    layout = read_layout([volumes])
    found = [(s.slice, layout.classes[s.label]) for s in layout.samples if s.slice is not None]
    assert layout.classes == ("NonCOVID", "COVID") and found == [(0, "NonCOVID"), (2, "COVID")]


def test_slice_labels_of_numbers_mean_without_and_with_disease(volumes):
    write(volumes, "slice_labels.csv", "file,slice,label", "volumes/v.nii.gz,0,1", "volumes/v.nii.gz,5,0")
    assert [s.label for s in read_layout([volumes]).samples if s.slice is not None] == [1, 0]


def test_volumes_with_numbers_alone_are_data_enough(tmp_path):
    for name in "vw":
        (tmp_path / "data" / "volumes").mkdir(parents=True, exist_ok=True)
        write_volume(tmp_path / "data" / "volumes" / f"{name}.nii", chest())
    write(tmp_path / "data", "slice_labels.csv", "file,slice,label", "v.nii,0,0", "w.nii,1,1")
    assert read_layout([tmp_path / "data"]).classes == ("0", "1")
    for name, top in (("v", "NonCOVID"), ("w", "COVID")):
        (tmp_path / "data" / top).mkdir()
        shutil.move(tmp_path / "data" / "volumes" / f"{name}.nii", tmp_path / "data" / top / f"{name}.nii")
    (tmp_path / "data" / "volumes").rmdir()
    assert read_layout([tmp_path / "data"]).classes == ("NonCOVID", "COVID")


def test_wrong_slice_labels_are_refused(volumes):
    def told(*lines):
        write(volumes, "slice_labels.csv", "file,slice,label", *lines)
        return refusal(lambda: read_layout([volumes]))

    assert "slice 3 of volumes/v.nii.gz" in told("v.nii.gz,3,1", "volumes/v.nii.gz,3,0")
    assert "x.nii" in told("x.nii,0,1")
    assert "row 2" in told("v.nii.gz,,1")
    (volumes / "more").mkdir()
    write_volume(volumes / "more" / "v.nii.gz", chest())
    assert "several" in told("v.nii.gz,0,1")


def test_a_volume_without_slice_labels_is_expanded_with_a_note(tmp_path):
    data = class_folders(tmp_path / "data")
    write_volume(data / "COVID" / "v.nii.gz", chest())
    layout = read_layout([data])
    assert any("slices without lesions are trained as COVID" in note for note in layout.notes)
    found = inspect(layout.samples)
    assert [s.slice for s in found.samples if s.path.endswith("gz")] == list(range(12))


# --- inspection, duplicates, collecting


def test_equal_pixels_have_equal_digests_whatever_the_file(tmp_path):
    image = chest_image(np.random.default_rng(0), True)
    paths = [save(tmp_path / name, image) for name in ("a.png", "b.bmp", "c.tif")]
    turned = save(tmp_path / "d.png", image[::-1])
    found = inspect([Sample(str(p), 0, str(p), "s") for p in (*paths, turned)])
    assert len(set(found.digests)) == 2 and found.digests[0] == found.digests[2]
    assert found.thumbnails.shape == (4, 24, 24)


def test_repeats_keep_the_test_slice_and_contradictions_go():
    samples = [Sample("a", 0, "a", "s", TRAIN), Sample("b", 0, "b", "s", TEST), Sample("c", 0, "c", "s"),
               Sample("d", 0, "d", "s"), Sample("e", 1, "e", "s")]  # fmt: skip
    repeats = find_repeats(samples, ["x", "x", "y", "z", "z"])
    assert repeats.kept == [1, 2] and repeats.repeated == [(0, 1)] and repeats.contradictory == [[3, 4]]


def test_collect_reports_all_that_is_left_out(tmp_path):
    data = class_folders(tmp_path / "data", 12)
    shutil.copy(data / "COVID" / "C0" / "0.png", data / "COVID" / "C0" / "copy.png")
    shutil.copy(data / "COVID" / "C1" / "0.png", data / "NonCOVID" / "N1" / "wrong.png")
    (data / "COVID" / "C2" / "broken.png").write_bytes(b"\x89PNG broken")
    done = collect([data], TrainingConfig())
    assert {s.split for s in done.samples} == {TRAIN, VALIDATION} and len(done.samples) == 47
    report = done.report.to_dict()
    reasons = {one["file"]: one["reason"] for one in report["left_out"]}
    assert set(reasons) == {"COVID/C0/copy.png", "COVID/C1/0.png", "NonCOVID/N1/wrong.png", "COVID/C2/broken.png"}
    assert "same pixels as COVID/C0/0.png" in reasons["COVID/C0/copy.png"]
    assert "is NonCOVID" in reasons["COVID/C1/0.png"]
    assert [report["counts"][k] for k in ("repeated", "contradictory", "unreadable")] == [1, 2, 1]
    json.dumps(report)
    text = "\n".join(done.report.lines())
    assert "broken.png" in text and describe(done.samples, done.classes) in text


def test_processes_find_the_same_as_one(tmp_path):
    data = class_folders(tmp_path / "dåta ü", 4)
    write_volume(data / "COVID" / "v.nii.gz", chest())
    one, two = (collect([data], TrainingConfig(), workers) for workers in (1, 2))
    assert one.samples == two.samples and one.report.to_dict() == two.report.to_dict()


def test_too_many_unreadable_files_stop_with_their_names(tmp_path):
    data = class_folders(tmp_path / "data")
    for i in range(7):
        (data / "COVID" / "C0" / f"bad{i}.png").write_bytes(b"x")
    message = refusal(lambda: collect([data], TrainingConfig()))
    assert "7 of 23 files" in message and "COVID/C0/bad4.png" in message and "and 2 more" in message


def test_a_slice_that_a_volume_lacks_is_unreadable(volumes):
    write(volumes, "slice_labels.csv", "file,slice,label", "v.nii.gz,2,1", "v.nii.gz,12,1")
    done = collect([volumes], TrainingConfig(max_unreadable=0.2))
    (left,) = done.report.left_out
    assert (left["file"], left["slice"]) == ("volumes/v.nii.gz", 12) and "0 to 11" in left["reason"]


def test_files_of_unknown_patients_that_look_alike_become_one_patient(tmp_path):
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for name, count in (("COVID", 6), ("sane", 6)):
        for i in range(count):
            image = other_image(rng)
            save(data / name / f"{name}{i}.png", image)
            Image.fromarray(image).save(data / name / f"{name}{i}x.jpg", quality=60)
    done = collect([data], TrainingConfig(validation_share=0.3))
    assert len({s.patient for s in done.samples}) == 12
    assert done.report.counts["joined_files"] == 24 and done.report.counts["alike_across_splits"] == 0


def test_look_alikes_of_different_patients_on_both_sides_are_a_warning(images):
    Image.open(images / "a.png").save(images / "e.jpg", quality=60)
    manifest(images, "a.png,COVID,1,train", "b.png,sane,2,train", "e.jpg,COVID,3,val", "d.png,sane,4,val",
             head="file,label,patient,split")  # fmt: skip
    done = collect([images], TrainingConfig())
    assert done.report.counts["alike_across_splits"] == 1
    assert not any(".png" in text for text in done.report.warnings)  # they go into the model card
    assert any("a.png and e.jpg" in text for text in done.report.lines())


def test_the_random_split_comes_with_a_warning(tmp_path):
    done = collect([class_folders(tmp_path / "data", 3, 6)], TrainingConfig(split="random"))
    assert any("random" in text for text in done.report.warnings)


class StopError(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_progress_that_raises_ends_the_processes(tmp_path, workers):
    import multiprocessing

    data = class_folders(tmp_path / "data", 10, 8)

    def progress(fraction, message):
        assert 0 < fraction <= 1 and "Reading" in message
        raise StopError

    with pytest.raises(StopError):
        collect([data], TrainingConfig(), workers, progress)
    assert not multiprocessing.active_children()


def dies_in_a_worker(item):
    if os.getpid() != item[1]:
        os._exit(1)
    return item[0]


def test_work_continues_here_with_a_warning_when_a_worker_dies():
    items = [(f"file{i}", os.getpid()) for i in range(40)]
    with pytest.warns(RuntimeWarning, match=r"A worker process died.*BrokenProcessPool.*single process"):
        assert list(in_order(dies_in_a_worker, items, 2)) == [name for name, _ in items]


def test_work_continues_here_with_a_warning_where_processes_cannot_be_started(monkeypatch):
    def refuse(*_):
        raise NotImplementedError("no semaphores")

    monkeypatch.setattr("LesionAnalysisTrainingLib.dataset.parallel.ProcessPoolExecutor", refuse)
    with pytest.warns(RuntimeWarning, match="cannot be started here .NotImplementedError: no semaphores"):
        assert list(in_order(len, [("a",), ("b", "c")], 2)) == [1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_itself_is_raised_and_not_taken_for_one_of_the_processes(workers):
    with pytest.raises(FileNotFoundError, match="absent"):
        list(in_order(os.listdir, ["absent", "b"], workers))


# --- prepared slices


def shows_the_same(seen, shown):
    difference = np.abs(seen.astype(int) - shown)
    return np.percentile(difference, 99) <= 2 and difference.mean() < 0.5


@pytest.mark.parametrize("settings", [IMPROVED, PAPER, replace(IMPROVED, mask_lungs=False)])
def test_a_volume_is_shown_as_an_analysis_shows_it(phantom_file, settings):
    settings = replace(settings, size=128)
    ct = read_ct(phantom_file)
    shown = {piece.index: piece for piece in lung_slices(ct, segment_lungs(ct), settings)}
    prepared = prepare_file(phantom_file, list(range(len(ct.array))), settings)
    assert {i for i, one in enumerate(prepared) if isinstance(one, LungRegion)} == set(shown)
    assert 5 < len(shown) < len(prepared)
    for index, piece in shown.items():
        seen = prepared[index].view(128, settings.margin, settings.mask_lungs).image
        assert np.array_equal(seen, piece.image)
        assert prepared[index].calibrated and prepared[index].gray_levels.size < ct.array[0].size


@pytest.mark.parametrize("settings", [IMPROVED, PAPER])
@pytest.mark.parametrize("kind", ["whole", "framed", "cropped", "without lungs"])
def test_an_image_is_shown_as_an_analysis_shows_it(tmp_path, settings, kind):
    rng, settings = np.random.default_rng(1), replace(settings, size=128)
    image = chest_image(rng, True, 200)
    if kind == "framed":
        image = np.pad(image, ((9, 20), (30, 5)), constant_values=255)
    if kind == "cropped":
        image = image[44:156, 30:170]
    if kind == "without lungs":
        image = np.where(np.hypot(*np.mgrid[-100:100, -80:80]) < 70, 180, 0).astype(np.uint8)
    (prepared,) = prepare_file(save(tmp_path / "p.png", image), [None], settings)
    expected = prepare_image(image, settings)
    seen = prepared.view(128, settings.margin, settings.mask_images).image
    assert prepared.found == expected.found == (kind != "without lungs")
    assert np.array_equal(seen, expected.image)


def test_dicom_slices_and_multipage_images_are_prepared(tmp_path, phantom):
    folder = write_series(tmp_path / "dicom", phantom.ct.array[11:13], tags={"0018|0050": "12"})
    (one,) = prepare_file(sorted(folder.iterdir())[0], [None], IMPROVED)
    assert one.calibrated and one.found
    pages = [Image.fromarray(chest_image(np.random.default_rng(i), False)) for i in range(3)]
    pages[0].save(tmp_path / "t.tif", save_all=True, append_images=pages[1:])
    first, last, absent = prepare_file(tmp_path / "t.tif", [0, 2, 3], IMPROVED)
    assert isinstance(first, LungRegion) and isinstance(last, LungRegion) and absent == NO_SLICE
    assert len(inspect([Sample(str(tmp_path / "t.tif"), 0, "t", "s")]).samples) == 3


def test_slices_that_cannot_be_analyzed_have_a_reason(tmp_path):
    assert prepare_file(save(tmp_path / "flat.png", np.full((40, 40), 9, np.uint8)), [None], IMPROVED) == [NO_CONTENT]
    solid = np.full((6, 40, 50), 40, np.int16)
    solid[:, :4] = -1000
    first, second = prepare_file(write_volume(tmp_path / "s.nii", solid), [0, 3], IMPROVED)
    assert first == second and "No lungs" in first


# --- store


@pytest.fixture
def samples(tmp_path, phantom_file):
    """Six images, and slices of a volume among them in no order."""
    rng = np.random.default_rng(0)
    files = [save(tmp_path / "s" / f"Å{i}.png", chest_image(rng, i % 2)) for i in range(6)]
    rows = [Sample(str(p), i % 2, f"p{i}", "s", TRAIN) for i, p in enumerate(files)]
    volume = str(phantom_file)
    slices = [Sample(volume, 1, "v", "s", TRAIN, index) for index in (12, 0, 10)]
    return [slices[0], *rows[:3], slices[1], *rows[3:], slices[2]]


def direct(sample):
    return prepare_file(sample.path, [sample.slice], IMPROVED)[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_store_keeps_gray_levels_to_the_lowest_bit_and_the_rest_exactly(samples, tmp_path, workers):
    store = SliceStore(samples, tmp_path / "störe", IMPROVED, workers)
    assert store.kept == [True] * 4 + [False] + [True] * 4 and len(store) == 9
    for i in (0, 1, 8):
        kept, fresh = store[i], direct(samples[i])
        assert np.array_equal(kept.lungs, fresh.lungs)
        assert np.abs(kept.gray_levels.astype(int) - fresh.gray_levels).max() <= 1
        assert (kept.box, kept.found, kept.calibrated) == (fresh.box, fresh.found, i != 1)
    assert "left out: It shows too little lung" in refusal(lambda: store[4])
    assert sorted(p.suffix for p in (tmp_path / "störe").iterdir()) == [".bin", ".json"]


def test_store_is_found_again_and_made_anew_when_a_file_or_setting_changes(samples, tmp_path):
    def made(settings=IMPROVED):
        steps = []
        SliceStore(samples, tmp_path / "store", settings, progress=lambda *step: steps.append(step))
        return bool(steps)

    assert made() and not made() and not made(replace(IMPROVED, size=256, mask_lungs=False))
    assert made(replace(IMPROVED, anchor_gray_levels=False))
    os.utime(samples[1].path, (1, 1))
    assert made()


def test_store_travels_to_another_process_without_its_pixels(samples, tmp_path):
    store = SliceStore(samples, tmp_path / "store", IMPROVED)
    first = store[1].gray_levels
    packed = pickle.dumps(store)
    assert len(packed) < 4000 and np.array_equal(pickle.loads(packed)[1].gray_levels, first)


def test_the_store_has_the_reason_for_each_slice_that_is_left_out(samples, tmp_path):
    Path(samples[1].path).write_bytes(b"x")
    os.remove(samples[2].path)
    store = SliceStore(samples, tmp_path / "store", IMPROVED)
    assert store.kept[1:4] == [False, False, True]
    damaged, gone, kept, little = store.reasons[1:5]
    assert damaged.startswith("It cannot be read: ") and gone.startswith("It cannot be read: ") and damaged != gone
    assert kept is None and "too little lung" in little
    assert SliceStore(samples, tmp_path / "store", IMPROVED).only([4, 1]).reasons == [little, damaged]


def test_a_cancelled_fill_leaves_no_files(samples, tmp_path):
    def stop(*_):
        raise StopError

    with pytest.raises(StopError):
        SliceStore(samples, tmp_path / "store", IMPROVED, progress=stop)
    assert list((tmp_path / "store").iterdir()) == []


KILLED = """
import os, sys, pickle
from LesionAnalysisTrainingLib.dataset import SliceStore
samples, folder, settings = pickle.loads(bytes.fromhex(sys.argv[1]))
SliceStore(samples, folder, settings, progress=lambda share, _: os._exit(9) if share > 0.4 else None)
"""


def test_a_killed_fill_is_cleaned_up_and_done_again(samples, tmp_path):
    arguments = pickle.dumps((samples, tmp_path / "store", IMPROVED)).hex()
    path = os.pathsep.join(p for p in sys.path if p)
    code = subprocess.run([sys.executable, "-c", KILLED, arguments], env={**os.environ, "PYTHONPATH": path}).returncode
    assert code == 9 and [p.name[0] for p in (tmp_path / "store").iterdir()] == ["."]  # hidden
    store = SliceStore(samples, tmp_path / "store", IMPROVED)
    assert store[1].found and sorted(p.suffix for p in (tmp_path / "store").iterdir()) == [".bin", ".json"]


def test_a_full_disk_is_reported_in_one_sentence(samples, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("LesionAnalysisLib.atomic_io.os.replace", full)
    message = refusal(lambda: SliceStore(samples, tmp_path / "store", IMPROVED), OSError)
    assert "disk is full" in message and list((tmp_path / "store").iterdir()) == []


def test_a_store_of_nothing_can_be_made(tmp_path):
    path = save(tmp_path / "flat.png", np.zeros((40, 40), np.uint8))
    assert SliceStore([Sample(str(path), 0, "p", "s")], tmp_path / "store", IMPROVED).kept == [False]


def test_nothing_here_needs_torch():
    code = "import sys, LesionAnalysisTrainingLib.dataset; sys.exit('torch' in sys.modules)"
    path = os.pathsep.join(p for p in sys.path if p)
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}).returncode == 0


@pytest.mark.skipif(not (DATA / "slices").exists(), reason="needs ../shared/data")
def test_real_slices_are_collected_and_shown_as_in_an_analysis(tmp_path):
    with open(DATA / "slices" / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "covid-ct"][::6]
    for row in rows:
        (tmp_path / row["file"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / "slices" / row["file"], tmp_path / row["file"])
    with open(tmp_path / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = collect([tmp_path], TrainingConfig())
    assert len(done.samples) == len(rows) and done.classes == ("NonCOVID", "COVID")
    assert done.report.counts["repeated"] == done.report.counts["alike_across_splits"] == 0
    for sample in done.samples[::20]:
        expected = prepare_image(read_ct(sample.path).axial().array[0], replace(IMPROVED, size=256))
        seen = direct(sample).view(256, IMPROVED.margin, False).image
        assert shows_the_same(seen[2:-2, 2:-2], expected.image[2:-2, 2:-2])


def test_a_part_of_the_store_keeps_order_and_content(tmp_path):
    paths = [save(tmp_path / f"{i}.png", other_image(np.random.default_rng(i))) for i in range(4)]
    samples = [Sample(str(path), 0, str(i), "toy", TRAIN) for i, path in enumerate(paths)]
    store = SliceStore(samples, tmp_path / "store", Preprocessing())
    part = store.only([3, 1])
    assert len(part) == 2 and part.kept == [True, True]
    assert np.array_equal(part[0].gray_levels, store[3].gray_levels)
    assert np.array_equal(part[1].gray_levels, store[1].gray_levels)
    assert len(store) == 4
