"""A batch of many cases, some of them broken: the others are done, memory is constant, a second run retries failures.

With --full 500 cases, 20 of them broken.
"""

import re

import numpy as np
import pytest
from batch_run import SCENE_EVERY, measure
from interruptions import check_case, temporary_files

GROWTH = 1.05  # limit of memory, last cases relative to the first


@pytest.fixture(scope="module")
def batch(tmp_path_factory, full):
    """Its folder, the number of cases, and the measurements."""
    folder, count, broken = tmp_path_factory.mktemp("batch"), *((500, 20) if full else (12, 2))
    return folder, count, measure(folder, count, broken)


def test_good_cases_are_done_and_the_summary_tells_what_failed_and_why(batch):
    folder, count, found = batch
    run = found["runs"][0]
    rows = {row["case"].removesuffix(".nrrd"): row for row in run["rows"]}
    failed = {case for case, row in rows.items() if row["status"] == "failed"}
    assert run["code"] == 1 and len(run["rows"]) == len(rows) == count
    assert failed == set(found["broken"])
    for case in failed:
        assert re.fullmatch(r"(The folder )?'case\d+\.nrrd' .{10,}\.", rows[case]["error"]), rows[case]
    assert set(run["made"]) == set(rows) - failed
    for number, row in enumerate(run["rows"]):
        if row["status"] == "done":
            check_case(folder / "output" / row["case"], scene=number % SCENE_EVERY == 0)
    assert run["names"] == sorted([*run["made"], "summary.csv"]) and temporary_files(folder / "output") == []


def test_memory_does_not_grow_with_the_number_of_cases(batch):
    _, count, found = batch
    memory = found["runs"][0]["memory"]
    first, last = memory[: count // 5], memory[-(count // 5) :]
    print(f"{count} cases: {np.mean(first):.1f} MB over the first {len(first)}, {np.mean(last):.1f} over the last, "
          f"at most {max(memory):.1f}")  # fmt: skip
    assert np.mean(last) <= GROWTH * np.mean(first)
    assert max(memory) <= GROWTH * np.mean(first)


def test_a_second_run_tries_only_what_failed(batch):
    _, count, found = batch
    first, again = found["runs"]
    assert again["code"] == 1 and again["made"] == first["made"] and again["names"] == first["names"]
    assert again["rows"] == first["rows"]
    done = [first["rows"][i]["status"] == "done" for i in range(count)]
    worked, skipped = (float(np.mean(np.array(run["seconds"])[done])) for run in (first, again))
    print(f"A case takes {worked:.2f} s, skipping one {skipped:.4f} s")
    assert skipped < worked / 10
