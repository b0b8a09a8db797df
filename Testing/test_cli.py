"""The command line as a user calls it: exit codes, messages, case folders; the analyzer is a test double."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from helpers_report import make_analysis, make_ct
from LesionAnalysisLib import cli
from LesionAnalysisLib.app import batch as batch_module
from LesionAnalysisLib.app import commands, progress
from LesionAnalysisLib.app.batch import name_cases
from LesionAnalysisLib.app.case import FILES, SCENE
from LesionAnalysisLib.app.demo import compare_with_truth
from LesionAnalysisLib.app.progress import Console, Progress, write
from LesionAnalysisLib.text import error_message, format_duration
from LesionAnalysisLib.volume.writing import write_volume

CLI = Path(cli.__file__)
MODELS = CLI.parents[2] / "Resources" / "Models"
needs_model = pytest.mark.skipif(not any(MODELS.glob("*/config.json")), reason="the bundled model is missing")


class FakeAnalyzer:
    """Finds the three lesions of ``helpers_report`` in every CT; calls ``hook`` in between."""

    def __init__(self):
        self.hook = lambda ct: None
        self.seen = []

    def analyze(self, ct, progress=None):
        self.seen.append(ct.name)
        progress(0.0, "lungs")
        self.hook(ct)
        progress(1.0, "lesions")
        analysis = make_analysis(name=ct.name)
        return dataclasses.replace(analysis, ct=ct, input={**analysis.input, "path": ct.source})


@pytest.fixture
def analyzer(monkeypatch):
    fake = FakeAnalyzer()
    settings = {"model": "0" * 64, "preset": "enhanced", "threshold": 0.5}
    monkeypatch.setattr(commands, "make_analyzer", lambda arguments: (fake, dict(settings)))
    return fake


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A CT as a file."""
    ct, _ = make_ct()
    path = tmp_path_factory.mktemp("scan") / "ct.nii.gz"
    write_volume(ct.array, ct.ijk_to_ras, path)
    return path


def copy(scan, *places):
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(scan.read_bytes())
    return [str(place) for place in places]


def analyze(*arguments):
    return cli.main(["analyze", *map(str, arguments), "--no-scene"])


def rows(output):
    with open(output / "summary.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- cases ---------------------------------------------------------------------------------------------------


def test_an_input_becomes_a_case_folder_and_a_row(analyzer, scan, tmp_path, capsys):
    out = tmp_path / "out"
    assert analyze(scan, "--output", out) == 0
    assert sorted(os.listdir(out)) == ["ct", "summary.csv"]
    assert sorted(os.listdir(out / "ct")) == sorted(set(FILES) - {SCENE})
    (row,) = rows(out)
    assert row["case"] == "ct" and row["status"] == "done" and row["input"] == str(scan) and row["error"] == ""
    printed = capsys.readouterr()
    assert "study probability 0.93" in printed.out and "report.html" not in printed.err


def test_a_failed_case_leaves_the_others_complete(analyzer, scan, tmp_path, capsys):
    good, bad, last = copy(scan, tmp_path / "good.nii.gz", tmp_path / "bad.nii.gz", tmp_path / "last.nii.gz")
    Path(bad).write_bytes(b"not an image")
    out = tmp_path / "out"
    assert analyze(good, bad, last, tmp_path / "absent.nrrd", "--output", out) == 1
    assert sorted(os.listdir(out)) == ["good", "last", "summary.csv"]
    assert [row["status"] for row in rows(out)] == ["done", "failed", "done", "failed"]
    printed = capsys.readouterr()
    assert "2 done, 0 skipped, 2 failed" in printed.out
    errors = [line for line in printed.err.splitlines() if line.startswith(("bad:", "absent:"))]
    assert len(errors) == 2 and "Traceback" not in printed.err
    assert rows(out)[1]["error"] and "does not exist" in rows(out)[3]["error"]


def test_a_second_run_skips_completed_cases(analyzer, scan, tmp_path, capsys):
    out = tmp_path / "out"
    analyze(scan, "-o", out)
    (out / "summary.csv").unlink()
    capsys.readouterr()
    assert analyze(scan, "-o", out) == 0
    assert analyzer.seen == ["ct"]
    assert "already done, skipped" in capsys.readouterr().out
    assert rows(out)[0]["status"] == "done"  # the row is restored from the case itself
    assert analyze(scan, "-o", out, "--overwrite") == 0
    assert analyzer.seen == ["ct", "ct"] and len(rows(out)) == 1


def test_a_skipped_case_tells_which_settings_differ(analyzer, scan, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    analyze(scan, "-o", out)
    settings = {"model": "other", "preset": "enhanced", "threshold": 0.7}
    monkeypatch.setattr(commands, "make_analyzer", lambda arguments: (analyzer, settings))
    capsys.readouterr()
    assert analyze(scan, "-o", out) == 0
    assert "(other model, other threshold: --overwrite to repeat)" in capsys.readouterr().out


def test_the_result_of_another_input_is_not_reused(analyzer, scan, tmp_path, capsys):
    first, second = copy(scan, tmp_path / "a" / "ct.nii.gz", tmp_path / "b" / "ct.nii.gz")
    out = tmp_path / "out"
    assert analyze(first, "-o", out) == 0
    assert analyze(second, "-o", out) == 1
    assert "another input" in capsys.readouterr().err
    assert [(row["status"], row["input"]) for row in rows(out)] == [("done", first), ("failed", second)]
    assert analyze(second, "-o", out, "--overwrite") == 0
    assert [(row["status"], row["input"]) for row in rows(out)] == [("done", second)]


def test_the_folder_of_an_input_is_never_overwritten(analyzer, scan, tmp_path, capsys):
    (image,) = copy(scan, tmp_path / "ct" / "slice.png")
    assert analyze(tmp_path / "ct", "-o", tmp_path, "--overwrite") == 1
    assert Path(image).read_bytes() == scan.read_bytes()
    assert "slice.png" in capsys.readouterr().err and analyzer.seen == []


def test_a_damaged_earlier_result_is_an_error_of_that_case(analyzer, scan, tmp_path, capsys):
    out = tmp_path / "out"
    analyze(scan, "-o", out)
    (out / "ct" / "analysis.json").write_text("{")
    assert analyze(scan, "-o", out) == 1
    assert "damaged" in capsys.readouterr().err
    assert analyze(scan, "-o", out, "--overwrite") == 0


def test_an_earlier_result_is_kept_when_the_new_one_fails(analyzer, scan, tmp_path, capsys):
    out = tmp_path / "out"
    analyze(scan, "-o", out)
    analyzer.hook = lambda ct: 1 / 0
    assert analyze(scan, "-o", out, "--overwrite") == 1
    assert "The earlier result was kept." in capsys.readouterr().err
    assert (out / "ct" / "report.html").is_file()


def test_an_unexpected_error_is_one_sentence_with_a_traceback_only_for_debug(analyzer, scan, tmp_path, capsys):
    analyzer.hook = lambda ct: 1 / 0
    assert analyze(scan, "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "ct: Unexpected error (ZeroDivisionError: division by zero)" in error and "Traceback" not in error
    assert analyze(scan, "-o", tmp_path / "out", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_stops_cleanly(analyzer, scan, tmp_path, capsys):
    first, second = copy(scan, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")

    def interrupt(ct):
        if ct.name == "b":
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 5) if hasattr(signal, "sigtimedwait") else None

    analyzer.hook = interrupt
    handler = signal.getsignal(signal.SIGINT)
    assert analyze(first, second, "-o", tmp_path / "out") == 130
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "summary.csv"]
    assert "Stopped at b: 1 done, 0 skipped, 0 failed; partial results were discarded." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == handler


def test_quiet_prints_errors_only(analyzer, scan, tmp_path, capsys):
    assert analyze(scan, tmp_path / "absent.nii", "-o", tmp_path / "out", "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1


def test_warnings_of_an_analysis_are_shown(analyzer, scan, tmp_path, capsys, monkeypatch):
    analyze_ct = FakeAnalyzer.analyze
    monkeypatch.setattr(
        FakeAnalyzer, "analyze", lambda *args: dataclasses.replace(analyze_ct(*args), warnings=("Thick slices.",))
    )
    analyze(scan, "-o", tmp_path / "out")
    assert "ct: note: Thick slices." in capsys.readouterr().err
    assert rows(tmp_path / "out")[0]["warnings"] == "Thick slices."


def test_paths_may_have_other_alphabets(analyzer, scan, tmp_path):
    (source,) = copy(scan, tmp_path / "Ünïcode 数据" / "Лёгкие.nii.gz")
    out = tmp_path / "résultats 数据"
    assert analyze(source, "-o", out) == 0
    assert (out / "Лёгкие" / "lam.nrrd").is_file() and rows(out)[0]["case"] == "Лёгкие"


# --- names of cases ------------------------------------------------------------------------------------------


def names(*inputs):
    return [case.name for case in name_cases([str(one) for one in inputs])]


def test_a_case_is_named_after_its_input(tmp_path):
    (tmp_path / "DICOM.v2").mkdir()
    assert names("a/ct.nii.gz", "b.NRRD", "x.mha", "p.jpeg", "odd.name", tmp_path / "DICOM.v2") == [
        "ct", "b", "x", "p", "odd.name", "DICOM.v2"
    ]  # fmt: skip
    assert names(" a:b?.nii ") == ["a_b_.nii"]


def test_inputs_of_the_same_name_are_prefixed_with_their_folders():
    assert names("p1/ct.nii.gz", "p2/ct.nii.gz", "p3/other.nii") == ["p1_ct", "p2_ct", "other"]
    assert names("p2/ct.nii.gz", "p1/ct.nii.gz") == ["p2_ct", "p1_ct"]
    assert names("x/p1/ct.nii", "y/p1/ct.nii") == ["x_p1_ct", "y_p1_ct"]
    assert len({name.casefold() for name in names("a/CT.nii", "A/ct.nii", "a/ct.nrrd")}) == 3


def test_inputs_of_the_same_name_in_one_folder_are_numbered():
    assert names("/ct.nii", "/ct.nrrd") == ["ct", "ct-2"]


def test_the_same_input_twice_is_one_case():
    assert names("a/ct.nii", "a/../a/ct.nii") == ["ct"]


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "scan").mkdir()
    monkeypatch.chdir(tmp_path / "scan")
    assert names(".") == ["scan"]


# --- wrong usage and missing parts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["analyse", "x"],
        ["analyze", "--output", "out"],
        ["analyze", "x.nii"],
        ["analyze", "x.nii", "-o", "out", "--threshold", "1.5"],
        ["analyze", "x.nii", "-o", "out", "--threshold", "half"],
        ["analyze", "x.nii", "-o", "out", "--device", "tpu"],
        ["analyze", "x.nii", "-o", "out", "--preset", "default"],
    ],
)
def test_wrong_usage_ends_in_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'torch'", name="torch"),
        FileNotFoundError("There is no model folder x."),
        ValueError("The model x was changed."),
        RuntimeError("No GPU."),
    ],
)
def test_missing_parts_end_in_2_with_one_sentence(error, tmp_path, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setattr(commands, "make_analyzer", fail)
    assert analyze("x.nii", "-o", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and ("pip install torch" in printed or str(error) in printed)
    assert not (tmp_path / "out").exists()


def test_the_output_must_be_a_folder(analyzer, scan, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert analyze(scan, "-o", tmp_path / "file") == 2
    assert analyze(scan, "-o", tmp_path / "file" / "below") == 2
    (tmp_path / "summary.csv").write_text("a,b\n1,2\n")
    assert analyze(scan, "-o", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_help_is_fast_and_states_research_use(capsys):
    code = "import sys; from LesionAnalysisLib import cli; cli.main({}); print({{'torch', 'numpy'}} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(CLI.parents[1])}
    for words in (["--help"], ["analyze", "--help"], ["demo", "--help"]):
        command = [sys.executable, "-c", code.format(words)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.stdout.rstrip().endswith("set()") and "Research use only" in result.stdout
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lesion-analysis ")


def test_training_commands_get_their_arguments_as_they_are(monkeypatch):
    seen = []
    functions = {"train_main": lambda argv: seen.append(argv) or 0, "evaluate_main": lambda argv: 7}
    for name in ("train_command", "evaluate", "evaluate.evaluate_command"):
        name = f"LesionAnalysisTrainingLib.{name}"
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(__name__=name, __path__=[], **functions))
    assert cli.main(["train", "data", "--output", "model", "--help"]) == 0
    assert seen == [["data", "--output", "model", "--help"]]
    assert cli.main(["evaluate"]) == 7


def test_an_empty_input_is_not_taken_for_the_current_folder(capsys, tmp_path):
    assert cli.main(["analyze", "", "-o", str(tmp_path / "out")]) == 2
    assert "An INPUT is empty" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_missing_training_library_is_reported(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("LesionAnalysisTrainingLib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "LesionAnalysisTrainingLib", None)
    assert cli.main(["train", "data"]) == 2
    assert "LesionAnalysisTrainingLib" in capsys.readouterr().err


# --- called by path, in Slicer -----------------------------------------------------------------------------


def test_the_script_runs_by_path_from_anywhere(tmp_path):
    result = subprocess.run([sys.executable, str(CLI), "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.startswith("lesion-analysis ")
    result = subprocess.run([sys.executable, str(CLI), "analyze"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2 and "INPUT" in result.stderr


def test_the_script_is_plain_ascii():
    CLI.read_bytes().decode("ascii")  # Slicer reads scripts in the system's encoding


@pytest.mark.parametrize("argv", [["analyze", "x"], ["cli.py", "analyze", "x"], ["", "analyze", "x"]])
def test_slicer_may_omit_the_name_of_the_script(argv, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "main", lambda arguments: seen.append(arguments) or 0)
    assert cli.run_as_script(argv) == 0
    assert seen == [["analyze", "x"]]


@pytest.mark.parametrize("failure", [None, RuntimeError])
def test_slicer_exits_in_any_case(failure, monkeypatch):
    codes = []
    slicer = types.SimpleNamespace(
        app=types.SimpleNamespace(commandOptions=lambda: None), util=types.SimpleNamespace(exit=codes.append)
    )
    monkeypatch.setitem(sys.modules, "slicer", slicer)

    def main(arguments):
        if failure:
            raise failure
        return 2

    monkeypatch.setattr(cli, "main", main)
    if failure:
        with pytest.raises(failure):
            cli.run_as_script(["analyze"])
    else:
        cli.run_as_script(["analyze"])
    assert codes == ([1] if failure else [2])


def test_the_script_runs_as_slicer_executes_it(tmp_path):
    """As CTK does: the file's text is executed in ``__main__`` with ``__file__`` set and its folder on the path."""
    code = (
        "import sys, types\n"
        "slicer = types.ModuleType('slicer')\n"
        "slicer.app = types.SimpleNamespace(commandOptions=lambda: None)\n"
        "slicer.util = types.SimpleNamespace(exit=lambda code: print('exit', code))\n"
        "sys.modules['slicer'] = slicer\n"
        f"path = {str(CLI)!r}\n"
        f"sys.path.insert(0, {str(CLI.parent)!r})\n"
        "sys.argv = [path, 'analyze', 'x.nii', '--output']\n"
        "g = globals()\n"
        "g['__file__'] = path\n"
        "exec(open(path).read(), g)\n"
        "print('after', any(p.endswith('LesionAnalysisLib') for p in sys.path))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.splitlines()[-2:] == ["exit 2", "after False"], result.stderr


# --- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "threshold"), [([], 0.3), (["--threshold", "0.5"], 0.5), (["--preset", "paper"], 0.5)]
)
def test_results_are_distinguished_by_the_threshold_that_was_used(tmp_path, options, threshold):
    from helpers_analyzer import small_bundle

    model = small_bundle(tmp_path / "m", threshold=0.3)
    options = ["--model", str(model.folder), "--device", "cpu", *options]
    made, settings = commands.make_analyzer(commands.parser().parse_args(["analyze", "x.nii", "-o", "out", *options]))
    assert made.threshold == settings["threshold"] == threshold
    assert settings["model"] == model.checksum


# --- progress and messages -------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_progress_in_a_log_is_a_line_now_and_then():
    stream, clock = io.StringIO(), Clock()
    bar = Progress("ct", stream, clock)
    for step in range(1001):
        clock.now = step * 0.1  # 100 s
        bar(step / 1000, "slices")
    lines = stream.getvalue().splitlines()
    assert 10 <= len(lines) <= 21 and lines[0].startswith("ct:   5 %") and lines[0].endswith("slices")
    assert "left" in lines[5] and "\r" not in stream.getvalue()


def test_progress_of_a_short_task_is_not_logged():
    stream, clock = io.StringIO(), Clock()
    bar = Progress("ct", stream, clock)
    for step in range(11):
        clock.now = step * 0.05
        bar(step / 10)
    assert stream.getvalue() == ""


def test_progress_on_a_terminal_is_a_bar_that_disappears():
    stream, clock = Terminal(), Clock()
    bar = Progress("[1/2] ct", stream, clock)
    for step in range(50):
        clock.now = step * 0.2
        bar(step / 100, "slices")
    last = stream.getvalue().split("\r")[-1]
    assert "[1/2] ct" in last and "49 %" in last and "━" in last and "10 s left" in last
    bar.close()
    assert stream.getvalue().endswith("\r") and stream.getvalue().split("\r")[-2].strip() == ""


def test_the_time_left_is_not_estimated_too_early():
    clock = Clock()
    bar = Progress("ct", None, clock)
    bar(0.5)
    assert bar.time_left() is None
    clock.now = 30
    assert bar.time_left() == pytest.approx(30)


def test_progress_takes_any_fraction():
    bar = Progress("ct", io.StringIO(), Clock())
    for fraction in (-1, 0.5, float("nan"), 0.2, 7):
        bar(fraction)
    part = Progress("ct", None, Clock())
    part.part(0.2, 0.6)(0.5, "half")
    assert part._fraction == pytest.approx(0.4)


def test_limited_or_broken_streams_are_tolerated():
    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    write(ascii_stream, "Übung\n")
    assert ascii_stream.buffer.getvalue() == b"?bung\n"
    ascii_stream.close()
    write(ascii_stream, "closed")
    write(None, "none")
    Console(out=types.SimpleNamespace(write=lambda text: None)).result("Slicer's stream has no flush")


def test_durations_and_errors_are_readable():
    assert [format_duration(one) for one in (8, 99, 120, 7800)] == ["8 s", "99 s", "2 min", "2 h 10 min"]
    assert error_message(OSError(13, "Permission denied", "x")) == "Permission denied: x."
    assert error_message(OSError(28, "No space left on device", "x")).startswith("The disk is full: free some space")
    assert error_message(ValueError("Two\n lines.")) == "Two lines."
    assert error_message(MemoryError("Not enough memory.")) == "Not enough memory."
    assert "--debug" in error_message(KeyError("x")) and "--debug" in error_message(ValueError())


# --- the demo --------------------------------------------------------------------------------------------------


def test_known_lesions_are_compared_with_detected_ones():
    analysis = make_analysis()
    truth = np.zeros_like(analysis.lesion_labels)
    truth[analysis.lesion_labels == 2] = 1
    truth[0, 0, 0] = 2
    known = [
        types.SimpleNamespace(label=label, center_ras_mm=(1.2, -3.4, 5.0), volume_ml=8.2, type="GGO")
        for label in (1, 2)
    ]
    lines = compare_with_truth(analysis, types.SimpleNamespace(lesion_labels=truth, lesions=known))
    assert lines[0] == "Known lesions: 2, detected (at least 10 % covered): 1"
    assert lines[1] == "  1  GGO, 8 ml at R 1, A -3, S 5 mm: 100 % covered by L02"
    assert lines[2].endswith("not detected")
    assert lines[3] == "False-positive lesions: 2 of 3 (L01, L03)"


@pytest.fixture
def phantom_module(monkeypatch):
    ct, _ = make_ct()
    analysis = make_analysis()
    phantom = types.SimpleNamespace(ct=ct, lesion_labels=analysis.lesion_labels, lesions=())
    module = types.ModuleType("LesionAnalysisLib.phantom")
    module.make_phantom = lambda **settings: phantom
    monkeypatch.setitem(sys.modules, "LesionAnalysisLib.phantom", module)


def test_the_demo_saves_its_ct_and_tells_what_to_open(analyzer, phantom_module, tmp_path, capsys):
    assert cli.main(["demo", "--output", str(tmp_path), "--no-scene"]) == 0
    assert sorted(os.listdir(tmp_path)) == ["ct.nii.gz", "demo", "summary.csv"]
    printed = capsys.readouterr().out
    assert "Known lesions: 0" in printed and str(tmp_path / "demo" / "report.html") in printed
    assert "scene.mrb" not in printed
    assert cli.main(["demo", "--output", str(tmp_path), "--no-scene"]) == 0
    assert "already done" in capsys.readouterr().out


# --- everything together -----------------------------------------------------------------------------------------


@needs_model
def test_the_small_demo_end_to_end(tmp_path, capsys):
    assert cli.main(["demo", "--small", "--output", str(tmp_path), "--device", "cpu"]) == 0
    data = json.loads((tmp_path / "demo-small" / "analysis.json").read_text("utf-8"))
    assert data["schema"] == 1 and data["summary"]["total_slices"] == 60
    assert sorted(os.listdir(tmp_path / "demo-small")) == sorted(FILES)
    assert "Known lesions" in capsys.readouterr().out


@needs_model
@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 400])
def test_wrong_inputs_end_to_end(content, tmp_path, capsys):
    (tmp_path / "ct.nii.gz").write_bytes(content)
    assert analyze(tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "-q") == 1
    assert os.listdir(tmp_path / "out") == ["summary.csv"]
    assert capsys.readouterr().err.count("\n") == 1


@needs_model
def test_a_changed_or_missing_model_end_to_end(tmp_path, scan, capsys):
    import shutil

    model = next(MODELS.glob("*/config.json")).parent
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    with open(copied / "MODEL_CARD.md", "a") as stream:
        stream.write("changed")
    for folder in (copied, tmp_path / "absent"):
        assert analyze(scan, "-o", tmp_path / "out", "--model", folder) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_batch_reads_with_the_volume_package():
    assert batch_module.read_ct.__module__.startswith("LesionAnalysisLib.volume")


def test_a_narrow_terminal_keeps_the_time_left(monkeypatch):
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    stream, clock = Terminal(), Clock()
    bar = Progress("a-rather-long-case-name", stream, clock)
    clock.now = 10
    bar(0.5, "a long message that does not fit")
    last = stream.getvalue().split("\r")[-1]
    assert len(last) == 59 and "10 s left" in last


def test_missing_mrml_classes_are_reported_before_any_work(analyzer, scan, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "slicer", None)
    for name in [name for name in sys.modules if name.startswith("LesionAnalysisLib.scene")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["LesionAnalysisLib"], "scene", raising=False)
    assert cli.main(["analyze", str(scan), "-o", str(tmp_path / "out")]) == 2
    assert "--no-scene" in capsys.readouterr().err and analyzer.seen == []
