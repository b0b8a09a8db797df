"""Regression tests for findings of fuzzing (``fuzz.py``) and of malformed inputs."""

import json
import math
import re

import pytest
from helpers_report import make_analysis
from helpers_volume import chest, refusal, write_volume
from LesionAnalysisLib.app.batch import Batch, Case
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.report.json_csv import from_json, to_json
from LesionAnalysisLib.scene.restore import _parse
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.model_card import _table

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e400, "9" * 5000, [], {}, None, True])
@pytest.mark.parametrize("place", ["id", "cluster", "first_slice", "slice_lesions"])
def test_any_value_in_place_of_a_lesions_number_is_read_or_rejected(place, value):
    data = to_json(make_analysis())
    data["lesions"][0][place] = value
    try:
        from_json(data)
    except ValueError as error:
        assert str(error).startswith("The text of the analysis is damaged")


def test_a_deeply_nested_record_in_a_scene_is_rejected():
    with pytest.raises(ValueError, match="in the scene is damaged: analyze the CT again"):
        _parse(DEEP)


def test_a_deeply_nested_earlier_result_is_reported_as_damaged(tmp_path, capsys):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "analysis.json").write_text(DEEP)
    batch = Batch(tmp_path, None, Console(), scene=False)
    batch.run([Case("case", "ct.nii")])
    assert batch.failed == 1
    assert capsys.readouterr().err.endswith("analysis.json is damaged: --overwrite to repeat the case.\n")


def test_any_source_name_stays_in_its_table_column():
    metrics = {"rows": [{"source": "a|b\n| c", "slices": 1, "patients": 1, "metrics": {}}] * 3}
    lines = _table("validation", metrics).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [10] * 5  # nine columns


@pytest.mark.parametrize("dimensions", ["-3", "41200000000", "0", "3.5", "", "x"])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_a_metaimage_with_invalid_dimensions_is_rejected(tmp_path, dimensions, suffix):
    """ITK itself hangs on some of them."""
    good = write_volume(tmp_path / "good.mha", chest()).read_bytes()
    (tmp_path / f"bad{suffix}").write_bytes(good.replace(b"NDims = 3", f"NDims = {dimensions}".encode()))
    assert read_ct(tmp_path / "good.mha").array.shape == chest().shape
    assert "is damaged, incomplete or of another type" in refusal(tmp_path / f"bad{suffix}", OSError)


def test_a_result_is_restored_from_its_json():
    data = to_json(make_analysis())
    assert from_json(json.loads(json.dumps(data))).summary.probability == 0.93
