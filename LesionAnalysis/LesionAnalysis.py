import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Union

import slicer
import vtk
from LesionAnalysisGui.device_choice import DEVICES
from LesionAnalysisGui.display_controls import COLOR_SCALES
from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

PRESETS = ("enhanced", "paper")
RESOURCES = Path(__file__).resolve().parent / "Resources"
REQUIREMENTS = RESOURCES / "requirements.txt"


#
# LesionAnalysis
#


class LesionAnalysis(ScriptedLoadableModule):
    """A chest CT in, a diagnosis with its lesions out."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Lesion Analysis")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = []
        self.parent.contributors = ["LesionAnalysis team"]
        self.parent.helpText = _("""
How likely is a chest CT to show COVID-19, where are the lesions, and of what kind? The analysis needs no drawn lesions:
it maps what made the network say positive.<br><br>
<b>Research use only.</b> Not a medical device, not cleared or approved for diagnosis. Nothing leaves this computer.
""")
        self.parent.acknowledgementText = _("""
Method: Weakly-supervised lesion analysis with a CNN-based framework for COVID-19 (FeCNN, Grad++). The bundled weights
are licensed CC BY-NC-SA 4.0, the code Apache-2.0.
""")
        slicer.app.connect("startupCompleted()", registerSampleData)


#
# Sample data: made here, nothing is downloaded
#


def registerSampleData():
    """Offer the synthetic chest CT in the Sample Data module."""
    import SampleData

    category = "Lesion Analysis"
    if hasattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory"):  # not in Slicer 5.10
        SampleData.SampleDataLogic.registerCustomSampleDataCategory(category, title=_("Lesion Analysis"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=category,
        sampleName="LesionAnalysisPhantom",
        uris=[],  # nothing to download
        fileNames=[],
        thumbnailFileName=str(RESOURCES / "Icons" / "LesionAnalysisPhantom.png"),
        customDownloader=makeSampleVolume,
    )


def makeSampleVolume(source=None, shape=(120, 512, 512), spacing=(0.7, 0.7, 2.5), name="LesionAnalysisPhantom"):
    """A volume node with a synthetic chest CT that shows ground glass and consolidation, in a lung window."""
    from LesionAnalysisLib import make_phantom
    from LesionAnalysisLib.scene import node_from_ct

    node = node_from_ct(slicer.mrmlScene, make_phantom(shape, spacing).ct, name)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


#
# LesionAnalysisParameterNode
#


class ZeroOrWithinRange(WithinRange):
    """From ``smallest`` to ``maximum``, or 0, the lowest value of the widget, which has a meaning of its own."""

    def __init__(self, smallest, maximum):
        WithinRange.__init__(self, 0.0, maximum)
        self.smallest = smallest

    def validate(self, value):
        WithinRange.validate(self, value)
        if 0 < value < self.smallest:
            raise ValueError(f"Value must be 0 or from {self.smallest} to {self.maximum}, is {value}")


@parameterNodeWrapper
class LesionAnalysisParameterNode:
    """What the panel asks for; saved with the scene.

    inputVolume - the CT to analyze.
    modelFolder - folder of a trained model; empty: the bundled one.
    device - where the network runs.
    preset - "enhanced", or "paper": the published method to the letter.
    threshold - a slice, and the study, is positive from this probability on; 0: the model's own, whichever is chosen.
    lungMask - the user's own lungs in place of the built-in segmentation.
    minimumLesionMl - smaller lesions are left out.
    minimumScore - lesions of a lower cluster score are hidden.
    lamOpacity, lamThreshold, colorScale - of the lesion activation map; the threshold is in percent.
    showBoxes, showLabels, showPeaks, showLegend - what the slice views show.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    modelFolder: str = ""
    device: Annotated[str, Choice(list(DEVICES))] = "auto"
    preset: Annotated[str, Choice(list(PRESETS))] = "enhanced"
    threshold: Annotated[float, ZeroOrWithinRange(0.01, 0.99)] = 0.0
    # as typing.Union: Slicer 5.10 does not bind a selector to A | B
    lungMask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    minimumLesionMl: Annotated[float, WithinRange(0.0, 100.0)] = 0.0
    minimumScore: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    lamOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.45
    lamThreshold: Annotated[float, WithinRange(1.0, 99.0)] = 1.0
    colorScale: Annotated[str, Choice(list(COLOR_SCALES))] = next(iter(COLOR_SCALES))
    showBoxes: bool = True
    showLabels: bool = True
    showPeaks: bool = True
    showLegend: bool = True


#
# LesionAnalysisWidget
#


class LesionAnalysisWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: it listens to the scene and hands the work to ``LesionAnalysisGui``."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        """Called when the user opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        from LesionAnalysisGui.observing import Observation
        from LesionAnalysisGui.results_view import ResultsView
        from LesionAnalysisGui.run_control import RunControl

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LesionAnalysis.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LesionAnalysisLogic()
        self.runControl = RunControl(self.ui, self.logic, REQUIREMENTS, self.onResults)
        self.results = ResultsView(self.ui, self.logic, self.runControl.say)
        modified = vtk.vtkCommand.ModifiedEvent
        self._settings = Observation(modified, self.onParameterChanged)
        self._volume = Observation(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, self.onVolumeModified)
        self._axialView = Observation(modified, self.onSliceViewChanged)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onSceneEndBatch)
        self.ui.modelButton.clicked.connect(self.onModelButton)
        self.ui.advancedSection.contentsCollapsed.connect(self.onAdvancedCollapsed)
        self.initializeParameterNode()

    def cleanup(self):
        """Called when the application closes or the module is reloaded."""
        self.runControl.abandon()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time the user opens another module; a run goes on, and its results appear when ready."""
        self.setParameterNode(None)

    def onReload(self):
        """Developers: read the libraries again, too."""
        for name in [n for n in sys.modules if n.split(".")[0] in ("LesionAnalysisGui", "LesionAnalysisLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def initializeParameterNode(self):
        """Make sure that the parameter node exists and is observed; preselect the CT that is shown."""
        self._hideResultsFromSelector()
        parameterNode = self.logic.getParameterNode()
        if not parameterNode.inputVolume:
            parameterNode.inputVolume = self.logic.shownVolume()
        self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode):
        """Bind the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
        self._settings.follow(parameterNode)
        self._volume.follow(parameterNode and parameterNode.inputVolume)
        self._axialView.follow(parameterNode and slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed"))
        self.runControl.use(parameterNode)
        self.results.use(parameterNode)

    def onParameterChanged(self, caller=None, event=None):
        """Called whenever a setting changed, by the user or by a script."""
        self._volume.follow(self._parameterNode.inputVolume)
        self.runControl.update()
        self.results.update()

    def onResults(self):
        """Called when an analysis has put its results into the scene, perhaps while another module is open."""
        self._hideResultsFromSelector()
        if self._parameterNode is not None:
            self.results.refresh()

    def _hideResultsFromSelector(self):
        """Maps that an analysis made are volumes, too, but no CTs."""
        nodeFilter = self.ui.inputSelector.sortFilterProxyModel()
        ids = self.logic.resultVolumeIDs()
        if list(nodeFilter.hiddenNodeIDs) != ids:
            nodeFilter.hiddenNodeIDs = ids

    def onSceneStartClose(self, caller, event):
        """Called just before the scene is closed: nothing of it may be held or be made from now on."""
        self.runControl.abandon()
        self.setParameterNode(None)
        self.results.forget()

    def onSceneEndClose(self, caller, event):
        """Called just after the scene was closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """Called after a scene was loaded: it may bring results along, and settings."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndBatch(self, caller, event):
        """Called after many nodes changed at once: perhaps a script added results."""
        if self._parameterNode is not None and not self.runControl.running and not slicer.mrmlScene.IsClosing():
            self._hideResultsFromSelector()
            self.results.refreshLater(onlyIfChanged=True)

    def onNodeRemoved(self, caller, event):
        """Called after anybody removed a node: perhaps one of the results."""
        if self.results.shown:
            self.results.refreshLater(onlyIfChanged=True)

    def onModelButton(self, checked=False):
        """Choose a model folder."""
        import qt

        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Model folder"))
        if folder:
            self._parameterNode.modelFolder = folder

    def onAdvancedCollapsed(self, collapsed):
        """The devices are looked for when somebody looks at them: torch takes seconds to load."""
        if not collapsed:
            from LesionAnalysisGui.device_choice import availableDevices, offerDevices

            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed."), waitCursor=True):
                offerDevices(self.ui.deviceCombo, availableDevices())

    def onVolumeModified(self, caller=None, event=None):
        """Called when the chosen CT has other voxels: a volume that was empty may have got them."""
        self.runControl.update()

    def onSliceViewChanged(self, view, event=None):
        """Called when the axial view moved: the chart marks its slice."""
        matrix = view.GetSliceToRAS()
        self.results.markSlice(tuple(matrix.GetElement(row, 3) for row in range(3)))


#
# LesionAnalysisLogic
#


class LesionAnalysisLogic(ScriptedLoadableModuleLogic):
    """The analysis for scripts: no dialog ever, results in the scene.

    Example, in Slicer's Python console or in a ``--python-script``::

        from LesionAnalysis import LesionAnalysisLogic, makeSampleVolume
        volumeNode = makeSampleVolume()                       # or slicer.util.loadVolume("ct.nrrd")
        logic = LesionAnalysisLogic()
        analysis = logic.analyze(volumeNode, progress=lambda fraction, message: print(f"{fraction:.0%} {message}"))
        print(analysis.summary.probability, [lesion.label for lesion in analysis.lesions])
        logic.exportReport(volumeNode, "report.html")
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._analyzer = None
        self._analyzerKey = None

    def getParameterNode(self):
        node = super().getParameterNode()
        if node.GetParameter("preset") == "default":  # its name in scenes that an earlier version saved
            node.SetParameter("preset", "enhanced")
        return LesionAnalysisParameterNode(node)

    def analyze(self, volumeNode, modelFolder="", device="auto", preset="enhanced", threshold=None, lungMask=None,
                minimumLesionMl=0.0, progress=None):  # fmt: skip
        """Analyze a CT and add the results to its scene; those of an earlier run on the same CT are replaced.

        :param volumeNode: vtkMRMLScalarVolumeNode with a chest CT in HU.
        :param modelFolder: folder of a trained model; empty: the bundled one.
        :param device: "auto", "cpu", "cuda", "cuda:1", "mps".
        :param preset: "enhanced", or "paper": the published method to the letter.
        :param threshold: probability from which a slice, and the study, is positive; None: the model's own, or what
            the preset demands.
        :param lungMask: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode in place of the built-in lungs.
        :param minimumLesionMl: smaller lesions are left out.
        :param progress: called with (fraction, message); raise ``AnalysisCancelled`` in it to stop.
        :return: the ``Analysis`` (LesionAnalysisLib.results).
        :raises ValueError: no CT, no lungs, a wrong setting. RuntimeError: torch or a package is missing.
        """
        from LesionAnalysisLib.steps import run_to_end

        steps = self.analysisSteps(volumeNode, modelFolder, device, preset, threshold, lungMask, minimumLesionMl)
        analysis = run_to_end(steps, progress)
        self.addToScene(analysis, volumeNode)
        return analysis

    def analysisSteps(self, volumeNode, modelFolder="", device="auto", preset="enhanced", threshold=None,
                      lungMask=None, minimumLesionMl=0.0):  # fmt: skip
        """The same as a generator of (fraction, message) that returns the ``Analysis`` and leaves the scene alone.

        Nodes are read before this method returns: the steps themselves may run in another thread.
        """
        from LesionAnalysisGui.dependencies import missingParts
        from LesionAnalysisLib import scene

        why = self.whyNotAnalyzable(volumeNode)
        if why:
            raise ValueError(why)
        missing = missingParts(REQUIREMENTS)
        if missing:
            raise RuntimeError(
                _("The analysis needs {parts}: press Analyze in the module Lesion Analysis once, which offers to "
                  "install them, or install them in a script.").format(parts=", ".join(missing))
            )  # fmt: skip
        ct = scene.ct_from_node(volumeNode)
        mask = scene.mask_from_node(lungMask, volumeNode) if lungMask is not None else None
        changes = {"device": device, "min_lesion_ml": minimumLesionMl}
        if threshold is not None:
            changes["threshold"] = threshold
        return self._steps(ct, mask, str(modelFolder), preset, changes)

    def _steps(self, ct, mask, modelFolder, preset, changes):
        from LesionAnalysisGui.dependencies import preloadTorch

        yield 0.0, _("Loading the model")
        preloadTorch()
        analyzer = self._getAnalyzer(modelFolder, preset, changes)
        return (yield from analyzer.steps(ct, mask))

    def _getAnalyzer(self, modelFolder, preset, changes):
        """The analyzer of the last run where nothing changed: reading a model takes a second."""
        from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, ModelBundle

        key = (modelFolder, _modified(modelFolder), preset, tuple(sorted(changes.items())))
        if key != self._analyzerKey:
            self._analyzer = self._analyzerKey = None  # two networks need not be in memory
            config = replace(AnalysisConfig.from_preset(preset), **changes)
            bundle = ModelBundle.load(modelFolder) if modelFolder else ModelBundle.bundled()
            self._analyzer, self._analyzerKey = LesionAnalyzer(bundle, config), key
        return self._analyzer

    def describeModel(self, modelFolder=""):
        """Id, title and license of a model, without loading it."""
        from LesionAnalysisLib.model.folder import describe_model

        return describe_model(modelFolder or None)

    def addToScene(self, analysis, volumeNode):
        """Results as nodes (``LesionAnalysisLib.scene.SceneNodes``); the map is laid over the CT where it is shown."""
        from LesionAnalysisLib import scene

        nodes = scene.add_to_scene(analysis, ct_node=volumeNode)
        scene.show_in_slice_views(nodes)
        return nodes

    def addToSceneSteps(self, analysis, volumeNode):
        """The same as a generator that does one part at each step, for a window that must stay alive."""
        from LesionAnalysisLib import scene

        steps = scene.add_to_scene_steps(analysis, ct_node=volumeNode)
        return self._thenShow(steps)

    def _thenShow(self, steps):
        from LesionAnalysisLib import scene

        nodes = yield from steps
        scene.show_in_slice_views(nodes)
        return nodes

    def showEverywhere(self, volumeNode, opacity):
        """Lung window, map and legend in all slice views, fitted to the CT."""
        from LesionAnalysisLib import scene

        nodes = self.results(volumeNode)
        scene.set_lung_window(volumeNode)
        scene.show_in_slice_views(nodes, opacity, everywhere=True)
        if slicer.app.layoutManager() is not None:
            slicer.util.resetSliceViews()

    def shownVolume(self):
        """The CT in the slice views; None where they show none, or a result of ours."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            if node is not None and not self.whyNotAnalyzable(node):
                return node
        return None

    def resultVolumeIDs(self):
        """Ids of the volumes in the scene that analyses made."""
        from LesionAnalysisLib import scene

        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [node.GetID() for node in volumes if scene.is_result(node)]

    def whyNotAnalyzable(self, volumeNode):
        """One sentence about what keeps a node from being analyzed; empty where nothing does."""
        from LesionAnalysisLib import scene

        if volumeNode is None:
            return _("Choose a volume with a chest CT.")
        if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
            return _("Choose a scalar volume with a chest CT in Hounsfield units.")
        if scene.is_result(volumeNode):
            return _("This volume is a result of an analysis: choose the CT.")
        image = volumeNode.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            return _("This volume is empty: choose one with a chest CT.")
        return ""

    # -- export: each takes the analyzed CT, whose results are in the scene ------------------------

    def exportTables(self, volumeNode, path):
        """Write slices and lesions as CSV beside each other; ``path`` names the first. Returns both paths."""
        from LesionAnalysisLib.report import write_lesions_csv, write_slices_csv

        path = Path(path)
        stem = path.stem[: -len("slices")] if path.stem.endswith("slices") else f"{path.stem} "
        slices, lesions = path.with_name(f"{stem}slices.csv"), path.with_name(f"{stem}lesions.csv")
        record = self.record(volumeNode)
        write_slices_csv(record, slices)
        write_lesions_csv(record, lesions)
        return slices, lesions

    def exportJson(self, volumeNode, path):
        """Write ``analysis.json``. Returns its path in a tuple."""
        from LesionAnalysisLib.report import write_json

        write_json(self.record(volumeNode), path)
        return (Path(path),)

    def exportReport(self, volumeNode, path):
        """Write the self-contained HTML report. Returns its path in a tuple."""
        from LesionAnalysisLib import scene
        from LesionAnalysisLib.report import write_html

        write_html(scene.read_analysis(self.results(volumeNode)), path)
        return (Path(path),)

    def exportLam(self, volumeNode, path):
        """Write the lesion activation map (percent, on the CT's grid). Returns its path in a tuple."""
        from LesionAnalysisLib import scene
        from LesionAnalysisLib.volume.writing import write_volume

        analysis = scene.read_analysis(self.results(volumeNode))
        write_volume(analysis.lam, analysis.ct.ijk_to_ras, path)
        return (Path(path),)

    def exportSegmentation(self, volumeNode, by="cluster"):
        """Add the lesions as a segmentation with terminology, a segment for each cluster or ``by="lesion"``."""
        from LesionAnalysisLib import scene

        return scene.make_segmentation(self.results(volumeNode), by)

    def exportColorVolume(self, volumeNode):
        """Add the map as an RGBA color volume."""
        from LesionAnalysisLib import scene

        return scene.make_color_volume(self.results(volumeNode))

    def record(self, volumeNode):
        """The results of a CT that are in the scene, as an ``Analysis`` without voxels."""
        from LesionAnalysisLib import scene

        return scene.read_record(self.results(volumeNode))

    def results(self, volumeNode):
        """The nodes with the results of a CT (``LesionAnalysisLib.scene.SceneNodes``); ValueError without any."""
        from LesionAnalysisLib import scene

        nodes = scene.find_in_scene(volumeNode)
        if nodes is None:
            raise ValueError(_("There are no results of {name} in the scene: analyze it first.").format(
                name=volumeNode.GetName()))  # fmt: skip
        return nodes


def _modified(modelFolder):
    """When a model folder was last written; None for the bundled one."""
    checksums = os.path.join(modelFolder, "checksums.json") if modelFolder else ""
    return os.path.getmtime(checksums) if os.path.exists(checksums) else None


#
# LesionAnalysisTest
#


class LesionAnalysisTest(ScriptedLoadableModuleTest):
    """Analyzes a small phantom; where torch is missing, its known truth stands in for the network's answer."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (
            self.test_AnalysisFillsTheScene,
            self.test_SecondRunReplacesItsOwnNodes,
            self.test_ResultsSurviveSaveAndLoad,
            self.test_ResultsAreExported,
            self.test_EmptyVolumeIsRefusedWithASentence,
        ):
            self.setUp()
            test()
        self.delayDisplay("All tests passed")

    def analyzePhantom(self):
        """A small phantom and its results in the scene: (logic, volume node)."""
        from LesionAnalysisGui.dependencies import missingParts
        from LesionAnalysisLib.phantom import make_phantom, true_analysis
        from LesionAnalysisLib.scene import node_from_ct

        phantom = make_phantom((16, 128, 128), (2.8, 2.8, 18.0))
        volumeNode = node_from_ct(slicer.mrmlScene, phantom.ct, "TestPhantom")
        logic = LesionAnalysisLogic()
        if missingParts(REQUIREMENTS):
            logic.addToScene(true_analysis(phantom), volumeNode)
        else:
            logic.analyze(volumeNode, device="cpu", threshold=0.05)
        return logic, volumeNode

    def test_AnalysisFillsTheScene(self):
        logic, volumeNode = self.analyzePhantom()
        record = logic.record(volumeNode)
        self.assertEqual(record.summary.total_slices, 16)
        self.assertGreater(record.summary.lesion_count, 0)
        self.assertIsNotNone(slicer.util.getFirstNodeByName("TestPhantom LAM"))
        self.delayDisplay("The scene holds the results")

    def test_SecondRunReplacesItsOwnNodes(self):
        logic, volumeNode = self.analyzePhantom()
        from LesionAnalysisLib.scene import read_analysis

        before = slicer.mrmlScene.GetNumberOfNodes()
        logic.addToScene(read_analysis(logic.results(volumeNode)), volumeNode)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
        self.delayDisplay("A second run replaces its own nodes")

    def test_ResultsSurviveSaveAndLoad(self):
        import tempfile

        logic, volumeNode = self.analyzePhantom()
        before = logic.record(volumeNode).summary
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "scene.mrb")
            self.assertTrue(slicer.mrmlScene.WriteToMRB(path))
            self.assertTrue(slicer.mrmlScene.ReadFromMRB(path, True))
        self.assertEqual(logic.record(slicer.util.getNode("TestPhantom")).summary, before)
        self.delayDisplay("Results survive saving and loading")

    def test_ResultsAreExported(self):
        import tempfile

        logic, volumeNode = self.analyzePhantom()
        with tempfile.TemporaryDirectory() as folder:
            files = [
                *logic.exportTables(volumeNode, os.path.join(folder, "slices.csv")),
                *logic.exportJson(volumeNode, os.path.join(folder, "analysis.json")),
                *logic.exportReport(volumeNode, os.path.join(folder, "report.html")),
                *logic.exportLam(volumeNode, os.path.join(folder, "lam.nrrd")),
            ]
            self.assertTrue(all(path.stat().st_size > 100 for path in files))
        segmentation = logic.exportSegmentation(volumeNode)
        self.assertGreater(segmentation.GetSegmentation().GetNumberOfSegments(), 0)
        self.assertEqual(logic.exportColorVolume(volumeNode).GetImageData().GetNumberOfScalarComponents(), 4)
        self.delayDisplay("Results are exported")

    def test_EmptyVolumeIsRefusedWithASentence(self):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        with self.assertRaisesRegex(ValueError, "empty"):
            LesionAnalysisLogic().analyze(empty)
