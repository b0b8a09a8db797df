"""The doubles of ``slicer_doubles`` behave like Slicer, CTK and PythonQt, shown with a tiny module."""
# ruff: noqa: N802, N803, N806, N815

import textwrap

import pytest

pytest.importorskip("PySide6")
doubles = pytest.importorskip("slicer_doubles")

MODULE = """
from typing import Annotated

import qt, slicer, vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _, translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Tiny")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.contributors = ["A. Author"]
        slicer.app.connect("startupCompleted()", self.registerSamples)

    def registerSamples(self):
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Tiny", sampleName="One", uris=[], fileNames=[]
        )


@parameterNodeWrapper
class TinyParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    mask: vtkMRMLScalarVolumeNode | None
    threshold: Annotated[float, WithinRange(0, 1)] = 0.5
    size: Annotated[float, WithinRange(0, 100)] = 7.0
    preset: Annotated[str, Choice(["paper", "fast"])] = "paper"
    show: bool = True
    text: str = "hello"


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode, self._tag, self.cleaned = None, None, False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.uiWidget = slicer.util.loadUI(self.resourcePath("UI/Tiny.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClosed)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.initialize()

    def cleanup(self):
        self.removeObservers()
        self.cleaned = True

    def enter(self):
        self.initialize()

    def onClose(self, caller, event):
        self.setParameterNode(None)

    def onClosed(self, caller, event):
        if self.parent.isEntered:
            self.initialize()

    def initialize(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.check)
        self._parameterNode = node
        if node:
            self._tag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.check)
            self.check()

    def check(self, caller=None, event=None):
        self.ui.applyButton.enabled = bool(self._parameterNode and self._parameterNode.inputVolume)

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            self.logic.process(self._parameterNode.inputVolume)


class TinyLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.processed = []

    def getParameterNode(self):
        return TinyParameterNode(super().getParameterNode())

    def process(self, volume):
        if volume.GetName() == "bad":
            raise ValueError("a bad volume")
        self.processed.append(volume.GetName())


class TinyTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.ranTinyTest = True
"""


def item(cls, name, **properties):
    parts = "".join(
        f'<property name="{key}"{" stdset=" + chr(34) + "0" + chr(34) if key == "SlicerParameterName" else ""}>{value}'
        "</property>"
        for key, value in properties.items()
    )
    return f'<item><widget class="{cls}" name="{name}">{parts}</widget></item>'


def bound(name):
    return {"SlicerParameterName": f'<string notr="true">{name}</string>'}


NODES = "<stringlist notr='true'><string>vtkMRMLScalarVolumeNode</string></stringlist>"
NO, YES = "<bool>false</bool>", "<bool>true</bool>"
PLAIN = {"addEnabled": NO, "removeEnabled": NO, "nodeTypes": NODES}


def ui_file():
    items = [
        item("qMRMLNodeComboBox", "inputSelector", **PLAIN, noneEnabled=YES, **bound("inputVolume")),
        item("qMRMLNodeComboBox", "maskSelector", **PLAIN, noneEnabled=YES, **bound("mask")),
        item("ctkSliderWidget", "thresholdSlider", decimals="<number>2</number>", **bound("threshold")),
        item("QDoubleSpinBox", "sizeBox", **bound("size")),
        item("QComboBox", "presetBox", **bound("preset")),
        item("QCheckBox", "showBox", text="<string>Show</string>", **bound("show")),
        item("QLineEdit", "textEdit", **bound("text")),
        item("QTableWidget", "table"),
        item("QPushButton", "applyButton", text="<string>Apply</string>", enabled=NO),
    ]
    connections = "".join(
        "<connection><sender>Tiny</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        f"<receiver>{name}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
        for name in ("inputSelector", "maskSelector")
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ui version="4.0"><class>Tiny</class>'
        '<widget class="qMRMLWidget" name="Tiny"><layout class="QVBoxLayout" name="all"><item>'
        '<widget class="ctkCollapsibleButton" name="inputs"><property name="text"><string>Inputs</string></property>'
        f'<layout class="QVBoxLayout" name="rows">{"".join(items)}</layout></widget></item></layout></widget>'
        "<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends>"
        f"<container>1</container></customwidget></customwidgets><connections>{connections}</connections></ui>"
    )


@pytest.fixture(scope="module", autouse=True)
def installed():
    doubles.install()
    yield
    doubles.uninstall()


@pytest.fixture
def app():
    yield doubles.new_application()
    doubles.end_application()


@pytest.fixture
def write_module(tmp_path):
    def write(module=MODULE, ui=None):
        (tmp_path / "Resources" / "UI").mkdir(parents=True, exist_ok=True)
        (tmp_path / "Resources" / "UI" / "Tiny.ui").write_text(ui or ui_file())
        (tmp_path / "Tiny.py").write_text(textwrap.dedent(module))
        return tmp_path / "Tiny.py"

    return write


@pytest.fixture
def tiny(app, write_module):
    return doubles.load_module(write_module(), widget=True)


def add_volume(name="CT"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


# --- qt -----------------------------------------------------------------------------------------------------


def test_qt_properties_are_attributes_and_their_setters_stay(app):
    import qt

    label, table, slider = qt.QLabel("one"), qt.QTableWidget(2, 3), qt.QSlider()
    assert (label.text, table.rowCount, slider.value, label.enabled) == ("one", 2, 0, True)
    label.text, table.rowCount, slider.value, label.enabled = "two", 5, 40, False
    assert (label.text, table.rowCount, slider.value, label.isEnabled()) == ("two", 5, 40, False)
    label.setText("three"), table.setRowCount(1), slider.setValue(3), label.setEnabled(True)
    assert (label.text, table.rowCount, slider.value, label.enabled) == ("three", 1, 3, True)
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignVCenter
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignVCenter and int(qt.Qt.AlignRight) == 2
    label.name = "caption"
    assert label.objectName == label.name == "caption"


def test_what_fails_in_pythonqt_fails_here(app):
    import qt

    label = qt.QLabel("one")
    with pytest.raises(TypeError, match="not callable"):
        label.text()
    with pytest.raises(AttributeError, match="does not exist"):
        label.txet = "two"
    with pytest.raises(AttributeError, match="overwritten"):
        label.setText = None
    with pytest.raises(AttributeError, match="not writable"):
        label.hasSelectedText = True
    with pytest.raises(ValueError, match="clickd"):
        qt.QPushButton().connect("clickd()", print)

    class Mine(qt.QLabel):
        pass

    mine = Mine()
    mine.anything, mine.text = 1, "own attributes are free in a Python class"
    assert mine.anything == 1 and mine.text.startswith("own")


def test_signals_connect_by_signature_and_by_name(app):
    import qt

    heard, button = [], qt.QPushButton("go")

    def first(checked):
        heard.append(("first", checked))

    button.checkable = True
    assert button.connect("clicked(bool)", first)
    button.clicked.connect(lambda: heard.append("second"))
    qt.QObject.connect(button, "toggled(bool)", heard.append)
    button.click()
    assert heard == [True, ("first", True), "second"]
    assert button.disconnect("clicked(bool)", first)
    button.click()
    assert heard[3:] == [False, "second"]


def test_timers_settings_and_subclasses_work(app):
    import qt

    heard = []
    qt.QTimer.singleShot(0, lambda: heard.append("shot"))
    timer = qt.QTimer()
    timer.interval = 1
    timer.setSingleShot(True)
    timer.connect("timeout()", lambda: heard.append("timer"))
    timer.start()

    class Chart(qt.QWidget):
        def paintEvent(self, event):
            painter = qt.QPainter(self)
            painter.fillRect(0, 0, self.width, self.height, qt.QColor("red"))
            painter.end()

        def mousePressEvent(self, event):
            heard.append((event.pos().x(), event.button() == qt.Qt.LeftButton))

        def sizeHint(self):
            return qt.QSize(30, 20)

    class Filter(qt.QObject):
        def eventFilter(self, watched, event):
            heard.append("seen") if event.type() == qt.QEvent.MouseButtonPress else None
            return False

    chart, watcher = Chart(), Filter()
    chart.installEventFilter(watcher)
    chart.show()
    place = qt.QPointF(7, 5)
    press = qt.QMouseEvent(
        qt.QEvent.MouseButtonPress, place, place, qt.Qt.LeftButton, qt.Qt.LeftButton, qt.Qt.NoModifier
    )
    qt.QApplication.sendEvent(chart, press)
    doubles.process_events(0.05)
    assert sorted(map(str, heard)) == ["(7, True)", "seen", "shot", "timer"]
    assert chart.grab().toImage().pixelColor(3, 3).name() == "#ff0000" and (chart.width, chart.height) == (30, 20)
    qt.QSettings().setValue("Tiny/Key", "value")
    assert qt.QSettings().value("Tiny/Key") == "value" and "tmp" in qt.QSettings().fileName()
    doubles.new_application()
    assert not qt.QSettings().contains("Tiny/Key")


def test_exceptions_in_slots_are_not_lost(app):
    import qt

    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        doubles.dialogs.check()


# --- ctk ----------------------------------------------------------------------------------------------------


def test_ctk_widgets_have_their_properties_and_signals(app):
    import ctk
    import qt

    heard = []
    slider = ctk.ctkSliderWidget()
    slider.connect("valueChanged(double)", heard.append)
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = 0, 10, 0.1, 1
    slider.value = 3.14
    slider.setValue(99)
    assert heard == [3.1, 10.0] and slider.value == 10.0 and slider.property("maximum") == 10.0

    section, inside = ctk.ctkCollapsibleButton(), qt.QLabel("a<br>b<br>c")
    section.text = "Advanced"
    qt.QVBoxLayout(section).addWidget(inside)
    open_height = section.sizeHint().height()
    section.connect("contentsCollapsed(bool)", heard.append)
    section.collapsed = True
    assert section.collapsed and heard[-1] is True and section.sizeHint().height() < open_height
    section.click()
    assert not section.collapsed and heard[-1] is False

    with pytest.raises(AttributeError):
        slider.valu = 3


# --- the node selector --------------------------------------------------------------------------------------


def selector(**properties):
    import slicer

    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.addEnabled = made.removeEnabled = False
    for name, value in properties.items():
        setattr(made, name, value)
    return made


def test_selector_follows_the_scene(app):
    import slicer

    heard, box, free = [], selector(noneEnabled=True), selector()
    assert not box.enabled
    for one in (box, free):
        one.setMRMLScene(slicer.mrmlScene)
    box.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    first, second = add_volume("first"), add_volume("second")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.HideFromEditorsOn()
    slicer.mrmlScene.AddNode(hidden)
    assert box.nodeCount() == 2 and box.currentNode() is None and free.currentNode() is first
    box.setCurrentNode(second)
    assert box.currentNode() is second and box.currentNodeID == second.GetID() and heard == [second]
    slicer.mrmlScene.RemoveNode(second)
    assert heard[-1] is not second and box.currentNode() is not second
    box.setCurrentNode(None)
    assert box.currentNode() is None and box.currentNodeID == ""
    doubles.close_scene()
    assert box.nodeCount() == 0 and free.currentNode() is None
    box.setMRMLScene(None)
    add_volume()
    assert box.nodeCount() == 0 and not box.enabled


def test_selector_remembers_a_node_that_is_set_before_the_scene(app):
    import slicer

    add_volume("first")
    second, box = add_volume("second"), selector(noneEnabled=True)
    box.setCurrentNodeID(second.GetID())
    assert box.currentNode() is None
    box.setMRMLScene(slicer.mrmlScene)
    assert box.currentNode() is second


# --- parameters ---------------------------------------------------------------------------------------------


def test_parameters_have_their_defaults_under_slicers_names(tiny):
    node = tiny.widget._parameterNode
    assert (node.threshold, node.size, node.preset, node.show, node.text) == (0.5, 7.0, "paper", True, "hello")
    stored = node.parameterNode
    names = [stored.GetParameter(name) for name in ("threshold", "size", "preset", "show", "inputVolume")]
    assert names == ["0.5", "7.0", "paper", "True", ""] and stored.GetParameter("mask.1") == "True"
    volume = add_volume()
    node.inputVolume, node.mask, node.show = volume, volume, False
    assert stored.GetNodeReference("inputVolume") is volume and stored.GetNodeReference("mask.0") is volume
    assert not stored.HasParameter("mask.1") and stored.GetParameter("show") == "False"
    with pytest.raises(ValueError, match="within range"):
        node.threshold = 2.0
    with pytest.raises(TypeError):
        node.text = 3
    with pytest.raises(ValueError):
        node.preset = "slow"
    with pytest.raises(TypeError):
        node.inputVolume = stored


def test_parameters_and_widgets_follow_each_other(tiny):
    node, ui = tiny.widget._parameterNode, tiny.widget.ui
    assert (ui.thresholdSlider.maximum, ui.sizeBox.maximum, ui.presetBox.count) == (1.0, 100, 2)
    assert not ui.applyButton.enabled
    volume = add_volume()
    ui.inputSelector.setCurrentNode(volume)
    assert node.inputVolume is volume and ui.applyButton.enabled
    ui.thresholdSlider.value, ui.sizeBox.value, ui.presetBox.currentIndex = 0.25, 9, 1
    ui.showBox.click()
    ui.textEdit.text = "typed"
    assert (node.threshold, node.size, node.preset, node.show, node.text) == (0.25, 9, "fast", False, "typed")
    node.threshold, node.preset, node.show, node.inputVolume = 0.75, "paper", True, None
    assert (ui.thresholdSlider.value, ui.presetBox.currentText, ui.showBox.checked) == (0.75, "paper", True)
    assert ui.inputSelector.currentNode() is None and not ui.applyButton.enabled
    tiny.widget.setParameterNode(None)
    ui.sizeBox.value = 55
    assert node.size == 9


def test_removing_the_node_clears_parameter_and_widget(tiny):
    import slicer

    node, volume = tiny.widget._parameterNode, add_volume()
    add_volume("other")
    node.inputVolume = volume
    slicer.mrmlScene.RemoveNode(volume)
    assert node.inputVolume is not volume
    assert tiny.widget.ui.inputSelector.currentNode() is node.inputVolume


def test_parameters_survive_a_saved_scene(tiny, tmp_path):
    import slicer

    volume, node = add_volume(), tiny.widget._parameterNode
    node.inputVolume, node.threshold, node.preset = volume, 0.125, "fast"
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Commit()
    doubles.close_scene()
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    again = tiny.widget.logic.getParameterNode()
    assert (again.threshold, again.preset, again.inputVolume.GetName()) == (0.125, "fast", "CT")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        (">text<", ">nowhere<", ValueError, "nowhere"),
        ("QLineEdit", "QCheckBox", RuntimeError, "Unable to create GUI connector"),
        ("QLineEdit", "ctkUnheardOf", RuntimeError, "ctkUnheardOf"),
        ("<sender>Tiny", "<sender>Huge", RuntimeError, "Huge"),
    ],
)
def test_mistakes_of_the_ui_file_are_errors(app, write_module, old, new, error, words):
    with pytest.raises(error, match=words):
        doubles.load_module(write_module(ui=ui_file().replace(old, new)), widget=True)


def test_unbounded_slider_and_reserved_names_are_errors(app, write_module):
    with pytest.raises(RuntimeError, match="unbounded"):
        doubles.load_module(write_module(MODULE.replace("Annotated[float, WithinRange(0, 1)]", "float")), widget=True)
    with pytest.raises(ValueError, match="reserved"):
        doubles.load_module(write_module(MODULE.replace("text: str", "AddObserver: str")))


# --- the module in the application --------------------------------------------------------------------------


def test_module_is_loaded_as_slicer_does(tiny, app):
    import slicer

    assert slicer.modules.tiny.title == "Tiny" and slicer.modules.TinyWidget is tiny.widget
    assert slicer.util.getModuleWidget("Tiny") is tiny.widget and slicer.util.modulePath("Tiny").endswith("Tiny.py")
    assert slicer.util.getModuleLogic("Tiny") is tiny.widget.logic
    app.startupCompleted.emit()
    assert slicer.modules.sampleDataSources["Tiny"][0].sampleName == "One"
    slicer.selfTests["Tiny"]()
    assert slicer.ranTinyTest
    with pytest.raises(AttributeError):
        tiny.parent.titel = "wrong"
    with pytest.raises(AttributeError):
        tiny.parent.contributors = "not a list"
    first = tiny.widget
    slicer.util.reloadScriptedModule("Tiny")
    assert first.cleaned and slicer.modules.TinyWidget is not first


def test_leaving_the_application_cleans_up(tiny, app):
    widget = tiny.widget
    doubles.end_application()
    assert widget.cleaned


@pytest.mark.parametrize("entered", [True, False])
def test_closing_the_scene_reaches_the_module(tiny, entered):
    if entered:
        tiny.enter()
    before = tiny.widget._parameterNode
    before.size = 3
    doubles.close_scene()
    assert (tiny.widget._parameterNode is not None) == entered
    assert not entered or tiny.widget._parameterNode.size in (3, 7)


def test_the_scene_has_slice_views_and_a_layout_manager_if_asked(app):
    import slicer

    volume = add_volume()
    slicer.util.setSliceViewerLayers(background=volume)
    logics = [app.layoutManager().mrmlSliceLogics().GetItemAsObject(index) for index in range(3)]
    assert [logic.GetSliceNode().GetName() for logic in logics] == ["Red", "Green", "Yellow"]
    assert {logic.GetSliceCompositeNode().GetBackgroundVolumeID() for logic in logics} == {volume.GetID()}
    assert slicer.util.mainWindow() is None and not app.testingEnabled()
    assert doubles.new_application(layout=False).layoutManager() is None


# --- dialogs ------------------------------------------------------------------------------------------------


def test_dialogs_are_answered_and_recorded(app):
    import slicer

    doubles.dialogs.expect("confirmOkCancel", False, text="install")
    doubles.dialogs.expect("error")
    assert slicer.util.confirmOkCancelDisplay("Shall I install it?", "Title") is False
    assert slicer.util.errorDisplay("Failed.") is None
    assert [(one.type, one.text) for one in doubles.dialogs.shown] == [
        ("confirmOkCancel", "Shall I install it?"), ("error", "Failed.")
    ]  # fmt: skip


def test_unexpected_and_missing_dialogs_fail_the_test(app):
    import qt
    import slicer

    with pytest.raises(doubles.UnexpectedDialogError):
        slicer.util.confirmOkCancelDisplay("Really?")
    with pytest.raises(AssertionError, match="Really"):
        doubles.dialogs.check()
    doubles.dialogs.expect("error")
    with pytest.raises(AssertionError, match="never shown"):
        doubles.dialogs.check()
    with pytest.raises(doubles.UnexpectedDialogError):
        qt.QMessageBox().exec_()  # does not wait for a user
    doubles.dialogs.unexpected.clear()
    doubles.dialogs.expect("saveFile", "/x.csv")
    assert qt.QFileDialog.getSaveFileName(None, "Export") == "/x.csv"


def test_errors_are_displayed_and_raised_again(tiny):
    tiny.widget._parameterNode.inputVolume = add_volume("bad")
    doubles.dialogs.expect("error", text="Failed.*a bad volume")
    tiny.widget.ui.applyButton.click()
    assert isinstance(doubles.dialogs.shown[0].exception, ValueError)
    assert "Traceback" in doubles.dialogs.shown[0].details
    tiny.widget._parameterNode.inputVolume = add_volume("good")
    tiny.widget.ui.applyButton.click()
    assert tiny.widget.logic.processed == ["good"]


# --- packages -----------------------------------------------------------------------------------------------


def test_packages_are_missing_until_they_are_installed(app):
    import importlib.util

    import slicer
    from slicer.packaging import pip_ensure

    doubles.packages.hide("scikit-image", "scikit-learn")
    assert importlib.util.find_spec("skimage") is None
    with pytest.raises(ImportError):
        import sklearn  # noqa: F401
    with pytest.raises(AssertionError, match="asked already"):
        pip_ensure(["scikit-image>=0.22"], requester="Tiny")
    pip_ensure(["scikit-image>=0.22"], prompt_install=False, requester="Tiny")
    assert importlib.util.find_spec("skimage") is not None
    slicer.util.pip_install(["scikit-learn"])
    assert importlib.util.find_spec("sklearn") is not None
    assert [name for name, _ in doubles.packages.calls] == ["pip_ensure", "pip_install"]


def test_torch_comes_with_the_extension(app):
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    doubles.packages.hide("torch")
    with pytest.raises(AssertionError, match="without asking"):
        logic.torch  # noqa: B018
    doubles.packages.failure = RuntimeError("no network")
    with pytest.raises(RuntimeError, match="no network"):
        logic.installTorch()
    doubles.packages.failure = None
    assert logic.installTorch() is not None and doubles.packages.installed("torch")
    doubles.new_application(packaging=False, pytorch_extension=False)
    with pytest.raises(ImportError):
        from slicer import packaging  # noqa: F401
    with pytest.raises(ImportError):
        import PyTorchUtils  # noqa: F811
