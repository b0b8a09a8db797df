import os
import sys
import unittest
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Union

import slicer
import vtk
from LesionAnalysisLib.choices import COLOR_MAPS, DEVICES, PRESETS
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

RESOURCES = Path(__file__).resolve().parent / "Resources"
REQUIREMENTS = RESOURCES / "requirements.txt"


#
# LesionAnalysis
#


class LesionAnalysis(ScriptedLoadableModule):
    """Analyzes a chest CT for opacities like those of COVID-19."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Lesion Analysis")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = []
        self.parent.contributors = ["LesionAnalysis team"]
        self.parent.helpText = _("""
Detects, maps and groups opacities like those of COVID-19 in a chest CT: a probability for every slice and for the
study, a lesion activation map, and the type, cluster, volume and density of every lesion. The network was trained with
slice-level labels only.<br><br>
<b>Research use only.</b> Not a medical device, not cleared or approved for diagnosis. All data stay on this computer.
""")
        self.parent.acknowledgementText = _("""
Implements the method of Wu et al., "Weakly-supervised lesion analysis with a CNN-based framework for COVID-19" (2021).
The bundled weights are licensed under CC BY-NC-SA 4.0, the code under Apache-2.0.
""")
        slicer.app.connect("startupCompleted()", registerSampleData)


#
# Sample data, generated on this computer
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
    """A volume node with a synthetic chest CT that shows ground glass and consolidation, in a lung window.

    shape is (K, J, I), spacing (I, J, K) in millimeters.
    """
    from LesionAnalysisLib import make_phantom
    from LesionAnalysisLib.scene import node_from_ct

    node = node_from_ct(slicer.mrmlScene, make_phantom(shape, spacing).ct, name)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


#
# Settings and parameters
#


@dataclass(frozen=True)
class RunSettings:
    """Settings of one analysis; ``LesionAnalysisLogic.analyze`` explains them."""

    modelFolder: str = ""
    device: str = "auto"
    preset: str = "enhanced"
    threshold: float | None = None
    minimumLesionMl: float = 0.0


class ZeroOrWithinRange(WithinRange):
    """From ``smallest`` to ``maximum``, or 0, the lowest value of the widget, which is shown as "auto"."""

    def __init__(self, smallest, maximum):
        WithinRange.__init__(self, 0.0, maximum)
        self.smallest = smallest

    def validate(self, value):
        WithinRange.validate(self, value)
        if 0 < value < self.smallest:
            raise ValueError(f"Value must be 0 or from {self.smallest} to {self.maximum}, is {value}")


@parameterNodeWrapper
class LesionAnalysisParameterNode:
    """Parameters of the module, saved with the scene.

    inputVolume - the CT to analyze.
    modelFolder - folder of a trained model; empty: the bundled one.
    device - where the network runs.
    preset - "enhanced", or "paper": the method as published.
    threshold - probability from which a slice, and the study, is positive; 0: the default of the model or preset.
    lungMask - a lung segmentation to use instead of the built-in one.
    minimumLesionMl - smaller lesions are discarded.
    minimumActivation - lesions of lower activation are hidden.
    lamOpacity, lamThreshold, colorScale - of the lesion activation map (LAM); the threshold is in percent.
    showBoxes, showLabels, showPeaks, showLegend - what the slice views show.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    modelFolder: str = ""
    device: Annotated[str, Choice([*DEVICES, *(f"cuda:{index}" for index in range(16))])] = "auto"
    preset: Annotated[str, Choice(list(PRESETS))] = "enhanced"
    threshold: Annotated[float, ZeroOrWithinRange(0.01, 0.99)] = 0.0
    # as typing.Union: Slicer 5.10 does not bind a selector to A | B
    lungMask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    minimumLesionMl: Annotated[float, WithinRange(0.0, 100.0)] = 0.0
    minimumActivation: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    lamOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.45
    lamThreshold: Annotated[float, WithinRange(1.0, 99.0)] = 1.0
    colorScale: Annotated[str, Choice([*COLOR_MAPS, "clusters"])] = "jet"
    showBoxes: bool = True
    showLabels: bool = True
    showPeaks: bool = True
    showLegend: bool = True

    def runSettings(self):
        """The parameters of an analysis as an immutable copy."""
        return RunSettings(self.modelFolder, self.device, self.preset, self.threshold or None, self.minimumLesionMl)


#
# LesionAnalysisWidget
#


class LesionAnalysisWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: observes the scene; ``LesionAnalysisGui`` holds its parts."""

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
        self.results = ResultsView(self.ui, self.logic, self.runControl.showStatus)
        modified = vtk.vtkCommand.ModifiedEvent
        self._parameterObservation = Observation(modified, self.onParameterChanged)
        self._volumeObservation = Observation(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, self.onVolumeModified)
        self._axialViewObservation = Observation(modified, self.onSliceViewChanged)
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
        """Called each time the user opens another module; a run continues, and its results are added to the scene."""
        self.setParameterNode(None)

    def onReload(self):
        """For developers: reload the libraries, too."""
        for name in [n for n in sys.modules if n.split(".")[0] in ("LesionAnalysisGui", "LesionAnalysisLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def initializeParameterNode(self):
        """Ensure that the parameter node exists and is observed; preselect the CT shown in the slice views."""
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
            from LesionAnalysisGui.display_controls import labelColorScales

            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)  # fills the combo boxes
            labelColorScales(self.ui.colorScale)
            self.onAdvancedCollapsed(self.ui.advancedSection.collapsed)
        self._parameterObservation.observe(parameterNode)
        self._volumeObservation.observe(parameterNode and parameterNode.inputVolume)
        self._axialViewObservation.observe(parameterNode and slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed"))
        self.runControl.setParameters(parameterNode)
        self.results.setParameters(parameterNode)

    def onParameterChanged(self, caller=None, event=None):
        """Called when the user or a script changed a parameter."""
        self._volumeObservation.observe(self._parameterNode.inputVolume)
        self.runControl.update()
        self.results.update()

    def onResults(self):
        """Called when results were added to the scene, possibly while another module is open."""
        self._hideResultsFromSelector()
        if self._parameterNode is not None:
            self.results.refresh()

    def _hideResultsFromSelector(self):
        """The lesion activation maps are volumes, too, but no CTs."""
        nodeFilter = self.ui.inputSelector.sortFilterProxyModel()
        ids = self.logic.resultVolumeIDs()
        if list(nodeFilter.hiddenNodeIDs) != ids:
            nodeFilter.hiddenNodeIDs = ids

    def onSceneStartClose(self, caller, event):
        """Called just before the scene is closed: release all of its nodes."""
        self.runControl.abandon()
        self.setParameterNode(None)
        self.results.clear()

    def onSceneEndClose(self, caller, event):
        """Called just after the scene was closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """Called after a scene was loaded, which may contain results and parameters."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndBatch(self, caller, event):
        """Called after many nodes changed at once, for example because a script added results."""
        if self._parameterNode is not None and not self.runControl.running and not slicer.mrmlScene.IsClosing():
            self._hideResultsFromSelector()
            self.results.refreshLater(onlyIfChanged=True)

    def onNodeRemoved(self, caller, event):
        """Called after a node was removed, which may be one of the results."""
        if self.results.shown:
            self.results.refreshLater(onlyIfChanged=True)

    def onModelButton(self, checked=False):
        """Choose a model folder."""
        import qt

        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Model folder"))
        if folder:
            self._parameterNode.modelFolder = folder

    def onAdvancedCollapsed(self, collapsed):
        """List the devices when the section is opened, not earlier: torch takes seconds to load."""
        if not collapsed:
            from LesionAnalysisGui.device_choice import availableDevices, offerDevices

            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed."), waitCursor=True):
                offerDevices(self.ui.deviceCombo, availableDevices())

    def onVolumeModified(self, caller=None, event=None):
        """Called when the voxels of the chosen CT changed, for example because they were loaded."""
        self.runControl.update()

    def onSliceViewChanged(self, view, event=None):
        """Called when the axial view moved: mark its slice in the chart."""
        matrix = view.GetSliceToRAS()
        self.results.markSlice(tuple(matrix.GetElement(row, 3) for row in range(3)))


#
# LesionAnalysisLogic
#


class LesionAnalysisLogic(ScriptedLoadableModuleLogic):
    """The analysis for scripts: it never opens a dialog, and adds its results to the scene.

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

    @property
    def _scene(self):
        """The package ``LesionAnalysisLib.scene``, imported when needed: it loads SimpleITK."""
        from LesionAnalysisLib import scene

        return scene

    def getParameterNode(self):
        return LesionAnalysisParameterNode(super().getParameterNode())

    def analyze(self, volumeNode, modelFolder="", device="auto", preset="enhanced", threshold=None, lungMask=None,
                minimumLesionMl=0.0, progress=None):  # fmt: skip
        """Analyze a CT and add the results to its scene; those of an earlier run on the same CT are replaced.

        :param volumeNode: vtkMRMLScalarVolumeNode with a chest CT in HU.
        :param modelFolder: folder of a trained model; empty: the bundled one.
        :param device: "auto", "cpu", "cuda", "cuda:1", "mps".
        :param preset: "enhanced", or "paper": the method as published.
        :param threshold: probability from which a slice, and the study, is positive; None: the default of the model
            or preset.
        :param lungMask: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode to use instead of the built-in lung
            segmentation.
        :param minimumLesionMl: lesions of a smaller volume (ml) are discarded.
        :param progress: called with (fraction, message); raise ``AnalysisCancelled`` in it to stop.
        :return: the ``Analysis`` (LesionAnalysisLib.results).
        :raises ValueError: no CT, no lungs, an invalid setting. RuntimeError: a Python package is missing.
        """
        from LesionAnalysisLib.steps import run_to_end

        settings = RunSettings(str(modelFolder), device, preset, threshold, minimumLesionMl)
        analysis = run_to_end(self.analysisSteps(volumeNode, settings, lungMask), progress)
        self.addToScene(analysis, volumeNode)
        return analysis

    def analysisSteps(self, volumeNode, settings, lungMask=None):
        """The same as a generator of (fraction, message) that returns the ``Analysis`` and does not change the scene.

        All nodes are read before this method returns, so that the steps may run in another thread.
        """
        from LesionAnalysisLib.requirements import missing_packages

        problem = self.whyNotAnalyzable(volumeNode)
        if problem:
            raise ValueError(problem)
        missing = missing_packages(REQUIREMENTS)
        if missing:
            raise RuntimeError(
                _("The analysis needs {packages}. To install what is missing, open the module Lesion Analysis and "
                  "press Analyze.").format(packages=", ".join(missing))
            )  # fmt: skip
        ct = self._scene.ct_from_node(volumeNode)
        mask = self._scene.mask_from_node(lungMask, volumeNode) if lungMask is not None else None
        return self._steps(ct, mask, settings)

    def _steps(self, ct, mask, settings):
        from LesionAnalysisLib.requirements import preload_torch

        yield 0.0, _("Loading the model")
        preload_torch()
        return (yield from self._getAnalyzer(settings).steps(ct, mask))

    def _getAnalyzer(self, settings):
        """The analyzer of the last run if nothing changed, since reading a model takes a second."""
        from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, ModelBundle

        checksums = os.path.join(settings.modelFolder, "checksums.json") if settings.modelFolder else ""
        key = (settings, os.path.getmtime(checksums) if os.path.exists(checksums) else None)
        if key != self._analyzerKey:
            self._analyzer = self._analyzerKey = None  # free the other network first
            config = replace(
                AnalysisConfig.from_preset(settings.preset),
                device=settings.device,
                min_lesion_ml=settings.minimumLesionMl,
                **({} if settings.threshold is None else {"threshold": settings.threshold}),
            )
            bundle = ModelBundle.load(settings.modelFolder) if settings.modelFolder else ModelBundle.bundled()
            self._analyzer, self._analyzerKey = LesionAnalyzer(bundle, config), key
        return self._analyzer

    def describeModel(self, modelFolder=""):
        """Id, title and license of a model, without loading it."""
        from LesionAnalysisLib.model.folder import describe_model

        return describe_model(modelFolder or None)

    def addToScene(self, analysis, volumeNode):
        """Add results as nodes and overlay the map on the CT where it is shown. Returns their ``SceneNodes``."""
        nodes = self._scene.add_to_scene(analysis, ct_node=volumeNode)
        self._scene.show_in_slice_views(nodes)
        return nodes

    def addToSceneSteps(self, analysis, volumeNode):
        """The same as a generator, so that Slicer stays responsive between its steps."""
        nodes = yield from self._scene.add_to_scene_steps(analysis, ct_node=volumeNode)
        self._scene.show_in_slice_views(nodes)
        return nodes

    def showEverywhere(self, volumeNode, opacity):
        """Show lung window, map and legend in all slice views, fitted to the CT."""
        nodes = self.results(volumeNode)
        self._scene.set_lung_window(volumeNode)
        self._scene.show_in_slice_views(nodes, opacity, everywhere=True)
        if slicer.app.layoutManager() is not None:
            slicer.util.resetSliceViews()

    def shownVolume(self):
        """The CT in the slice views; None if they show none, or a result of an analysis."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            if node is not None and not self.whyNotAnalyzable(node):
                return node
        return None

    def resultVolumeIDs(self):
        """Ids of the volumes in the scene that are results of an analysis."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [node.GetID() for node in volumes if self._scene.is_result(node)]

    def whyNotAnalyzable(self, volumeNode):
        """One sentence that says why a node cannot be analyzed and what to do; empty if it can."""
        if volumeNode is None:
            return _("Choose a volume with a chest CT.")
        if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
            return _("Choose a scalar volume with a chest CT in Hounsfield units.")
        if self._scene.is_result(volumeNode):
            return _("This volume is the result of an analysis: choose the CT instead.")
        image = volumeNode.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            return _("This volume is empty: choose one with a chest CT.")
        return ""

    # -- export: each method takes the analyzed CT, whose results are in the scene -----------------

    def exportTables(self, volumeNode, path):
        """Write slices and lesions as two CSV files; ``path`` names the first. Returns both paths."""
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
        from LesionAnalysisLib.report import write_html

        write_html(self._scene.read_analysis(self.results(volumeNode)), path)
        return (Path(path),)

    def exportLam(self, volumeNode, path):
        """Write the lesion activation map (percent, on the CT's grid). Returns its path in a tuple."""
        from LesionAnalysisLib.volume.writing import write_volume

        analysis = self._scene.read_analysis(self.results(volumeNode))
        write_volume(analysis.lam, analysis.ct.ijk_to_ras, path)
        return (Path(path),)

    def exportSegmentation(self, volumeNode, by="cluster"):
        """Add the lesions as a segmentation with terminology, one segment per cluster or per lesion (``"lesion"``)."""
        return self._scene.make_segmentation(self.results(volumeNode), by)

    def exportColorVolume(self, volumeNode):
        """Add the map as an RGBA color volume."""
        return self._scene.make_color_volume(self.results(volumeNode))

    def record(self, volumeNode):
        """The results of a CT that are in the scene, as an ``Analysis`` without voxels."""
        return self._scene.read_record(self.results(volumeNode))

    def results(self, volumeNode):
        """The nodes with the results of a CT (``LesionAnalysisLib.scene.SceneNodes``); ValueError if there are none."""
        nodes = self._scene.find_in_scene(volumeNode)
        if nodes is None:
            raise ValueError(
                _("The scene has no results for {name}: analyze it first.").format(name=volumeNode.GetName())
            )
        return nodes


#
# LesionAnalysisTest
#


class LesionAnalysisTest(ScriptedLoadableModuleTest):
    """Analyzes a small phantom; skipped, and reported as skipped, if a package that the analysis needs is missing."""

    _analysis = None  # of the phantom, computed once

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        """For the button "Reload and Test": unittest itself runs the test methods one by one."""
        skipped = 0
        for test in (
            self.test_EmptyVolumeIsRefused,
            self.test_AnalysisAddsResultsToScene,
            self.test_SecondRunReplacesItsNodes,
            self.test_ResultsSurviveSaveAndLoad,
            self.test_ResultsAreExported,
        ):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                skipped += 1
                self.delayDisplay(f"SKIPPED: {test.__name__}: {reason}")
        self.delayDisplay(f"{skipped} tests SKIPPED, all others passed" if skipped else "All tests passed")

    def analyzePhantom(self):
        """A small phantom whose results are in the scene: (logic, volume node)."""
        from LesionAnalysisLib.requirements import missing_packages

        missing = missing_packages(REQUIREMENTS)
        if missing:
            self.skipTest(f"{', '.join(missing)} not installed")
        volumeNode = makeSampleVolume(shape=(16, 128, 128), spacing=(2.8, 2.8, 18.0), name="TestPhantom")
        logic, case = LesionAnalysisLogic(), type(self)
        if case._analysis is None:
            case._analysis = logic.analyze(volumeNode, device="cpu", threshold=0.05)
        else:
            logic.addToScene(case._analysis, volumeNode)
        return logic, volumeNode

    def test_EmptyVolumeIsRefused(self):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        with self.assertRaisesRegex(ValueError, "empty"):
            LesionAnalysisLogic().analyze(empty)

    def test_AnalysisAddsResultsToScene(self):
        logic, volumeNode = self.analyzePhantom()
        record = logic.record(volumeNode)
        self.assertEqual(record.summary.total_slices, 16)
        self.assertGreater(record.summary.lesion_count, 0)
        self.assertIsNotNone(slicer.util.getFirstNodeByName("TestPhantom LAM"))
        self.delayDisplay("The results are in the scene")

    def test_SecondRunReplacesItsNodes(self):
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
