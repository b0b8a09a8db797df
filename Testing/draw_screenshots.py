"""Render Resources/Screenshots: the panel and the slice views after an analysis of the synthetic CT.

    QT_QPA_PLATFORM=offscreen python Testing/draw_screenshots.py [FOLDER]

The panel is the module's own, with test doubles of Slicer's widgets; the slice views are Slicer's, rendered off screen
from the saved scene. Needs the packages of the tests (``pip install ".[test]"``).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "LesionAnalysis")]

import slicer_doubles as doubles  # noqa: E402
from LesionAnalysisLib.phantom import make_phantom  # noqa: E402

PANEL = (554, 1160)
VIEWS = {"Red": (440, 400), "Green": (440, 400), "Yellow": (440, 400)}
LESION = 1
NAME = "LesionAnalysisPhantom"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots"
    with tempfile.TemporaryDirectory() as scratch:
        scene = Path(scratch) / "scene.mrb"
        draw_panel(folder / "panel.png", scene)
        views = draw_views(scene, Path(scratch))
    panel = Image.open(folder / "panel.png").convert("RGB")
    height = max(panel.height, sum(view.height for view in views))
    image = Image.new("RGB", (panel.width + views[0].width, height), (239, 239, 239))
    image.paste(panel, (0, 0))
    for number, view in enumerate(views):
        image.paste(view, (panel.width, number * height // len(views)))
    image.save(folder / "slices.png", optimize=True)


def draw_panel(path: Path, scene: Path) -> None:
    """Analyze in the panel, select a lesion, and save an image of the panel; the results are saved to ``scene``."""
    doubles.install()
    doubles.new_application()
    loaded = doubles.load_module(ROOT / "LesionAnalysis" / "LesionAnalysis.py", widget=True)
    import slicer
    from LesionAnalysisLib.scene import find_in_scene, node_from_ct, read_analysis, write_mrb

    loaded.container.resize(*PANEL)
    loaded.container.show()
    loaded.enter()
    widget = loaded.widget
    volume = node_from_ct(slicer.mrmlScene, make_phantom().ct, NAME)
    widget._parameterNode.inputVolume = volume
    doubles.process_events(0.1)
    doubles.dialogs.expect("confirmOkCancel", True, text="license")
    widget.ui.analyzeButton.click()
    doubles.wait_for(lambda: not widget.runControl.running, 600)
    widget.ui.lesionTable.selectRow(LESION - 1)
    doubles.process_events(0.3)
    loaded.container.grab().save(str(path))
    write_mrb(read_analysis(find_in_scene(volume)), scene)
    doubles.end_application()
    doubles.uninstall()


def draw_views(scene: Path, scratch: Path) -> list[Image.Image]:
    """The three slice views at the selected lesion."""
    from helpers_scene import HeadlessSlicer, SliceView
    from LesionAnalysisLib.scene import find_in_scene, jump_to_lesion, show_in_slice_views

    application = HeadlessSlicer()
    application.read(scene)
    views = {name: SliceView(application, name, size) for name, size in VIEWS.items()}
    nodes = find_in_scene(application.scene.GetFirstNodeByName(NAME))
    show_in_slice_views(nodes, everywhere=True)
    for view in views.values():
        view.logic.FitSliceToAll()
    jump_to_lesion(nodes, LESION)
    images = [Image.fromarray(view.draw(scratch / f"{name}.png")) for name, view in views.items()]
    for view in views.values():
        view.close()
    return images


if __name__ == "__main__":
    main()
