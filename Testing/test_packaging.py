"""The wheel and the Slicer extension contain the files of the source tree."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from install_tree import ROOT, cmake_lists, files, install_extension, missing_tool
from PIL import Image

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
EXTENSION = cmake_lists(ROOT / "CMakeLists.txt")
MODULE, TRAINING = ROOT / "LesionAnalysis", ROOT / "LesionAnalysisTraining"


def python_files(folder: Path) -> set[str]:
    return {name for name in files(folder) if name.endswith(".py")}


def model_files() -> set[str]:
    return {f"Models/{name}" for name in files(ROOT / "Resources" / "Models")}


def extension_files() -> set[str]:
    """What the folder of scripted modules must contain, according to the source tree."""
    module = {name for name in files(MODULE) if name.endswith(".py") or name.startswith("Resources/")}
    training = {name for name in python_files(TRAINING) if "/" in name}
    return module | training | {f"LesionAnalysisLib/{name}" for name in model_files()}


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    if missing_tool():
        pytest.skip(f"The extension cannot be built here: {missing_tool()}.")
    return install_extension(tmp_path_factory.mktemp("extension"))


def test_every_package_is_listed():
    listed = set(re.findall(r'"(LesionAnalysis\w*Lib[.\w]*)"', PROJECT.split("packages = [")[1].split("]")[0]))
    packages = {
        ".".join(init.parent.relative_to(ROOT / module).parts)
        for module in ("LesionAnalysis", "LesionAnalysisTraining")
        for init in (ROOT / module).rglob("__init__.py")
        if "LesionAnalysisGui" not in init.parts  # the panel is useless outside of Slicer
    }
    assert listed == packages | {"LesionAnalysisLib.Models"}


def test_constraints_name_one_version_each():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins)


def test_the_gate_runs_the_readmes_test_command():
    (command,) = [x for x in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if "pytest" in x]
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


def test_importing_the_library_loads_neither_torch_nor_slicer():
    code = "import sys, LesionAnalysisLib; print([m for m in ('torch', 'vtk', 'slicer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(ROOT / "LesionAnalysis"), "PATH": ""})  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_unknown_names_are_attribute_errors():
    import LesionAnalysisLib

    with pytest.raises(AttributeError, match="no attribute"):
        LesionAnalysisLib.Nothing  # noqa: B018


def test_libraries_are_free_of_slicer_and_qt():
    for path in (ROOT / "LesionAnalysis" / "LesionAnalysisLib").rglob("*.py"):
        if path.parent.name == "scene":
            continue
        imported = re.findall(r"^\s*(?:import|from)\s+(slicer|qt|ctk|vtk)\b", path.read_text(encoding="utf-8"), re.M)
        assert not set(imported) - ({"slicer"} if path.name == "cli.py" else set()), path


def test_every_python_file_of_the_module_is_listed_for_slicer():
    listed = cmake_lists(MODULE / "CMakeLists.txt")["MODULE_PYTHON_SCRIPTS"]
    assert set(listed) == python_files(MODULE)
    assert len(listed) == len(set(listed))


def test_every_resource_of_the_module_is_listed_for_slicer():
    listed = set(cmake_lists(MODULE / "CMakeLists.txt")["MODULE_PYTHON_RESOURCES"])
    assert listed == {f"Resources/{name}" for name in files(MODULE / "Resources")}


def test_every_file_of_the_training_library_is_listed_for_slicer():
    listed = set(cmake_lists(TRAINING / "CMakeLists.txt")["MODULELIB_PYTHON_SCRIPTS"])
    assert listed == python_files(TRAINING) - {"LesionAnalysisTraining.py"}


def test_every_file_of_the_bundled_models_is_listed_for_slicer():
    assert set(cmake_lists(ROOT / "Resources" / "CMakeLists.txt")["MODEL_FILES"]) == model_files()


def test_slicer_finds_one_module_in_each_module_folder():
    """Slicer takes every Python file directly in such a folder for a module."""
    assert {path.name for path in MODULE.glob("*.py")} == {"LesionAnalysis.py"}
    assert {path.name for path in TRAINING.glob("*.py")} == {"LesionAnalysisTraining.py"}
    script = TRAINING / "LesionAnalysisTraining.py"
    assert script.with_suffix(".xml").is_file(), "a scripted CLI has its XML beside it"
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env python-real\n")


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_the_extension_contains_the_files_of_the_source_tree_and_no_others(extension, tree):
    assert {name for name in files(extension.modules(tree)) if not name.endswith(".pyc")} == extension_files()


def test_the_training_command_line_module_is_installed(extension):
    expected = {"LesionAnalysisTraining.py", "LesionAnalysisTraining.xml"}
    assert files(extension.installed / "lib/Slicer-5.10/cli-modules") == expected


def test_the_license_is_installed_with_the_extension(extension):
    (license_file,) = (extension.installed / "share").rglob("LICENSE")
    assert license_file.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_ctest_runs_the_generic_tests_and_the_self_test(extension):
    assert {"py_LesionAnalysis", "py_nomainwindow_qSlicerLesionAnalysisModuleGenericTest"} <= set(extension.tests)


@pytest.mark.parametrize("tree", ["source", "build", "installed"])
def test_a_fresh_python_finds_libraries_and_model_in_the_module_folder_alone(request, tree):
    if tree == "source":
        folders, models = [MODULE, TRAINING], ROOT / "Resources" / "Models"
    else:
        folders = [request.getfixturevalue("extension").modules(tree)]
        models = folders[0] / "LesionAnalysisLib" / "Models"
    code = """if True:
        import json, LesionAnalysisLib.cli, LesionAnalysisTrainingLib.trainer
        bundle = LesionAnalysisLib.ModelBundle.bundled()
        print(json.dumps([LesionAnalysisLib.__file__, LesionAnalysisTrainingLib.__file__, str(bundle.folder)]))
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=models)
    assert done.returncode == 0, done.stderr
    library, training, model = map(Path, json.loads(done.stdout))
    assert library.parent == folders[0] / "LesionAnalysisLib"
    assert training.parent == folders[-1] / "LesionAnalysisTrainingLib"
    assert model.parent == models


def test_requirements_name_nothing_that_slicer_brings_or_that_the_pytorch_extension_installs():
    lines = (MODULE / "Resources" / "requirements.txt").read_text(encoding="utf-8").lower().splitlines()
    names = {re.split(r"[^\w-]", line.strip())[0] for line in lines if line.strip() and not line.startswith("#")}
    assert not names & {"torch", "torchvision", "numpy", "scipy", "simpleitk", "pillow", "pydicom", "vtk"}
    assert names <= set(re.findall(r'"([\w-]+)[>=]', PROJECT.lower()))


@pytest.mark.parametrize(
    "icon, size",
    [
        ("LesionAnalysis.png", (128, 128)),
        ("LesionAnalysis/Resources/Icons/LesionAnalysis.png", (128, 128)),
        ("LesionAnalysis/Resources/Icons/LesionAnalysisPhantom.png", (260, 280)),
        ("LesionAnalysisTraining/Resources/Icons/LesionAnalysisTraining.png", (128, 128)),
    ],
)
def test_icons_have_the_size_that_slicer_shows(icon, size):
    with Image.open(ROOT / icon) as image:
        assert image.size == size


@pytest.mark.parametrize(
    "icon, variant",
    [
        ("LesionAnalysis.png", {"box": True}),
        ("LesionAnalysis/Resources/Icons/LesionAnalysis.png", {}),
        ("LesionAnalysisTraining/Resources/Icons/LesionAnalysisTraining.png", {"badge": True}),
    ],
)
def test_icons_are_what_their_script_draws(icon, variant):
    drawn = runpy.run_path(str(ROOT / "Resources" / "draw_icons.py"))["icon"](**variant)
    with Image.open(ROOT / icon) as image:
        assert np.abs(np.asarray(image, int) - np.asarray(drawn, int)).mean() < 1


def test_the_module_icon_shows_a_red_lesion_in_bright_lungs_at_16_pixels():
    with Image.open(MODULE / "Resources" / "Icons" / "LesionAnalysis.png") as image:
        small = image.convert("RGB").resize((16, 16), Image.Resampling.LANCZOS)
    red, green, blue = small.getpixel((4, 10))  # the lesion, in the right lung: on the viewer's left
    assert red > 180 > 90 > max(green, blue)
    assert min(small.getpixel((12, 10))) > 140  # the left lung
    assert max(small.getpixel((7, 13))) < 90  # the mediastinum


def test_the_extension_has_the_metadata_of_the_catalog():
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        assert EXTENSION[f"EXTENSION_{name}"] != [""]
    assert EXTENSION["EXTENSION_DEPENDS"] == ["PyTorch"]
    assert "research" in EXTENSION["EXTENSION_DESCRIPTION"][0]


def test_images_that_the_catalog_shows_exist_in_the_repository():
    (home,), (icon,), (screenshots,) = (EXTENSION[f"EXTENSION_{x}"] for x in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS"))
    base = home.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for url in (icon, *screenshots.split()):
        assert url.startswith(base)
        assert (ROOT / url.removeprefix(base)).is_file(), url


def test_the_catalog_entry_agrees_with_the_extension():
    entry = json.loads((ROOT / "LesionAnalysis.json").read_text(encoding="utf-8"))
    assert re.search(r"/Schemas/slicer-extension-catalog-entry-schema-v1\.0\.\d\.json#$", entry["$schema"])
    assert entry["scm_url"] == EXTENSION["EXTENSION_HOMEPAGE"][0]
    assert entry["category"] == EXTENSION["EXTENSION_CATEGORY"][0]
    assert entry["build_dependencies"] == EXTENSION["EXTENSION_DEPENDS"]
    assert set(entry) <= {"$schema", "build_dependencies", "build_subdirectory", "category", "dicom_support_rule",
                          "enabled", "scm_revision", "scm_type", "scm_url", "tier"}  # fmt: skip


def test_the_repository_is_small_enough_for_the_catalog():
    folders = (MODULE, TRAINING, ROOT / "Resources", ROOT / "Testing")
    assert sum(p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file()) < 100e6
