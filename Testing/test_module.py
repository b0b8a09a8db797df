"""The Slicer module as a radiologist and a script use it, with real nodes and test doubles of Slicer's widgets."""

import ast
import dataclasses
import gc
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel needs Qt: pip install PySide6-Essentials")
pytest.importorskip("slicer", reason="the scene needs slicer-core")

import slicer_doubles as doubles
from helpers_analyzer import small_bundle
from helpers_phantom import true_analysis
from LesionAnalysisLib import AnalysisCancelled, make_phantom
from LesionAnalysisLib.report import to_json

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "LesionAnalysis" / "LesionAnalysis.py"
UI = ROOT / "LesionAnalysis" / "Resources" / "UI" / "LesionAnalysis.ui"
SOURCES = [MODULE, *sorted((MODULE.parent / "LesionAnalysisGui").glob("*.py"))]


@pytest.fixture(scope="module", autouse=True)
def installed():
    doubles.install()
    yield
    doubles.uninstall()


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((20, 128, 128), (2.8, 2.8, 14.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("models") / "stub").folder


@pytest.fixture
def loaded():
    doubles.new_application()
    yield doubles.load_module(MODULE, widget=True)
    doubles.end_application()


@pytest.fixture
def widget(loaded, model):
    loaded.container.show()
    loaded.enter()
    loaded.widget._parameterNode.modelFolder = str(model)
    loaded.widget._parameterNode.device = "cpu"
    return loaded.widget


@pytest.fixture
def logic(widget):
    return widget.logic


def add_ct(phantom, name="CT"):
    import slicer
    from LesionAnalysisLib.scene import node_from_ct

    return node_from_ct(slicer.mrmlScene, phantom.ct, name)


def scene():
    import slicer

    return slicer.mrmlScene


def node_ids():
    return {scene().GetNthNode(i).GetID() for i in range(scene().GetNumberOfNodes())}


def accept_license():
    doubles.dialogs.expect("confirmOkCancel", True, text="license")


def start(widget, phantom, name="CT"):
    """Choose a CT and press Analyze."""
    node = add_ct(phantom, name)
    widget._parameterNode.inputVolume = node
    doubles.process_events(0.05)
    if not license_known():
        accept_license()
    widget.ui.analyzeButton.click()
    return node


def license_known():
    import qt

    return bool(qt.QSettings().value("LesionAnalysis/AcceptedLicenses"))


def finish(widget, seconds=60):
    doubles.wait_for(lambda: not widget.runControl.running, seconds)
    assert not widget.runControl.running
    doubles.process_events(0.05)


def analyzed(widget, phantom, name="CT"):
    node = start(widget, phantom, name)
    finish(widget)
    assert widget.results.shown, widget.ui.statusLabel.text
    return node


# -- the .ui file, the parameters, the names in the code ------------------------------------------


def test_every_widget_that_the_code_names_exists():
    named = {element.get("name") for element in ET.parse(UI).iter("widget")}
    used = {name for source in SOURCES for name in re.findall(r"\bui\.(\w+)", source.read_text(encoding="utf-8"))}
    assert used and used <= named


def test_every_parameter_is_bound_to_one_widget(widget):
    bound = [
        prop.findtext("string") for prop in ET.parse(UI).iter("property") if prop.get("name") == "SlicerParameterName"
    ]
    assert len(bound) == len(set(bound))
    assert set(bound) == set(type(widget._parameterNode).allParameters)


def test_module_file_imports_only_what_slicer_brings_and_the_choices():
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.parse(MODULE.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    ours = {name for name in imported if name.split(".")[0] not in {*sys.stdlib_module_names, "slicer", "vtk"}}
    assert ours == {"LesionAnalysisLib.choices"}


def test_only_the_widget_imports_gui_packages():
    tree = ast.parse(MODULE.read_text(encoding="utf-8"))
    importers = {
        getattr(part, "name", "file scope")
        for part in tree.body
        for node in ast.walk(part)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.split(".")[0] in {"LesionAnalysisGui", "qt", "ctk"}
    }
    assert importers == {"LesionAnalysisWidget"}


def test_the_logic_works_where_gui_packages_cannot_be_imported(loaded, phantom, model, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "LesionAnalysisGui"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("qt", "ctk", "LesionAnalysisGui"):
        monkeypatch.setitem(sys.modules, name, None)  # makes ``import`` fail
    node, logic = add_ct(phantom), loaded.module.LesionAnalysisLogic()
    analysis = logic.analyze(node, modelFolder=model, device="cpu")
    assert to_json(logic.record(node)) == to_json(analysis)


def test_the_panel_opens_without_a_layout_manager(phantom):
    doubles.new_application(layout=False)
    loaded = doubles.load_module(MODULE, widget=True)
    loaded.enter()
    widget, node = loaded.widget, add_ct(phantom)
    widget._parameterNode.inputVolume = node
    widget.logic.addToScene(true_analysis(phantom), node)
    widget.onResults()
    widget.ui.showButton.click()
    assert widget.results.shown
    doubles.end_application()


OPEN = """
import sys
from pathlib import Path
import slicer_doubles as doubles
doubles.install()
doubles.new_application()
loaded = doubles.load_module(Path(sys.argv[1]), widget=True)
loaded.container.show()
loaded.enter()
print(sorted({"torch", "scipy", "skimage", "sklearn", "matplotlib"} & set(sys.modules)), flush=True)
doubles.end_application()
"""


def test_opening_the_panel_loads_no_torch():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "Testing"), str(MODULE.parent)])}
    command = [sys.executable, "-c", OPEN, str(MODULE)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0 and result.stdout == "[]\n", result.stderr


def test_setting_in_the_panel_is_a_parameter_and_back(widget):
    widget.ui.probabilitySpin.value = 0.7
    assert widget._parameterNode.threshold == 0.7
    widget._parameterNode.preset = "paper"
    assert widget.ui.presetCombo.currentText == "paper"


def test_the_threshold_is_the_models_until_one_is_set(widget):
    assert widget._parameterNode.threshold == 0.0
    assert widget.ui.probabilitySpin.text == "auto"
    widget._parameterNode.threshold = 0.5
    assert widget.ui.probabilitySpin.text == "0.50"
    for value in (-0.1, 0.003, 1.0):  # the panel would show 0.003 as auto
        with pytest.raises(ValueError):
            widget._parameterNode.threshold = value
    assert widget._parameterNode.threshold == 0.5
    widget.ui.probabilitySpin.value = widget.ui.probabilitySpin.minimum
    assert widget._parameterNode.threshold == 0.0


# -- before an analysis -----------------------------------------------------------------------------


def test_without_a_ct_the_tool_tip_of_the_button_says_what_is_missing(widget):
    assert not widget.ui.analyzeButton.enabled
    assert "Choose" in widget.ui.analyzeButton.toolTip
    assert not widget.ui.resultSection.visible and not widget.ui.progressBar.visible


def test_the_shown_ct_is_preselected(loaded, phantom):
    add_ct(phantom, "another")
    shown = add_ct(phantom, "shown")
    import slicer

    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode").SetBackgroundVolumeID(shown.GetID())
    loaded.widget._parameterNode.inputVolume = None
    loaded.enter()
    assert loaded.widget._parameterNode.inputVolume is shown
    assert loaded.widget.ui.analyzeButton.enabled


def test_results_are_not_offered_as_cts(shown):
    widget, node, nodes = shown
    offered = [widget.ui.inputSelector.nodeFromIndex(i) for i in range(widget.ui.inputSelector.nodeCount())]
    assert offered == [node]
    assert widget._parameterNode.inputVolume is node


def test_results_that_a_script_adds_appear_in_the_panel(widget, phantom):
    node = add_ct(phantom)
    widget._parameterNode.inputVolume = node
    doubles.process_events(0.1)
    widget.logic.addToScene(true_analysis(phantom), node)
    doubles.process_events(0.1)
    assert widget.ui.lesionTable.rowCount == len(widget.logic.record(node).lesions) > 0
    assert widget.ui.inputSelector.nodeCount() == 1
    assert "<b>Positive for opacities like those of COVID-19</b>" in widget.ui.resultLabel.text
    widget.ui.lesionTable.selectRow(2)
    widget.logic.exportColorVolume(node)  # other changes of the scene leave the table as it is
    doubles.process_events(0.1)
    assert widget.ui.lesionTable.currentRow() == 2


def test_a_result_cannot_be_analyzed(widget, phantom):
    node = add_ct(phantom)
    widget.logic.addToScene(true_analysis(phantom), node)
    widget._parameterNode.inputVolume = widget.logic.results(node).lam
    assert not widget.ui.analyzeButton.enabled
    assert "result" in widget.ui.analyzeButton.toolTip


def test_declined_license_leaves_everything_as_it_was(widget, phantom):
    widget._parameterNode.inputVolume = add_ct(phantom)
    before = node_ids()
    doubles.dialogs.expect("confirmOkCancel", False, text="Research use only")
    widget.ui.analyzeButton.click()
    assert not widget.runControl.running and node_ids() == before
    assert "not accepted" in widget.ui.statusLabel.text


def test_the_license_is_accepted_once(widget, phantom):
    analyzed(widget, phantom)
    asked = len(doubles.dialogs.shown)
    widget.ui.analyzeButton.click()
    finish(widget)
    assert len(doubles.dialogs.shown) == asked == 1


# -- missing parts -----------------------------------------------------------------------------------


def test_missing_torch_is_offered_and_declined(widget, phantom):
    doubles.packages.hide("torch")
    widget._parameterNode.inputVolume = add_ct(phantom)
    before = node_ids()
    doubles.dialogs.expect("confirmOkCancel", False, text="PyTorch")
    widget.ui.analyzeButton.click()
    assert not widget.runControl.running and node_ids() == before
    assert "Nothing was installed" in widget.ui.statusLabel.text


def test_missing_torch_and_packages_are_installed_after_one_question_each(widget, phantom):
    doubles.packages.hide("torch", "scikit-image")
    widget._parameterNode.inputVolume = add_ct(phantom)
    doubles.dialogs.expect("confirmOkCancel", True, text="PyTorch.*(MB|GB)")
    doubles.dialogs.expect("confirmOkCancel", True, text="scikit-image.*MB")
    accept_license()
    widget.ui.analyzeButton.click()
    finish(widget)
    assert widget.results.shown


def test_without_the_pytorch_extension_a_sentence_says_how_to_get_it(phantom, model):
    doubles.new_application(pytorch_extension=False)
    loaded = doubles.load_module(MODULE, widget=True)
    loaded.enter()
    doubles.packages.hide("torch")
    loaded.widget._parameterNode.inputVolume = add_ct(phantom)
    doubles.dialogs.expect("error", text="Extensions Manager")
    loaded.widget.ui.analyzeButton.click()
    doubles.end_application()


def test_older_slicer_installs_through_pip(phantom, model):
    doubles.new_application(packaging=False)
    loaded = doubles.load_module(MODULE, widget=True)
    loaded.enter()
    doubles.packages.hide("scikit-learn")
    loaded.widget._parameterNode.modelFolder = str(model)
    doubles.dialogs.expect("confirmOkCancel", True, text="scikit-learn")
    start(loaded.widget, phantom)
    finish(loaded.widget)
    assert any("scikit-learn" in str(call) for call in doubles.packages.calls)
    doubles.end_application()


def test_a_script_is_never_asked(logic, phantom):
    doubles.packages.hide("torch", "scikit-learn")
    with pytest.raises(RuntimeError, match="torch, scikit-learn"):
        logic.analyze(add_ct(phantom))
    assert doubles.dialogs.shown == []


# -- an analysis ---------------------------------------------------------------------------------------


def test_analyze_shows_progress_then_results(widget, phantom):
    said = []
    show = widget.runControl.showStatus
    widget.runControl.showStatus = lambda text: (said.append(text), show(text))
    node = start(widget, phantom)
    assert widget.runControl.running
    assert (widget.ui.analyzeButton.text, widget.ui.progressBar.visible) == ("Cancel", True)
    finish(widget)
    assert any(re.search(r"Slice \d+ of 20", text) for text in said)
    assert (widget.ui.analyzeButton.text, widget.ui.progressBar.visible) == ("Analyze", False)
    text = widget.ui.resultLabel.text
    record = widget.logic.record(node)
    assert all(f"{name} ({n})" in text for name, n in record.summary.lesions_by_cluster.items() if n)
    for words in ("lung slices positive", "Study probability", "Research use only", "Test model", "Lung involvement"):
        assert words in text
    assert widget.ui.lesionTable.rowCount == len(widget.logic.record(node).lesions) > 0
    assert scene().GetFirstNodeByName("CT LAM") is not None


def test_another_model_brings_its_threshold_unless_one_is_set(widget, phantom, tmp_path):
    model = small_bundle(tmp_path / "stub", threshold=0.31).folder  # whose license is accepted then
    node = analyzed(widget, phantom)
    assert widget.logic.record(node).config["threshold"] == 0.5
    widget._parameterNode.modelFolder = str(model)
    again(widget)
    assert widget.logic.record(node).config["threshold"] == 0.31
    assert "(threshold 0.31)" in widget.ui.resultLabel.text
    widget._parameterNode.preset = "paper"
    again(widget)
    assert widget.logic.record(node).config["threshold"] == 0.5
    widget._parameterNode.preset = "enhanced"
    widget.ui.probabilitySpin.value = 0.42
    again(widget)
    widget._parameterNode.modelFolder = ""
    assert widget._parameterNode.threshold == widget.logic.record(node).config["threshold"] == 0.42


def again(widget):
    widget.ui.analyzeButton.click()
    finish(widget)


@pytest.mark.parametrize(
    ("box", "text", "setting", "value"),
    [("probabilitySpin", "0.35", "threshold", 0.35), ("minimumLesionSpin", "0.25 ml", "min_lesion_ml", 0.25)],
)
def test_a_number_counts_that_is_typed_and_not_yet_confirmed(widget, phantom, box, text, setting, value):
    widget._parameterNode.inputVolume = node = add_ct(phantom)
    getattr(widget.ui, box).lineEdit().setText(text)
    accept_license()
    again(widget)
    assert widget.logic.record(node).config[setting] == value


def test_the_map_appears_where_the_ct_is_shown_and_nowhere_else(widget, phantom):
    composites = [scene().GetNthNodeByClass(i, "vtkMRMLSliceCompositeNode") for i in range(2)]
    other = add_ct(phantom, "other")
    composites[1].SetBackgroundVolumeID(other.GetID())
    node = add_ct(phantom)
    composites[0].SetBackgroundVolumeID(node.GetID())
    widget._parameterNode.inputVolume = node
    accept_license()
    widget.ui.analyzeButton.click()
    finish(widget)
    assert composites[0].GetForegroundVolumeID() == widget.logic.results(node).lam.GetID()
    assert composites[1].GetForegroundVolumeID() is None


def test_slicer_stays_responsive_while_the_analysis_runs(widget, phantom):
    start(widget, phantom)
    gaps, last = [], time.monotonic()
    while widget.runControl.running:
        doubles.process_events(0.0)
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    assert len(gaps) > 5
    assert sorted(gaps)[len(gaps) // 2] < 0.2


@pytest.mark.parametrize("stage", [0.0, 0.1, 0.3, 0.8])
def test_cancel_discards_partial_results(widget, phantom, stage):
    reached = threading.Event()
    control, progress = widget.runControl, widget.runControl._onProgress

    def listen(fraction, message, left):
        progress(fraction, message, left)
        if fraction >= stage and not reached.is_set():
            reached.set()
            widget.ui.analyzeButton.click()

    control._onProgress = listen
    before = node_ids() | {start(widget, phantom).GetID()}
    finish(widget)
    assert reached.is_set() and "Canceled" in widget.ui.statusLabel.text
    assert {i for i in node_ids() if "Display" not in i and "Storage" not in i} == {
        i for i in before if "Display" not in i and "Storage" not in i
    }
    assert not widget.results.shown and widget.ui.analyzeButton.enabled


def test_closing_the_scene_ends_the_run(widget, phantom):
    start(widget, phantom)
    doubles.close_scene()
    assert not widget.runControl.running
    assert not [t for t in threading.enumerate() if t.name == "LesionAnalysis"]
    doubles.process_events(0.3)
    assert scene().GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert not widget.ui.analyzeButton.enabled and widget.ui.analyzeButton.text == "Analyze"


def test_removing_the_ct_during_a_run_discards_its_results(widget, phantom):
    node = start(widget, phantom)
    scene().RemoveNode(node)
    finish(widget)
    assert "CT was removed" in widget.ui.statusLabel.text
    assert scene().GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_a_run_goes_on_while_another_module_is_open(loaded, widget, phantom):
    node = start(widget, phantom)
    loaded.exit()
    finish(widget)
    assert widget.logic.record(node).summary.lesion_count > 0
    loaded.enter()
    assert widget.results.shown


def test_an_error_is_one_sentence_leaves_nothing_and_its_traceback_is_in_the_error_log(widget, phantom, caplog):
    import slicer
    from LesionAnalysisLib.scene import node_from_ct

    noise = np.random.default_rng(0).integers(-60, 60, phantom.ct.array.shape).astype(np.int16)
    noise[:, :40] = -1000
    water = dataclasses.replace(phantom.ct, array=noise)
    node = node_from_ct(slicer.mrmlScene, water, "water")
    widget._parameterNode.inputVolume = node
    before = node_ids()
    accept_license()
    doubles.dialogs.expect("error", text="lungs")
    widget.ui.analyzeButton.click()
    finish(widget)
    assert node_ids() == before and "lungs" in widget.ui.statusLabel.text
    (record,) = [record for record in caplog.records if "Traceback" in record.getMessage()]
    assert record.levelno == logging.ERROR and "NoLungsError: No lungs" in record.getMessage()


def test_an_error_while_results_are_added_is_one_sentence_and_its_traceback_is_in_the_error_log(
    widget, phantom, caplog, monkeypatch
):
    from LesionAnalysisLib.scene import add_results

    monkeypatch.setattr(add_results, "make_lam", lambda *_: 1 / 0)
    node = start(widget, phantom)
    doubles.dialogs.expect("error", text="division by zero")
    finish(widget)
    assert widget.ui.analyzeButton.text == "Analyze" and not widget.results.shown
    with pytest.raises(ValueError, match="analyze it first"):
        widget.logic.record(node)
    (record,) = [record for record in caplog.records if "Traceback" in record.getMessage()]
    assert record.levelno == logging.ERROR and "ZeroDivisionError" in record.getMessage()


def test_a_damaged_model_is_refused_before_anything_runs(widget, phantom, tmp_path):
    widget._parameterNode.modelFolder = str(tmp_path)
    widget._parameterNode.inputVolume = add_ct(phantom)
    doubles.dialogs.expect("error", text="lacks checksums.json")
    widget.ui.analyzeButton.click()
    assert not widget.runControl.running


def test_a_second_run_replaces_its_own_nodes(widget, phantom):
    analyzed(widget, phantom)
    before = node_ids()
    widget.ui.analyzeButton.click()
    finish(widget)
    assert len(node_ids()) == len(before)


def test_two_cts_keep_separate_results(widget, phantom):
    first = analyzed(widget, phantom, "first")
    second = add_ct(phantom, "second")
    widget.logic.addToScene(true_analysis(phantom), second)
    counts = [len(widget.logic.record(node).lesions) for node in (first, second)]
    assert 0 < counts[0] != counts[1] > 0
    for node, count in zip((first, second), counts, strict=True):
        widget._parameterNode.inputVolume = node
        assert widget.ui.lesionTable.rowCount == count


def test_five_runs_leave_no_nodes_observers_or_threads(widget, phantom, model):
    counts = []
    for _ in range(5):
        analyzed(widget, phantom)
        doubles.close_scene()
        doubles.process_events(0.1)
        widget.initializeParameterNode()
        widget._parameterNode.modelFolder = str(model)
        counts.append((len(node_ids()), len(widget.Observations), threading.active_count()))
    assert len(set(counts[1:])) == 1


def test_entering_again_and_again_leaves_one_set_of_parameters(loaded, widget):
    for _ in range(3):
        loaded.exit()
        loaded.enter()
    gc.collect()
    wrapper = type(widget._parameterNode)
    assert sum(type(one) is wrapper for one in gc.get_objects()) == 1


def test_a_closed_scene_leaves_no_ct_in_memory(widget, phantom):
    gone = []
    for name in ("first", "second"):
        node = add_ct(phantom, name)
        node.GetImageData().AddObserver("DeleteEvent", lambda caller, event: gone.append(1))
        widget._parameterNode.inputVolume = node
        widget.logic.addToScene(true_analysis(phantom), node)
        widget.onResults()
        del node
        doubles.close_scene()
        doubles.process_events(0.1)
        widget.initializeParameterNode()
    gc.collect()
    assert len(gone) == 2


# -- results ---------------------------------------------------------------------------------------------


@pytest.fixture
def shown(widget, phantom):
    """The panel with the known lesions of the phantom as results; (widget, volume node, scene nodes)."""
    node = add_ct(phantom)
    widget._parameterNode.inputVolume = node
    widget.logic.addToScene(true_analysis(phantom), node)
    widget.onResults()
    return widget, node, widget.logic.results(node)


def view_position(name, axis):
    """R, A or S (0, 1, 2) of the middle of a slice view."""
    return scene().GetNodeByID(f"vtkMRMLSliceNode{name}").GetSliceToRAS().GetElement(axis, 3)


def slice_offset():
    return view_position("Red", 2)


def test_a_click_on_a_lesion_moves_the_views_and_emphasizes_its_box(shown):
    from helpers_scene import emphasized

    widget, node, nodes = shown
    table = widget.ui.lesionTable
    for row in (2, 0):
        table.selectRow(row)
        doubles.process_events(0.02)
        lesion = widget.logic.record(node).lesions[int(table.item(row, 0).text()) - 1]
        places = [view_position("Yellow", 0), view_position("Green", 1), view_position("Red", 2)]
        assert places == pytest.approx(list(lesion.peak_ras_mm))
        assert emphasized(nodes) == lesion.id


def test_the_table_sorts_by_number(shown):
    import qt

    table = shown[0].ui.lesionTable
    volume = [table.horizontalHeaderItem(c).text() for c in range(table.columnCount)].index("ml")
    table.sortItems(volume, qt.Qt.AscendingOrder)
    values = [float(table.item(row, volume).text()) for row in range(table.rowCount)]
    assert values == sorted(values)
    table.selectRow(0)  # the smallest lesion comes last by id
    assert int(table.item(0, 0).text()) == max(int(table.item(r, 0).text()) for r in range(table.rowCount))


def test_the_filter_hides_rows_and_boxes(shown):
    from helpers_scene import visible_boxes

    widget, node, nodes = shown
    widget.ui.clusterFilter.currentIndex = 2
    members = {x.id for x in widget.logic.record(node).lesions if x.cluster == 2}
    assert visible_boxes(nodes) == members
    hidden = [widget.ui.lesionTable.isRowHidden(row) for row in range(widget.ui.lesionTable.rowCount)]
    assert hidden.count(False) == len(members)
    widget.ui.clusterFilter.currentIndex = 0
    assert len(visible_boxes(nodes)) == len(nodes.boxes)


def test_a_minimum_activation_hides_lesions(widget, phantom):
    node = analyzed(widget, phantom)
    activations = sorted(lesion.activation for lesion in widget.logic.record(node).lesions)
    widget.ui.activationFilter.value = round(activations[-1] + 0.005, 2)
    assert "0 of" in widget.ui.lesionCountLabel.text
    widget.ui.activationFilter.value = 0.0
    assert f"{len(activations)} of {len(activations)}" in widget.ui.lesionCountLabel.text


def test_the_table_shows_type_cluster_and_activation_under_a_heading_each(shown):
    widget, node, nodes = shown
    table = widget.ui.lesionTable
    headings = [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]
    assert headings == ["ID", "Type", "Cluster", "Activation", "ml", "HU", "Slices"]
    for row, lesion in enumerate(widget.logic.record(node).lesions):
        cells = [table.item(row, column).text() for column in range(4)]
        assert cells[:3] == [str(lesion.id), lesion.type, str(lesion.cluster)]
        assert float(cells[3]) == pytest.approx(lesion.activation, abs=0.005)


def test_renaming_a_cluster_renames_its_boxes_and_files(shown, tmp_path):
    widget, node, nodes = shown
    table = widget.ui.clusterTable
    table.item(0, 1).setText("Crazy paving")
    doubles.process_events(0.1)
    lesion = next(x for x in widget.logic.record(node).lesions if x.cluster == 1)
    assert nodes.boxes[lesion.id].GetName() == f"L{lesion.id:02d} Crazy paving 1.00"
    (path,) = widget.logic.exportJson(node, tmp_path / "a.json")
    assert json.loads(path.read_text())["cluster_names"]["1"] == "Crazy paving"
    assert "Crazy paving" in widget.ui.resultLabel.text


def test_an_empty_cluster_name_is_refused_in_one_sentence(shown):
    widget, *_ = shown
    doubles.dialogs.expect("error", text="name")
    widget.ui.clusterTable.item(0, 1).setText("  ")
    doubles.process_events(0.1)
    assert widget.ui.clusterTable.item(0, 1).text().startswith("Cluster 1")


def test_recoloring_a_cluster_recolors_boxes_and_lesion_map(shown):
    import qt

    widget, node, nodes = shown
    doubles.dialogs.expect("color", qt.QColor(0, 128, 255))
    widget.ui.clusterTable.cellClicked.emit(0, 0)
    doubles.process_events(0.1)
    lesion = next(x for x in widget.logic.record(node).lesions if x.cluster == 1)
    assert nodes.boxes[lesion.id].GetDisplayNode().GetColor() == pytest.approx((0, 128 / 255, 1), abs=0.01)
    color = [0.0] * 4
    nodes.label_colors.GetColor(lesion.id, color)
    assert color[:3] == pytest.approx([0, 128 / 255, 1], abs=0.01)


def test_display_settings_reach_the_scene(shown):
    widget, node, nodes = shown
    import helpers_scene as read

    composite = scene().GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetBackgroundVolumeID(node.GetID())
    composite.SetForegroundVolumeID(nodes.lam.GetID())
    widget.ui.opacitySlider.value = 0.8
    widget.ui.thresholdSlider.value = 40
    widget.ui.colorScale.currentIndex = 1
    for check in (widget.ui.boxesCheck, widget.ui.labelsCheck, widget.ui.peaksCheck, widget.ui.legendCheck):
        check.checked = False
    assert composite.GetForegroundOpacity() == pytest.approx(0.8)
    assert read.lam_threshold(nodes) == 40
    assert read.color_map_of(nodes) == "viridis"
    assert not (read.visible_boxes(nodes) or read.box_labels_visible(nodes) or read.peaks_visible(nodes))
    assert not read.legend_visible(nodes)
    assert [widget.ui.colorScale.itemText(i).split()[0] for i in range(4)] == ["Jet", "Viridis", "Inferno", "Lesion"]
    widget.ui.colorScale.currentIndex = 3
    assert read.clusters_shown(nodes)
    widget.ui.colorScale.currentIndex = 0
    assert not read.clusters_shown(nodes) and read.color_map_of(nodes) == "jet"


def test_show_in_slice_views_sets_all_slice_views(shown):
    widget, node, nodes = shown
    node.GetDisplayNode().SetWindowLevel(10, 10)
    widget.ui.showButton.click()
    count = scene().GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    for index in range(count):
        composite = scene().GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == node.GetID()
        assert composite.GetForegroundVolumeID() == nodes.lam.GetID()
    assert node.GetDisplayNode().GetWindow() == 1500


def test_the_model_card_is_shown(shown):
    widget, node, nodes = shown
    doubles.dialogs.expect("messageBox", text="Model card")
    widget.ui.modelCardButton.click()
    (dialog,) = doubles.dialogs.shown
    assert dialog.text == widget.logic.record(node).model["title"] and dialog.details


def test_a_click_in_the_chart_goes_to_the_slice_and_back(shown):
    widget, node, nodes = shown
    chart = widget.results._chart
    chart.resize(400, 110)
    x = next(x for x in range(400) if chart.sliceAt(x) == 12)
    chart._click(_At(x + 2))
    position = widget.logic.record(node).slices[12].position_mm
    assert slice_offset() == pytest.approx(position)
    scene().GetNodeByID("vtkMRMLSliceNodeRed").SetSliceOffset(widget.logic.record(node).slices[4].position_mm)
    assert chart._current == 4


class _At:
    def __init__(self, x):
        self._x = x

    def pos(self):
        return self

    def x(self):
        return self._x


def test_everything_is_exported(shown, tmp_path):
    widget, node, nodes = shown
    for button, name in (
        ("exportTablesButton", "CT slices.csv"), ("exportJsonButton", "CT analysis.json"),
        ("exportReportButton", "CT report.html"), ("exportLamButton", "CT lam.nrrd"),
    ):  # fmt: skip
        doubles.dialogs.expect("saveFile", str(tmp_path / name))
        getattr(widget.ui, button).click()
        assert (tmp_path / name).stat().st_size > 100, widget.ui.statusLabel.text
    assert (tmp_path / "CT lesions.csv").read_text().count("\n") == len(nodes.boxes) + 1
    widget.ui.exportSegmentationButton.click()
    widget.ui.exportColorButton.click()
    segmentation = scene().GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 2
    assert scene().GetFirstNodeByClass("vtkMRMLVectorVolumeNode") is not None


def test_a_cancelled_file_dialog_writes_nothing(shown, tmp_path):
    doubles.dialogs.expect("saveFile", "")
    shown[0].ui.exportJsonButton.click()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(shown, tmp_path):
    doubles.dialogs.expect("saveFile", str(tmp_path / "missing" / "a.json"))
    doubles.dialogs.expect("error", text="could not be saved")
    shown[0].ui.exportJsonButton.click()


def test_a_saved_scene_brings_results_and_settings_back(shown, tmp_path):
    widget, node, nodes = shown
    widget.ui.thresholdSlider.value = 30
    widget.ui.clusterTable.item(1, 1).setText("Dense")
    doubles.process_events(0.1)
    widget.ui.probabilitySpin.value = 0.5
    before = widget.ui.resultLabel.text
    path = str(tmp_path / "scene.mrb")
    assert scene().WriteToMRB(path)
    doubles.close_scene()
    assert not widget.results.shown
    assert scene().ReadFromMRB(path, True)
    doubles.process_events(0.1)
    assert widget.ui.resultLabel.text == before and "Dense" in before
    assert widget._parameterNode.lamThreshold == 30
    assert widget._parameterNode.threshold == widget.ui.probabilitySpin.value == 0.5
    widget.ui.lesionTable.selectRow(1)
    doubles.process_events(0.02)
    lesion = widget.logic.record(widget._parameterNode.inputVolume).lesions[1]
    assert slice_offset() == pytest.approx(lesion.peak_ras_mm[2], abs=0.01)
    doubles.dialogs.expect("saveFile", str(tmp_path / "report.html"))
    widget.ui.exportReportButton.click()
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_removing_a_result_clears_the_card(shown):
    widget, node, nodes = shown
    scene().RemoveNode(nodes.lam)
    doubles.process_events(0.1)
    assert not widget.results.shown and not widget.ui.resultSection.visible


def test_only_devices_of_this_computer_are_offered_when_the_section_is_open(loaded, widget, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    widget.ui.advancedSection.collapsed = False
    doubles.process_events(0.02)
    for _ in range(2):
        items = [widget.ui.deviceCombo.model().item(i) for i in range(widget.ui.deviceCombo.count)]
        names = [widget.ui.deviceCombo.itemText(i) for i, item in enumerate(items) if item.isEnabled()]
        assert names == ["auto", "cpu", "cuda:0", "cuda:1"]
        loaded.exit()
        loaded.enter()


# -- scripts ----------------------------------------------------------------------------------------------


def test_a_script_gets_the_analysis_and_a_filled_scene(logic, phantom, model):
    node, heard = add_ct(phantom), []
    analysis = logic.analyze(node, modelFolder=model, device="cpu", progress=lambda f, m: heard.append(f))
    assert heard == sorted(heard) and heard[-1] == 1.0
    assert to_json(logic.record(node)) == to_json(analysis)
    assert doubles.dialogs.shown == []


def test_a_script_gets_the_threshold_of_the_model_or_its_own(logic, phantom, tmp_path):
    model, node = small_bundle(tmp_path / "m", threshold=0.31).folder, add_ct(phantom)
    for given, used in ((None, 0.31), (0.6, 0.6)):
        analysis = logic.analyze(node, modelFolder=model, device="cpu", threshold=given)
        assert analysis.config["threshold"] == used
    with pytest.raises(ValueError, match="between 0 and 1"):
        logic.analyze(node, modelFolder=model, device="cpu", threshold=0)


def test_a_script_cancels_by_exception(logic, phantom, model):
    node = add_ct(phantom)
    before = node_ids()

    def cancel(fraction, message):
        raise AnalysisCancelled

    with pytest.raises(AnalysisCancelled):
        logic.analyze(node, modelFolder=model, device="cpu", progress=cancel)
    assert node_ids() == before


def test_a_lung_mask_may_be_a_segmentation_on_another_grid(logic, phantom, model):
    import slicer
    from LesionAnalysisLib.scene import mask_from_node
    from LesionAnalysisLib.scene.mrml import set_voxels, vtkMatrixFromArray

    node = add_ct(phantom)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "lungs")
    coarse = phantom.lung_mask[:, ::2, ::2].astype(np.uint8)
    matrix = phantom.ct.ijk_to_ras @ np.diag([2.0, 2.0, 1.0, 1.0])
    labels.SetIJKToRASMatrix(vtkMatrixFromArray(matrix))
    set_voxels(labels, coarse)
    mask = mask_from_node(labels, node)
    both = np.count_nonzero(mask & phantom.lung_mask)
    assert mask.shape == phantom.lung_mask.shape
    assert 2 * both / (mask.sum() + phantom.lung_mask.sum()) > 0.9

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labels, segmentation)
    segmentation.GetSegmentation().GetNthSegment(0).SetName("Right lung")
    merged = mask_from_node(segmentation, node)
    assert 2 * np.count_nonzero(merged & mask) / (merged.sum() + mask.sum()) > 0.95
    analysis = logic.analyze(node, modelFolder=model, device="cpu", lungMask=segmentation)
    assert np.array_equal(analysis.lung_mask, merged)


def test_a_lung_mask_without_lungs_is_refused_in_one_sentence(logic, phantom, model):
    import slicer

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    with pytest.raises(ValueError, match="marks no lungs"):
        logic.analyze(add_ct(phantom), modelFolder=model, lungMask=empty)


def test_wrong_volumes_are_refused_in_one_sentence(logic):
    import slicer

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    for node, word in ((None, "Choose"), (empty, "empty")):
        with pytest.raises(ValueError, match=word):
            logic.analyze(node)


def test_the_modules_self_test_passes(loaded, caplog):
    caplog.set_level(logging.INFO)
    loaded.module.LesionAnalysisTest().runTest()
    assert caplog.messages[-1] == "All tests passed" and "SKIPPED" not in caplog.text


def test_without_torch_the_self_test_is_skipped_visibly_and_adds_no_results(loaded, caplog):
    caplog.set_level(logging.INFO)
    doubles.packages.hide("torch")
    loaded.module.LesionAnalysisTest().runTest()
    assert caplog.messages[-1] == "4 tests SKIPPED, all others passed"
    assert len([line for line in caplog.messages if re.match(r"SKIPPED: test_\w+: torch not installed", line)]) == 4
    assert scene().GetFirstNodeByName("TestPhantom") is None
    result = unittest.TestResult()  # as ctest runs it
    unittest.defaultTestLoader.loadTestsFromTestCase(loaded.module.LesionAnalysisTest).run(result)
    assert (result.testsRun, len(result.skipped), result.wasSuccessful()) == (5, 4, True)


def test_sample_data_is_generated_without_a_download(loaded):
    import slicer

    slicer.app.startupCompleted.emit()
    (source,) = slicer.modules.sampleDataSources["Lesion Analysis"]
    assert source.sampleName == "LesionAnalysisPhantom" and not any(source.uris or [])
    node = loaded.module.makeSampleVolume(source, (12, 96, 96), (3.7, 3.7, 25.0))
    assert node.GetImageData().GetDimensions() == (96, 96, 12)
