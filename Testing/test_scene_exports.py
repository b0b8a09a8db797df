"""scene: segmentation and color volume made from the results; results added step by step."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
import vtk  # noqa: E402
from helpers_scene import (  # noqa: E402
    GRIDS,
    add_ct,
    move,
    small_analysis,
    snapshot,
)
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.scene import (  # noqa: E402
    add_to_scene,
    add_to_scene_steps,
    find_in_scene,
    make_color_volume,
    make_segmentation,
    recolor_cluster,
    remove_results,
    rename_cluster,
    set_color_map,
    set_lam_threshold,
)
from LesionAnalysisLib.scene.color_maps import color_map, rgb  # noqa: E402
from LesionAnalysisLib.scene.mrml import ijk_to_ras  # noqa: E402
from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402


def segments_of(node):
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]


def voxels_of(node, index, ct):
    """A segment on the grid of the CT, (K, J, I) bool."""
    image = slicer.vtkOrientedImageData()
    segment_id = node.GetSegmentation().GetNthSegmentID(index)
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    low_i, high_i, low_j, high_j, low_k, high_k = image.GetExtent()
    array = vtk_to_numpy(image.GetPointData().GetScalars())
    array = array.reshape(high_k - low_k + 1, high_j - low_j + 1, high_i - low_i + 1)
    whole = np.zeros(ct.GetImageData().GetDimensions()[::-1], bool)
    whole[low_k : high_k + 1, low_j : high_j + 1, low_i : high_i + 1] = array > 0
    return whole


def image_matrix(node):
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    node.GetBinaryLabelmapRepresentation(node.GetSegmentation().GetNthSegmentID(0), image)
    image.GetImageToWorldMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


# --- segmentation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "sagittal", "very oblique"])
def test_segments_are_the_lesions_on_the_grid_of_the_ct(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    node = make_segmentation(nodes, by="lesion")
    assert node.GetName() == "CTChest lesion segments"
    assert [segment.GetName() for segment in segments_of(node)] == [lesion.label for lesion in analysis.lesions]
    for index, lesion in enumerate(analysis.lesions):
        assert np.array_equal(voxels_of(node, index, ct), analysis.lesion_labels == lesion.id)
        assert segments_of(node)[index].GetColor() == pytest.approx(rgb(cluster_color(lesion.cluster)))
    assert np.allclose(image_matrix(node), GRIDS[name])
    assert node.GetTransformNodeID() == ct.GetTransformNodeID()
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is ct
    assert node.GetNodeReference("LesionAnalysis.CT") is ct
    tree = app.scene.GetSubjectHierarchyNode()
    assert tree.GetItemParent(tree.GetItemByDataNode(node)) == nodes.folder


def test_segments_by_cluster_have_its_name_and_color(app):
    analysis = replace(small_analysis(), cluster_names={1: "ground glass", 2: "consolidation", 3: "rare"})
    nodes = add_to_scene(analysis, app.scene)
    rename_cluster(nodes, 2, "Rand")
    recolor_cluster(nodes, 1, (0.0, 0.8, 0.2))
    node = make_segmentation(nodes)
    segments = segments_of(node)
    assert [segment.GetName() for segment in segments] == ["ground glass", "Rand"]  # none without a lesion
    assert segments[0].GetColor() == (0.0, 0.8, 0.2)
    assert np.array_equal(voxels_of(node, 0, nodes.ct), analysis.lesion_labels == 2)
    assert np.array_equal(voxels_of(node, 1, nodes.ct), np.isin(analysis.lesion_labels, (1, 3)))
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_segments_have_codes_that_slicer_reads(app):
    analysis = small_analysis()
    lesions = (replace(analysis.lesions[0], type="consolidation"), *analysis.lesions[1:])
    nodes = add_to_scene(replace(analysis, lesions=lesions), app.scene)
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    types = []
    for segment in segments_of(make_segmentation(nodes, by="lesion")):
        tag = vtk.mutable("")
        assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(str(tag), entry)
        codes = [
            (code.GetCodingSchemeDesignator(), code.GetCodeValue(), code.GetCodeMeaning())
            for code in (entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetRegionObject())
        ]
        assert codes[0] == ("SCT", "49755003", "Morphologically Altered Structure")
        assert codes[2] == ("SCT", "39607008", "Lung")
        assert entry.GetRegionContextName() == "Anatomic codes - DICOM master list"
        assert logic.SerializeTerminologyEntry(entry) == str(tag)
        types.append(codes[1])
    glass = ("DCM", "112120", "Ground glass opacity")
    assert types == [("SCT", "52988006", "Lesion"), glass, glass]


def test_a_second_segmentation_replaces_the_first(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    first = make_segmentation(nodes)
    count = app.scene.GetNumberOfNodes()
    second = make_segmentation(nodes, by="lesion")
    assert second is first
    assert len(segments_of(second)) == 3
    assert app.scene.GetNumberOfNodes() == count
    assert find_in_scene(nodes.ct) == nodes


def test_a_segmentation_survives_saving_and_loading(app, loaded):
    analysis = small_analysis(matrix=GRIDS["oblique"])
    ct = add_ct(app, analysis)
    move(app, ct)
    make_segmentation(add_to_scene(analysis, app.scene, ct), by="lesion")
    other = loaded(app)
    (node,) = other.tagged("segmentation")
    again = node.GetNodeReference("LesionAnalysis.CT")
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is again
    assert [segment.GetName() for segment in segments_of(node)] == [lesion.label for lesion in analysis.lesions]
    for index, lesion in enumerate(analysis.lesions):
        assert np.array_equal(voxels_of(node, index, again), analysis.lesion_labels == lesion.id)
    assert make_segmentation(find_in_scene(again)) is node


def test_what_cannot_be_segmented_is_refused(app):
    nodes = add_to_scene(replace(small_analysis(boxes=[]), warnings=()), app.scene)
    before = set(snapshot(app))
    with pytest.raises(ValueError, match="No lesions were found in case"):
        make_segmentation(nodes)
    with pytest.raises(ValueError, match="'cluster' or by 'lesion'"):
        make_segmentation(nodes, by="slice")
    changed = add_to_scene(small_analysis("changed"), app.scene)
    changed.labels.SetAndObserveImageData(None)
    with pytest.raises(ValueError, match="missing or changed"):
        make_segmentation(changed)
    assert before <= set(snapshot(app))
    assert app.tagged("segmentation") == []


# --- color volume -------------------------------------------------------------------------------------------


def rgba_of(node):
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*image.GetDimensions()[::-1], 4)


@pytest.mark.parametrize("name", ["axial", "very oblique"])
def test_the_color_volume_shows_the_lam_in_its_colors(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    set_color_map(nodes, "inferno")
    set_lam_threshold(nodes, 70)
    node = make_color_volume(nodes)
    assert (node.GetName(), node.GetClassName()) == ("CTChest LAM RGBA", "vtkMRMLVectorVolumeNode")
    assert node.GetImageData().GetScalarTypeAsString() == "unsigned char"
    rgba = rgba_of(node)
    assert np.allclose(ijk_to_ras(node), GRIDS[name])
    assert node.GetTransformNodeID() == ct.GetTransformNodeID()
    for percent, alpha in ((100, 255), (80, 204), (60, 0), (0, 0)):
        there = rgba[analysis.lam == percent]
        assert len(there)
        assert (there[:, 3] == alpha).all()
        assert np.abs(there[:, :3] - 255 * color_map("inferno", 101)[percent]).max() <= 3
    tree = app.scene.GetSubjectHierarchyNode()
    assert tree.GetItemParent(tree.GetItemByDataNode(node)) == nodes.folder


def test_a_second_color_volume_replaces_the_first(app, loaded):
    nodes = add_to_scene(small_analysis(), app.scene)
    first = make_color_volume(nodes)
    count = app.scene.GetNumberOfNodes()
    set_lam_threshold(nodes, 90)
    assert make_color_volume(nodes) is first
    assert (rgba_of(first)[..., 3] > 0).sum() == (small_analysis().lam >= 90).sum()
    assert app.scene.GetNumberOfNodes() == count
    (again,) = loaded(app).tagged("rgba")
    assert np.array_equal(rgba_of(again), rgba_of(first))
    assert again.GetVoxelVectorType() == again.VoxelVectorTypeColorRGBA


# --- outdated exports ------------------------------------------------------------------------------------


def test_a_second_run_removes_exports_of_the_first_but_of_no_other_ct(app):
    analysis = small_analysis()
    one, two = (add_to_scene(analysis, app.scene, add_ct(app, analysis, name)) for name in "ab")
    count = app.scene.GetNumberOfNodes()
    kept = [make_segmentation(two), make_color_volume(two)]
    both = app.scene.GetNumberOfNodes()
    make_segmentation(one), make_color_volume(one)
    add_to_scene(analysis, app.scene, one.ct)
    assert app.scene.GetNumberOfNodes() == both
    assert app.tagged("segmentation") + app.tagged("rgba") == kept
    remove_results(app.scene, two.ct)
    assert app.tagged("segmentation") + app.tagged("rgba") == []
    assert app.scene.GetNumberOfNodes() < count


def test_removing_results_removes_all_of_their_nodes(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    app.scene.GetSubjectHierarchyNode().CreateItem(app.scene.GetSubjectHierarchyNode().GetSceneItemID(), ct)
    before = set(snapshot(app))
    nodes = add_to_scene(analysis, app.scene, ct)
    make_segmentation(nodes), make_color_volume(nodes)
    remove_results(app.scene, ct)
    assert set(snapshot(app)) == before


def test_closing_the_scene_leaves_no_observers(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    held = [make_segmentation(nodes), make_color_volume(nodes), nodes.labels, nodes.analysis, nodes.boxes[1]]
    rename_cluster(nodes, 1, "x")
    app.scene.Clear(True)
    del nodes
    gc.collect()
    assert [node.GetReferenceCount() for node in held] == [1] * len(held)  # only this list holds them
    assert app.tagged() == []
    assert find_in_scene(add_to_scene(small_analysis(), app.scene).ct).labels is not None


# --- step by step -------------------------------------------------------------------------------------------


def test_results_are_added_step_by_step_without_batch_processing_in_between(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    steps, shares = add_to_scene_steps(analysis, app.scene, ct), []
    while True:
        try:
            share, message = next(steps)
        except StopIteration as end:
            nodes = end.value
            break
        shares.append(share)
        assert message
        assert not app.scene.IsBatchProcessing()
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert len(shares) >= 5
    assert shares[-1] < 1
    assert nodes == find_in_scene(ct)


def test_errors_are_raised_before_the_first_step(app):
    with pytest.raises(ValueError, match="give the volume node"):
        add_to_scene_steps(replace(small_analysis(), ct=None), app.scene)


@pytest.mark.parametrize("second_run", [False, True])
@pytest.mark.parametrize("count", range(1, 7))
def test_cancelled_steps_leave_no_partial_results(app, count, second_run):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    app.scene.GetSubjectHierarchyNode().CreateItem(app.scene.GetSubjectHierarchyNode().GetSceneItemID(), ct)
    before = set(snapshot(app))
    if second_run:
        make_segmentation(add_to_scene(analysis, app.scene, ct))
    steps = add_to_scene_steps(analysis, app.scene, ct)
    for _ in range(count):
        next(steps)
    steps.close()
    assert set(snapshot(app)) == before
    assert not app.scene.IsBatchProcessing()


def test_cancelled_steps_remove_the_ct_that_they_made(app):
    before = set(snapshot(app))
    steps = add_to_scene_steps(small_analysis(), app.scene)
    next(steps), next(steps)
    assert app.tagged("ct")
    steps.close()
    assert set(snapshot(app)) == before


@pytest.mark.parametrize("how", ["removed", "closed"])
def test_steps_end_when_the_ct_disappears(app, how):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    steps = add_to_scene_steps(analysis, app.scene, ct)
    next(steps), next(steps), next(steps)
    if how == "removed":
        app.scene.RemoveNode(ct)
    else:
        app.scene.Clear(True)
    with pytest.raises(RuntimeError, match="no longer in the scene"):
        next(steps)
    assert app.tagged() == []
    assert not app.scene.IsBatchProcessing()
