"""What fuzzing and hostile inputs found, as small tests; ``fuzz.py`` looks for more."""

import json
import math

import pytest
from helpers_report import make_analysis
from helpers_volume import chest, refusal, write_volume
from hostile_names import active_content, words_of
from LesionAnalysisLib.app.batch import Batch, Case
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.report.json_csv import from_json, to_json
from LesionAnalysisLib.report.markdown import to_html
from LesionAnalysisLib.scene.restore import _parse
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.model_card import _table

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e400, "9" * 5000, [], {}, None, True])
@pytest.mark.parametrize("place", ["id", "cluster", "first_slice", "slice_lesions"])
def test_a_number_of_a_lesion_may_be_anything(place, value):
    data = to_json(make_analysis())
    data["lesions"][0][place] = value
    try:
        from_json(data)
    except ValueError as error:
        assert str(error).startswith("The text of the analysis is damaged")


def test_the_text_of_a_scene_may_be_nested_deeply():
    with pytest.raises(ValueError, match="in the scene is damaged: analyze the CT again"):
        _parse(DEEP)


def test_an_earlier_result_may_be_nested_deeply(tmp_path, capsys):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "analysis.json").write_text(DEEP)
    batch = Batch(tmp_path, None, Console(), scene=False)
    batch.run([Case("case", "ct.nii")])
    assert batch.failed == 1
    assert capsys.readouterr().err.endswith("analysis.json is damaged: --overwrite to make it anew.\n")


def test_links_within_links_are_text():
    """Each of these marks once doubled the time, and then some."""
    for text in ("[](" * 5000, "[a](b " * 5000, "[" * 5000 + "a](b)", "![](x (y) z)" * 1000):
        assert not active_content(to_html(text))
    assert words_of(to_html('[text](page.html "title") [same](same)')) == "text (page.html) same"


def test_a_source_of_any_name_keeps_to_its_column():
    metrics = {"rows": [{"source": "a|b\n| c", "slices": 1, "patients": 1, "metrics": {}}] * 3}
    html = to_html(_table("validation", metrics))
    assert html.count("<td") == 3 * 9 and "a|b | c" in words_of(html)


@pytest.mark.parametrize("dimensions", ["-3", "41200000000", "0", "3.5", "", "x"])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_a_metaimage_of_any_dimensions_ends(tmp_path, dimensions, suffix):
    """ITK once looked for the end of them for ever."""
    good = write_volume(tmp_path / "good.mha", chest()).read_bytes()
    (tmp_path / f"bad{suffix}").write_bytes(good.replace(b"NDims = 3", f"NDims = {dimensions}".encode()))
    assert read_ct(tmp_path / "good.mha").array.shape == chest().shape
    assert "is damaged, incomplete or of another type" in refusal(tmp_path / f"bad{suffix}", OSError)


def test_results_with_odd_numbers_are_json():
    data = to_json(make_analysis())
    assert from_json(json.loads(json.dumps(data))).summary.probability == 0.93
