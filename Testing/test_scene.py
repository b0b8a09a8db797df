"""scene: Analysis -> MRML nodes, with the real classes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="the MRML classes (slicer-core) are not installed")
import vtk  # noqa: E402
from helpers_scene import (  # noqa: E402
    GRIDS,
    add_ct,
    box_corners,
    column,
    grid,
    move,
    same_points,
    small_analysis,
)
from LesionAnalysisLib.colors import cluster_color  # noqa: E402
from LesionAnalysisLib.report import to_json  # noqa: E402
from LesionAnalysisLib.scene import (  # noqa: E402
    add_to_scene,
    ct_from_node,
    write_mrb,
)
from LesionAnalysisLib.scene.boxes import place_box  # noqa: E402
from LesionAnalysisLib.scene.mrml import ijk_to_ras, voxels  # noqa: E402
from LesionAnalysisLib.volume import CtVolume  # noqa: E402

LIBRARY = Path(__file__).parents[1] / "LesionAnalysis"


def test_the_scene_holds_every_result_under_its_name(app):
    analysis = small_analysis()
    ct = add_ct(app, analysis)
    nodes = add_to_scene(analysis, app.scene, ct)
    names = {node.GetAttribute("LesionAnalysis.Role"): node.GetName() for node in app.tagged()}
    assert names == {
        "lam": "CTChest LAM",
        "colors": "CTChest LAM colors",
        "labels": "CTChest lesion map",
        "label_colors": "CTChest lesion colors",
        "legend": "CTChest LAM legend",
        "peaks": "CTChest peaks",
        "slices": "CTChest slices",
        "lesions": "CTChest lesions",
        "chart": "CTChest chart",
        "series": "CTChest probability",
        "analysis": "CTChest analysis",
        "warnings": "CTChest warnings",
        "box": "L03 GGO 0.91",
    }
    assert [box.GetName() for box in nodes.boxes.values()] == ["L01 GGO 0.91", "L02 GGO 0.91", "L03 GGO 0.91"]
    assert all(node.GetNodeReference("LesionAnalysis.CT") is ct for node in app.tagged())
    assert json.loads(nodes.analysis.GetText()) == to_json(analysis)
    assert nodes.notes == ("Made for tests, not a CT.",)
    assert ct.GetAttribute("LesionAnalysis.Role") is None


def test_without_a_ct_node_one_is_made_in_a_lung_window(app):
    nodes = add_to_scene(small_analysis("case 7"), app.scene)
    display = nodes.ct.GetDisplayNode()
    assert (nodes.ct.GetName(), nodes.lam.GetName()) == ("case 7", "case 7 LAM")
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (1500, -600, 0)
    assert nodes.ct.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"
    assert np.array_equal(voxels(nodes.ct), small_analysis().ct.array)
    again = add_to_scene(small_analysis("case 7"), app.scene)
    assert again.ct is nodes.ct
    assert app.nodes("vtkMRMLScalarVolumeNode") == [again.ct, again.lam, again.labels]


def test_uncalibrated_images_are_shown_in_the_full_range_of_gray(app):
    nodes = add_to_scene(small_analysis("photo", calibrated=False), app.scene)
    display = nodes.ct.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (255, 127)
    assert voxels(nodes.ct).dtype == np.uint8
    assert [box.GetName() for box in nodes.boxes.values()][0] == "L01 C2 0.91"
    assert np.isnan(column(nodes.lesions, "mean_hu")).all()
    assert nodes.lesions.GetColumnTitle("peak_r_mm") == "Peak R (pixel)"


@pytest.mark.parametrize("name", GRIDS)
def test_lam_lies_on_the_grid_of_the_ct(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    ct = add_ct(app, analysis)
    nodes = add_to_scene(analysis, app.scene, ct)
    assert np.allclose(ijk_to_ras(nodes.lam), GRIDS[name])
    assert voxels(nodes.lam).dtype == np.uint8
    assert np.array_equal(voxels(nodes.lam), analysis.lam)
    assert nodes.lam.GetImageData().GetSpacing() == (1, 1, 1)


@pytest.mark.parametrize("name", GRIDS)
def test_boxes_and_peaks_lie_where_the_lesions_are(app, name):
    analysis = small_analysis(matrix=GRIDS[name])
    nodes = add_to_scene(analysis, app.scene, add_ct(app, analysis))
    for index, lesion in enumerate(analysis.lesions):
        corners = np.array([(*corner, 1) for corner in product(*zip(*lesion.box_ijk, strict=True))])
        assert same_points(box_corners(nodes.boxes[lesion.id]), (corners @ GRIDS[name].T)[:, :3])
        peak = np.zeros(3)
        nodes.peaks.GetNthControlPointPositionWorld(index, peak)
        assert np.allclose(peak, lesion.peak_ras_mm)


def test_results_follow_the_transform_of_the_ct(app):
    analysis = small_analysis(matrix=GRIDS["oblique"])
    ct = add_ct(app, analysis)
    moved = move(app, ct)
    nodes = add_to_scene(analysis, app.scene, ct)
    here, there = np.zeros(6), np.zeros(6)
    ct.GetRASBounds(here)
    nodes.lam.GetRASBounds(there)
    assert np.allclose(here, there)
    box = analysis.lesions[0].box_ijk
    corners = np.array([(*corner, 1) for corner in product(*zip(*box, strict=True))])
    assert same_points(box_corners(nodes.boxes[1]), (corners @ (moved @ GRIDS["oblique"]).T)[:, :3])
    peak = np.zeros(3)
    nodes.peaks.GetNthControlPointPositionWorld(0, peak)
    assert np.allclose(peak, (moved @ (*analysis.lesions[0].peak_ras_mm, 1))[:3])


def test_a_box_on_a_sheared_grid_contains_the_whole_lesion():
    matrix = grid()
    matrix[1, 2] = 1.2  # tilted gantry: K points to the front, too
    placement, size = place_box(((0, 0, 0), (10, 10, 10)), matrix)
    assert np.allclose(placement[:3, :3] @ placement[:3, :3].T, np.eye(3))
    assert np.linalg.det(placement[:3, :3]) == pytest.approx(1)
    corners = np.array([(*corner, 1) for corner in product((0, 10), repeat=3)]) @ matrix.T
    inside = np.abs((corners[:, :3] - placement[:3, 3]) @ placement[:3, :3])
    assert (inside <= size / 2 + 1e-9).all()
    assert np.prod(size) < 1.6 * abs(np.linalg.det(matrix[:3, :3])) * 1000


def test_boxes_are_locked_and_colored_by_cluster(app):
    analysis = small_analysis()
    nodes = add_to_scene(analysis, app.scene)
    for lesion in analysis.lesions:
        box = nodes.boxes[lesion.id]
        display = box.GetDisplayNode()
        assert box.GetLocked()
        assert not display.GetHandlesInteractive()
        assert not display.GetFillVisibility()
        color = "#" + "".join(f"{round(255 * channel):02x}" for channel in display.GetSelectedColor())
        assert color == cluster_color(lesion.cluster)
        assert box.GetAttribute("LesionAnalysis.Lesion") == str(lesion.id)
        assert box.GetAttribute("LesionAnalysis.Cluster") == str(lesion.cluster)
    description = "slices 5 to 12, cluster 2 (consolidation), activation 0.91, 16.1 ml, -550 HU"
    assert nodes.boxes[1].GetDescription() == description


def test_peaks_are_labeled_with_the_number_of_their_cluster(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    assert nodes.peaks.GetLocked()
    assert [nodes.peaks.GetNthControlPointLabel(index) for index in range(3)] == ["2", "1", "2"]
    assert nodes.peaks.GetNthControlPointDescription(1) == "L02 GGO 0.91"


def test_lam_has_its_own_colors_and_legend_and_zero_is_transparent(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    display = nodes.lam.GetDisplayNode()
    assert display.GetColorNode() is nodes.colors
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 100)
    assert display.GetApplyThreshold()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (1, 100)
    assert not nodes.colors.GetHideFromEditors()  # or Slicer would not save it
    table = nodes.colors.GetLookupTable()
    assert table.GetTableValue(0) == pytest.approx((0, 0, 0.5, 1), abs=0.01)
    assert table.GetTableValue(255) == pytest.approx((0.5, 0, 0, 1), abs=0.01)
    assert nodes.legend.GetPrimaryDisplayNode() is display
    assert nodes.legend.GetVisibility()
    assert nodes.lam.GetNthDisplayNode(1) is nodes.legend


def test_colors_can_be_perceptually_uniform(app):
    nodes = add_to_scene(small_analysis(), app.scene, color_map="viridis")
    table = nodes.colors.GetLookupTable()
    lab = np.zeros((256, 3))
    for index in range(256):
        vtk.vtkMath.RGBToLab(table.GetTableValue(index)[:3], lab[index])
    assert (np.diff(lab[::5, 0]) > 0.8).all()  # lightness rises steadily, by 76 in 51 steps
    again = add_to_scene(small_analysis(), app.scene, color_map="inferno")
    assert again.colors is nodes.colors
    assert again.colors.GetLookupTable().GetTableValue(255)[:3] == pytest.approx((0.988, 1, 0.643), abs=0.01)


def test_tables_are_typed_and_agree_with_the_analysis(app):
    analysis = small_analysis()
    nodes = add_to_scene(analysis, app.scene)
    assert column(nodes.slices, "index") == list(range(24))
    assert column(nodes.slices, "position_mm")[3] == -91
    assert column(nodes.slices, "lung")[:3] == [0, 0, 1]
    assert column(nodes.slices, "diagnosis")[:6] == ["", "", "normal", "normal", "normal", "COVID-19"]
    probability = column(nodes.slices, "probability")
    assert np.isnan(probability[0])
    assert probability[5] == 0.9
    assert column(nodes.lesions, "name") == [lesion.label for lesion in analysis.lesions]
    assert column(nodes.lesions, "volume_ml") == [lesion.volume_ml for lesion in analysis.lesions]
    assert column(nodes.lesions, "max_s_mm") == [lesion.box_ras_mm[1][2] for lesion in analysis.lesions]
    assert column(nodes.lesions, "activation") == [lesion.activation for lesion in analysis.lesions]
    assert nodes.lesions.GetTable().GetColumnByName("score") is None  # it is 1.00 nearly everywhere
    dtypes = [nodes.lesions.GetTable().GetColumnByName(name).GetDataTypeAsString() for name in ("id", "name")]
    assert dtypes == ["int", "string"]
    assert nodes.lesions.GetColumnTitle("volume_ml") == "Volume (ml)"


def test_chart_shows_probability_along_the_slices(app):
    nodes = add_to_scene(small_analysis(), app.scene)
    assert nodes.chart.GetNthPlotSeriesNode(0) is nodes.series
    assert nodes.chart.GetNumberOfPlotSeriesNodes() == 1
    assert nodes.series.GetTableNode() is nodes.slices
    assert (nodes.series.GetXColumnName(), nodes.series.GetYColumnName()) == ("index", "probability")
    assert nodes.chart.GetTitle() == "case: probability of COVID-19"
    assert tuple(nodes.chart.GetYAxisRange()) == (0, 1)


def test_more_lesions_than_boxes_keep_their_rows(app):
    boxes = [((2 + n % 50, 2 + n // 3, n % 20), (3 + n % 50 + n % 5, 4 + n // 3, n % 20)) for n in range(130)]
    analysis = small_analysis(boxes=boxes)
    nodes = add_to_scene(analysis, app.scene)
    assert len(nodes.boxes) == len(app.nodes("vtkMRMLMarkupsROINode")) == 100
    assert nodes.lesions.GetNumberOfRows() == nodes.peaks.GetNumberOfControlPoints() == 130
    shown = [lesion.volume_ml for lesion in analysis.lesions if lesion.id in nodes.boxes]
    others = [lesion.volume_ml for lesion in analysis.lesions if lesion.id not in nodes.boxes]
    assert max(others) <= min(shown)
    assert column(nodes.lesions, "box") == [int(lesion.id in nodes.boxes) for lesion in analysis.lesions]
    assert "Only the 100 largest of 130 lesions have a box" in nodes.warnings.GetText()


def test_an_analysis_without_lesions_is_added_too(app, tmp_path):
    analysis = replace(small_analysis(boxes=[]), warnings=())
    nodes = add_to_scene(analysis, app.scene)
    assert (nodes.boxes, nodes.warnings) == ({}, None)
    assert nodes.peaks.GetNumberOfControlPoints() == nodes.lesions.GetNumberOfRows() == 0
    assert write_mrb(analysis, tmp_path / "scene.mrb").exists()


def test_ct_array_is_copied_not_shared(app):
    analysis = small_analysis()
    nodes = add_to_scene(analysis, app.scene)
    voxels(nodes.ct)[:] = 0
    voxels(nodes.lam)[:] = 0
    assert isinstance(analysis.ct, CtVolume)
    assert analysis.ct.array.min() == -1000
    assert analysis.lam.max() == 100


def test_without_mrml_the_library_loads_and_the_scene_tells_what_to_install():
    code = (
        "import sys; sys.modules['slicer'] = None\n"
        "import LesionAnalysisLib, LesionAnalysisLib.report\n"
        "assert 'vtk' not in sys.modules\n"
        "import LesionAnalysisLib.scene"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=LIBRARY)
    assert done.stderr.strip().splitlines()[-1].startswith("RuntimeError: The scene needs the MRML classes")
    assert 'pip install "LesionAnalysis[headless]"' in done.stderr


def test_a_volume_node_becomes_a_ct_with_its_geometry(app):
    analysis = small_analysis()
    node = add_ct(app, analysis)
    ct = ct_from_node(node)
    assert np.array_equal(ct.array, analysis.ct.array)
    assert np.allclose(ct.ijk_to_ras, analysis.ct.ijk_to_ras, atol=1e-6)
    assert ct.name == node.GetName()


@pytest.mark.parametrize("node_class", ["vtkMRMLModelNode", "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"])
def test_other_nodes_and_empty_volumes_are_refused(app, node_class):
    with pytest.raises(ValueError, match="chest CT"):
        ct_from_node(app.scene.AddNewNodeByClass(node_class, "x"))
    with pytest.raises(ValueError, match="Choose a volume node"):
        ct_from_node(None)
