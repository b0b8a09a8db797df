"""Commands that are killed or stopped at random moments lose no results, leave no partial files, and can be continued.

With --full a hundred kills each of one case, of a batch, and of a training.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_training import chest_image, save
from interruptions import LIBRARIES, Server, complete_cases, content, model_content, moments, rows, temporary_files
from LesionAnalysisLib.phantom import make_phantom
from LesionAnalysisLib.volume.writing import write_volume
from thin_networks import thin_bundle

pytestmark = pytest.mark.usefixtures("one_thread")
KILLS, SOME, SIGNALS, SOME_SIGNALS = 100, 1, 20, 1
QUICK = ["--backbone", "resnet18", "--weights", "none", "--sizes", "64", "--epochs", "2", "--batch", "8", "--device",
         "cpu", "--workers", "0", "--precision", "float32", "--clusters", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory, inputs, images):
    with Server(tmp_path_factory.mktemp("server")) as one:
        one.warm_up(*analyze(inputs, tmp_path_factory.mktemp("warm"), ["a"]))
        one.warm_up("train", images, "--output", tmp_path_factory.mktemp("warm") / "model", *QUICK)
        yield one


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A small model, two CTs and a broken one."""
    folder = tmp_path_factory.mktemp("inputs")
    thin_bundle(folder / "model")
    ct = make_phantom((12, 96, 96), (3.6, 3.6, 24.0)).ct
    for name, k in (("a", 0), ("b", 1)):
        write_volume(np.roll(ct.array, k, 0), ct.ijk_to_ras, folder / f"{name}.nrrd")
    (folder / "broken.nrrd").write_bytes((folder / "a.nrrd").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images of 8 patients."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(24):
        diseased = i % 2
        path = folder / ("COVID" if diseased else "NonCOVID") / f"p{i // 2 % 4}-{diseased}" / f"{i}.png"
        save(path, chest_image(rng, bool(diseased), 64))
    return folder


def analyze(inputs, output, names):
    return ["analyze", *(inputs / f"{name}.nrrd" for name in names), "--output", output, "--model", inputs / "model",
            "--device", "cpu"]  # fmt: skip


CASES = {"one case": (["a"], 0), "batch": (["a", "broken", "b"], 1)}


@pytest.mark.parametrize("names, code", CASES.values(), ids=CASES)
def test_cases_killed_at_any_moment_are_complete_or_absent_and_made_by_the_next_run(
    server, inputs, tmp_path, full, names, code
):
    undisturbed = server.run(*analyze(inputs, tmp_path / "undisturbed", names))
    assert undisturbed.code == code, undisturbed.text
    expected, most, killed = content(tmp_path / "undisturbed"), 0, 0
    kills = [{"after": after} for after in moments(KILLS if full else SOME, undisturbed.seconds)]
    kills += [{"step": step} for step in steps(undisturbed, full, 3 if names == ["a"] else 0)]
    for number, kill in enumerate(kills):
        output = tmp_path / f"{number}"
        command = analyze(inputs, output, names)
        first = server.run(*command, **kill)
        killed += first.code == -signal.SIGKILL
        there = complete_cases(output)
        listed = {case for case, row in rows(output).items() if row["status"] == "done"} if output.exists() else set()
        assert listed <= set(there) and len(there) - len(listed) <= 1, kill
        most = max(most, len(temporary_files(output)) + len(server.left()))
        again = server.run(*command)
        assert again.code == code, (kill, again.text)
        assert again.text.count("already done, skipped") == len(there), (kill, again.text)
        assert {case: row["status"] for case, row in rows(output).items()} == {
            name: "failed" if name == "broken" else "done" for name in names
        }
        assert_same(content(output), expected)
        assert temporary_files(output) == [] and server.left() == [], kill
    print(f"{killed} kills survived, at most {most} temporary files left by one, none after the next run")
    assert killed > 0.7 * len(kills) and most <= 4


def test_a_killed_run_that_overwrites_keeps_the_earlier_result_or_has_the_new_one(server, inputs, tmp_path, full):
    command = [*analyze(inputs, tmp_path / "out", ["a"]), "--overwrite"]
    server.run(*command)
    expected = content(tmp_path / "out")
    undisturbed = server.run(*command)
    killed = 0
    for step in steps(undisturbed, full, 4):
        killed += server.run(*command, step=step).code == -signal.SIGKILL
        there = complete_cases(tmp_path / "out")
        if not there:  # it was renamed, and the next run restores it first
            assert temporary_files(tmp_path / "out"), step
            server.run(*command, step=1)
            assert complete_cases(tmp_path / "out") == ["a"], step
    assert server.run(*command).code == 0
    assert_same(content(tmp_path / "out"), expected)
    assert temporary_files(tmp_path / "out") == [] and server.left() == []
    print(f"{killed} kills survived")


def test_a_training_killed_at_any_moment_is_resumed_to_the_same_model(server, images, tmp_path, full):
    expected, killed, kills = {}, 0, []
    for plots in (True, False) if full else (False,):
        name = f"undisturbed{plots}"
        undisturbed = server.run("train", images, "--output", tmp_path / name / "model", *QUICK, plots=plots)
        assert undisturbed.code == 0, undisturbed.text
        expected[plots] = model_content(tmp_path / name / "model")
        count = (KILLS - KILLS // 4, KILLS // 4)[plots] if full else SOME
        kills += [{"after": after, "plots": plots} for after in moments(count, undisturbed.seconds)]
    kills += [{"step": step, "plots": False} for step in steps(undisturbed, full, 3)]
    for number, kill in enumerate(kills):
        output = tmp_path / f"{number}" / "model"
        command = ["train", images, "--output", output, *QUICK]
        first = server.run(*command, **kill)
        killed += first.code == -signal.SIGKILL
        done = output.exists()
        if done:
            assert_same(model_content(output), expected[kill["plots"]])
        if not done or output.with_name("model.training").exists():
            again = server.run(*command, "--resume", plots=kill["plots"])
            assert again.code == 0, (kill, again.text)
        assert_same(model_content(output), expected[kill["plots"]])
        names = {path.name for path in output.parent.iterdir()}
        assert names <= {"model", "model.slices.csv"} | swept_later(done, output), kill
        assert server.left() == [], kill
    print(f"{killed} kills survived")
    assert killed > 0.7 * len(kills)


def swept_later(done, output):
    """A run that was killed while it removed its temporary files has finished its work."""
    return set(temporary_files(output.parent)) if done else set()


def steps(undisturbed, full, some):
    """Before and after every rename, or at the last of them."""
    every = [number / 2 for number in range(2 * undisturbed.renames)]
    return every if full else every[len(every) - some :]


WORKERS = """
import os, sys, time
sys.path[:0] = sys.argv[1:]
from LesionAnalysisTrainingLib.dataset.parallel import in_order

def work(item):
    os.write(1, f"{os.getpid()}\\n".encode())

if __name__ == "__main__":
    for _ in in_order(work, [(str(i),) for i in range(48)], 2):
        time.sleep(60)
"""


def test_processes_that_read_data_end_with_the_one_that_was_killed(tmp_path):
    """If only the parent is killed, as by a system out of memory, they would wait for work forever."""
    (tmp_path / "workers.py").write_text(WORKERS)
    command = [sys.executable, str(tmp_path / "workers.py"), *map(str, LIBRARIES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        workers = {int(parent.stdout.readline()) for _ in range(48)}
        parent.kill()
        deadline = time.monotonic() + 10
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = [pid for pid in workers if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert workers and not left


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("what", ["batch", "train"])
def test_a_stopped_command_ends_with_exit_code_130_and_leaves_no_partial_files(
    server, inputs, images, tmp_path, full, what, kind
):
    def command(output):
        if what == "batch":
            return analyze(inputs, output, ["a", "b"])
        return ["train", images, "--output", output / "model", *QUICK]

    undisturbed, early = server.run(*command(tmp_path / "undisturbed"), plots=False), 0
    for number, after in enumerate(moments(SIGNALS if full else SOME_SIGNALS, undisturbed.seconds, seed=1)):
        output = tmp_path / f"{number}"
        ended = server.run(*command(output), after=max(after, 0.02 if full else 0.1), kind=kind, plots=False)
        if ended.code == 0:  # it finished just before
            continue
        if ended.code == -kind and not output.exists():  # it had not yet installed its signal handlers
            early += 1
            continue
        assert ended.code == 130 and not ended.hung, (after, ended.text)
        assert "Traceback" not in ended.text and "topped" in ended.text.splitlines()[-1], (after, ended.text)
        if what == "batch":
            complete_cases(output)
        assert temporary_files(output) == [] and server.left() == [], (after, ended.text)
    assert early <= (SIGNALS // 4 if full else 0)


def assert_same(found, expected):
    different = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    assert not different, (different, [(found.get(n), expected.get(n)) for n in different if "tensor" not in n][:1])
