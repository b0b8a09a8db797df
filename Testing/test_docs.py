"""The documentation is true of the code: options, settings, links, and the README's length."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest
from LesionAnalysisLib.app.commands import parser
from LesionAnalysisLib.config import AnalysisConfig
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisTrainingLib.evaluate import evaluate_command
from LesionAnalysisTrainingLib.train_options import add_data_options, add_network_options, add_run_options
from LesionAnalysisTrainingLib.training_config import TrainingConfig

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def options(found):
    """All long options of a parser and its commands."""
    for action in found._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options(one)


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text(encoding="utf-8")):
        target = "".join(target)
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_reference_lists_every_option():
    train = argparse.ArgumentParser()
    for add in (add_data_options, add_network_options, add_run_options):
        add(train)
    names = {*options(parser()), *options(train), *options(evaluate_command._parser())} - {"--help", "--version"}
    assert sorted(name for name in names if f"`{name}" not in REFERENCE) == []


@pytest.mark.parametrize("settings", (AnalysisConfig, Preprocessing, TrainingConfig))
def test_the_reference_lists_every_setting(settings):
    section = re.search(rf"^#* ?`?{settings.__name__}`?.*?(?=^## |\Z)", REFERENCE, re.M | re.S).group()
    assert [f.name for f in fields(settings) if f"`{f.name}`" not in section] == []


@pytest.mark.parametrize("settings", (AnalysisConfig, Preprocessing, TrainingConfig))
def test_the_reference_lists_no_setting_that_does_not_exist(settings):
    section = re.search(rf"^#* ?`?{settings.__name__}`?.*?(?=^## |^`Prep|^`Phase|\Z)", REFERENCE, re.M | re.S).group()
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} <= {f.name for f in fields(settings)}


@pytest.mark.parametrize("library", ("LesionAnalysis/LesionAnalysisLib", "LesionAnalysis/LesionAnalysisGui",
                                     "LesionAnalysisTraining/LesionAnalysisTrainingLib"))  # fmt: skip
def test_the_design_page_names_every_module(library):
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    names = {p.stem for p in (ROOT / library).glob("[!_]*.py")}
    names |= {f"{p.parent.name}/" for p in (ROOT / library).glob("*/__init__.py")}
    assert sorted(name for name in names if f"`{name}`" not in design) == []
