"""The order of packages and modules: the contracts in pyproject.toml, and rules that import-linter cannot express."""

import ast
from collections import Counter
from pathlib import Path

import grimp
import networkx
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("LesionAnalysisLib", "LesionAnalysisTrainingLib", "LesionAnalysisGui")
FOLDERS = [ROOT / "LesionAnalysis", ROOT / "LesionAnalysisTraining" / "LesionAnalysisTrainingLib"]


def test_imports_keep_the_contracts_in_pyproject():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_no_module_of_the_product_imports_itself_through_others():
    """Cycles through a package's __init__, too, which acyclic_siblings does not see."""
    graph = grimp.build_graph(*PRODUCT, cache_dir=None)
    imports = networkx.DiGraph((module, other) for module in graph.modules
                               for other in graph.find_modules_directly_imported_by(module))  # fmt: skip
    assert [sorted(c) for c in networkx.strongly_connected_components(imports) if len(c) > 1] == []


def test_no_two_modules_of_the_product_share_a_file_name():
    names = Counter(path.name for folder in FOLDERS for path in folder.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_only_the_command_line_reaches_the_training_library():
    """By name, not by import: the analysis library works without it."""
    naming = {path.name for path in (ROOT / "LesionAnalysis" / "LesionAnalysisLib").rglob("*.py")
              for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
              if isinstance(node, ast.Constant) and str(node.value).startswith("LesionAnalysisTraining")}  # fmt: skip
    assert naming == {"cli.py"}
