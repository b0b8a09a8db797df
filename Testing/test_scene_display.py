"""scene: display settings and positions, in views of one or several CTs."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
from helpers_scene import (  # noqa: E402
    GRIDS,
    SliceView,
    add_ct,
    add_views,
    box_labels_visible,
    clusters_shown,
    color_map_of,
    emphasized,
    lam_opacities,
    lam_threshold,
    legend_visible,
    move,
    peaks_visible,
    small_analysis,
    snapshot,
    visible_boxes,
)
from LesionAnalysisLib import scene  # noqa: E402
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.scene import add_to_scene, find_in_scene, read_analysis, show_in_slice_views  # noqa: E402
from LesionAnalysisLib.scene.color_maps import color_map, rgb  # noqa: E402
from LesionAnalysisLib.scene.mrml import to_world  # noqa: E402


def results(app, name="CTChest", **options):
    analysis = small_analysis(**options)
    return add_to_scene(analysis, app.scene, add_ct(app, analysis, name))


def origin(view):
    return np.array([view.GetSliceToRAS().GetElement(row, 3) for row in range(3)])


def orientation(view):
    return [view.GetSliceToRAS().GetElement(row, column) for row in range(3) for column in range(3)]


def distance(view, point):
    """How far a point lies from the plane of a slice view, in mm."""
    normal = np.array([view.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
    return abs(normal @ (np.asarray(point) - origin(view)))


# --- the map ------------------------------------------------------------------------------------------------


def test_color_map_is_set_saved_and_kept_by_a_second_run(app, loaded):
    nodes = results(app)
    assert color_map_of(nodes) == "jet"
    scene.set_color_map(nodes, "viridis")
    assert color_map_of(nodes) == "viridis"
    assert nodes.colors.GetLookupTable().GetTableValue(255)[:3] == pytest.approx(color_map("viridis")[-1])
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    assert color_map_of(find_in_scene(ct)) == "viridis"
    assert color_map_of(add_to_scene(small_analysis(), app.scene, nodes.ct)) == "viridis"
    assert color_map_of(add_to_scene(small_analysis(), app.scene, nodes.ct, color_map="inferno")) == "inferno"
    with pytest.raises(ValueError, match="jet, viridis, inferno"):
        scene.set_color_map(nodes, "rainbow")


def test_threshold_is_set_saved_and_kept_by_a_second_run(app, loaded):
    nodes = results(app)
    assert lam_threshold(nodes) == 1
    scene.set_lam_threshold(nodes, 35)
    assert lam_threshold(nodes) == 35
    display = nodes.lam.GetDisplayNode()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold(), display.GetApplyThreshold()) == (35, 100, 1)
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    assert lam_threshold(find_in_scene(ct)) == 35
    assert lam_threshold(add_to_scene(small_analysis(), app.scene, nodes.ct)) == 35
    scene.set_lam_threshold(nodes, 0)  # 0 percent itself is never shown
    assert display.GetLowerThreshold() == 1
    for percent in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 100"):
            scene.set_lam_threshold(nodes, percent)


def test_opacity_changes_in_views_of_this_lam_only(app):
    nodes, other = results(app), results(app, "other")
    views = add_views(app, nodes.ct)
    views["Green"][1].SetBackgroundVolumeID(other.ct.GetID())
    assert lam_opacities(nodes) == []
    show_in_slice_views(nodes), show_in_slice_views(other)
    scene.set_lam_opacity(nodes, 0.8)
    assert [composite.GetForegroundOpacity() for _, composite in views.values()] == [0.8, scene.LAM_OPACITY, 0.8]
    assert (lam_opacities(nodes), lam_opacities(other)) == ([0.8, 0.8], [scene.LAM_OPACITY])
    scene.show_clusters(nodes, True)
    scene.set_lam_opacity(nodes, 0.3)
    assert lam_opacities(nodes) == [0.3, 0.3]
    with pytest.raises(ValueError, match="between 0 and 1"):
        scene.set_lam_opacity(nodes, 1.5)


def test_clusters_replace_the_activation_map_and_back(app):
    nodes, other = results(app), results(app, "other")
    views = add_views(app, nodes.ct)
    views["Green"][1].SetBackgroundVolumeID(other.ct.GetID())
    show_in_slice_views(nodes)
    scene.set_lam_opacity(nodes, 0.7)

    def shown():
        return [composite.GetForegroundVolumeID() for _, composite in views.values()]

    assert not clusters_shown(nodes)
    assert scene.show_clusters(nodes, True) == 2
    assert shown() == [nodes.labels.GetID(), None, nodes.labels.GetID()]
    assert clusters_shown(nodes)
    assert not clusters_shown(other)
    assert lam_opacities(nodes) == [0.7, 0.7]
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)  # a second run leaves it so
    assert shown()[0] == again.labels.GetID()
    assert scene.show_clusters(again, True) == 0
    assert scene.show_clusters(again, False) == 2
    assert shown() == [nodes.lam.GetID(), None, nodes.lam.GetID()]
    assert scene.show_clusters(again, False) == 0
    again.labels.SetOrigin(0, 0, 0)
    with pytest.raises(ValueError, match="was moved"):
        scene.show_clusters(again, True)


def test_no_view_shows_the_clusters_by_default(app):
    ct = add_ct(app, small_analysis())
    views = add_views(app, ct)
    nodes = add_to_scene(small_analysis(), app.scene, ct)
    show_in_slice_views(nodes)
    for _, composite in views.values():
        assert composite.GetForegroundVolumeID() == nodes.lam.GetID()
        assert composite.GetLabelVolumeID() is None


def test_legend_is_shown_and_hidden(app):
    nodes = results(app)
    assert legend_visible(nodes)
    scene.set_legend_visible(nodes, False)
    assert not legend_visible(nodes)
    assert nodes.lam.GetDisplayNode().GetVisibility()


# --- boxes and peaks ----------------------------------------------------------------------------------------


def test_boxes_are_shown_and_hidden_by_lesion(app):
    nodes, other = results(app), results(app, "other")
    before = [box.GetDisplayNode().GetMTime() for box in other.boxes.values()]
    assert visible_boxes(nodes) == {1, 2, 3}
    scene.set_boxes_visible(nodes, True, {2, 99})
    assert visible_boxes(nodes) == {2}
    scene.set_boxes_visible(nodes, False, {2})
    assert visible_boxes(nodes) == set()
    scene.set_boxes_visible(nodes, True)
    assert visible_boxes(nodes) == {1, 2, 3}
    scene.set_boxes_visible(nodes, True, ())
    assert visible_boxes(nodes) == set()
    assert [box.GetDisplayNode().GetMTime() for box in other.boxes.values()] == before


def test_labels_of_boxes_are_shown_and_hidden(app):
    nodes = results(app)
    assert box_labels_visible(nodes) == {1, 2, 3}
    scene.set_box_labels_visible(nodes, False)
    assert box_labels_visible(nodes) == set()
    assert visible_boxes(nodes) == {1, 2, 3}


def test_peaks_are_shown_and_hidden_by_lesion(app):
    nodes = results(app)

    def shown():
        return [nodes.peaks.GetNthControlPointVisibility(index) for index in range(3)]

    assert peaks_visible(nodes)
    scene.set_peaks_visible(nodes, True, [1, 3])
    assert shown() == [True, False, True]
    scene.set_peaks_visible(nodes, False)
    assert not peaks_visible(nodes)
    scene.set_peaks_visible(nodes, True)
    assert (shown(), peaks_visible(nodes)) == ([True] * 3, True)
    assert nodes.peaks.GetLocked()


def test_a_second_run_does_not_show_what_was_hidden(app):
    nodes = results(app)
    scene.set_boxes_visible(nodes, False)
    scene.set_peaks_visible(nodes, False)
    scene.set_box_labels_visible(nodes, False)
    scene.set_legend_visible(nodes, False)
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)
    assert visible_boxes(again) == set()
    assert (peaks_visible(again), box_labels_visible(again), legend_visible(again)) == (False, set(), False)
    scene.set_boxes_visible(again, True, {1})  # a filter applies to the lesions of one run
    scene.set_peaks_visible(again, True, {1})
    third = add_to_scene(small_analysis(), app.scene, nodes.ct)
    assert visible_boxes(third) == {1, 2, 3}
    assert all(third.peaks.GetNthControlPointVisibility(index) for index in range(3))


def test_one_box_at_a_time_is_emphasized(app, loaded):
    nodes = results(app)

    def styles(nodes):
        displays = [box.GetDisplayNode() for box in nodes.boxes.values()]
        return [(one.GetOpacity(), one.GetFillVisibility(), one.GetFillOpacity()) for one in displays]

    scene.emphasize(nodes, None)
    normal = styles(nodes)
    for _ in range(3):
        scene.emphasize(nodes, 2)
        scene.emphasize(nodes, 1)
    assert emphasized(nodes) == 1
    assert [opacity for opacity, _, _ in styles(nodes)] == [1, 0.4, 0.4]
    assert [filled for _, filled, _ in styles(nodes)] == [1, 0, 0]
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    again = find_in_scene(ct)
    assert emphasized(again) == 1
    scene.emphasize(again, None)
    assert styles(again) == normal
    scene.recolor_cluster(nodes, 2, (0, 1, 0))
    assert emphasized(nodes) == 1
    scene.emphasize(nodes, 99)  # a lesion beyond the largest hundred has no box
    assert (styles(nodes), emphasized(nodes)) == (normal, None)
    scene.emphasize(nodes, 3)
    assert emphasized(add_to_scene(small_analysis(), app.scene, nodes.ct)) is None


# --- positions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "sagittal", "very oblique"])
def test_all_views_jump_to_a_lesion_without_rotation_or_zoom(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    moved = move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    views = [view for view, _ in add_views(app).values()]
    views[1].RotateToVolumePlane(ct)

    def zoom_and_rotation():
        return [(orientation(view), view.GetFieldOfView(), view.GetXYZOrigin(), view.GetDimensions()) for view in views]

    before = zoom_and_rotation()
    for lesion in analysis.lesions:
        scene.jump_to_lesion(nodes, lesion.id)
        peak = (moved @ (*lesion.peak_ras_mm, 1))[:3]
        assert max(distance(view, peak) for view in views) < 1e-3
    assert zoom_and_rotation() == before
    with pytest.raises(ValueError, match="no lesion 4"):
        scene.jump_to_lesion(nodes, 4)


@pytest.mark.parametrize("name", ["axial", "axial, head first", "coronal"])
def test_views_jump_to_a_slice_along_its_normal_only(app, name):
    nodes = results(app, matrix=GRIDS[name])
    views = {key: view for key, (view, _) in add_views(app).items()}
    scene.jump_to_lesion(nodes, 1)
    before = {key: origin(view) for key, view in views.items()}
    count = nodes.slices.GetNumberOfRows() if name != "coronal" else 64
    for index in (0, 7, count - 1):
        scene.jump_to_slice(nodes, index)
        assert scene.slice_at(nodes, origin(views["Red"])) == index
        for key in ("Green", "Yellow"):  # they cut the slices at a right angle
            assert np.allclose(origin(views[key]), before[key])
    for index in (-1, count):
        with pytest.raises(ValueError, match=f"slices 0 to {count - 1}, not {index}"):
            scene.jump_to_slice(nodes, index)


def test_views_jump_to_the_slices_of_an_oblique_ct_under_a_transform(app):
    analysis = small_analysis(matrix=GRIDS["oblique"])
    ct = add_ct(app, analysis)
    moved = move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    view = add_views(app)["Red"][0]
    view.RotateToVolumePlane(ct)
    for index in (0, 11, 23):
        scene.jump_to_slice(nodes, index)
        assert distance(view, (moved @ GRIDS["oblique"] @ (10, 20, index, 1))[:3]) < 1e-3
        assert scene.slice_at(nodes, origin(view)) == index


@pytest.mark.parametrize("name", ["axial", "axial, head first", "sagittal", "very oblique"])
def test_positions_are_found_in_slices_as_counted_by_the_analysis(app, loaded, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    move(app, ct)
    axial = analysis.ct.axial()
    (again,) = [
        node.GetNodeReference("LesionAnalysis.CT")
        for node in (add_to_scene(analysis, app.scene, ct), loaded(app))[1].tagged("lam")
    ]
    for nodes in (find_in_scene(ct), find_in_scene(again)):  # before saving, and flipped by loading
        for index in (0, 3, len(axial.array) - 1):
            for edge in (-0.49, 0, 0.49):
                ras = to_world(nodes.ct, axial.to_ras(200, -7, index + edge))  # also beside the slice
                assert scene.slice_at(nodes, ras) == index
        for outside in (-0.51, len(axial.array) - 0.49):
            assert scene.slice_at(nodes, to_world(nodes.ct, axial.to_ras(3, 4, outside))) is None


def test_reading_changes_nothing(app):
    nodes = results(app)
    add_views(app, nodes.ct)
    show_in_slice_views(nodes)
    before = snapshot(app)
    scene.clusters_in_scene(nodes), scene.read_record(nodes), scene.slice_at(nodes, (0, 0, 0)), find_in_scene(nodes.ct)
    read_analysis(nodes)
    assert snapshot(app) == before


# --- rendered views -----------------------------------------------------------------------------------------------


def test_a_slice_view_shows_the_clusters(app, drawing, tmp_path):
    analysis = small_analysis(matrix=GRIDS["axial"])
    ct = add_ct(app, analysis)
    view = SliceView(app, "Red")
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    show_in_slice_views(nodes)
    scene.show_clusters(nodes, True)
    scene.set_lam_opacity(nodes, 1.0)
    scene.set_boxes_visible(nodes, False)
    scene.set_peaks_visible(nodes, False)
    view.logic.FitSliceToBackground()
    for lesion in analysis.lesions:
        scene.jump_to_lesion(nodes, lesion.id)
        image = view.draw(tmp_path / f"{lesion.id}.png")
        color = 255 * np.array(rgb(cluster_color(lesion.cluster)))
        assert image[view.pixel(lesion.peak_ras_mm)] == pytest.approx(color, abs=3)
    outside = image[view.pixel((lesion.peak_ras_mm[0] - 16, *lesion.peak_ras_mm[1:]))]
    assert len(set(map(int, outside))) == 1  # gray: transparent outside of lesions
    view.close()


def test_a_slice_view_shows_the_emphasized_box_filled(app, drawing, tmp_path):
    analysis = small_analysis(matrix=GRIDS["axial"])
    ct = add_ct(app, analysis)
    view = SliceView(app, "Red")
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    scene.set_peaks_visible(nodes, False)
    scene.set_box_labels_visible(nodes, False)
    view.logic.FitSliceToBackground()
    scene.jump_to_lesion(nodes, 1)
    lesion = analysis.lesions[0]
    at = view.pixel((lesion.peak_ras_mm[0] - 4, lesion.peak_ras_mm[1] - 4, lesion.peak_ras_mm[2]))
    plain = view.draw()[at].astype(float)
    scene.emphasize(nodes, 1)
    tinted = view.draw(tmp_path / "emphasis.png")[at].astype(float)
    assert np.abs(tinted - (0.8 * plain + 0.2 * 255 * np.array(rgb(cluster_color(lesion.cluster))))).max() < 12
    scene.emphasize(nodes, None)
    assert np.abs(view.draw()[at] - plain).max() < 2
    view.close()
