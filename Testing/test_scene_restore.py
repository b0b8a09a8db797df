"""scene: an analysis read from its nodes, also after saving and loading; the label map."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
from helpers_scene import (  # noqa: E402
    GRIDS,
    add_ct,
    add_views,
    color_map_of,
    emphasized,
    lam_opacities,
    lam_threshold,
    move,
    small_analysis,
    visible_boxes,
)
from LesionAnalysisLib import scene  # noqa: E402
from LesionAnalysisLib.app.case import FILES, write_case  # noqa: E402
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.report import to_json  # noqa: E402
from LesionAnalysisLib.report.html_report import report_html  # noqa: E402
from LesionAnalysisLib.report.json_csv import from_json  # noqa: E402
from LesionAnalysisLib.scene import add_to_scene, find_in_scene, read_analysis, read_record  # noqa: E402
from LesionAnalysisLib.scene.color_maps import rgb  # noqa: E402
from LesionAnalysisLib.scene.mrml import ijk_to_ras, read_attribute, voxels, write_attribute  # noqa: E402


def with_card(analysis):
    return replace(analysis, model={**analysis.model, "card": "# Card\n\nMade for tests."})


# --- JSON ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrated", [True, False])
def test_json_is_read_as_the_same_analysis(calibrated):
    data = json.loads(json.dumps(to_json(small_analysis(calibrated=calibrated))))
    again = from_json(data)
    assert to_json(again) == data
    assert again.cluster_names == {1: "ground glass", 2: "consolidation"}
    assert again.lesions[0].slice_lesions[0] is again.slices[5].lesions[0]
    assert (again.ct, again.lam, again.lesion_labels, again.lung_mask) == (None, None, None, None)


def test_json_keeps_missing_numbers_and_slice_lesions_without_a_lesion():
    analysis = small_analysis()
    unlinked = replace(analysis.slices[5].lesions[0], number=7, score=float("nan"))
    slices = list(analysis.slices)
    slices[5] = replace(slices[5], lesions=(*slices[5].lesions, unlinked))
    lesion = replace(analysis.lesions[0], activation=float("nan"), score=float("inf"), volume_ml=float("nan"))
    data = to_json(replace(analysis, slices=tuple(slices), lesions=(lesion, *analysis.lesions[1:])))
    assert data["slices"][5]["lesions"][-1] == {"number": 7, "lesion": None, "cluster": 2, "score": None}
    assert to_json(from_json(data)) == data


def test_only_the_json_of_a_scene_has_the_card():
    analysis = with_card(small_analysis())
    assert "card" not in to_json(analysis)["model"]
    data = to_json(analysis, card=True)
    assert to_json(from_json(data), card=True) == data


@pytest.mark.parametrize("schema", [0, 2])
def test_json_of_another_schema_is_refused(schema):
    with pytest.raises(ValueError, match=f"another version of LesionAnalysis .schema {schema}, here 1"):
        from_json({**to_json(small_analysis()), "schema": schema})


@pytest.mark.parametrize("data", [None, [], {}, {"schema": "1"}, "text"])
def test_other_json_is_refused(data):
    with pytest.raises(ValueError, match="not the text of an analysis"):
        from_json(data)


@pytest.mark.parametrize("key", sorted(set(to_json(small_analysis())) - {"schema", "notice"}))
def test_damaged_json_is_refused(key):
    data = to_json(small_analysis())
    del data[key]
    with pytest.raises(ValueError, match="damaged"):
        from_json(data)


def test_json_with_a_damaged_value_is_refused():
    data = copy.deepcopy(to_json(small_analysis()))
    data["lesions"][1]["slice_lesions"][0]["peak_ras_mm"] = [1, 2]
    with pytest.raises(ValueError, match="damaged"):
        from_json(data)


# --- the label map ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "very oblique"])
def test_the_label_map_holds_the_lesions_on_the_grid_of_the_ct(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    move(app, ct)
    labels = add_to_scene(analysis, app.scene, ct).labels
    assert labels.IsA("vtkMRMLLabelMapVolumeNode")
    assert voxels(labels).dtype == np.uint8
    assert np.array_equal(voxels(labels), analysis.lesion_labels)
    assert np.allclose(ijk_to_ras(labels), GRIDS[name])
    assert labels.GetTransformNodeID() == ct.GetTransformNodeID()


def test_the_label_map_names_and_colors_each_lesion(app):
    analysis = small_analysis()
    nodes = add_to_scene(analysis, app.scene)
    colors = nodes.label_colors
    assert nodes.labels.GetDisplayNode().GetColorNode() is colors
    assert not colors.GetHideFromEditors()  # or Slicer would not save it
    assert colors.GetNumberOfColors() == 4
    assert colors.GetLookupTable().GetTableValue(0)[3] == 0
    for lesion in analysis.lesions:
        assert colors.GetColorName(lesion.id) == nodes.boxes[lesion.id].GetName() == lesion.label
        color = colors.GetLookupTable().GetTableValue(lesion.id)
        assert color == pytest.approx((*rgb(cluster_color(lesion.cluster)), 1), abs=1 / 255)


def test_more_than_255_lesions_have_16_bit_labels(app):
    boxes = [((2 + n % 60, 2 + n // 60 * 3, n % 20), (2 + n % 60, 2 + n // 60 * 3, n % 20)) for n in range(300)]
    analysis = small_analysis(boxes=boxes)
    nodes = add_to_scene(analysis, app.scene)
    assert voxels(nodes.labels).dtype == np.uint16
    assert voxels(nodes.labels).max() == 300
    assert nodes.label_colors.GetColorName(300) == "L300 GGO 0.91"
    fewer = add_to_scene(replace(small_analysis(), ct=analysis.ct), app.scene, nodes.ct)
    assert (fewer.labels, voxels(fewer.labels).dtype) == (nodes.labels, np.uint8)
    assert fewer.label_colors.GetNumberOfColors() == 4


# --- everything at once -------------------------------------------------------------------------------------


def test_every_function_works_on_two_loaded_cts(app, loaded):
    """One of them is oblique and left-handed, under a transform: Slicer flips it on loading."""
    analyses = {"one": small_analysis("one"), "two": small_analysis("two", matrix=GRIDS["very oblique"])}
    for name, analysis in analyses.items():
        ct = add_ct(app, analysis, name)
        if name == "two":
            move(app, ct)
        nodes = add_to_scene(analysis, app.scene, ct)
        scene.rename_cluster(nodes, 1, f"mine of {name}")
        scene.make_segmentation(nodes), scene.make_color_volume(nodes)
    other = loaded(app)
    for name, analysis in analyses.items():
        (ct,) = [node for node in other.nodes("vtkMRMLScalarVolumeNode") if node.GetName() == name]
        views = add_views(other, ct)
        nodes = find_in_scene(ct)
        assert nodes.labels.GetName() == f"{name} lesion map"
        assert scene.show_in_slice_views(nodes) == 3
        assert scene.clusters_in_scene(nodes)[0].name == f"mine of {name}"
        scene.recolor_cluster(nodes, 1, (0, 1, 0))
        scene.rename_cluster(nodes, 2, "another")
        scene.rename_cluster(nodes, 1, "ground glass"), scene.rename_cluster(nodes, 2, "consolidation")
        assert to_json(read_record(nodes))["cluster_names"] == to_json(analysis)["cluster_names"]
        scene.set_color_map(nodes, "viridis"), scene.set_lam_threshold(nodes, 20), scene.set_lam_opacity(nodes, 0.9)
        assert (color_map_of(nodes), lam_threshold(nodes), lam_opacities(nodes)) == ("viridis", 20, [0.9] * 3)
        scene.set_legend_visible(nodes, False), scene.set_box_labels_visible(nodes, False)
        scene.set_boxes_visible(nodes, True, {1}), scene.set_peaks_visible(nodes, True, {1})
        scene.emphasize(nodes, 1)
        assert (visible_boxes(nodes), emphasized(nodes)) == ({1}, 1)
        assert scene.show_clusters(nodes, True) == 3
        scene.jump_to_lesion(nodes, 2), scene.jump_to_slice(nodes, 5)
        views["Red"][0].RotateToVolumePlane(ct)
        scene.jump_to_slice(nodes, 7)
        matrix = views["Red"][0].GetSliceToRAS()
        if name == "one":
            assert scene.slice_at(nodes, [matrix.GetElement(row, 3) for row in range(3)]) == 7
        assert scene.make_segmentation(nodes, "lesion") in other.tagged("segmentation")
        assert scene.make_color_volume(nodes) in other.tagged("rgba")
        assert np.array_equal(read_analysis(nodes).lam, analysis.lam)
        assert len(other.tagged("segmentation")) == len(other.tagged("rgba")) == 2 if name == "one" else 1
        for view, composite in views.values():
            other.scene.RemoveNode(view), other.scene.RemoveNode(composite)
        scene.remove_results(other.scene, ct)
        assert find_in_scene(ct) is None
    assert other.tagged() == []


def test_the_bundle_of_a_case_has_everything_that_the_panel_needs(app, tmp_path):
    analysis = with_card(small_analysis("Fall Ü", matrix=GRIDS["left-handed"]))
    scene.write_mrb(analysis, tmp_path / "scene.mrb")
    assert app.read(tmp_path / "scene.mrb"), app.messages
    nodes = find_in_scene(app.tagged("ct")[0])
    again = read_analysis(nodes)
    assert to_json(again, card=True) == to_json(analysis, card=True)
    assert np.array_equal(again.lesion_labels, analysis.lesion_labels)
    assert report_html(again) == report_html(analysis)
    # The node is the CT as Slicer flipped it: it can be analyzed again.
    ct = scene.ct_from_node(nodes.ct)
    assert not np.array_equal(ct.array, analysis.ct.array)
    assert np.array_equal(ct.array[::-1], analysis.ct.array)


# --- an analysis from its nodes -----------------------------------------------------------------------------


def test_the_record_is_the_analysis_without_voxels(app):
    analysis = with_card(small_analysis())
    nodes = add_to_scene(analysis, app.scene)
    record = read_record(nodes)
    assert to_json(record, card=True) == to_json(analysis, card=True)
    assert (record.ct, record.lam, record.lesion_labels, record.lung_mask) == (None, None, None, None)
    assert read_record(nodes) is record  # cached
    with pytest.raises(ValueError, match="use read_analysis"):
        add_to_scene(record, app.scene, nodes.ct)


@pytest.mark.parametrize("name", GRIDS)  # Slicer flips the left-handed ones on loading
def test_a_saved_and_loaded_analysis_is_the_same(app, loaded, name):
    analysis = with_card(small_analysis("Fall Ü", matrix=GRIDS[name]))
    ct = add_ct(app, analysis, "Fall Ü")
    move(app, ct)
    add_to_scene(analysis, app.scene, ct)
    other = loaded(app)
    (labels,) = other.tagged("labels")
    nodes = find_in_scene(labels.GetNodeReference("LesionAnalysis.CT"))
    again = read_analysis(nodes)
    assert to_json(again, card=True) == to_json(analysis, card=True)
    assert np.array_equal(again.ct.array, analysis.ct.array)
    assert np.allclose(again.ct.ijk_to_ras, analysis.ct.ijk_to_ras, atol=1e-4)
    assert np.array_equal(again.lam, analysis.lam)
    assert np.array_equal(again.lesion_labels, analysis.lesion_labels)
    assert again.lesion_labels.dtype == np.uint16
    assert (again.ct.name, again.ct.source) == ("Fall Ü", "Fall Ü.nii.gz")
    assert nodes.label_colors.GetColorName(2) == "L02 GGO 0.91"
    # The report, too: its images are cropped to the lungs.
    assert report_html(again) == report_html(analysis)


def test_images_of_different_size_are_restored(app, loaded):
    analysis = small_analysis("photo", calibrated=False)
    shapes = tuple((60, 64) if index % 2 else (64, 60) for index in range(24))
    analysis = replace(analysis, ct=replace(analysis.ct, slice_shapes=shapes))
    add_to_scene(analysis, app.scene)
    other = loaded(app)
    again = read_analysis(find_in_scene(other.tagged("ct")[0]))
    assert again.ct.slice_shapes == shapes
    assert not again.ct.calibrated
    assert np.array_equal(again.ct.array, analysis.ct.array)
    assert report_html(again) == report_html(analysis)


def test_a_case_can_be_written_after_loading(app, loaded, tmp_path):
    add_to_scene(with_card(small_analysis()), app.scene)
    other = loaded(app)
    again = read_analysis(find_in_scene(other.tagged("ct")[0]))
    folder = write_case(again, tmp_path / "case")
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert "Made for tests." in (folder / "report.html").read_text(encoding="utf-8")


def test_the_lung_mask_is_restored_as_bounding_boxes(app):
    analysis = small_analysis(matrix=GRIDS["coronal"])
    mask = np.zeros(analysis.lung_mask.shape, bool)
    mask[3:20, 10:50, 8:30] = mask[3:20, 12:40, 34:56] = True
    mask[4, 10:12] = False
    nodes = add_to_scene(replace(analysis, lung_mask=mask), app.scene)
    lungs = read_analysis(nodes).lung_mask
    assert lungs[mask].all()
    assert (lungs.any(axis=(1, 2)) == mask.any(axis=(1, 2))).all()
    assert (lungs.any(axis=(0, 1)) == (np.arange(64) >= 8) & (np.arange(64) < 56)).all()
    assert lungs.dtype == bool


def test_reading_changes_nothing_in_the_scene(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    again = read_analysis(nodes)
    again.ct.array[:] = again.lam[:] = again.lesion_labels[:] = 0
    assert voxels(nodes.ct).min() == -1000
    assert voxels(nodes.lam).max() == 100
    assert voxels(nodes.labels).max() == 3


@pytest.mark.parametrize("role", ["lam", "labels", "label_colors", "lesions"])
def test_incomplete_results_are_not_found(app, role):
    nodes = add_to_scene(small_analysis(), app.scene)
    app.scene.RemoveNode(getattr(nodes, role))
    assert find_in_scene(nodes.ct) is None
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)  # a new run replaces them
    assert find_in_scene(nodes.ct) == again


def test_a_ct_that_was_moved_is_refused(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    nodes.ct.SetOrigin(0, 0, 0)
    with pytest.raises(ValueError, match="was moved"):
        read_analysis(nodes)


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 99}'])
def test_a_damaged_text_is_refused(app, text):
    nodes = add_to_scene(small_analysis(), app.scene)
    nodes.analysis.SetText(text)
    with pytest.raises(ValueError, match="damaged|another version"):
        read_record(nodes)
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)  # a new run replaces it
    assert read_record(again).summary.lesion_count == 3


def test_attributes_with_any_content_are_saved_and_loaded(app, loaded):
    node = app.scene.AddNewNodeByClass("vtkMRMLTextNode", "node")
    value = {"a": "Ü;%3B \"'<>&:\n\\ 漢", "b": [0.1, None, 3]}
    write_attribute(node, "mine", value)
    (again,) = [one for one in loaded(app).nodes("vtkMRMLTextNode") if one.GetName() == "node"]
    assert read_attribute(again, "mine") == value
    node.SetAttribute("mine", "{")
    assert read_attribute(node, "mine") is None
