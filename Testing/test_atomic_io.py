"""Files and folders are written completely or not at all, and what killed processes leave is removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from LesionAnalysisLib import atomic_io
from LesionAnalysisLib.atomic_io import atomic_file, atomic_folder

LIBRARY = Path(atomic_io.__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(folder, text):
    with atomic_folder(folder) as partial:
        (partial / "a.txt").write_text(text)


def test_a_folder_replaces_the_previous_one(tmp_path):
    fill(tmp_path / "below" / "case", "one")
    fill(tmp_path / "below" / "case", "two")
    assert (tmp_path / "below" / "case" / "a.txt").read_text() == "two"
    assert names(tmp_path / "below") == ["case"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_keeps_the_previous_data(tmp_path, error):
    fill(tmp_path / "case", "one")
    (tmp_path / "b.txt").write_text("one")
    with pytest.raises(type(error)), atomic_folder(tmp_path / "case") as partial:
        (partial / "a.txt").write_text("half")
        raise error
    with pytest.raises(type(error)), atomic_file(tmp_path / "b.txt") as partial:
        partial.write_text("half")
        raise error
    assert names(tmp_path) == ["b.txt", "case"]
    assert (tmp_path / "case" / "a.txt").read_text() == (tmp_path / "b.txt").read_text() == "one"


def test_a_file_keeps_its_suffix_while_it_is_written(tmp_path):
    with atomic_file(tmp_path / "ct.nii.gz") as partial:
        assert partial.name.endswith(".nii.gz") and partial.parent == tmp_path
        partial.write_text("whole")
    assert names(tmp_path) == ["ct.nii.gz"]


def killed_while_writing(target):
    """Kill another process while it writes a folder and a file; the names in their folder just before."""
    code = (f"import sys, time; sys.path.insert(0, {str(LIBRARY)!r})\n"
            "from pathlib import Path\nfrom LesionAnalysisLib.atomic_io import atomic_file, atomic_folder\n"
            f"target = Path({str(target)!r})\n"
            "with atomic_folder(target) as folder, atomic_file(target.with_name('c.csv')) as file:\n"
            "    (folder / 'x').write_text('half'), file.write_text('half')\n"
            "    print('now', flush=True), time.sleep(60)")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        before = names(target.parent)
        process.kill()
    return before


def test_the_next_process_removes_what_a_killed_one_left(tmp_path):
    assert len(killed_while_writing(tmp_path / "case")) == 2
    assert len(names(tmp_path)) == 2
    fill(tmp_path / "other", "one")
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize("owner", [f"{atomic_io._HOST}-{os.getpid()}", f"deadbeef-{2**22 + 5}", "0.tmp"],
                         ids=["living process", "another host", "no process id"])  # fmt: skip
def test_partial_data_of_a_possibly_living_process_is_kept_for_a_day(tmp_path, owner):
    left = tmp_path / f"{atomic_io._PARTIAL}{owner}-0123"
    left.mkdir()
    fill(tmp_path / "case", "one")
    assert left.exists()
    os.utime(left, (time.time() - 90_000,) * 2)
    fill(tmp_path / "case", "two")
    assert names(tmp_path) == ["case"]


def test_a_process_killed_between_two_renames_loses_nothing(tmp_path):
    folder = tmp_path / "case"
    fill(folder, "one")
    folder.rename(atomic_io._backup(folder))  # before the new one is moved into place
    with pytest.raises(OSError), atomic_folder(folder):
        assert (folder / "a.txt").read_text() == "one"
        raise OSError
    atomic_io._backup(folder).mkdir()  # after the new one was moved into place
    fill(folder, "two")
    assert names(tmp_path) == ["case"] and (folder / "a.txt").read_text() == "two"
