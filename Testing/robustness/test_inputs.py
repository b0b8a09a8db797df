"""Every odd input goes through the door that users have, and ends well, with a warning, or in one sentence."""

import json
import re
import time

import numpy as np
import pytest
import SimpleITK as sitk
from helpers_analyzer import small_bundle
from LesionAnalysisLib.app.case import case_files
from LesionAnalysisLib.cli import main
from LesionAnalysisLib.volume import read_ct
from odd_inputs import EITHER, GOOD, INPUTS, REFUSED

LONGEST_S, LONGEST_SLICE_S = 60.0, 0.2
SAMPLE = 9  # each so-many-th input without --full
SLOW = ("a gigabyte of zeros", "2000 slices", "slices of 0.3 mm", "slices of 1024")  # with --full alone


def pytest_generate_tests(metafunc):
    if "odd" in metafunc.fixturenames:
        names = list(INPUTS)
        if not metafunc.config.getoption("--full"):
            names = [name for name in names if not name.startswith(SLOW)][::SAMPLE]
        metafunc.parametrize("odd", names)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("models") / "m").folder


def test_there_are_many_inputs_of_all_endings():
    assert len(INPUTS) >= 150
    assert {one.ends for one in INPUTS.values()} == {GOOD, REFUSED, EITHER}


def test_an_odd_input_ends_well_or_in_one_sentence(odd, model, tmp_path, capfd):
    one, output = INPUTS[odd], tmp_path / "out"
    (tmp_path / "in").mkdir()
    path = one.write(tmp_path / "in")
    began = time.monotonic()
    code = main(["analyze", "--no-scene", "--quiet", "--output", str(output), "--model", str(model), "--", str(path)])
    took = time.monotonic() - began
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err and "Unexpected" not in err
    assert [p.name for p in output.iterdir() if p.name.startswith(".")] == []
    cases = [p for p in output.iterdir() if p.is_dir()]
    if one.ends == EITHER:
        assert code in (0, 1)
    else:
        assert code == (0 if one.ends == GOOD else 1), err
    if code:
        check_refusal(err, one.says if one.ends == REFUSED else "")
        assert cases == []
        slices = 0
    else:
        assert err == ""
        (case,) = cases
        slices = check_result(case, path, one)
    assert took < LONGEST_S + LONGEST_SLICE_S * slices


def check_refusal(err, says):
    """One line: the case, and a sentence with a full stop, which holds none of the libraries' words."""
    assert err.count("\n") == 1 and err.rstrip().endswith("."), err
    assert not re.search(r"itk|gdcm|Exception|0x[0-9a-f]|errno|NoneType|DOE|JANE|PATIENT77", err.split(": ", 1)[1]), err
    assert re.search(says, err), err


def check_result(case, path, one):
    """The case is whole, its map lies on the CT's own grid, and it warns of what it should; the number of slices."""
    assert sorted(p.name for p in case.iterdir()) == sorted(case_files(scene=False))
    data = json.loads((case / "analysis.json").read_text(encoding="utf-8"))
    assert re.search(one.says, " ".join(data["warnings"])), data["warnings"]
    lam, ct = sitk.ReadImage(str(case / "lam.nrrd")), read_ct(path)
    assert lam.GetSize() == ct.array.shape[::-1]
    direction = np.array(lam.GetDirection()).reshape(3, 3) * np.array(lam.GetSpacing())
    matrix = np.diag([-1.0, -1.0, 1.0]) @ direction
    assert np.allclose(matrix, ct.ijk_to_ras[:3, :3], atol=1e-4)
    if one.matrix is not None:
        assert np.allclose(matrix, one.matrix, atol=1e-3)
    assert data["summary"]["total_slices"] == len(ct.axial().array)
    assert all(0 <= s["probability"] <= 1 for s in data["slices"] if s["lung"])
    return len(data["slices"])
