"""What is installed is what lies in the source tree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_package_is_listed():
    listed = set(re.findall(r'"(LesionAnalysis\w*Lib[.\w]*)"', PROJECT.split("packages = [")[1].split("]")[0]))
    found = {
        ".".join(init.parent.relative_to(ROOT / module).parts)
        for module in ("LesionAnalysis", "LesionAnalysisTraining")
        for init in (ROOT / module).rglob("__init__.py")
    }
    assert listed == found | {"LesionAnalysisLib.Models"}


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
        found = re.findall(r"^\s*(?:import|from)\s+(slicer|qt|ctk|vtk)\b", path.read_text(encoding="utf-8"), re.M)
        assert not set(found) - ({"slicer"} if path.name == "cli.py" else set()), path
