"""A Slicer without windows, for tests: scene, application and module logics, off-screen slice views.

Real MRML classes throughout, set up as by Slicer itself. ``small_analysis`` is an Analysis with known lesions, made
without a network.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import slicer
import vtk
from LesionAnalysisLib.choices import COLOR_MAPS
from LesionAnalysisLib.results import Analysis, Lesion, SliceDiagnosis, SliceLesion, StudySummary
from LesionAnalysisLib.scene.color_maps import color_map
from LesionAnalysisLib.scene.mrml import nodes_by_class, register_classes, voxels, vtkMatrixFromArray
from LesionAnalysisLib.volume import CtVolume
from vtk.util.numpy_support import vtk_to_numpy

CLUSTERS = {1: "ground glass", 2: "consolidation"}


class HeadlessSlicer:
    """An application with one scene, sufficient to add, save, load and render nodes."""

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.logic = slicer.vtkSlicerApplicationLogic()
        self._home = tempfile.TemporaryDirectory()  # where Slicer is installed, with its color files
        (Path(self._home.name) / "ColorFiles").mkdir()
        self.logic.SetHomeDirectory(self._home.name)
        self.logic.SetShareDirectory(".")
        self.logic.SetMRMLScene(self.scene)
        self.logic.GetColorLogic().SetMRMLScene(self.scene)
        self.logic.GetColorLogic().AddDefaultColorNodes()
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        for factory in (
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(self.logic)
        self._modules = []
        for name in ("Volumes", "Markups", "Color", "Tables", "Plots", "Texts"):
            module = getattr(slicer, f"vtkSlicer{name}Logic")()
            if hasattr(module, "SetModuleShareDirectory"):
                # There are no module files here; a module that looks for them without this prints warnings.
                module.SetModuleShareDirectory(tempfile.gettempdir())
            module.SetMRMLApplicationLogic(self.logic)
            module.SetMRMLScene(self.scene)
            self.logic.SetModuleLogic("Colors" if name == "Color" else name, module)
            self._modules.append(module)
        register_classes(self.scene)  # as the Segmentations module does in Slicer
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.scene.GetSubjectHierarchyNode()  # created on first access
        self._remote = None

    def read(self, path: str | Path, clear: bool = True) -> bool:
        """Open a bundle as Slicer does (which unpacks it into its cache folder)."""
        if self._remote is None:
            self._cache = tempfile.TemporaryDirectory()
            self._remote = slicer.vtkMRMLRemoteIOLogic()
            self._remote.SetMRMLScene(self.scene)
            self._remote.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
            self._remote.AddDataIOToScene()
        messages = slicer.vtkMRMLMessageCollection()
        good = self.scene.ReadFromMRB(str(path), clear, messages)
        self.messages = messages.GetAllMessagesAsString()
        return bool(good)

    def nodes(self, class_name: str) -> list:
        count = self.scene.GetNumberOfNodesByClass(class_name)
        return [self.scene.GetNthNodeByClass(index, class_name) for index in range(count)]

    def tagged(self, role: str | None = None) -> list:
        """Nodes with the attribute LesionAnalysis.Role, or with one value of it."""
        roles = [(node, node.GetAttribute("LesionAnalysis.Role")) for node in self.nodes("vtkMRMLNode")]
        return [node for node, value in roles if (value == role if role else value is not None)]

    def close(self) -> None:
        self.scene.Clear(True)
        for module in self._modules:
            module.SetMRMLScene(None)
        self.logic.SetMRMLScene(None)


class SliceView:
    """One of Slicer's slice views with its displayable managers, rendered off screen."""

    MANAGERS = (
        "vtkMRMLModelSliceDisplayableManager",
        "vtkMRMLMarkupsDisplayableManager",
        "vtkMRMLColorLegendDisplayableManager",
    )

    def __init__(self, application: HeadlessSlicer, name: str = "Red", size: tuple[int, int] = (512, 512)):
        self.size = size
        self.renderer = vtk.vtkRenderer()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()

        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        for manager in self.MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)

        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        application.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(application.scene)
        existing = application.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if existing is not None:
            self.logic.SetSliceNode(existing)
        self.node = existing or self.logic.AddSliceNode(name)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self.mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)

    def draw(self, png: str | Path | None = None) -> np.ndarray:
        """The rendered image as (rows, columns, 3) uint8, first row at the top."""
        self.logic.UpdatePipeline()
        self.mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        if png is not None:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(png))
            writer.SetInputData(image)
            writer.Write()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()

    def close(self) -> None:
        self.managers.SetMRMLDisplayableNode(None)
        self.logic.SetMRMLScene(None)
        self.window.Finalize()

    def pixel(self, ras: tuple[float, float, float]) -> tuple[int, int]:
        """(row, column) of a point of the slice plane on the image."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y = inverse.MultiplyPoint((*ras, 1.0))[:2]
        return self.size[1] - 1 - round(y), round(x)


def can_draw() -> str:
    """Empty if off-screen OpenGL works, else why not; tested in a process of its own, which may crash."""
    code = (
        "import vtk; window = vtk.vtkRenderWindow(); window.SetOffScreenRendering(1); window.Render();"
        "print(window.SupportsOpenGL())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    if done.returncode == 0 and done.stdout.strip().endswith("1"):
        return ""
    message = (done.stderr.strip().splitlines() or ["no message"])[-1].split("|")[-1].strip()
    return f"no off-screen OpenGL here (on Debian: libegl1 and libgl1): {message}"


# --- geometry -----------------------------------------------------------------------------------------------


def add_ct(app, analysis, name="CTChest"):
    """The user's own volume node with the CT of ``analysis``."""
    node = app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(vtkMatrixFromArray(analysis.ct.ijk_to_ras))
    image = vtk.vtkImageData()
    image.SetDimensions(analysis.ct.array.shape[::-1])
    image.AllocateScalars(vtk.VTK_SHORT, 1)
    node.SetAndObserveImageData(image)
    voxels(node)[:] = analysis.ct.array
    node.CreateDefaultDisplayNodes()
    return node


def add_views(app, volume=None):
    """Red, Green and Yellow with ``volume`` in the background; name -> (slice node, composite node)."""
    views = {}
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        view = app.scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        view.SetLayoutName(name)
        view.SetOrientation(orientation)
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetLayoutName(name)
        composite.SetName(name)
        composite = app.scene.AddNode(composite)
        composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)
        views[name] = (view, composite)
    return views


def move(app, node, angles=(5, 10, -30), shift=(100, -50, 20)):
    """Put ``node`` under a linear transform; returns its (4, 4) matrix."""
    matrix = rotation(*angles)
    matrix[:3, 3] = shift
    transform = app.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    transform.SetMatrixTransformToParent(vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return matrix


def save_and_load(app, path):
    """Save the scene as a bundle and open it in another application, which is returned."""
    assert app.scene.WriteToMRB(str(path))
    other = HeadlessSlicer()
    assert other.read(path), other.messages
    return other


def rotation(*degrees):
    transform = vtk.vtkTransform()
    for angle, axis in zip(degrees, "XYZ", strict=True):
        getattr(transform, f"Rotate{axis}")(angle)
    return np.array([[transform.GetMatrix().GetElement(r, c) for c in range(4)] for r in range(4)])


def grid(axes="LPS", spacing=(2.0, 2.0, 3.0), degrees=(0, 0, 0)):
    """IJK-to-RAS of a volume whose I, J, K point to the letters of ``axes``."""
    toward = dict(zip("RASLPI", [*np.eye(3), *-np.eye(3)], strict=True))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([toward[letter] for letter in axes]).T * spacing
    matrix[:3, 3] = (12.5, -40.0, 7.0)
    return rotation(*degrees) @ matrix


GRIDS = {
    "axial": grid(),
    "axial, head first": grid("LPI"),
    "flipped": grid("RAS"),
    "left-handed": grid("RPS"),
    "sagittal": grid("PIL"),
    "coronal": grid("LIP", (1.0, 2.5, 0.7)),
    "oblique": grid("LPS", (0.7, 0.7, 5.0), (12, -7, 20)),
    "very oblique": grid("SAR", (1.5, 0.6, 2.0), (40, 35, -50)),
}


def box_corners(box):
    """The eight corners of a ROI node in world coordinates, as a (8, 3) array."""
    center, size = np.zeros(3), np.zeros(3)
    box.GetCenterWorld(center)
    box.GetSizeWorld(size)
    axes = [np.zeros(3) for _ in range(3)]
    box.GetXAxisWorld(axes[0]), box.GetYAxisWorld(axes[1]), box.GetZAxisWorld(axes[2])
    signs = product((-0.5, 0.5), repeat=3)
    return np.array([center + np.array(sign) * size @ np.array(axes) for sign in signs])


def same_points(first, second, tolerance=1e-3):
    """Whether two sets of points are equal, in any order."""
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    return distance.min(axis=0).max() < tolerance and distance.min(axis=1).max() < tolerance


def snapshot(app):
    """Id and modification time of every node of the scene."""
    return {node.GetID(): str(node.GetMTime()) for node in app.nodes("vtkMRMLNode")}


def column(table, name):
    array = table.GetTable().GetColumnByName(name)
    return [array.GetValue(row) for row in range(array.GetNumberOfValues())]


# --- display settings, as the nodes hold them ---------------------------------------------------------------


def color_map_of(nodes):
    """Name of the color map that the LAM's color table has."""
    table = nodes.colors.GetLookupTable()
    colors = [table.GetTableValue(index)[:3] for index in range(table.GetNumberOfTableValues())]
    return next(name for name in COLOR_MAPS if np.allclose(colors, color_map(name), atol=1 / 254))


def lam_threshold(nodes):
    """Percent below which the LAM is hidden."""
    return nodes.lam.GetDisplayNode().GetLowerThreshold()


def lam_opacities(nodes):
    """Opacity of the LAM, or of its clusters, in the slice views that show it."""
    ids = {nodes.lam.GetID(), nodes.labels.GetID()}
    views = nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceCompositeNode")
    return [view.GetForegroundOpacity() for view in views if view.GetForegroundVolumeID() in ids]


def clusters_shown(nodes):
    """Whether a slice view shows the clusters instead of the LAM."""
    views = nodes_by_class(nodes.ct.GetScene(), "vtkMRMLSliceCompositeNode")
    return any(view.GetForegroundVolumeID() == nodes.labels.GetID() for view in views)


def legend_visible(nodes):
    return bool(nodes.legend.GetVisibility())


def visible_boxes(nodes):
    """Ids of the lesions whose box is visible."""
    return {number for number, box in nodes.boxes.items() if box.GetDisplayNode().GetVisibility()}


def box_labels_visible(nodes):
    """The ids of the lesions whose box shows its name."""
    return {number for number, box in nodes.boxes.items() if box.GetDisplayNode().GetPropertiesLabelVisibility()}


def peaks_visible(nodes):
    return bool(nodes.peaks.GetDisplayNode().GetVisibility())


def emphasized(nodes):
    """Id of the lesion whose box is filled, else None; at most one is."""
    filled = [number for number, box in nodes.boxes.items() if box.GetDisplayNode().GetFillVisibility()]
    assert len(filled) <= 1
    return filled[0] if filled else None


# --- an analysis with known lesions -------------------------------------------------------------------------


def small_analysis(
    name: str = "case", matrix: np.ndarray | None = None, calibrated: bool = True, boxes: list | None = None
) -> Analysis:
    """A CT of 64 x 64 x 24 voxels with lesions that fill boxes ((i0, j0, k0), (i1, j1, k1)) of voxels.

    ``matrix`` is IJK-to-RAS, by default 2 x 2 x 3 mm voxels in the usual axial order.
    """
    if matrix is None:
        matrix = np.diag([-2.0, -2.0, 3.0, 1.0]) if calibrated else np.diag([-1.0, -1.0, 1.0, 1.0])
        matrix[:3, 3] = (63.0, 63.0, -100.0)
    if boxes is None:
        boxes = [((10, 20, 5), (21, 33, 12)), ((44, 30, 10), (51, 37, 14)), ((40, 12, 18), (44, 16, 19))]
    array, lam, labels = _voxels(boxes, calibrated)
    lesions = tuple(_lesion(number, box, matrix, calibrated) for number, box in enumerate(boxes, 1))
    slices = tuple(_slice(index, lesions, matrix, calibrated) for index in range(array.shape[0]))
    return Analysis(
        name=name,
        input={"path": f"{name}.nii.gz", "kind": "file", "size": [64, 64, 24], "calibrated": calibrated},
        model={"id": "toy", "checksum": "0", "classes": ["normal", "COVID-19"], "positive": "COVID-19"},
        config={"preset": "enhanced", "threshold": 0.5},
        device="cpu",
        timing_s={"all": 1.0},
        summary=StudySummary(0.9, "COVID-19", True, 11, 20, 24, len(lesions), {"ground glass": 1}, 0.05),
        slices=slices,
        lesions=lesions,
        cluster_names=CLUSTERS,
        warnings=("Made for tests, not a CT.",),
        ct=CtVolume(array, matrix, name, f"{name}.nii.gz", calibrated),
        lam=lam,
        lesion_labels=labels,
        lung_mask=array < -500 if calibrated else array > 50,
    )


def _voxels(boxes: list, calibrated: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Body with air around it and lung inside; lesions with a LAM of 100, 80, ... percent."""
    array = np.full((24, 64, 64), -1000, np.int16)
    array[:, 6:58, 4:60] = 40
    array[:, 10:50, 8:30] = array[:, 10:50, 34:56] = -800
    lam = np.zeros(array.shape, np.uint8)
    labels = np.zeros(array.shape, np.uint16)
    for number, (low, high) in enumerate(boxes, 1):
        inside = tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1], strict=True))
        array[inside] = -550
        lam[inside] = 100 - 20 * (number - 1) % 80
        labels[inside] = number
    if not calibrated:
        array = np.clip((array + 1200) / 7, 0, 255).astype(np.uint8)
    return array, lam, labels


def _lesion(number: int, box: tuple, matrix: np.ndarray, calibrated: bool) -> Lesion:
    low, high = np.array(box[0]) - 0.5, np.array(box[1]) + 0.5
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    corners = corners @ matrix[:3, :3].T + matrix[:3, 3]
    peak = tuple(((low + high) / 2).round() @ matrix[:3, :3].T + matrix[:3, 3])
    box_ras = (tuple(corners.min(axis=0)), tuple(corners.max(axis=0)))
    cluster = 1 + number % 2
    parts = tuple(
        SliceLesion(k, number, cluster, 0.9, 0.8, 0.9, 0.91, peak, box_ras, 100.0, -550.0 if calibrated else None)
        for k in range(box[0][2], box[1][2] + 1)
    )
    volume = float(np.prod(high - low) * abs(np.linalg.det(matrix[:3, :3])) / 1000)
    return Lesion(
        id=number,
        cluster=cluster,
        cluster_name=CLUSTERS[cluster],
        type="GGO" if calibrated else None,
        score=0.9,
        activation=0.91,
        peak_ras_mm=tuple(map(float, peak)),
        box_ras_mm=box_ras,
        box_ijk=(tuple(map(float, low)), tuple(map(float, high))),
        first_slice=box[0][2],
        last_slice=box[1][2],
        mean_hu=-550.0 if calibrated else None,
        volume_ml=volume if calibrated else None,
        slice_lesions=parts,
    )


def _slice(index: int, lesions: tuple, matrix: np.ndarray, calibrated: bool) -> SliceDiagnosis:
    here = tuple(part for lesion in lesions for part in lesion.slice_lesions if part.slice_index == index)
    lung = 2 <= index < 22
    position = float(matrix[2, 2] * index + matrix[2, 3]) if calibrated else None
    probability = (0.9 if here else 0.1) if lung else None
    diagnosis = "" if not lung else "COVID-19" if here else "normal"
    return SliceDiagnosis(index, position, lung, probability, diagnosis, bool(here), here)
