"""Untrusted cases and data sets: their names stay text, and nothing of a DICOM header leaves the reader."""

import dataclasses
import gzip
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_analyzer import small_bundle
from helpers_report import make_analysis
from helpers_scene import HeadlessSlicer
from helpers_training import class_folders, other_image, save
from helpers_volume import chest, write_series, write_volume
from hostile_names import NAMES, active_content, file_named, formulas, scene_texts, words_of
from LesionAnalysisLib import cli
from LesionAnalysisLib.app.batch import Batch, name_cases
from LesionAnalysisLib.app.progress import Console
from LesionAnalysisLib.phantom import make_phantom
from LesionAnalysisLib.report import write_lesions_csv, write_slices_csv
from LesionAnalysisLib.report.html_report import report_html
from LesionAnalysisLib.report.json_csv import guarded, unguarded
from LesionAnalysisTrainingLib import plots
from LesionAnalysisTrainingLib.dataset.layout import read_layout
from LesionAnalysisTrainingLib.dataset.splits import split_by_patient
from LesionAnalysisTrainingLib.evaluate.evaluation_report import Plot, Report, Table
from LesionAnalysisTrainingLib.evaluate.report_folder import write_report
from LesionAnalysisTrainingLib.metrics import roc_curve
from LesionAnalysisTrainingLib.slice_table import write_slice_table

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def analysis():
    return make_analysis()


def pytest_generate_tests(metafunc):
    """All names with --full, else a third."""
    if "name" in metafunc.fixturenames and "kind" not in metafunc.fixturenames:
        names = list(NAMES)[:: 1 if metafunc.config.getoption("--full") else 3]
        metafunc.parametrize("name", [NAMES[one] for one in names], ids=names)


def with_names(analysis, name):
    """The analysis with ``name`` wherever untrusted text can appear."""
    parts = {f"{name}{n}": n for n in (1, 2)}
    card = f"# {name}\n\n{name}\n\n* {name}\n\n| {name} |\n|---|\n| {name} |\n"
    lesions = tuple(dataclasses.replace(one, cluster_name=name) for one in analysis.lesions)
    slices = tuple(dataclasses.replace(one, diagnosis=name) for one in analysis.slices)
    summary = dataclasses.replace(analysis.summary, diagnosis=name, lesions_by_cluster=parts)
    model = {**analysis.model, "id": name, "title": name, "license": name, "classes": ["normal", name],
             "positive": name, "card": card}  # fmt: skip
    return dataclasses.replace(
        analysis, name=name, model=model, lesions=lesions, slices=slices, summary=summary, device=name,
        input={**analysis.input, "path": f"/data/{name}.nii.gz", "kind": name}, warnings=(name, f"{name}: {name}"),
        cluster_names={1: name, 2: f"cluster 2 {name}"}, config={**analysis.config, name: name},
    )  # fmt: skip


# -- pages and tables ------------------------------------------------------------------------------


def test_names_stay_text_in_pages_and_tables(analysis, tmp_path, name):
    one = with_names(analysis, name)
    page = report_html(one, figures=1)
    assert active_content(page) == []
    if name.strip() and name.isprintable():
        assert name in words_of(page)
    write_slices_csv(one, tmp_path / "slices.csv")
    write_lesions_csv(one, tmp_path / "lesions.csv")
    for table in ("slices.csv", "lesions.csv"):
        assert formulas((tmp_path / table).read_bytes().decode()) == []


def test_a_guarded_text_is_restored(name):
    for text in (name, f"'{name}", f"''{name}", ""):
        assert unguarded(guarded(text)) == text.replace("\r", "\n")
        assert formulas(f'"{guarded(text).replace(chr(34), chr(34) * 2)}"') == []


def test_the_harness_sees_what_is_active():
    for text in ("<script>x</script>", "<a href='javascript:x'>", "<img src='http://a/b.png'>", "<p onclick=x>",
                 "<style>@import 'x'</style>", "<svg><image xlink:href='x'/></svg>", "<!-- x -->",
                 "<meta http-equiv=refresh content=0>", "<p style='background:url(x)'>"):  # fmt: skip
        assert active_content(text), text
    assert formulas("a,=1+1\n-3,'=1") == ["=1+1"]


def test_names_in_evaluations_stay_text(tmp_path, name, full):
    table = Table("table", name, [name, "value"], [[name, 0.5]], note=name)
    drawn = [Plot("plot", name, lambda path: plots.draw_confusion(path, np.eye(2, dtype=int), [name, "normal"], name))]
    if not full and name != NAMES["script"]:
        drawn = []
    report = Report("diagnosis", name, [(name, name)], [table], drawn, [name])
    write_report(report, tmp_path / "evaluation")
    assert active_content((tmp_path / "evaluation" / "report.html").read_text()) == []
    assert formulas((tmp_path / "evaluation" / "table.csv").read_bytes().decode()) == []
    for figure in (tmp_path / "evaluation" / "plots").glob("*.svg"):
        text = figure.read_text()
        assert "<script" not in text and "onerror=alert" not in text.replace("onerror=alert(1)&gt;", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation"]


def test_dollars_in_names_are_no_formula_in_any_figure(tmp_path):
    name = NAMES["dollars"]
    rng = np.random.default_rng(0)
    truth, probability = np.arange(40) % 2, rng.random(40)
    patients = np.array([str(i) for i in range(40)])
    image = other_image(rng)
    plots.draw_roc(tmp_path / "roc.png", {name: roc_curve(truth, probability, patients)})
    plots.draw_confusion(tmp_path / "confusion.png", np.eye(2, dtype=int), [name, name], name)
    plots.draw_lesion_sheet(tmp_path / "sheet.png", [(image, (2, 2, 9, 9))], name, captions=[name])
    plots.draw_wrong_slices(tmp_path / "wrong.png", lambda _: image, probability, truth, captions=[name] * 40,
                            positive=name)  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 4


def test_the_table_of_a_training_holds_no_formula(tmp_path, name):
    from LesionAnalysisTrainingLib.dataset import Sample

    sample = Sample(name, 0, name, name, "train")
    write_slice_table(tmp_path / "slices.csv", [sample], [name], {}, [{"file": name, "slice": None, "reason": name}])
    assert formulas((tmp_path / "slices.csv").read_bytes().decode()) == []


# -- file names ------------------------------------------------------------------------------------


class _Instant:
    """Returns the same analysis for every CT."""

    threshold = 0.5

    def __init__(self, analysis):
        self.analysis = analysis

    def analyze(self, ct, progress=None, lung_mask=None):
        source = {**self.analysis.input, "path": ct.source}
        return dataclasses.replace(self.analysis, name=ct.name, input=source)


def test_cases_of_any_name_stay_in_the_output_folder(analysis, tmp_path, capfd, full):
    """Also in a second run: every finished case is recognized, and the summary holds no formula."""
    (tmp_path / "in").mkdir()
    template = write_volume(tmp_path / "template.nii.gz", chest())
    inputs = []
    for name in list(NAMES.values())[:: 1 if full else 6]:
        path = file_named(tmp_path / "in", name, ".nii.gz")
        if path is not None:
            shutil.copyfile(template, path)
            inputs.append(str(path))
    assert len(inputs) > (18 if full else 3)
    before = sorted(os.listdir(tmp_path))
    for turn in ("done", "skipped"):
        batch = Batch(tmp_path / "out", _Instant(analysis), Console(), scene=False)
        batch.run(name_cases(inputs))
        assert (batch.failed, getattr(batch, turn)) == (0, len(inputs)), capfd.readouterr().err
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "out"])
    assert formulas((tmp_path / "out" / "summary.csv").read_bytes().decode()) == []
    for folder in (tmp_path / "out").iterdir():
        if folder.is_dir():
            assert active_content((folder / "report.html").read_text(encoding="utf-8")) == []
    shown = capfd.readouterr()
    assert not set(shown.out + shown.err) & {"\x1b", "\x07", "\x00"}


def test_cases_of_one_name_in_folders_with_long_names_are_distinguished(tmp_path):
    folders = [tmp_path / ("患" * 70 + end) for end in "ab"]
    for folder in folders:
        folder.mkdir()
        (folder / f"{'x' * 60}.nii.gz").touch()
    cases = name_cases([str(folder / f"{'x' * 60}.nii.gz") for folder in folders])
    assert len({case.name for case in cases}) == 2
    assert all(len(case.name.encode()) <= 210 for case in cases)


@pytest.mark.parametrize("kind", ["ampersand", "bell", "script", "entity", "end of a comment", "line", "quotes"])
def test_scenes_of_any_name_are_well_formed(analysis, tmp_path, kind, full):
    from LesionAnalysisLib.scene import find_in_scene, read_analysis, write_mrb

    if not full and kind != "ampersand":
        pytest.skip("a sample: see --full")
    write_mrb(with_names(analysis, NAMES[kind]), tmp_path / "scene.mrb")
    assert any(b"LAM" in text for text in scene_texts(tmp_path / "scene.mrb"))
    application = HeadlessSlicer()
    try:
        assert application.read(tmp_path / "scene.mrb")
        assert read_analysis(find_in_scene(application.tagged("ct")[0])).name == NAMES[kind]
    finally:
        application.close()


# -- DICOM headers ---------------------------------------------------------------------------------

PRIVATE = {
    "0008|0020": "19991231", "0008|0050": "ACCESSION4711", "0008|0080": "St. Elsewhere Hospital",
    "0008|0081": "Elsewhere Road 1", "0008|0090": "REFERRER^RITA", "0008|1010": "STATION0815",
    "0008|1030": "STUDYDESCRIPTION99", "0008|1050": "PHYSICIAN^PAUL", "0010|0010": "MUSTERFRAU^ERIKA",
    "0010|0020": "PATIENTID0042", "0010|0030": "19640812", "0010|1000": "OTHERID77", "0010|1040": "Mustergasse 5",
    "0010|4000": "COMMENT^SECRET", "0020|000d": "1.2.840.99999.1.7", "0020|0010": "STUDYID88",
    "0020|0052": "1.2.840.99999.3.9", "0008|103e": "../../outside SERIESNAME",
}  # fmt: skip
SERIES_UID = "1.2.840.99999.2.8"
SECRETS = [v.encode() for k, v in PRIVATE.items() if k not in ("0008|0020", "0010|0030", "0008|103e")]
SECRETS += [b"MUSTERFRAU", b"ERIKA", b"Elsewhere", b"1.2.840.99999", b"SERIESNAME", b"19640812"]


def leaks(folder: Path) -> list[str]:
    """Secrets in the names and contents of all files, including those in archives and gzip data."""
    found = []
    for path in folder.rglob("*"):
        contents = [path.name.encode()]
        if path.is_file():
            contents.append(path.read_bytes())
        if path.suffix == ".mrb":
            contents += scene_texts(path)
        for content in [*contents]:
            start = content.find(b"\x1f\x8b\x08")
            if start >= 0:
                try:
                    contents.append(gzip.decompress(content[start:]))
                except (OSError, EOFError):
                    pass
        found += [f"{s.decode()} in {path.name}" for s in SECRETS for c in contents if s in c]
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A DICOM folder of a recognizable patient, in files named after her."""
    folder = tmp_path_factory.mktemp("dicom") / "study 7"
    ct = make_phantom((6, 128, 128), (2.8, 2.8, 40.0)).ct
    positions = np.add((-180, -180, 0), np.outer(np.arange(6) * 40.0, (0, 0, 1)))
    names = [f"MUSTERFRAU_ERIKA_{k}.dcm" for k in range(6)]
    write_series(folder, ct.array[:, ::1, :], uid=SERIES_UID, description=PRIVATE["0008|103e"], positions=positions,
                 names=names, tags=PRIVATE, intercept=0.0)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("models") / "small").folder


def run(model, output, *inputs, more=()):
    return cli.main(["analyze", *map(str, inputs), "--output", str(output), "--model", str(model), "--device", "cpu",
                     "--debug", *more])  # fmt: skip


def test_nothing_of_the_header_is_written_or_shown(study, model, tmp_path, capfd):
    assert any(s in path.read_bytes() for path in study.iterdir() for s in SECRETS)
    before = sorted(os.listdir(tmp_path.parent))
    assert run(model, tmp_path / "out", study) == cli.DONE
    shown = capfd.readouterr()
    assert leaks(tmp_path) == [] and [s for s in SECRETS if s in (shown.out + shown.err).encode()] == []
    assert sorted(os.listdir(tmp_path)) == ["out"] and sorted(os.listdir(tmp_path.parent)) == before
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"study 7", "summary.csv"}
    assert zipfile.is_zipfile(tmp_path / "out" / "study 7" / "scene.mrb")


def test_nothing_of_the_header_is_shown_where_a_study_fails(study, model, tmp_path, capfd, full):
    """Truncated pixels, truncated headers, several patients, also with tracebacks."""
    broken = {}
    for name, harm in {"pixels": lambda d: d[: len(d) // 2], "headers": lambda d: d[:600], "head": lambda d: d[:140],
                       "scrambled": lambda d: d[:400] + d[400:800][::-1] + d[800:]}.items():  # fmt: skip
        broken[name] = tmp_path / "in" / name
        broken[name].mkdir(parents=True)
        for path in study.iterdir():
            (broken[name] / path.name).write_bytes(harm(path.read_bytes()))
    several = shutil.copytree(study, tmp_path / "in" / "several")
    write_series(several / "other", chest(), uid="1.2.840.99999.5", tags={**PRIVATE, "0010|0020": "OTHERID77"})
    run(model, tmp_path / "out", *broken.values(), several, more=("--no-scene",))
    shown = capfd.readouterr()
    assert "Traceback" in shown.err  # of --debug
    assert [s for s in SECRETS if s in (shown.out + shown.err).encode() and s != b"SERIESNAME"] == []
    assert leaks(tmp_path / "out") == []


# -- data sets -------------------------------------------------------------------------------------


def manifest(folder, *rows):
    folder.mkdir(exist_ok=True)
    lines = ["file,label,patient", *(",".join(f'"{cell}"' for cell in row) for row in rows)]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "file",
    ["../secret.png", "/etc/hostname", "a/../../secret.png", "..\\secret.png", "C:\\secret.png", "C:secret.png",
     "\\\\host\\share\\secret.png", "//host/share/x.png", "~/secret.png", "a\x00b.png", "x" * 5000, "file:///etc/x"],
)  # fmt: skip
def test_a_manifest_names_files_of_its_folder_only(tmp_path, file):
    save(tmp_path / "secret.png", other_image(np.random.default_rng(0)))
    with pytest.raises((ValueError, OSError)) as refused:
        read_layout([manifest(tmp_path / "data", (file, "COVID", "p1"))])
    words = str(refused.value)
    assert "manifest.csv names files" in words and "\n" not in words and len(words) < 600


def test_links_of_the_user_are_followed_but_only_read(tmp_path):
    """Data sets are often folders of links to files elsewhere."""
    outside = class_folders(tmp_path / "elsewhere")
    data = tmp_path / "data"
    data.mkdir()
    for one in ("COVID", "NonCOVID"):
        (data / one).symlink_to(outside / one)
    (data / "COVID" / "loop").symlink_to(data)
    before = {path: path.read_bytes() for path in outside.rglob("*.png")}
    layout = read_layout([data])
    (outside / "COVID" / "loop").unlink()
    assert len(layout.samples) == len(before)
    assert {path: path.read_bytes() for path in outside.rglob("*.png")} == before


def test_classes_and_patients_of_any_name_are_accepted_or_refused_in_one_sentence(tmp_path, name):
    rng = np.random.default_rng(0)
    rows = []
    for label in ("COVID", name):
        for patient in (name, f"{name}2", "p3"):
            file = f"{len(rows)}.png"
            save(tmp_path / "data" / file, other_image(rng))
            rows.append((file, label.replace('"', '""'), f"{label}{patient}".replace('"', '""')))
    manifest(tmp_path / "data", *rows)
    try:
        layout = read_layout([tmp_path / "data"])
        split = split_by_patient(layout.samples, 0.3, classes=layout.classes)
        assert len(split) == 6
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        assert not set(str(error)) & {"\x1b", "\x07"}


def test_numbers_of_slices_have_a_limit(tmp_path):
    save(tmp_path / "data" / "a.png", other_image(np.random.default_rng(0)))
    folder = manifest(tmp_path / "data", ("a.png", "COVID", "p1"))
    (folder / "manifest.csv").write_text(f"file,label,patient,slice\na.png,COVID,p,{'9' * 5000}\n")
    with pytest.raises(ValueError, match="slices are numbered 0, 1, 2") as refused:
        read_layout([folder])
    assert len(str(refused.value)) < 200
