"""scene: what is shown and where, set and read by functions, in views of one or of several CTs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
from helpers_scene import (  # noqa: E402
    GRIDS,
    SliceView,
    add_ct,
    add_views,
    move,
    small_analysis,
    snapshot,
)
from LesionAnalysisLib import scene as room  # noqa: E402
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.scene import add_to_scene, find_in_scene, show_in_slice_views  # noqa: E402
from LesionAnalysisLib.scene.color_maps import color_map, rgb  # noqa: E402
from LesionAnalysisLib.scene.mrml import to_world  # noqa: E402


def results(app, name="CTChest", **options):
    analysis = small_analysis(**options)
    return add_to_scene(analysis, app.scene, add_ct(app, analysis, name))


def origin(view):
    return np.array([view.GetSliceToRAS().GetElement(row, 3) for row in range(3)])


def turn(view):
    return [view.GetSliceToRAS().GetElement(row, column) for row in range(3) for column in range(3)]


def distance(view, point):
    """How far a point lies from the plane of a slice view, in mm."""
    normal = np.array([view.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
    return abs(normal @ (np.asarray(point) - origin(view)))


# --- the map ------------------------------------------------------------------------------------------------


def test_color_map_is_set_saved_and_kept_by_a_second_run(app, loaded):
    nodes = results(app)
    assert room.color_map_of(nodes) == "jet"
    room.set_color_map(nodes, "viridis")
    assert room.color_map_of(nodes) == "viridis"
    assert nodes.colors.GetLookupTable().GetTableValue(255)[:3] == pytest.approx(color_map("viridis")[-1])
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    assert room.color_map_of(find_in_scene(ct)) == "viridis"
    assert room.color_map_of(add_to_scene(small_analysis(), app.scene, nodes.ct)) == "viridis"
    assert room.color_map_of(add_to_scene(small_analysis(), app.scene, nodes.ct, color_map="inferno")) == "inferno"
    with pytest.raises(ValueError, match="jet, viridis, inferno"):
        room.set_color_map(nodes, "rainbow")


def test_threshold_is_set_saved_and_kept_by_a_second_run(app, loaded):
    nodes = results(app)
    assert room.lam_threshold(nodes) == 1
    room.set_lam_threshold(nodes, 35)
    assert room.lam_threshold(nodes) == 35
    display = nodes.lam.GetDisplayNode()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold(), display.GetApplyThreshold()) == (35, 100, 1)
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    assert room.lam_threshold(find_in_scene(ct)) == 35
    assert room.lam_threshold(add_to_scene(small_analysis(), app.scene, nodes.ct)) == 35
    room.set_lam_threshold(nodes, 0)  # 0 percent itself is never shown
    assert display.GetLowerThreshold() == 1
    for percent in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 100"):
            room.set_lam_threshold(nodes, percent)


def test_opacity_changes_in_views_of_this_lam_only(app):
    nodes, other = results(app), results(app, "other")
    views = add_views(app, nodes.ct)
    views["Green"][1].SetBackgroundVolumeID(other.ct.GetID())
    assert room.lam_opacity(nodes) is None
    show_in_slice_views(nodes), show_in_slice_views(other)
    room.set_lam_opacity(nodes, 0.8)
    assert [composite.GetForegroundOpacity() for _, composite in views.values()] == [0.8, room.LAM_OPACITY, 0.8]
    assert (room.lam_opacity(nodes), room.lam_opacity(other)) == (0.8, room.LAM_OPACITY)
    room.show_clusters(nodes, True)
    room.set_lam_opacity(nodes, 0.3)
    assert room.lam_opacity(nodes) == views["Red"][1].GetForegroundOpacity() == 0.3
    with pytest.raises(ValueError, match="between 0 and 1"):
        room.set_lam_opacity(nodes, 1.5)


def test_clusters_take_the_place_of_the_heat_and_give_it_back(app):
    nodes, other = results(app), results(app, "other")
    views = add_views(app, nodes.ct)
    views["Green"][1].SetBackgroundVolumeID(other.ct.GetID())
    show_in_slice_views(nodes)
    room.set_lam_opacity(nodes, 0.7)

    def shown():
        return [composite.GetForegroundVolumeID() for _, composite in views.values()]

    assert not room.clusters_shown(nodes)
    assert room.show_clusters(nodes, True) == 2
    assert shown() == [nodes.labels.GetID(), None, nodes.labels.GetID()]
    assert room.clusters_shown(nodes)
    assert not room.clusters_shown(other)
    assert room.lam_opacity(nodes) == 0.7
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)  # a second run leaves it so
    assert shown()[0] == again.labels.GetID()
    assert room.show_clusters(again, True) == 0
    assert room.show_clusters(again, False) == 2
    assert shown() == [nodes.lam.GetID(), None, nodes.lam.GetID()]
    assert room.show_clusters(again, False) == 0
    with pytest.raises(ValueError, match="earlier version"):
        room.show_clusters(replace(again, labels=None, label_colors=None), True)


def test_no_view_shows_the_clusters_unasked(app):
    ct = add_ct(app, small_analysis())
    views = add_views(app, ct)
    nodes = add_to_scene(small_analysis(), app.scene, ct)
    show_in_slice_views(nodes)
    for _, composite in views.values():
        assert composite.GetForegroundVolumeID() == nodes.lam.GetID()
        assert composite.GetLabelVolumeID() is None


def test_legend_is_shown_and_hidden(app):
    nodes = results(app)
    assert room.legend_visible(nodes)
    room.set_legend_visible(nodes, False)
    assert not room.legend_visible(nodes)
    assert not nodes.legend.GetVisibility()
    assert nodes.lam.GetDisplayNode().GetVisibility()


# --- boxes and peaks ----------------------------------------------------------------------------------------


def test_boxes_follow_the_filter_of_the_table(app):
    nodes, other = results(app), results(app, "other")
    before = [box.GetDisplayNode().GetMTime() for box in other.boxes.values()]
    assert room.visible_boxes(nodes) == {1, 2, 3}
    room.set_boxes_visible(nodes, True, {2, 99})
    assert room.visible_boxes(nodes) == {2}
    room.set_boxes_visible(nodes, False, {2})
    assert room.visible_boxes(nodes) == set()
    room.set_boxes_visible(nodes, True)
    assert room.visible_boxes(nodes) == {1, 2, 3}
    room.set_boxes_visible(nodes, True, ())
    assert room.visible_boxes(nodes) == set()
    assert [box.GetDisplayNode().GetMTime() for box in other.boxes.values()] == before


def test_labels_of_boxes_are_shown_and_hidden(app):
    nodes = results(app)
    assert room.box_labels_visible(nodes)
    room.set_box_labels_visible(nodes, False)
    assert not room.box_labels_visible(nodes)
    assert not any(box.GetDisplayNode().GetPropertiesLabelVisibility() for box in nodes.boxes.values())
    assert room.visible_boxes(nodes) == {1, 2, 3}


def test_peaks_follow_the_filter_of_the_table(app):
    nodes = results(app)

    def shown():
        return [nodes.peaks.GetNthControlPointVisibility(index) for index in range(3)]

    assert room.peaks_visible(nodes)
    room.set_peaks_visible(nodes, True, [1, 3])
    assert shown() == [True, False, True]
    room.set_peaks_visible(nodes, False)
    assert not room.peaks_visible(nodes)
    room.set_peaks_visible(nodes, True)
    assert (shown(), room.peaks_visible(nodes)) == ([True] * 3, True)
    assert nodes.peaks.GetLocked()


def test_second_run_does_not_bring_back_what_was_hidden(app):
    nodes = results(app)
    room.set_boxes_visible(nodes, False)
    room.set_peaks_visible(nodes, False)
    room.set_box_labels_visible(nodes, False)
    room.set_legend_visible(nodes, False)
    again = add_to_scene(small_analysis(), app.scene, nodes.ct)
    assert room.visible_boxes(again) == set()
    shown = (room.peaks_visible(again), room.box_labels_visible(again), room.legend_visible(again))
    assert shown == (False, False, False)
    room.set_boxes_visible(again, True, {1})  # a filter is for the lesions of one run
    room.set_peaks_visible(again, True, {1})
    third = add_to_scene(small_analysis(), app.scene, nodes.ct)
    assert room.visible_boxes(third) == {1, 2, 3}
    assert all(third.peaks.GetNthControlPointVisibility(index) for index in range(3))


def test_one_box_stands_out_and_nothing_adds_up(app, loaded):
    nodes = results(app)

    def looks(nodes):
        displays = [box.GetDisplayNode() for box in nodes.boxes.values()]
        return [(one.GetOpacity(), one.GetFillVisibility(), one.GetFillOpacity()) for one in displays]

    room.emphasize(nodes, None)
    normal = looks(nodes)
    for _ in range(3):
        room.emphasize(nodes, 2)
        room.emphasize(nodes, 1)
    assert room.emphasized(nodes) == 1
    assert [opacity for opacity, _, _ in looks(nodes)] == [1, 0.4, 0.4]
    assert [filled for _, filled, _ in looks(nodes)] == [1, 0, 0]
    (ct,) = [node.GetNodeReference("LesionAnalysis.CT") for node in loaded(app).tagged("lam")]
    again = find_in_scene(ct)
    assert room.emphasized(again) == 1
    room.emphasize(again, None)
    assert looks(again) == normal
    room.recolor_cluster(nodes, 2, (0, 1, 0))
    assert room.emphasized(nodes) == 1
    room.emphasize(nodes, 99)  # a lesion beyond the largest hundred has no box
    assert (looks(nodes), room.emphasized(nodes)) == (normal, None)
    room.emphasize(nodes, 3)
    assert room.emphasized(add_to_scene(small_analysis(), app.scene, nodes.ct)) is None


# --- places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "sagittal", "very oblique"])
def test_all_views_jump_to_a_lesion_without_turning_or_zooming(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    moved = move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    views = [view for view, _ in add_views(app).values()]
    views[1].RotateToVolumePlane(ct)
    before = [(turn(view), view.GetFieldOfView(), view.GetXYZOrigin(), view.GetDimensions()) for view in views]
    for lesion in analysis.lesions:
        room.jump_to_lesion(nodes, lesion.id)
        peak = (moved @ (*lesion.peak_ras_mm, 1))[:3]
        assert max(distance(view, peak) for view in views) < 1e-3
    assert before == [(turn(view), view.GetFieldOfView(), view.GetXYZOrigin(), view.GetDimensions()) for view in views]
    with pytest.raises(ValueError, match="no lesion 4"):
        room.jump_to_lesion(nodes, 4)


@pytest.mark.parametrize("name", ["axial", "axial, head first", "coronal"])
def test_views_jump_to_a_slice_as_far_as_it_asks(app, name):
    nodes = results(app, matrix=GRIDS[name])
    views = {key: view for key, (view, _) in add_views(app).items()}
    room.jump_to_lesion(nodes, 1)
    before = {key: origin(view) for key, view in views.items()}
    count = nodes.slices.GetNumberOfRows() if name != "coronal" else 64
    for index in (0, 7, count - 1):
        room.jump_to_slice(nodes, index)
        assert room.slice_at(nodes, origin(views["Red"])) == index
        for key in ("Green", "Yellow"):  # they cut the slices at a right angle
            assert np.allclose(origin(views[key]), before[key])
    for index in (-1, count):
        with pytest.raises(ValueError, match=f"slices 0 to {count - 1}, not {index}"):
            room.jump_to_slice(nodes, index)


def test_an_oblique_ct_under_a_transform_is_met_slice_by_slice(app):
    analysis = small_analysis(matrix=GRIDS["oblique"])
    ct = add_ct(app, analysis)
    moved = move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    view = add_views(app)["Red"][0]
    view.RotateToVolumePlane(ct)
    for index in (0, 11, 23):
        room.jump_to_slice(nodes, index)
        assert distance(view, (moved @ GRIDS["oblique"] @ (10, 20, index, 1))[:3]) < 1e-3
        assert room.slice_at(nodes, origin(view)) == index


@pytest.mark.parametrize("name", ["axial", "axial, head first", "sagittal", "very oblique"])
def test_a_position_lies_in_the_slice_that_the_analysis_counted(app, loaded, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    move(app, ct)
    axial = analysis.ct.axial()
    (again,) = [
        node.GetNodeReference("LesionAnalysis.CT")
        for node in (add_to_scene(analysis, app.scene, ct), loaded(app))[1].tagged("lam")
    ]
    for nodes in (find_in_scene(ct), find_in_scene(again)):  # as it was, and turned round by loading
        for index in (0, 3, len(axial.array) - 1):
            for edge in (-0.49, 0, 0.49):
                ras = to_world(nodes.ct, axial.to_ras(200, -7, index + edge))  # beside the slice counts, too
                assert room.slice_at(nodes, ras) == index
        for outside in (-0.51, len(axial.array) - 0.49):
            assert room.slice_at(nodes, to_world(nodes.ct, axial.to_ras(3, 4, outside))) is None


def test_looking_changes_nothing(app):
    nodes = results(app)
    add_views(app, nodes.ct)
    show_in_slice_views(nodes)
    before = snapshot(app)
    for ask in ("color_map_of", "lam_threshold", "lam_opacity", "legend_visible", "clusters_shown", "visible_boxes"):
        getattr(room, ask)(nodes)
    for ask in ("box_labels_visible", "peaks_visible", "emphasized", "clusters_in_scene", "read_record"):
        getattr(room, ask)(nodes)
    room.slice_at(nodes, (0, 0, 0))
    assert snapshot(app) == before


# --- pictures -----------------------------------------------------------------------------------------------


def test_slice_view_draws_the_clusters(app, drawing, tmp_path):
    analysis = small_analysis(matrix=GRIDS["axial"])
    ct = add_ct(app, analysis)
    view = SliceView(app, "Red")
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    show_in_slice_views(nodes)
    room.show_clusters(nodes, True)
    room.set_lam_opacity(nodes, 1.0)
    room.set_boxes_visible(nodes, False)
    room.set_peaks_visible(nodes, False)
    view.logic.FitSliceToBackground()
    for lesion in analysis.lesions:
        room.jump_to_lesion(nodes, lesion.id)
        picture = view.draw(tmp_path / f"{lesion.id}.png")
        color = 255 * np.array(rgb(cluster_color(lesion.cluster)))
        assert picture[view.pixel(lesion.peak_ras_mm)] == pytest.approx(color, abs=3)
    outside = picture[view.pixel((lesion.peak_ras_mm[0] - 16, *lesion.peak_ras_mm[1:]))]
    assert len(set(map(int, outside))) == 1  # gray: no lesion is transparent
    view.close()


def test_slice_view_draws_the_emphasized_box_filled(app, drawing, tmp_path):
    analysis = small_analysis(matrix=GRIDS["axial"])
    ct = add_ct(app, analysis)
    view = SliceView(app, "Red")
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    room.set_peaks_visible(nodes, False)
    room.set_box_labels_visible(nodes, False)
    view.logic.FitSliceToBackground()
    room.jump_to_lesion(nodes, 1)
    lesion = analysis.lesions[0]
    at = view.pixel((lesion.peak_ras_mm[0] - 4, lesion.peak_ras_mm[1] - 4, lesion.peak_ras_mm[2]))
    plain = view.draw()[at].astype(float)
    room.emphasize(nodes, 1)
    tinted = view.draw(tmp_path / "emphasis.png")[at].astype(float)
    assert np.abs(tinted - (0.8 * plain + 0.2 * 255 * np.array(rgb(cluster_color(lesion.cluster))))).max() < 12
    room.emphasize(nodes, None)
    assert np.abs(view.draw()[at] - plain).max() < 2
    view.close()
