"""Every malformed or unusual input gives a result, a result with a warning, or an error message of one sentence."""

import json
import re
import time

import numpy as np
import pytest
import SimpleITK as sitk
from LesionAnalysisLib.app.case import FILES, SCENE
from LesionAnalysisLib.cli import main
from LesionAnalysisLib.volume import read_ct
from odd_inputs import EITHER, GOOD, INPUTS, REJECTED
from thin_networks import thin_bundle, thin_networks

MAX_S, MAX_S_PER_SLICE = 60.0, 0.2
SAMPLE = 9  # without --full, every ninth input
SLOW = ("a gigabyte of zeros", "2000 slices", "slices of 0.3 mm", "slices of 1024")  # only with --full


def pytest_generate_tests(metafunc):
    if "odd" in metafunc.fixturenames:
        names = list(INPUTS)
        if not metafunc.config.getoption("--full"):
            names = [name for name in names if not name.startswith(SLOW)][::SAMPLE]
        metafunc.parametrize("odd", names)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with thin_networks():
        yield thin_bundle(tmp_path_factory.mktemp("models") / "m").folder


def test_there_are_many_inputs_of_every_outcome():
    assert len(INPUTS) >= 150
    assert {one.outcome for one in INPUTS.values()} == {GOOD, REJECTED, EITHER}


def test_an_odd_input_gives_a_result_or_an_error_of_one_sentence(odd, model, tmp_path, capfd):
    one, output = INPUTS[odd], tmp_path / "out"
    (tmp_path / "in").mkdir()
    path = one.write(tmp_path / "in")
    began = time.monotonic()
    code = main(["analyze", "--no-scene", "--quiet", "--output", str(output), "--model", str(model), "--", str(path)])
    seconds = time.monotonic() - began
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err and "Unexpected" not in err
    assert [p.name for p in output.iterdir() if p.name.startswith(".")] == []
    cases = [p for p in output.iterdir() if p.is_dir()]
    if one.outcome == EITHER:
        assert code in (0, 1)
    else:
        assert code == (0 if one.outcome == GOOD else 1), err
    if code:
        check_error(err, one.pattern if one.outcome == REJECTED else "")
        assert cases == []
        slices = 0
    else:
        assert err == ""
        (case,) = cases
        slices = check_result(case, path, one)
    assert seconds < MAX_S + MAX_S_PER_SLICE * slices


def check_error(err, pattern):
    """One line: the case and a sentence, without text of the libraries or names of patients."""
    assert err.count("\n") == 1 and err.rstrip().endswith("."), err
    assert not re.search(r"itk|gdcm|Exception|0x[0-9a-f]|errno|NoneType|DOE|JANE|PATIENT77", err.split(": ", 1)[1]), err
    assert re.search(pattern, err), err


def check_result(case, path, one):
    """The case is complete, its map is on the grid of the CT, and its warnings match; the number of slices."""
    assert sorted(p.name for p in case.iterdir()) == sorted(set(FILES) - {SCENE})
    data = json.loads((case / "analysis.json").read_text(encoding="utf-8"))
    assert re.search(one.pattern, " ".join(data["warnings"])), data["warnings"]
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
