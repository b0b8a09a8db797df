"""The report: JSON, tables, the LAM volume, the HTML page, and case folders that are complete or absent."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_report import canonical_matrix, make_analysis, oblique_matrix
from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.app.case import FILES, SCENE, write_case
from LesionAnalysisLib.app.summary_table import Summary
from LesionAnalysisLib.colors import cluster_color, jet
from LesionAnalysisLib.report import figures, study_words, to_json
from LesionAnalysisLib.report.html_report import report_html
from LesionAnalysisLib.report.json_csv import from_json, plain
from LesionAnalysisLib.report.probability_chart import probability_chart
from LesionAnalysisLib.report.wording import CLOSE, positive_class
from PIL import Image


@pytest.fixture(scope="module")
def analysis():
    return make_analysis()


# --- JSON and tables -------------------------------------------------------------------------------------


def test_json_has_every_fixed_name(analysis):
    data = to_json(analysis)
    assert data["schema"] == 1
    assert {
        "input",
        "model",
        "config",
        "device",
        "timing_s",
        "summary",
        "slices",
        "lesions",
        "warnings",
    } <= set(data)
    assert {"id", "checksum"} <= set(data["model"])
    names = "probability diagnosis positive_slices lung_slices total_slices lesion_count lesions_by_cluster"
    assert set(names.split()) <= set(data["summary"])
    names = "index position_mm lung probability diagnosis lesions"
    assert set(names.split()) <= set(data["slices"][0])
    names = "id cluster cluster_name score peak_ras_mm box_ras_mm first_slice last_slice"
    names += " mean_hu volume_ml slice_lesions"
    assert set(names.split()) <= set(data["lesions"][0])
    assert set(data["lesions"][0]["box_ras_mm"]) == {"min", "max"}


def test_json_is_strict_and_survives_a_round_trip(analysis):
    data = to_json(analysis)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_json_has_null_where_a_number_is_missing():
    slices = (dataclasses.replace(make_analysis().slices[3], probability=float("nan")),)
    data = to_json(dataclasses.replace(make_analysis(), slices=slices, timing_s={"a": np.float32("inf")}))
    assert data["slices"][0]["probability"] is None and data["timing_s"]["a"] is None


def test_plain_turns_numpy_into_python():
    value = plain({1: np.float32(0.1), "a": np.arange(2), "b": (np.bool_(True), np.int64(7), None)})
    assert value == {"1": 0.1, "a": [0, 1], "b": [True, 7, None]}
    assert type(value["b"][0]) is bool and type(value["b"][1]) is int


def test_slices_refer_to_the_3d_lesion_of_each_of_their_lesions(analysis):
    data = to_json(analysis)
    assert [part["lesion"] for part in data["slices"][13]["lesions"]] == [1, 2]
    assert sum(len(one["lesions"]) for one in data["slices"]) == sum(
        len(one["slice_lesions"]) for one in data["lesions"]
    )


def test_tables_have_a_row_per_slice_and_per_lesion(analysis, tmp_path):
    folder = write_case(analysis, tmp_path / "case", scene=False)
    with open(folder / "slices.csv", newline="", encoding="utf-8") as stream:
        slices = list(csv.DictReader(stream))
    with open(folder / "lesions.csv", newline="", encoding="utf-8") as stream:
        lesions = list(csv.DictReader(stream))
    assert len(slices) == 24 and len(lesions) == 3
    assert slices[0]["probability"] == "" and slices[0]["lung"] == "0"
    assert slices[13]["lesion_ids"] == "1 2" and slices[13]["positive"] == "1"
    assert lesions[1]["type"] == "consolidation" and lesions[1]["name"] == "L02 consolidation 0.88"
    assert float(lesions[0]["peak_r_mm"]) == pytest.approx(analysis.lesions[0].peak_ras_mm[0])


def test_uncalibrated_images_have_no_hu_and_no_volume(tmp_path):
    data = to_json(make_analysis(calibrated=False))
    assert data["lesions"][0]["volume_ml"] is None and data["lesions"][0]["mean_hu"] is None
    assert data["slices"][0]["position_mm"] is None


# --- lam.nrrd ----------------------------------------------------------------------------------------------


def _sheared():
    matrix = canonical_matrix()
    matrix[1, 2] = 2.5  # a gantry tilt: slices are shifted forward as they rise
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [canonical_matrix(), oblique_matrix(), canonical_matrix() @ np.diag([-1, 1, -1, 1]), _sheared()],
    ids=["canonical", "oblique", "flipped", "sheared"],
)
def test_lam_lies_on_the_grid_of_the_ct_exactly(matrix, tmp_path):
    analysis = make_analysis(matrix)
    folder = write_case(analysis, tmp_path / "case", scene=False)
    image = sitk.ReadImage(str(folder / "lam.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), analysis.lam)
    assert image.GetPixelID() == sitk.sitkUInt8
    for ijk in ([0, 0, 0], [63, 0, 0], [0, 63, 0], [0, 0, 23], [12, 34, 5]):
        lps = np.array(image.TransformContinuousIndexToPhysicalPoint([float(one) for one in ijk]))
        ras = (matrix @ [*ijk, 1])[:3]
        np.testing.assert_allclose(lps * [-1, -1, 1], ras, atol=1e-9)
    assert (folder / "lam.nrrd").stat().st_size < analysis.lam.size / 10  # compressed


# --- case folders ------------------------------------------------------------------------------------------


def test_a_case_holds_exactly_its_files(analysis, tmp_path):
    folder = write_case(analysis, tmp_path / "new" / "case", scene=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted(set(FILES) - {SCENE})
    assert os.listdir(folder.parent) == ["case"]


def test_the_scene_is_written_by_the_scene_package(analysis, tmp_path, monkeypatch):
    scene = pytest.importorskip("LesionAnalysisLib.scene")
    monkeypatch.setattr(scene, "write_mrb", lambda analysis, path: path.write_bytes(b"scene"))
    folder = write_case(analysis, tmp_path / "case")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError("no")])
def test_an_interrupted_case_leaves_nothing(analysis, tmp_path, monkeypatch, interruption):
    def stop(*_):
        raise interruption

    monkeypatch.setattr("LesionAnalysisLib.app.case.write_html", stop)
    with pytest.raises(type(interruption) if isinstance(interruption, Exception) else interruption):
        write_case(analysis, tmp_path / "case", scene=False)
    assert os.listdir(tmp_path) == []


def test_an_earlier_case_is_kept_unless_overwritten_and_when_the_new_one_fails(analysis, tmp_path, monkeypatch):
    folder = write_case(analysis, tmp_path / "case", scene=False)
    with pytest.raises(FileExistsError, match="already holds"):
        write_case(analysis, folder, scene=False)
    write_case(make_analysis(healthy=True), folder, scene=False, overwrite=True)
    assert json.loads((folder / "analysis.json").read_text("utf-8"))["lesions"] == []
    monkeypatch.setattr("LesionAnalysisLib.app.case.write_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_case(analysis, folder, scene=False, overwrite=True)
    assert json.loads((folder / "analysis.json").read_text("utf-8"))["lesions"] == []
    assert os.listdir(tmp_path) == ["case"]


def test_the_earlier_case_comes_back_when_the_last_rename_fails(analysis, tmp_path, monkeypatch):
    folder = write_case(analysis, tmp_path / "case", scene=False)
    rename = type(folder).rename

    def fail_once(self, target):
        if "partial" in self.name:
            raise PermissionError("busy")
        return rename(self, target)

    monkeypatch.setattr(type(folder), "rename", fail_once)
    with pytest.raises(PermissionError):
        write_case(analysis, folder, scene=False, overwrite=True)
    assert (folder / "analysis.json").is_file() and os.listdir(tmp_path) == ["case"]


def test_a_folder_with_files_of_the_user_is_never_replaced(analysis, tmp_path):
    folder = write_case(analysis, tmp_path / "case", scene=False)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        write_case(analysis, folder, scene=False, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_used(analysis, tmp_path):
    (tmp_path / "case").mkdir()
    assert (write_case(analysis, tmp_path / "case", scene=False) / "report.html").is_file()


# --- summary.csv -------------------------------------------------------------------------------------------


def test_the_summary_has_a_row_per_case_and_replaces_those_of_repeated_cases(analysis, tmp_path):
    summary = Summary(tmp_path / "summary.csv")
    data = to_json(analysis)
    summary.failed("b", "b.nii", "b is empty.")
    summary.done("a", data, 12.34)
    summary.done("b", data)
    summary.failed("a", "elsewhere/a.nii", "Another input.")
    rows = Summary(tmp_path / "summary.csv").rows()
    assert [(row["case"], row["status"]) for row in rows] == [("b", "done"), ("a", "done"), ("a", "failed")]
    assert rows[1]["seconds"] == "12.3" and rows[1]["lesions_by_cluster"] == "ground-glass: 2; consolidation: 1"
    summary.done("a", data)
    assert [row["case"] for row in summary.rows()] == ["b", "a"]
    assert os.listdir(tmp_path) == ["summary.csv"]


def test_another_table_named_summary_is_refused(tmp_path):
    (tmp_path / "summary.csv").write_text("name,marks\nx,1\n")
    with pytest.raises(ValueError, match="not a summary"):
        Summary(tmp_path / "summary.csv")


# --- words -------------------------------------------------------------------------------------------------


def _study(probability, threshold):
    """A study as the analyzer decides it."""
    analysis = make_analysis()
    positive = probability >= threshold
    summary = dataclasses.replace(analysis.summary, probability=probability, positive=positive)
    return dataclasses.replace(analysis, summary=summary, config={**analysis.config, "threshold": threshold})


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.63, 0.95])
def test_words_follow_the_threshold_and_never_contradict_it(threshold):
    near = [threshold + difference for difference in (-0.06, -0.05, -0.001, 0, 0.001, 0.05)]
    for probability in (0.0, 0.1, 0.35, 0.5, 0.65, 0.9, 1.0, *near):
        words = study_words(_study(probability, threshold))
        side, other = ("Positive", "Negative") if probability >= threshold else ("Negative", "Positive")
        assert words.startswith(f"{side} for opacities like those of COVID-19") and other not in words
        assert ("close to the threshold" in words) == (abs(probability - threshold) <= CLOSE + 1e-9)
        text = report_html(_study(probability, threshold), figures=0)
        assert f"{words}." in text and ("at or above the threshold" in text) == (side == "Positive")
        body = text.split("<body>")[1]
        assert f"{side.lower()}-tone" in body and f"{other.lower()}-tone" not in body


def test_words_of_a_study_just_below_the_threshold_survive_rounding():
    """JSON keeps seven digits, which round such a probability up to the threshold."""
    study = _study(0.63 - 1e-12, 0.63)
    assert study_words(from_json(to_json(study))) == study_words(study)
    assert study_words(study).startswith("Negative")


def test_words_describe_opacities_and_not_the_patient():
    analysis = make_analysis()
    summary = dataclasses.replace(analysis.summary, probability=None, positive=False)
    for study in (_study(0.1, 0.5), _study(0.9, 0.5), dataclasses.replace(analysis, summary=summary)):
        words = study_words(study)
        assert "patient" not in words and "disease" not in words and "has" not in words
    assert words == "Not assessed: no slice shows enough lung to analyze"


def test_the_positive_class_is_named_in_a_negative_study():
    assert positive_class(make_analysis(healthy=True)) == "COVID-19"
    model = {"classes": ("pneumonia", "none"), "positive": "pneumonia"}
    analysis = dataclasses.replace(make_analysis(healthy=True), model=model)
    assert positive_class(analysis) == "pneumonia"


# --- the page ----------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Checks that tags nest, and collects tags and addresses."""

    void = {"meta", "img", "br", "hr", "line", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_the_page_is_self_contained(analysis):
    page = _Page(report_html(analysis))
    assert "script" not in page.tags and "link" not in page.tags
    assert page.tags.count("img") == 6 and all(link.startswith("data:image/png;base64,") for link in page.links)


def test_the_page_shows_result_warnings_model_and_lesions(analysis):
    text = report_html(dataclasses.replace(analysis, warnings=("Thick slices.",)), created="2026-01-02 03:04")
    assert text.count(RESEARCH_NOTICE) == 2
    for part in (
        "0.93",
        "Positive for opacities like those of COVID-19.",
        "Thick slices.",
        "2026-01-02 03:04",
        "A toy model",
    ):
        assert part in text
    for row in ("L01", "L02", "L03", "156", "partial consolidation", "preprocessing.window_hu"):
        assert row in text


def test_all_text_from_outside_is_escaped():
    evil = "<script>alert(1)</script>\"'&"
    analysis = make_analysis(name=evil, warnings=(evil,), card=f"# {evil}\n\n| {evil} |\n|---|\n| {evil} |\n\n- {evil}")
    lesion = dataclasses.replace(analysis.lesions[0], type=evil, cluster_name=evil)
    analysis = dataclasses.replace(
        analysis,
        lesions=(lesion, *analysis.lesions[1:]),
        cluster_names={1: evil},
        config={evil: evil},
        device=evil,
        timing_s={evil: 1.0},
        model={**analysis.model, "title": evil, "license": evil, "classes": (evil,), "positive": evil},
        summary=dataclasses.replace(analysis.summary, diagnosis=evil),
        input={**analysis.input, "kind": evil},
    )
    text = report_html(analysis)
    assert "<script" not in text and "alert(1)" in text
    _Page(text)


@pytest.mark.parametrize("kind", ["healthy", "uncalibrated", "oblique", "no lung", "empty"])
def test_the_page_of_unusual_studies_is_complete(kind):
    analysis = make_analysis(
        oblique_matrix() if kind == "oblique" else None,
        calibrated=kind != "uncalibrated",
        healthy=kind == "healthy",
    )
    if kind in ("no lung", "empty"):
        slices = [dataclasses.replace(one, lung=False, probability=None, lesions=()) for one in analysis.slices]
        summary = dataclasses.replace(
            analysis.summary,
            probability=None,
            diagnosis="",
            positive=False,
            lung_slices=0,
            involved_lung_share=None,
        )
        slices = slices if kind == "no lung" else []
        analysis = dataclasses.replace(analysis, summary=summary, slices=tuple(slices), lesions=())
    page = _Page(report_html(analysis))
    expected = {"healthy": 3, "no lung": 0, "empty": 0}
    assert page.tags.count("img") == expected.get(kind, 6)


def test_images_of_different_size_keep_their_proportions():
    analysis = make_analysis(calibrated=False)
    shapes = tuple((48, 64) if index % 2 else (64, 56) for index in range(24))
    ct = dataclasses.replace(analysis.ct, slice_shapes=shapes)
    analysis = dataclasses.replace(analysis, ct=ct, lung_mask=np.zeros_like(analysis.lung_mask))
    for figure in figures.slice_figures(analysis):
        rows, cols = shapes[figure.index]
        width, height = figure.size[0] - 58, figure.size[1] - 28
        assert width / height == pytest.approx(cols / rows, rel=0.01)


def test_the_chart_marks_positive_slices_and_the_threshold(analysis):
    svg = probability_chart(analysis)
    assert svg.count('class="bar positive"') == analysis.summary.positive_slices
    assert svg.count('class="bar') == analysis.summary.lung_slices
    assert svg.count('class="lane"') == 3 and "threshold 0.50" in svg and "head" in svg
    assert "head" not in probability_chart(make_analysis(calibrated=False))


# --- slice images --------------------------------------------------------------------------------------


def _pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure.png)).convert("RGB")).astype(int)


def test_the_strongest_slice_of_every_lesion_is_shown(analysis):
    chosen = figures.strongest_slices(analysis)
    assert len(chosen) == 6 and chosen == sorted(chosen)
    for lesion in analysis.lesions:
        best = max(lesion.slice_lesions, key=lambda part: part.activation).slice_index
        assert best in chosen
    assert figures.strongest_slices(analysis, 2) == [10, 14]


@pytest.mark.parametrize(
    "matrix", [canonical_matrix(), canonical_matrix() @ np.diag([-1, -1, -1, 1]), oblique_matrix()]
)
def test_images_show_the_right_side_on_the_left_with_color_only_on_lesions(matrix):
    analysis = make_analysis(matrix)
    index = max(analysis.lesions[0].slice_lesions, key=lambda part: part.activation).slice_index
    figure = next(one for one in figures.slice_figures(analysis) if one.index == index)
    pixels = _pixels(figure)[28:, :-58]
    colored = np.ptp(pixels, axis=2) > 40
    center = (matrix @ [31.5, 31.5, 11.5, 1])[0]
    side = analysis.lesions[0].peak_ras_mm[0] - center  # RAS: the patient's right is positive
    half = pixels.shape[1] // 2
    left, right = colored[:, :half].mean(), colored[:, half:].mean()
    assert (left > 5 * right) if side > 0 else (right > 5 * left)


def test_pixels_become_square_in_millimeters():
    matrix = canonical_matrix(spacing=(2.5, 5.0, 10.0))
    analysis = make_analysis(matrix)
    (figure,) = figures.slice_figures(analysis, 1)
    rows, cols = np.nonzero(analysis.ct.axial().from_volume(analysis.lung_mask).any(axis=0))
    # The margin is the same number of pixels on each side, so compare the lungs' extent with margin added.
    margin = 0.06 * max(np.ptp(rows), np.ptp(cols)) + 1
    expected = (np.ptp(cols) + 1 + 2 * margin) * 2.5 / ((np.ptp(rows) + 1 + 2 * margin) * 5.0)
    assert (figure.size[0] - 58) / (figure.size[1] - 28) == pytest.approx(expected, rel=0.01)


def test_the_scale_bar_is_five_centimeters_long(analysis):
    (figure,) = figures.slice_figures(analysis, 1)
    pixels = _pixels(figure)
    row = pixels[pixels.shape[0] - 12, : pixels.shape[1] // 2]
    white = np.flatnonzero((row == 255).all(axis=1))
    frame = figures._frame(analysis.ct.axial().from_volume(analysis.lung_mask).any(axis=0), (5.0, 5.0, 10.0))
    per_mm = frame.width / ((frame.edges[2] - frame.edges[0]) * 5.0)
    assert np.ptp(white) == pytest.approx(50 * per_mm, abs=4)


def test_boxes_enclose_the_lesion_in_any_orientation():
    for matrix in (canonical_matrix(), oblique_matrix(), canonical_matrix() @ np.diag([-1, -1, 1, 1])):
        analysis = make_analysis(matrix)
        view = analysis.ct.axial()
        labels = view.from_volume(analysis.lesion_labels)[10]
        (box,) = figures._boxes(analysis, 10, labels, view.index_to_ras)
        rows, cols = np.nonzero(labels)
        edges = (cols.min() - 0.5, rows.min() - 0.5, cols.max() + 0.5, rows.max() + 0.5)
        assert box.edges == pytest.approx(edges, abs=1e-6)


def test_more_lesions_in_one_place_than_labels_fit_are_drawn():
    analysis = make_analysis()
    twins = tuple(dataclasses.replace(analysis.lesions[0], id=number) for number in range(1, 12))
    assert figures.slice_figures(dataclasses.replace(analysis, lesions=twins), 1)  # more than labels that fit


def test_jet_runs_from_blue_over_green_to_red():
    np.testing.assert_allclose(
        jet(np.array([0, 0.125, 0.375, 0.5, 0.625, 1])) / 255,
        [[0, 0, 0.5], [0, 0, 1], [0, 1, 1], [0.5, 1, 0.5], [1, 1, 0], [0.5, 0, 0]],
    )
    assert len({cluster_color(number) for number in range(1, 7)}) == 6 and cluster_color(7) == cluster_color(1)


# --- model card and tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "card",
    ["# Title\n\n| a |\n|---|\n| 1 |", "<img src=x onerror=alert(1)>", "</pre><script>", "[x](javascript:alert(1))"],
)
def test_the_model_card_is_shown_as_it_is(card):
    text = report_html(make_analysis(card=card), figures=0)
    assert f"<pre>{escape(card)}</pre>" in text
    assert "script" not in _Page(text).tags


def test_the_table_of_lesions_shows_type_cluster_and_activation_but_no_score(analysis):
    table = re.search("<table class=lesions>.*?</table>", report_html(analysis, figures=0)).group()
    heads = re.findall("<th(?: [^>]*)?>(.*?)</th>", table)
    assert heads[:4] == ["Lesion", "Type", "Cluster", "Activation"]
    assert heads[4:] == ["Slices", "Volume (ml)", "Mean (HU)", "Peak R, A, S (mm)"]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    assert [re.findall("<td.*?>(.*?)</td>", row)[3] for row in rows] == ["0.95", "0.88", "0.70"]
    assert "Score" not in table


def test_the_number_of_a_cluster_is_not_repeated_in_its_name():
    analysis = make_analysis()
    analysis = dataclasses.replace(analysis, cluster_names={1: "Cluster 1: ground glass", 2: "cluster 2"})
    text = report_html(analysis)
    assert "</span>C1 ground glass<" in text and "</span>C2<" in text
