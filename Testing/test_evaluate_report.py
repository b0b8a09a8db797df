"""What an evaluation writes: tables and one page, atomically."""

import csv
import json
import re

import pytest
from LesionAnalysisTrainingLib.evaluate import report_folder
from LesionAnalysisTrainingLib.evaluate.evaluation_report import Plot, Report, Table
from LesionAnalysisTrainingLib.evaluate.report_folder import page, write_report
from LesionAnalysisTrainingLib.metrics import Estimate

EVIL = "<script>alert(1)</script>\udcff"
RANGED, UNDEFINED = Estimate(0.5, 0.25, 0.75).to_dict(), Estimate(*[float("nan")] * 3).to_dict()
TABLE = Table("one", "A & B", ["name", "n", "AUC"],
              [["=1+1", 3, RANGED], [EVIL, 12, UNDEFINED]], "Note <b>.")  # fmt: skip


def report(**changes):
    return Report("lungs", EVIL, [("model", EVIL)], [TABLE], notes=[EVIL], metrics={"x": float("nan")}, **changes)


def draw(path):
    path.write_bytes(b"\x89PNG")


def test_csv_has_all_digits_and_columns_for_intervals_and_no_formula(tmp_path):
    rows = list(csv.reader(TABLE.csv().splitlines()))
    assert rows[0] == ["name", "n", "AUC", "AUC low", "AUC high"]
    assert rows[1] == ["'=1+1", "3", "0.5", "0.25", "0.75"]
    assert rows[2][2:] == ["", "", ""]


def test_headings_are_displayed_and_keys_stay_in_json():
    cell = Estimate(0.5, 0.2, 0.8).to_dict()
    table = Table("one", "T", ["area hit", "n"], [[cell, 1]], headings={"area hit": "pixel recall"})
    assert table.csv().splitlines()[0] == "pixel recall,pixel recall low,pixel recall high,n"
    assert "pixel recall" in table.text() and "<th class=num>pixel recall</th>" in table.html()
    assert list(table.records()[0]) == ["area hit", "n"]


def test_text_is_aligned_and_leaves_intervals_out_where_lines_get_too_long():
    lines = TABLE.text().splitlines()
    assert lines[0] == "A & B" and lines[2].endswith("0.500 (0.250 to 0.750)")
    assert lines[3].endswith("-")
    assert TABLE.text(width=40).splitlines()[2].endswith(" 0.500")


def test_page_is_whole_without_scripts_and_escapes_names(tmp_path):
    draw(tmp_path / "p.png")
    text = page(report(plots=[Plot("p", EVIL, draw), Plot("not drawn", "x", draw)]), tmp_path)
    text.encode("utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "default-src 'none'" in text
    assert re.findall(r'src="([^"]{10})', text) == ["data:image"] and "href" not in text


def test_folder_holds_metrics_tables_plots_and_page(tmp_path):
    write_report(report(plots=[Plot("p", "P", draw)]), tmp_path / "out")
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert names == ["metrics.json", "one.csv", "plots/p.png", "plots/p.svg", "report.html"]
    metrics = json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))
    assert metrics["kind"] == "lungs" and metrics["x"] is None
    assert metrics["tables"]["one"]["rows"][0]["AUC"] == {"value": 0.5, "low": 0.25, "high": 0.75}


def test_nothing_is_left_where_drawing_is_interrupted(tmp_path):
    def stop(path):
        raise KeyboardInterrupt

    write_report(report(), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        write_report(report(plots=[Plot("p", "P", stop)]), tmp_path / "out", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out/plots/p.png").exists() and (tmp_path / "out/report.html").exists()


def test_only_an_evaluation_is_replaced_and_only_on_request(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_report(report(), out)  # an empty folder, as a dialog makes it
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_report(report(), out)
    write_report(report(), out, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="holds other files"):
        write_report(report(), tmp_path / "mine", overwrite=True)
    with pytest.raises(FileExistsError, match="not a folder"):
        write_report(report(), tmp_path / "mine/thesis.txt", overwrite=True)


def test_without_matplotlib_everything_else_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(report_folder.plots, "available", lambda: False)
    write_report(report(plots=[Plot("p", "P", draw)]), tmp_path / "out")
    assert not list((tmp_path / "out/plots").iterdir())
    assert "matplotlib is missing" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
