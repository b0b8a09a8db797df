"""``lesion-analysis evaluate`` from the command line to the page, with tiny networks and images."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers_evaluate import labeled_folder, segmented_folder, tiny_model
from helpers_training import chest_image, save
from LesionAnalysisLib import cli
from LesionAnalysisLib.analyzer import LesionAnalyzer
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.dataset.prepared import NO_CONTENT
from LesionAnalysisTrainingLib.evaluate.lung_masks import dice
from LesionAnalysisTrainingLib.evaluate.slice_predictions import labeled_slices, predict

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "m2")


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return labeled_folder(tmp_path_factory.mktemp("data") / "slices")


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    return segmented_folder(tmp_path_factory.mktemp("segmented"))


def run(*words):
    return cli.main(["evaluate", *map(str, words)])


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


# Diagnosis


def test_diagnosis_compares_models_on_the_chosen_split(bundle, slices, tmp_path, capsys):
    other = tiny_model(tmp_path / "other", seed=1)
    code = run("diagnosis", slices, "--model", bundle.folder, "--model", other.folder, "--split", "test",
               "--workers", 1, "--rounds", 20, "-o", tmp_path / "out")  # fmt: skip
    assert code == 0
    printed = capsys.readouterr()
    assert "All slices" in printed.out and "McNemar" in printed.out and "report.html" in printed.out
    found = metrics(tmp_path / "out")
    rows = found["tables"]["diagnosis"]["rows"]
    assert [row["slices"] for row in rows] == [4, 4] and rows[0]["model"] != rows[1]["model"]
    assert {row["class"] for row in found["tables"]["classes"]["rows"]} == {"NonCOVID", "COVID"}
    plots = sorted(p.name for p in (tmp_path / "out/plots").iterdir())
    assert len(plots) == 8 and plots[0].startswith("pr_")  # PR and ROC of both models, PNG and SVG


def test_diagnosis_gives_slices_the_probabilities_of_an_analysis(bundle, slices, tmp_path):
    data = labeled_slices([slices])
    table, reasons = predict(bundle, data.samples)
    assert not any(reasons)
    analyzer = LesionAnalyzer(bundle)
    for row, sample in zip(table, data.samples, strict=True):
        assert row[1] == pytest.approx(analyzer.analyze(read_ct(sample.path)).slices[0].probability, abs=2e-3)
    assert table.sum(axis=1) == pytest.approx(1)


def test_three_classes_have_a_table_by_threshold_also_with_a_two_class_model(bundle, tmp_path):
    rng, root = np.random.default_rng(0), tmp_path / "three"
    for name in ("Normal", "Pneumonia", "COVID"):
        for i in range(2):
            save(root / name / f"{name}{i}" / "a.png", chest_image(rng, name == "COVID"))
    three = tiny_model(tmp_path / "m3", ("pneumonia", "normal", "covid-19"))
    code = run("diagnosis", root, "--model", three.folder, "--model", bundle.folder, "--workers", 1, "--rounds", 5,
               "-o", tmp_path / "out")  # fmt: skip
    assert code == 0
    tables = metrics(tmp_path / "out")["tables"]
    assert len(tables["thresholds_m3"]["rows"]) == 9
    assert {row["class"] for row in tables["classes"]["rows"]} == {"Normal", "Pneumonia", "COVID", "other"}


def test_slices_that_cannot_be_analyzed_are_left_out_with_the_reason(bundle, slices, tmp_path, capsys):
    data = labeled_slices([slices])
    save(tmp_path / "flat.png", np.zeros((64, 64), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"x")
    odd = [replace(data.samples[0], path=str(tmp_path / name)) for name in ("flat.png", "broken.png")]
    table, reasons = predict(bundle, [odd[0], data.samples[1], odd[1]])
    assert np.isnan(table[[0, 2]]).all() and np.isfinite(table[1]).all()
    assert reasons[0] == NO_CONTENT and reasons[1] is None and reasons[2].startswith("It cannot be read: ")
    save(tmp_path / "three" / "NonCOVID" / "a.png", np.zeros((64, 64), np.uint8))
    save(tmp_path / "three" / "COVID" / "b.png", np.ones((64, 64), np.uint8))
    both = tmp_path / "three", "--model", bundle.folder, "--workers", 1
    assert run("diagnosis", *both, "-o", tmp_path / "out") == 1
    assert f"No slice can be analyzed: {NO_CONTENT}" in capsys.readouterr().err


# Detection


def test_detection_measures_every_method_and_the_upper_bound(bundle, segmented, tmp_path, capsys):
    code = run("detection", segmented / "images", segmented / "masks", "--model", bundle.folder, "--examples", 2,
               "--rounds", 10, "--min-cells", 1, "-o", tmp_path / "out")  # fmt: skip
    assert code == 0
    printed = capsys.readouterr()
    assert "CAM is left out" in printed.err and "(grid in use)" in printed.out
    found = metrics(tmp_path / "out")
    methods = [row["method"] for row in found["tables"]["methods"]["rows"]]
    assert methods[-1] == found["ceiling"] == "oracle map 4x4 (grid in use)"
    assert set(methods[:-1]) == {"enhanced", "lam", "normgrad", "gradcam++", "layercam", "hirescam"}
    assert found["tables"]["scans"]["rows"][-2]["clean"] == 1
    errors = [found["rates"][f"{name}, Otsu, components"]["share error"] for name in methods[:-1]]
    assert all(0 <= error <= 1 for error in errors)
    assert {p.stem for p in (tmp_path / "out/plots").iterdir()} == {"hit_rates", "examples", "methods"}


# Identification


@pytest.mark.parametrize("count", (2, 3))
def test_identification_says_whether_clusters_are_the_models_own(count, bundle, segmented, tmp_path, capsys):
    code = run("identification", segmented / "images", segmented / "masks", "--model", bundle.folder,
               "--clusters", count, "--min-cells", 1, "--rounds", 10, "--types", 2, "-o", tmp_path / "out")  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert ("the model's own" if count == 2 else "3 were refitted") in printed.err
    found = metrics(tmp_path / "out")
    assert found["types"] == ["ground glass", "consolidation"]
    typed = found["tables"]["identification"]["rows"][0]["on drawn lesions"]
    assert np.sum(found["confusion"]) == typed > 0
    plots = {p.stem for p in (tmp_path / "out/plots").iterdir()}
    assert plots == {"cluster_maps", "lesion_space", "lesion_space_types"}


# Lungs


def test_lungs_are_compared_with_masks_in_the_same_folder(tmp_path, capsys):
    import SimpleITK as sitk
    from LesionAnalysisLib.phantom import make_phantom

    phantom = make_phantom((12, 128, 128), (2.8, 2.8, 25.0))
    for name, array in (("ct", phantom.ct.array), ("ct_mask", phantom.lung_mask.astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(phantom.ct.spacing_mm)
        sitk.WriteImage(image, str(tmp_path / f"{name}.mha"))
    assert run("lungs", tmp_path, tmp_path, "-o", tmp_path / "out") == 0
    summary = metrics(tmp_path / "out")["summary"]
    assert summary["cases"] == 1 and summary["worst_case"] == "ct" and summary["worst"] > 0.9
    assert "Dice mean" in capsys.readouterr().out


def test_dice_by_hand():
    a, b = np.zeros((2, 8), bool), np.zeros((2, 8), bool)
    a[0], b[:, :4] = True, True
    assert dice(a, b) == 0.5 and dice(a, a) == 1
    assert dice(a & False, b & False) == 1 and dice(a, a & False) == 0


# Bad input


@pytest.mark.parametrize(("change", "words"), (
    ("names", "has a mask of the same name"), ("empty", "All masks are empty"), ("missing", "There is no folder"),
    ("size", "give masks of the images' size"),
))  # fmt: skip
def test_bad_images_and_masks_give_one_sentence_and_leave_no_output(change, words, bundle, tmp_path, capsys):
    size = 32 if change == "size" else 96
    save(tmp_path / "images/a.png", chest_image(np.random.default_rng(0), True))
    save(tmp_path / f"masks/{'b' if change == 'names' else 'a'}.png", np.full((size, size), change == "size", np.uint8))
    place = tmp_path / ("nowhere" if change == "missing" else "masks")
    assert run("detection", tmp_path / "images", place, "--model", bundle.folder, "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error and error.startswith("lesion-analysis evaluate: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "masks"]


def test_wrong_usage_ends_with_2_before_any_work(bundle, segmented, slices, tmp_path, capsys):
    both = segmented / "images", segmented / "masks"
    assert run("detection", *both, "--model", tmp_path / "nowhere", "-o", tmp_path / "out") == 2
    assert run("detection", *both) == 2
    assert run("identification", *both, "--clusters", "0", "-o", tmp_path / "out") == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("x")
    assert run("lungs", *both, "-o", tmp_path / "mine", "--overwrite") == 2
    capsys.readouterr()
    assert run("detection", *both, "--method", "cam", "--model", bundle.folder, "-o", tmp_path / "out") == 1
    assert "needs a model whose head" in capsys.readouterr().err
    assert run("diagnosis", slices, "--split", "val", "--model", bundle.folder, "-o", tmp_path / "out") == 1
    assert "No slice has the split val" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
