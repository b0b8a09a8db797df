"""The command line of the training and its panel in Slicer: options, progress, errors."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from helpers_training import class_folders
from install_tree import install_extension, missing_tool
from LesionAnalysisTrainingLib import Phase, TrainingConfig
from LesionAnalysisTrainingLib import slicer_cli as panel
from LesionAnalysisTrainingLib import train_command as cli
from LesionAnalysisTrainingLib.train_options import config_of

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "LesionAnalysisTraining" / "LesionAnalysisTraining.py"
PANEL = ElementTree.parse(MODULE.with_suffix(".xml")).getroot()
PARAMETERS = {p.findtext("name"): p for p in PANEL.iterfind("parameters/*[longflag]")}
ALWAYS = ("integer", "double", "string-enumeration")  # Slicer passes these even if untouched
RECIPES = {"improved": TrainingConfig(), "lesions": TrainingConfig.lesions(), "paper": TrainingConfig.paper()}


def load_module():
    """LesionAnalysisTraining.py as a Python module of its own."""
    loader = SourceFileLoader("training_module", str(MODULE))
    module = module_from_spec(spec_from_loader("training_module", loader))
    loader.exec_module(module)
    return module


LABELS = load_module().panel_labels()


def slicer_line(**values):
    """What Slicer passes when ``values`` are set, by the names of the parameters, and the rest is left as it is."""
    assert set(values) <= set(PARAMETERS)
    words = []
    for name, parameter in PARAMETERS.items():
        value = values.get(name, parameter.findtext("default") or "")
        flag = f"--{parameter.findtext('longflag')}"
        if parameter.tag == "boolean":
            words += [flag] if value in (True, "true") else []
        elif parameter.tag in ALWAYS or value:
            words += [flag, str(value)]
    return words


def from_slicer(**values):
    """The settings that such a line gives."""
    return config_of(cli._arguments(slicer_line(data="d", output="m", **values), LABELS))


def from_line(*words):
    return config_of(cli._arguments(["d", "-o", "m", *words], None))


def refusal(capfd, *words):
    """The message on standard error for a wrong command line; nothing is read or written."""
    try:
        assert cli.train_main(["d", "-o", "m", *words]) == 2
    except SystemExit as request:
        assert request.code == 2
    return capfd.readouterr().err


def start(script, *words, cwd=None):
    """Start it as Slicer does: without a path to any library, in another folder."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), *map(str, words)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=120)


# --- the panel ----------------------------------------------------------------------------------------------


def test_slicer_can_read_the_description():
    assert PANEL.tag == "executable"
    for name in ("category", "title", "description", "version", "documentation-url", "license", "contributor"):
        assert PANEL.findtext(name).strip(), name
    assert PANEL.findtext("title") == "Lesion Analysis Training"
    assert "research use only" in PANEL.findtext("description").lower()
    version = re.search(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert version is None or PANEL.findtext("version") == version[1]


def test_the_panel_has_groups_and_a_label_and_a_tool_tip_for_every_parameter():
    groups = PANEL.findall("parameters")
    assert len(groups) == 4
    assert [g.get("advanced") for g in groups] == [None, None, "true", "true"]  # rarely used ones are folded
    for element in [*groups, *PARAMETERS.values()]:
        assert element.findtext("label") and element.findtext("description"), element.findtext("name")
    labels = [p.findtext("label") for p in PARAMETERS.values()]
    assert len(set(labels)) == len(labels) and max(map(len, labels)) <= 32
    assert sum(len(g.findall("*[name]")) for g in groups) == len(PARAMETERS)  # none without an option


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_of_parameters_and_options_are_those_that_slicer_accepts(name):
    """One hyphen, and Slicer drops the description from there on."""
    assert re.fullmatch(r"[A-Za-z_]\w*", name)
    assert re.fullmatch(r"[A-Za-z_]\w*", PARAMETERS[name].findtext("longflag"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_an_option_of_its_type(name):
    parameter = PARAMETERS[name]
    options = {word: action for action in cli._parser()._actions for word in action.option_strings}
    option = options[f"--{parameter.findtext('longflag').replace('_', '-')}"]
    if parameter.tag == "boolean":
        assert isinstance(option, argparse._StoreTrueAction)
        assert parameter.findtext("default") == "false"
    elif parameter.tag == "string-enumeration":
        choices = [element.text for element in parameter.findall("element")]
        assert choices == list(option.choices)
        assert parameter.findtext("default") in choices
    elif parameter.tag == "integer-vector":
        assert option.type("256,384") == (256, 384) and option.type("") == ()
    elif parameter.tag in ("integer", "double"):
        assert option.type is {"integer": int, "double": float}[parameter.tag]
        low, high = (option.type(parameter.findtext(f"constraints/{end}")) for end in ("minimum", "maximum"))
        assert low <= option.type(parameter.findtext("default")) <= high
        for value in (low, high):  # whatever the panel can be set to is a setting
            from_slicer(**{name: value})
    else:
        assert parameter.tag in ("string", "file", "directory") and option.type is None


def test_the_panel_offers_its_folders_as_such():
    types = {name: (p.tag, p.findtext("channel")) for name, p in PARAMETERS.items()}
    assert types["data"] == ("directory", "input") and types["output"] == ("directory", "output")
    assert types["weights"] == ("file", "input")


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_untouched_panel_gives_exactly_the_recipe(recipe):
    assert from_slicer(recipe=recipe) == RECIPES[recipe] == from_line("--recipe", recipe)


def test_what_is_set_in_the_panel_is_what_is_trained():
    config = from_slicer(disease="Infected", backbone="resnet18", weights="w.pth", clusters=5, sizes="64", epochs="2",
                         batch="8", patience=3, seed=7, device="cpu", validationShare=0.2, testShare=0.1,
                         maxUnreadable=0.0, mixedPatients=True)  # fmt: skip
    assert config == TrainingConfig(disease="Infected", backbone="resnet18", imagenet="w.pth", clusters=5, patience=3,
                                    phases=(Phase(64, 2, 8),), seed=7, device="cpu", validation_share=0.2,
                                    test_share=0.1, max_unreadable=0.0, mixed_patients=True)  # fmt: skip


@pytest.mark.parametrize(
    "words, fields",
    [
        (["--weights", "none"], {"imagenet": None}),
        (["--weights", "auto"], {"imagenet": "auto"}),
        (["--weights", "my.pth"], {"imagenet": "my.pth"}),
        (["--clusters", "0"], {"clusters": None}),
        (["--clusters", "3"], {"clusters": 3}),
        (["--patience", "0"], {"patience": None}),
        (["--patience", "-1"], {}),
        (["--test-share", "0"], {"test_share": 0.0}),
        (["--validation-share", "-1.0"], {}),
        (["--no-fpn"], {"fpn": False}),
        (["--no-fusion"], {"fusion": False}),
        (["--no-fpn", "--no-fusion", "--linear-top"], {"fpn": False, "fusion": False, "linear_top": True}),
        (["--split", "random"], {"split": "random"}),
        (["--precision", "float32", "--workers", "0"], {"precision": "float32", "workers": 0}),
        (["--slices-per-epoch", "50", "--learning-rate", "3e-4"], {"samples_per_epoch": 50, "learning_rate": 3e-4}),
        (["--disease", ""], {}),
    ],
)
def test_every_option_changes_its_settings_and_no_others(words, fields):
    for recipe in RECIPES:
        expected = TrainingConfig.from_recipe(recipe, **fields)
        assert from_line("--recipe", recipe, *words) == expected


IMPROVED = TrainingConfig().phases


@pytest.mark.parametrize(
    "words, phases",
    [
        (["--epochs", "5"], [(256, 5, 16, 1.0), (384, 5, 16, 0.3)]),
        (["--epochs", "5,1"], [(256, 5, 16, 1.0), (384, 1, 16, 0.3)]),
        (["--batch", "4"], [(256, 10, 4, 1.0), (384, 3, 4, 0.3)]),
        (["--sizes", "128"], [(128, 10, 16, 1.0)]),
        (["--sizes", "128", "--epochs", "2", "--batch", "4"], [(128, 2, 4, 1.0)]),
        (["--sizes", "128,192", "--epochs", "2", "--batch", "4,2"], [(128, 2, 4, 1.0), (192, 2, 2, 0.3)]),
        (["--sizes", "64,128,192", "--epochs", "1"], [(64, 1, 16, 1.0), (128, 1, 16, 0.3), (192, 1, 16, 0.3)]),
        (["--sizes", "64, 128,"], [(64, 10, 16, 1.0), (128, 3, 16, 0.3)]),
        (["--recipe", "paper", "--epochs", "2"], [(512, 2, 10, 1.0)]),
    ],
)
def test_sizes_epochs_and_batches_make_the_phases(words, phases):
    assert from_line(*words).phases == tuple(Phase(*phase) for phase in phases)


@pytest.mark.parametrize(
    "words, part",
    [
        (["--sizes", "64,128,192", "--epochs", "1,2"], "3 phases, but 2 values of epochs"),
        (["--epochs", "1,2,3", "--batch", "4,4"], "3 phases, but 2 values of batch"),
        (["--sizes", "100"], "multiple of 32"),
        (["--sizes", "big"], "'big' is not a list of whole numbers such as 256,384"),
        (["--epochs", "0"], "at least 1 epoch"),
        (["--batch", "1"], "batches of 2"),
        (["--clusters", "21"], "1 to 20"),
        (["--validation-share", "0.6", "--test-share", "0.5"], "test share"),
        (["--recipe", "best"], "--recipe"),
        (["--seed", "many"], "--seed"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(words, part, capfd):
    assert part in refusal(capfd, *words)


# --- started by Slicer --------------------------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch, tmp_path):
    """LesionAnalysisTraining.py, in a folder of its own and with the search path as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return load_module()


@pytest.fixture
def training(monkeypatch):
    """Calls of the training itself, which do what a test puts into ``act``."""
    from LesionAnalysisTrainingLib import training as run

    calls = SimpleNamespace(act=lambda *_, **__: None, seen=[])

    def train(data, output, config, **more):
        calls.seen.append((data, output, config, more))
        return calls.act(data, output, config, **more)

    monkeypatch.setattr(run, "train", train)
    return calls


def test_the_script_starts_fast_and_with_slicers_python():
    text = MODULE.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env python-real\n")
    assert set(re.findall(r"(?m)^(?:from|import) (\w+)", text)) == {"sys", "pathlib", "xml"}


def test_xml_prints_the_description(module, capfd):
    assert module.main(["--xml"]) == 0
    assert ElementTree.fromstring(capfd.readouterr().out.encode()).findtext("title") == PANEL.findtext("title")


def test_slicers_line_reaches_the_training(module, training):
    line = slicer_line(data="slices", output="model", resume=True, title="Ours", license="CC0", dryRun=False)
    assert module.main(line) == 0
    ((data, output, config, more),) = training.seen
    assert (data, output, config) == (["slices"], "model", TrainingConfig())
    assert (more["resume"], more["overwrite"], more["title"], more["license"]) == (True, False, "Ours", "CC0")


def test_progress_is_what_slicer_reads(module, training, capfd, monkeypatch):
    def act(data, output, config, log, progress, **more):
        for i in range(-1, 402):
            progress(i / 400, f"Epoch <{i}> & so on")
            if i == 200:
                log("A line for people.")
        progress(1.0, "Done")

    training.act = act
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(panel.time, "monotonic", lambda: next(clock))
    assert module.main(slicer_line(data="d", output="m")) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    name = "<filter-name>LesionAnalysisTraining</filter-name>"
    assert lines[0] == f"<filter-start>{name}</filter-start>"
    assert re.fullmatch(f"<filter-end>{name}<filter-time>[0-9.]+</filter-time></filter-end>", lines[-1])
    assert out.count("<filter-start>") == out.count("<filter-end>") == 1
    shown = "<filter-comment>([^<]*)</filter-comment><filter-progress>([0-9.]+)</filter-progress>"
    steps = [re.fullmatch(shown, line) for line in lines[1:-1] if "A line" not in line]
    shares = [float(step[2]) for step in steps]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0
    assert all(step[1] for step in steps) and lines.count("A line for people.") == 1


def test_a_long_training_is_brief(module, training, capfd, monkeypatch):
    """Slicer parses all output for progress when the training ends."""
    now = [0.0]
    monkeypatch.setattr(panel.time, "monotonic", lambda: now[0])

    def act(data, output, config, log, progress, **more):
        for i in range(36000):  # ten hours at one batch a second
            now[0] += 1
            progress(i / 36000, f"batch {i}")

    training.act = act
    assert module.main(slicer_line(data="d", output="m")) == 0
    assert 1000 < capfd.readouterr().out.count("<filter-progress>") < 8000


def test_warnings_of_libraries_are_no_errors(module, training, capfd):
    def act(data, output, config, log, progress, **more):
        print("UserWarning: from Python", file=sys.stderr)
        os.write(2, b"warning: from C++\n")

    training.act = act
    assert module.main(slicer_line(data="d", output="m")) == 0
    os.write(2, b"later")
    out, err = capfd.readouterr()
    assert err.endswith("later") and "C++" not in err and "warning: from C++" in out


@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("There is no folder X: check the path."), 1),
        (RuntimeError("The training diverged."), 1),
        (OSError(28, "No space left on device", "X"), 1),
        (FileExistsError("X exists already: choose another one."), 2),
    ],
)
def test_a_failure_is_one_sentence_on_standard_error(module, training, capfd, error, code):
    def act(*_, **__):
        raise error

    training.act = act
    assert module.main(slicer_line(data="d", output="m")) == code
    out, err = capfd.readouterr()
    assert re.fullmatch(r"[A-Z][^\n]+\.\n", err)
    assert out.splitlines()[-1].startswith("<filter-end>")


def test_messages_name_labels_of_the_panel_instead_of_options(module, training, capfd):
    def act(data, output, config, log, progress, **more):
        log("Warning: give weights with --weights.")
        raise ValueError("Allow it with --mixed-patients, or add --resume; --split stays.")

    training.act = act
    assert module.main(slicer_line(data="d", output="m")) == 1
    out, err = capfd.readouterr()
    assert "give weights with 'ImageNet weights'." in out
    assert err == "Allow it with 'Patients of several classes', or add 'Continue an unfinished training'; " \
                  "--split stays.\n"  # fmt: skip


@pytest.mark.parametrize("values", [{}, {"data": ".", "output": "."}, {"data": "d", "output": "."}, {"data": "d"}])
def test_a_folder_that_was_not_chosen_is_asked_for(module, capfd, values):
    """Slicer's buttons show the current folder, and pass it as a dot, until one is chosen."""
    assert module.main(slicer_line(**values)) == 2
    assert capfd.readouterr().err == "Choose the folder of the labeled slices and a folder for the model.\n"


def test_a_wrong_entry_is_named_by_its_label(module, capfd):
    assert module.main(slicer_line(data="d", output="m", sizes="big")) == 2
    assert capfd.readouterr().err == "'Image sizes': 'big' is not a list of whole numbers such as 256,384.\n"


@pytest.mark.parametrize("package", ["torch", "sklearn"])
def test_a_missing_package_is_reported_before_the_training(tmp_path, package):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.split('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(MODULE), *slicer_line(data=str(tmp_path), output=str(tmp_path / "m"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr == (f"The Python package '{package}' is missing: open the module Lesion Analysis and press "
                           "Analyze once, which offers to install what is needed.\n")  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_broken_installation_says_so(module):
    for error in (ImportError("DLL load failed"), ModuleNotFoundError("No module", name="LesionAnalysisLib.lungs")):
        assert "reinstall the extension" in module.missing(error)


# --- where the libraries are --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    if missing_tool():
        pytest.skip(f"The extension cannot be built here: {missing_tool()}.")
    return install_extension(tmp_path_factory.mktemp("extension"))


def script_of(tree, request, folder):
    if tree == "source":
        return MODULE
    trees = request.getfixturevalue("extension")
    if tree == "Release":  # Visual Studio and Xcode put a CLI into a folder for the configuration
        copy = folder / "lib"
        shutil.copytree(trees.modules("build"), copy / "qt-scripted-modules",
                        ignore=shutil.ignore_patterns("Models"))  # fmt: skip
        shutil.copytree(trees.build / "lib/Slicer-5.10/cli-modules", copy / "cli-modules" / "Release")
        return copy / "cli-modules" / "Release" / MODULE.name
    return getattr(trees, tree) / "lib/Slicer-5.10/cli-modules" / MODULE.name


@pytest.mark.parametrize("tree", ["source", "build", "Release", "installed"])
def test_the_script_takes_both_libraries_from_its_own_tree(tree, request, tmp_path):
    """Also where another copy is installed with pip, as it is where the tests run."""
    script = script_of(tree, request, tmp_path)
    (tmp_path / "ask.py").write_text(
        "import runpy, sys\n"
        "runpy.run_path(sys.argv[1], run_name='training')['find_libraries']()\n"
        "import LesionAnalysisLib, LesionAnalysisTrainingLib\n"
        "print(LesionAnalysisLib.__file__, LesionAnalysisTrainingLib.__file__, sep='\\n')\n"
    )
    done = start(tmp_path / "ask.py", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    top = ROOT if tree == "source" else script.parents[2 if tree == "Release" else 1]
    assert all(Path(line).is_relative_to(top) for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("tree", ["source", "installed"])
def test_the_script_checks_data_as_slicer_starts_it(tree, request, tmp_path):
    data = class_folders(tmp_path / "data")
    line = slicer_line(data=str(data), dryRun=True, validationShare=0.25)
    done = start(script_of(tree, request, tmp_path), *line, cwd=data)
    assert (done.returncode, done.stderr) == (0, "")
    assert "train  data" in done.stdout and "Nothing was written." in done.stdout


def test_a_wrong_folder_ends_with_exit_code_1_and_a_sentence(tmp_path):
    done = start(MODULE, *slicer_line(data=str(tmp_path / "nowhere"), output=str(tmp_path / "m")))
    assert done.returncode == 1
    assert done.stderr == f"There is no folder {tmp_path / 'nowhere'}: check the path.\n"
    assert not list(tmp_path.iterdir())
