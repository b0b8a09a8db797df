"""scene.mrb: written, read into empty and used scenes, and rendered in slice views."""

from __future__ import annotations

import gzip
import json
import zipfile
from itertools import product

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
from helpers_scene import (  # noqa: E402
    GRIDS,
    SliceView,
    add_ct,
    box_corners,
    column,
    move,
    same_points,
    small_analysis,
    snapshot,
)
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.report import to_json  # noqa: E402
from LesionAnalysisLib.scene import add_to_scene, find_in_scene, show_in_slice_views, write_mrb  # noqa: E402
from LesionAnalysisLib.scene.mrml import ijk_to_ras, voxels  # noqa: E402


def test_a_bundle_read_into_an_empty_scene_restores_everything(app, tmp_path):
    analysis = small_analysis("Fall Ü/1", matrix=GRIDS["oblique"])
    folder = tmp_path / "Ausgabe ä"
    folder.mkdir()
    write_mrb(analysis, folder / "scene.mrb")
    assert [file.name for file in folder.iterdir()] == ["scene.mrb"]
    assert app.read(folder / "scene.mrb"), app.messages
    assert app.messages == ""
    (ct,) = app.tagged("ct")
    nodes = find_in_scene(ct)
    assert (ct.GetName(), nodes.lam.GetName()) == ("Fall Ü/1", "Fall Ü/1 LAM")
    assert np.array_equal(voxels(ct), analysis.ct.array)
    assert np.array_equal(voxels(nodes.lam), analysis.lam)
    assert np.allclose(ijk_to_ras(ct), GRIDS["oblique"], atol=1e-4)
    assert np.allclose(ijk_to_ras(nodes.lam), GRIDS["oblique"], atol=1e-4)
    assert (ct.GetDisplayNode().GetWindow(), ct.GetDisplayNode().GetLevel()) == (1500, -600)
    assert ct.GetDisplayNode().GetColorNode().GetName() == "Grey"
    assert nodes.lam.GetDisplayNode().GetColorNode() is nodes.colors
    assert nodes.lam.GetDisplayNode().GetLowerThreshold() == 1
    assert nodes.colors.GetLookupTable().GetTableValue(255) == pytest.approx((0.5, 0, 0, 1), abs=0.01)
    assert nodes.legend.GetPrimaryDisplayNode() is nodes.lam.GetDisplayNode()
    assert sorted(nodes.boxes) == [1, 2, 3]
    for lesion in analysis.lesions:
        corners = np.array([(*corner, 1) for corner in product(*zip(*lesion.box_ijk, strict=True))])
        box = nodes.boxes[lesion.id]
        assert same_points(box_corners(box), (corners @ GRIDS["oblique"].T)[:, :3])
        assert box.GetName() == lesion.label
        assert box.GetLocked()
        assert box.GetDescription().startswith("slices ")
    assert [nodes.peaks.GetNthControlPointLabel(index) for index in range(3)] == ["2", "1", "2"]
    assert np.isnan(column(nodes.slices, "probability")[0])
    assert column(nodes.slices, "lung")[:3] == [0, 0, 1]
    assert column(nodes.lesions, "name") == [lesion.label for lesion in analysis.lesions]
    assert nodes.series.GetTableNode() is nodes.slices
    assert json.loads(nodes.analysis.GetText()) == to_json(analysis)
    tree = app.scene.GetSubjectHierarchyNode()
    assert tree.GetItemName(nodes.folder) == "Fall Ü/1 lesion analysis"
    assert tree.GetItemParent(tree.GetItemByDataNode(nodes.boxes[3])) == nodes.folder
    assert tree.GetItemOwnerPluginName(nodes.folder) == "Folder"


def test_a_bundle_opens_with_the_largest_lesion_in_all_views(app, tmp_path):
    analysis = small_analysis()
    write_mrb(analysis, tmp_path / "scene.mrb")
    logic = slicer.vtkMRMLSliceLogic()  # a view of the running Slicer: the loaded one is copied onto it
    logic.SetMRMLApplicationLogic(app.logic)
    logic.SetMRMLScene(app.scene)
    red = logic.AddSliceNode("Red")
    logic.ResizeSliceNode(700, 400)
    app.read(tmp_path / "scene.mrb")
    (ct,) = app.tagged("ct")
    for name, axis, position in (("Red", 2, -76), ("Green", 1, 11), ("Yellow", 0, 31)):
        composite = app.scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == ct.GetID()
        assert composite.GetForegroundVolumeID() == find_in_scene(ct).lam.GetID()
        assert 0.4 <= composite.GetForegroundOpacity() <= 0.5
        view = app.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        assert view.GetSliceToRAS().GetElement(axis, 3) == pytest.approx(position)
        assert abs(view.GetSliceToRAS().GetElement(axis, 2)) == pytest.approx(1)
    assert (red.GetOrientation(), red.GetLayoutLabel()) == ("Axial", "R")
    assert red.GetDimensions()[:2] == (700, 400)
    assert red.GetFieldOfView()[:2] == pytest.approx((128 * 700 / 400, 128))
    plot = app.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode")
    assert plot.GetPlotChartNode() is find_in_scene(ct).chart
    table = app.scene.GetSingletonNode("TableView1", "vtkMRMLTableViewNode")
    assert table.GetTableNode() is find_in_scene(ct).lesions
    layout = app.scene.GetSingletonNode("vtkMRMLLayoutNode", "vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpPlotTableView


def test_a_bundle_added_to_a_scene_with_other_results_stays_separate(app, tmp_path):
    other = small_analysis(boxes=[((30, 20, 4), (40, 30, 9))])
    mine = add_ct(app, other, "mine")
    kept = add_to_scene(other, app.scene, mine)
    write_mrb(small_analysis(), tmp_path / "scene.mrb")
    assert app.read(tmp_path / "scene.mrb", clear=False), app.messages
    (loaded,) = app.tagged("ct")
    assert len(find_in_scene(loaded).boxes) == 3
    assert find_in_scene(loaded).lam is not kept.lam
    assert find_in_scene(loaded).lam.GetDisplayNode().GetColorNode() is find_in_scene(loaded).colors
    assert find_in_scene(mine).boxes == kept.boxes
    count = app.scene.GetNumberOfNodes()
    add_to_scene(small_analysis(), app.scene, loaded)
    assert len(app.tagged("box")) == 4
    assert app.scene.GetNumberOfNodes() == count - 3  # the boxes' storage nodes, which come back on saving


def test_writing_a_bundle_does_not_change_the_scene_of_the_user(app, tmp_path, monkeypatch):
    monkeypatch.setattr(slicer, "mrmlScene", app.scene, raising=False)
    add_to_scene(small_analysis())
    before, changed = snapshot(app), app.scene.GetMTime()
    write_mrb(small_analysis("another"), tmp_path / "scene.mrb")
    assert snapshot(app) == before
    assert app.scene.GetMTime() == changed


def test_a_bundle_holds_compressed_voxels_under_plain_names(tmp_path):
    write_mrb(small_analysis("photo", calibrated=False), tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        assert bundle.testzip() is None
        names = bundle.namelist()
        assert "scene/scene.mrml" in names
        assert all(name.startswith("scene/") for name in names)
        header, voxels_ = bundle.read("scene/Data/photo.nrrd").split(b"\n\n", 1)
        assert b"encoding: gzip" in header
        assert np.array_equal(
            np.frombuffer(gzip.decompress(voxels_), np.uint8),
            small_analysis(calibrated=False).ct.array.ravel(),
        )


def test_a_bundle_that_fails_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "scene.mrb"
    target.write_bytes(b"old")
    monkeypatch.setattr(zipfile.ZipFile, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_mrb(small_analysis(), target)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["scene.mrb"]


# --- rendered views -----------------------------------------------------------------------------------------------


def near(image, at, color, reach=4):
    """Whether a pixel within ``reach`` of ``at`` has this color."""
    row, column_ = at
    patch = image[row - reach : row + reach + 1, column_ - reach : column_ + reach + 1].astype(int)
    return (np.abs(patch - color).max(axis=2) <= 24).any()


def has_legend(image):
    """Whether the right margin shows Jet, from blue over yellow to red."""
    strip = image[:, 400:].reshape(-1, 3).astype(int)
    colors = ((0, 0, 255), (255, 255, 0), (255, 0, 0))
    return all((np.abs(strip - color).max(axis=1) < 24).any() for color in colors)


def test_a_slice_view_shows_ct_lam_and_box(app, drawing, tmp_path):
    analysis = small_analysis()
    write_mrb(analysis, tmp_path / "scene.mrb")
    view = SliceView(app, "Red")
    app.read(tmp_path / "scene.mrb")
    image = view.draw(tmp_path / "axial.png")
    lesion = analysis.lesions[0]
    level = lesion.peak_ras_mm[2]
    # Lung at -800 HU in the lung window, soft tissue at 40 HU.
    assert image[view.pixel((31.0, -31.0, level))] == pytest.approx((93, 93, 93), abs=3)
    assert image[view.pixel((-1.0, 20.0, level))] == pytest.approx((236, 236, 236), abs=3)
    # Lesion at -550 HU (gray 136) under 100 percent of LAM (Jet's dark red), 45 percent opaque.
    at = view.pixel((lesion.peak_ras_mm[0] - 6, lesion.peak_ras_mm[1] - 8, level))
    assert image[at] == pytest.approx((0.55 * 136 + 0.45 * 128, 0.55 * 136, 0.55 * 136), abs=4)
    # The patient's right is on the left; all four edges of the box have the cluster's color.
    (left, back, _), (right, front, _) = lesion.box_ras_mm
    assert view.pixel((right, front, level))[1] < 256
    color = np.array(list(bytes.fromhex(cluster_color(lesion.cluster)[1:])))
    middle_r, middle_a = (left + right) / 2 + 4, (back + front) / 2 + 4
    for edge in ((left, middle_a), (right, middle_a), (middle_r, back), (middle_r, front)):
        assert near(image, view.pixel((*edge, level)), color)
    assert not near(image, view.pixel((middle_r + 4, middle_a + 4, level)), color)
    # The label of the peak is white on the lesion.
    assert near(image, view.pixel(lesion.peak_ras_mm), (255, 255, 255), reach=14)
    assert has_legend(image)
    view.close()


def test_a_slice_view_shows_an_oblique_ct_under_a_transform(app, drawing, tmp_path):
    analysis = small_analysis(matrix=GRIDS["oblique"])
    ct = add_ct(app, analysis)
    moved = move(app, ct, (0, 0, 15), (10, 20, -30))
    view = SliceView(app, "Red")
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    assert show_in_slice_views(nodes) == 1
    view.logic.FitSliceToBackground()
    lesion = analysis.lesions[0]
    peak = (moved @ (*lesion.peak_ras_mm, 1))[:3]
    view.logic.SetSliceOffset(float(peak[2]))
    image = view.draw(tmp_path / "oblique.png")
    red, green, blue = image[view.pixel(tuple(peak + (4, 0, 0)))].astype(int)
    assert red - green > 40
    assert abs(green - blue) < 8
    color = np.array(list(bytes.fromhex(cluster_color(lesion.cluster)[1:])))
    drawn = np.argwhere(np.abs(image.astype(int) - color).max(axis=2) <= 24)
    # The outline is a rotated rectangle: its center is the peak's pixel, except for the tilt of the slice.
    middle = (drawn.min(axis=0) + drawn.max(axis=0)) / 2
    assert np.abs(middle - view.pixel(tuple(peak))).max() < 12
    assert has_legend(image)
    view.close()


def test_a_slice_view_shows_uncalibrated_images_upright(app, drawing, tmp_path):
    analysis = small_analysis("photo", calibrated=False)
    write_mrb(analysis, tmp_path / "scene.mrb")
    view = SliceView(app, "Red", (384, 384))
    app.read(tmp_path / "scene.mrb")
    image = view.draw(tmp_path / "photo.png")
    array = analysis.ct.array[analysis.lesions[0].first_slice]
    # Pixel (row 30, column 50) of the image has no lesion: same gray, same place on the screen.
    at = view.pixel(tuple(analysis.ct.ijk_to_ras[:3] @ (50, 30, 8, 1)))
    assert at == pytest.approx((30.5 * 6, 50.5 * 6), abs=4)
    assert image[at] == pytest.approx([array[30, 50]] * 3, abs=3)
    view.close()
