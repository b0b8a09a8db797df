"""scene: a second run, two CTs, the data tree, errors; nothing of the user is touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
from helpers_scene import (  # noqa: E402
    add_ct,
    column,
    small_analysis,
    snapshot,
)
from LesionAnalysisLib.scene import (  # noqa: E402
    add_to_scene,
    find_in_scene,
    remove_results,
    show_in_slice_views,
)
from LesionAnalysisLib.scene import boxes as boxes_module  # noqa: E402
from LesionAnalysisLib.scene.mrml import voxels  # noqa: E402


def test_results_are_in_one_folder_under_the_study_of_the_ct(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    tree = app.scene.GetSubjectHierarchyNode()
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    study = tree.CreateStudyItem(patient, "study")
    tree.CreateItem(study, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    assert tree.GetItemParent(nodes.folder) == study
    assert tree.GetItemName(nodes.folder) == "CTChest lesion analysis"
    assert tree.GetItemAttribute(nodes.folder, "LesionAnalysis.Role") == "folder"
    for node in app.tagged():
        if node is not nodes.legend:  # part of the LAM, not an item
            assert tree.GetItemParent(tree.GetItemByDataNode(node)) == nodes.folder


def test_the_folder_stays_where_the_user_moved_it(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    nodes = add_to_scene(analysis, app.scene, ct)
    tree = app.scene.GetSubjectHierarchyNode()
    mine = tree.CreateFolderItem(tree.GetSceneItemID(), "mine")
    tree.SetItemParent(nodes.folder, mine)
    again = add_to_scene(analysis, app.scene, ct)
    assert again.folder == nodes.folder
    assert tree.GetItemParent(again.folder) == mine


def test_removing_results_keeps_what_the_user_put_into_the_folder(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    before = set(snapshot(app))
    nodes = add_to_scene(analysis, app.scene, ct)
    tree = app.scene.GetSubjectHierarchyNode()
    note = app.scene.AddNewNodeByClass("vtkMRMLTextNode", "my note")
    tree.CreateItem(nodes.folder, note)
    remove_results(app.scene, ct)
    assert tree.GetItemParent(tree.GetItemByDataNode(note)) == nodes.folder
    tree.RemoveItem(nodes.folder)
    add_to_scene(analysis, app.scene, ct)
    remove_results(app.scene, ct)
    assert set(snapshot(app)) == before


# --- the second run -----------------------------------------------------------------------------------------


def test_a_second_run_replaces_the_nodes_of_the_first(app):
    ct = add_ct(app, small_analysis())
    first = add_to_scene(small_analysis(), app.scene, ct)
    view = app.scene.AddNewNodeByClass("vtkMRMLPlotViewNode", "view")
    view.SetPlotChartNodeID(first.chart.GetID())
    count = app.scene.GetNumberOfNodes()
    fewer = replace(small_analysis(boxes=[((30, 20, 4), (40, 30, 9))]), warnings=())
    second = add_to_scene(fewer, app.scene, ct)
    assert [box.GetName() for box in app.tagged("box")] == ["L01 GGO 0.91"]
    assert np.array_equal(voxels(second.lam), fewer.lam)
    assert column(second.lesions, "first_slice") == [4]
    assert second.peaks.GetNumberOfControlPoints() == 1
    assert app.tagged("warnings") == []
    # Two boxes with their display nodes and the warnings are removed, all else is unchanged.
    assert app.scene.GetNumberOfNodes() == count - 5
    assert view.GetPlotChartNode() is second.chart


def test_many_runs_do_not_accumulate_nodes(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    add_to_scene(analysis, app.scene, ct)
    count = app.scene.GetNumberOfNodes()
    for _ in range(4):
        add_to_scene(analysis, app.scene, ct)
    assert app.scene.GetNumberOfNodes() == count


def test_two_cts_keep_their_own_results(app):
    first, second = small_analysis(), small_analysis(boxes=[((30, 20, 4), (40, 30, 9))])
    one, two = add_ct(app, first, "one"), add_ct(app, second, "two")
    kept = add_to_scene(first, app.scene, one)
    add_to_scene(second, app.scene, two)
    results = [kept.lam, kept.lesions, kept.peaks, *kept.boxes.values()]
    before = [node.GetMTime() for node in results]
    again = add_to_scene(second, app.scene, two)
    assert before == [node.GetMTime() for node in results]
    assert again.folder != kept.folder
    remove_results(app.scene, two)
    assert len(app.tagged("box")) == 3
    assert find_in_scene(one) == kept
    assert find_in_scene(two) is None


def test_nothing_of_the_user_is_touched(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    ct.GetDisplayNode().SetAutoWindowLevel(False)
    ct.GetDisplayNode().SetWindowLevel(350, 40)
    tree = app.scene.GetSubjectHierarchyNode()
    tree.CreateItem(tree.GetSceneItemID(), ct)
    mine = app.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "L01 GGO 0.91")
    mine.SetSize(1, 2, 3)
    mine.CreateDefaultDisplayNodes()
    app.scene.AddNewNodeByClass("vtkMRMLTableNode", "CTChest slices")
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetLayoutName("Red")
    composite = app.scene.AddNode(composite)
    composite.SetBackgroundVolumeID(ct.GetID())
    before = snapshot(app)
    tree_id = tree.GetID()
    for _ in range(2):
        add_to_scene(analysis, app.scene, ct)
    after = snapshot(app)
    assert {id_ for id_ in before if before[id_] != after.get(id_)} <= {tree_id}
    assert composite.GetForegroundVolumeID() is None


def test_a_copy_that_the_user_made_of_a_result_is_kept(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    nodes = add_to_scene(analysis, app.scene, ct)
    copy = slicer.vtkSlicerVolumesLogic.CloneVolume(app.scene, nodes.lam, "my LAM")
    assert copy.GetAttribute("LesionAnalysis.Role") == "lam"
    again = add_to_scene(analysis, app.scene, ct)
    assert again.lam is nodes.lam
    remove_results(app.scene, ct)
    assert app.scene.IsNodePresent(copy)


def test_results_are_added_in_one_batch(app):
    events = []
    for name in ("StartBatchProcessEvent", "EndBatchProcessEvent", "NodeAddedEvent"):
        event = getattr(app.scene, name)
        app.scene.AddObserver(event, lambda *_, name=name: events.append(name))
    add_to_scene(small_analysis(), app.scene)
    assert events[0] == "StartBatchProcessEvent"
    assert events[-1] == "EndBatchProcessEvent"
    assert events.count("StartBatchProcessEvent") == 1


def test_undo_never_removes_part_of_an_analysis(app):
    for name in ("vtkMRMLMarkupsROINode", "vtkMRMLMarkupsFiducialNode", "vtkMRMLTableNode"):
        default = getattr(slicer, name)()
        default.SetUndoEnabled(True)
        app.scene.AddDefaultNode(default)
    app.scene.SetUndoOn()
    mine = app.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "mine")
    mine.SetSize(1, 1, 1)
    app.scene.SaveStateForUndo()
    mine.SetSize(2, 2, 2)
    analysis = small_analysis()
    nodes = add_to_scene(analysis, app.scene)
    steps = app.scene.GetNumberOfUndoLevels()
    add_to_scene(analysis, app.scene)
    assert app.scene.GetNumberOfUndoLevels() == steps
    app.scene.Undo()
    assert mine.GetSize() == (1, 1, 1)
    assert len(find_in_scene(nodes.ct).boxes) == 3
    app.scene.Redo()
    assert len(find_in_scene(nodes.ct).boxes) == 3


def test_views_of_other_volumes_are_not_changed(app):
    analysis = small_analysis()
    ct, other = add_ct(app, analysis), add_ct(app, analysis, "other")
    composites = []
    for name, volume in (("Red", ct), ("Green", other)):
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetLayoutName(name)
        composites.append(app.scene.AddNode(composite))
        composites[-1].SetBackgroundVolumeID(volume.GetID())
    nodes = add_to_scene(analysis, app.scene, ct)
    assert show_in_slice_views(nodes) == 1
    assert [one.GetForegroundVolumeID() for one in composites] == [nodes.lam.GetID(), None]
    assert add_to_scene(analysis, app.scene, ct).lam.GetID() == composites[0].GetForegroundVolumeID()


# --- errors -----------------------------------------------------------------------------------------------


def test_another_volume_is_refused(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    before = set(snapshot(app))
    ct.SetOrigin(0, 0, 0)
    with pytest.raises(ValueError, match="not the volume that was analyzed"):
        add_to_scene(analysis, app.scene, ct)
    with pytest.raises(ValueError, match="not the volume that was analyzed"):
        add_to_scene(analysis, app.scene, app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    with pytest.raises(ValueError, match="give the volume node"):
        add_to_scene(replace(analysis, ct=None), app.scene)
    with pytest.raises(ValueError, match="jet, viridis, inferno"):
        add_to_scene(analysis, app.scene, color_map="rainbow")
    assert app.tagged() == []
    assert before <= set(snapshot(app))


def test_an_error_leaves_no_partial_results(app, monkeypatch):
    before = set(snapshot(app))

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(boxes_module, "_make_box", fail)
    with pytest.raises(RuntimeError, match="no"):
        add_to_scene(small_analysis(), app.scene)
    assert set(snapshot(app)) == before
    assert not app.scene.IsBatchProcessing()


def test_a_missing_scene_is_an_error(monkeypatch):
    monkeypatch.setattr(slicer, "mrmlScene", None, raising=False)
    with pytest.raises(RuntimeError, match="no MRML scene"):
        add_to_scene(small_analysis())


def test_slicers_own_scene_is_the_default(app, monkeypatch):
    monkeypatch.setattr(slicer, "mrmlScene", app.scene, raising=False)
    assert add_to_scene(small_analysis()).lam.GetScene() is app.scene
