"""Files and folders that are there as a whole or not at all, and what killed processes leave behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from LesionAnalysisLib import atomic_io as replacing
from LesionAnalysisLib.atomic_io import replaced, whole_file

LIBRARY = Path(replacing.__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(folder, text):
    with replaced(folder) as fresh:
        (fresh / "a.txt").write_text(text)


def test_a_folder_takes_the_place_of_the_earlier_one(tmp_path):
    fill(tmp_path / "below" / "case", "one")
    fill(tmp_path / "below" / "case", "two")
    assert (tmp_path / "below" / "case" / "a.txt").read_text() == "two"
    assert names(tmp_path / "below") == ["case"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_one(tmp_path, error):
    fill(tmp_path / "case", "one")
    (tmp_path / "b.txt").write_text("one")
    with pytest.raises(type(error)), replaced(tmp_path / "case") as fresh:
        (fresh / "a.txt").write_text("half")
        raise error
    with pytest.raises(type(error)), whole_file(tmp_path / "b.txt") as fresh:
        fresh.write_text("half")
        raise error
    assert names(tmp_path) == ["b.txt", "case"]
    assert (tmp_path / "case" / "a.txt").read_text() == (tmp_path / "b.txt").read_text() == "one"


def test_a_file_keeps_its_ending_while_it_is_written(tmp_path):
    with whole_file(tmp_path / "ct.nii.gz") as fresh:
        assert fresh.name.endswith(".nii.gz") and fresh.parent == tmp_path
        fresh.write_text("whole")
    assert names(tmp_path) == ["ct.nii.gz"]


def killed_while_writing(target):
    """Another process is killed while it writes a folder and a file."""
    code = (f"import sys, time; sys.path.insert(0, {str(LIBRARY)!r})\n"
            "from pathlib import Path\nfrom LesionAnalysisLib.atomic_io import replaced, whole_file\n"
            f"target = Path({str(target)!r})\n"
            "with replaced(target) as folder, whole_file(target.with_name('c.csv')) as file:\n"
            "    (folder / 'x').write_text('half'), file.write_text('half')\n"
            "    print('now', flush=True), time.sleep(60)")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        before = names(target.parent)
        process.kill()
    return before


def test_what_a_killed_process_left_is_swept_away_by_the_next(tmp_path):
    assert len(killed_while_writing(tmp_path / "case")) == 2
    assert len(names(tmp_path)) == 2
    fill(tmp_path / "other", "one")
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize("owner", [f"{replacing._HOST}-{os.getpid()}", f"deadbeef-{2**22 + 5}", "0.tmp"],
                         ids=["a living process", "another host", "no process named"])  # fmt: skip
def test_what_may_still_be_written_stays_for_a_day(tmp_path, owner):
    left = tmp_path / f"{replacing._PARTIAL}{owner}-0123"
    left.mkdir()
    fill(tmp_path / "case", "one")
    assert left.exists()
    os.utime(left, (time.time() - 90_000,) * 2)
    fill(tmp_path / "case", "two")
    assert names(tmp_path) == ["case"]


def test_a_process_that_was_killed_between_two_renames_loses_nothing(tmp_path):
    folder = tmp_path / "case"
    fill(folder, "one")
    folder.rename(replacing._aside(folder))  # the new one had not come yet
    with pytest.raises(OSError), replaced(folder):
        assert (folder / "a.txt").read_text() == "one"
        raise OSError
    replacing._aside(folder).mkdir()  # the new one had come
    fill(folder, "two")
    assert names(tmp_path) == ["case"] and (folder / "a.txt").read_text() == "two"
