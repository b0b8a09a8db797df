"""Every writer on a full disk: one sentence, no partial files, and existing files stay as they are."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_analyzer import small_bundle
from helpers_report import make_analysis
from helpers_training import chest_image, save
from interruptions import check_case, rows, temporary_files
from LesionAnalysisLib import cli
from LesionAnalysisLib.app.case import write_case
from LesionAnalysisLib.app.summary_table import Summary
from LesionAnalysisLib.lungs import Preprocessing
from LesionAnalysisLib.model.bundle import write_files
from LesionAnalysisLib.phantom import make_phantom
from LesionAnalysisLib.report import to_json, write_html, write_json, write_lesions_csv, write_slices_csv
from LesionAnalysisLib.scene import write_mrb
from LesionAnalysisLib.text import error_message
from LesionAnalysisLib.volume.writing import write_volume
from LesionAnalysisTrainingLib import plots
from LesionAnalysisTrainingLib.checkpoint import save_checkpoint
from LesionAnalysisTrainingLib.checkpoint import write_json as write_state
from LesionAnalysisTrainingLib.dataset import Sample, SliceStore
from LesionAnalysisTrainingLib.evaluate.evaluation_report import Plot, Report, Table
from LesionAnalysisTrainingLib.evaluate.report_folder import write_report
from LesionAnalysisTrainingLib.slice_table import write_slice_table
from reproduction.comparison.comparison_report import write as write_comparison
from small_disk import small_disk

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ["--backbone", "resnet18", "--weights", "none", "--sizes", "64", "--epochs", "1", "--batch", "8", "--device",
         "cpu", "--workers", "0", "--precision", "float32", "--clusters", "2", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    try:
        with small_disk(tmp_path_factory.mktemp("disks") / "small") as one:
            yield one
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def disk(mounted):
    """The small disk, empty."""
    mounted.leave(None)
    yield mounted
    mounted.leave(None)
    empty(mounted.folder)


@pytest.fixture(scope="module")
def analysis():
    """With a map that does not compress, so that its file is large."""
    made = make_analysis()
    noise = np.random.default_rng(0).integers(0, 100, made.lam.shape).astype(made.lam.dtype)
    return dataclasses.replace(made, lam=noise)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A small model and two CTs."""
    folder = tmp_path_factory.mktemp("inputs")
    small_bundle(folder / "model")
    ct = make_phantom((12, 96, 96), (3.6, 3.6, 24.0)).ct
    for name in "ab":
        write_volume(ct.array, ct.ijk_to_ras, folder / f"{name}.nrrd")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(24):
        path = folder / ("NonCOVID", "COVID")[i % 2] / f"p{i // 2 % 4}-{i % 2}" / f"{i}.png"
        save(path, chest_image(rng, bool(i % 2), 64))
    return folder


def report(title="title"):
    table = Table("table", "table", ["name", "value"], [[title * 500, 0.5]] * 20)
    return Report("diagnosis", title, [("a", "b")], [table], [Plot("plot", "plot", draw)])


def draw(path):
    return plots.draw_confusion(path, np.eye(2, dtype=int), ["COVID", "normal"], "plot")


def stored_samples(images):
    return [Sample(str(path), int(path.parts[-3] == "COVID"), path.parts[-2], "s", "train")
            for path in sorted(images.rglob("*.png"))]  # fmt: skip


WRITERS = {
    "analysis.json": lambda a, inputs, images, path: write_json(a, path / "analysis.json"),
    "slices.csv": lambda a, inputs, images, path: write_slices_csv(a, path / "slices.csv"),
    "lesions.csv": lambda a, inputs, images, path: write_lesions_csv(a, path / "lesions.csv"),
    "lam.nrrd": lambda a, inputs, images, path: write_volume(a.lam, a.ct.ijk_to_ras, path / "lam.nrrd"),
    "ct.nii.gz": lambda a, inputs, images, path: write_volume(a.lam, a.ct.ijk_to_ras, path / "ct.nii.gz"),
    "lam.mha": lambda a, inputs, images, path: write_volume(a.lam, a.ct.ijk_to_ras, path / "lam.mha"),
    "report.html": lambda a, inputs, images, path: write_html(a, path / "report.html", figures=1),
    "scene.mrb": lambda a, inputs, images, path: write_mrb(a, path / "scene.mrb"),
    "case": lambda a, inputs, images, path: write_case(a, path / "case", overwrite=True),
    "summary.csv": lambda a, inputs, images, path: Summary(path / "summary.csv").done("x" * 9000, to_json(a), 1.0),
    "model": lambda a, inputs, images, path: write_files(path / "model", {"weights.npz": bytes(400_000)}, {}),
    "checkpoint": lambda a, inputs, images, path: save_checkpoint(
        path / "checkpoint.pt", {"network": {"a": torch.zeros(90_000)}}, {"epoch": 1}
    ),
    "history.json": lambda a, inputs, images, path: write_state(path / "history.json", ["x" * 9000]),
    "prepared slices": lambda a, inputs, images, path: SliceStore(
        stored_samples(images), path / "images", Preprocessing(size=64)
    ),
    "table of slices": lambda a, inputs, images, path: write_slice_table(
        path / "slices.csv", stored_samples(images) * 9, ("a", "b"), {}
    ),
    "comparison": lambda a, inputs, images, path: write_comparison(report(), path / "comparison"),
    "evaluation": lambda a, inputs, images, path: write_report(report(), path / "evaluation", overwrite=True),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_on_a_full_disk_leaves_no_partial_files(disk, analysis, inputs, images, name, full):
    write, folder, failed = WRITERS[name], disk.folder, 0
    write(analysis, inputs, images, folder)
    complete = contents(folder)
    needed = sum(len(one) for one in complete.values()) / 1024
    for again in (False, True) if name != "prepared slices" else (False,):  # existing slices are reused
        if not again:
            empty(folder)
        earlier = contents(folder)
        for kib in (0, *np.linspace(4, max(needed * 0.9, 4), 8).astype(int)) if full else (0, needed // 2):
            disk.leave(int(kib))
            try:
                write(analysis, inputs, images, folder)
            except (OSError, RuntimeError) as error:
                failed += 1
                check_sentence(error_message(error))
            else:  # it had enough space
                disk.leave(None)
                now = contents(folder)
                assert set(now) == set(complete)
                assert all(len(one) > 0.99 * len(complete[path]) for path, one in now.items()), kib
                if again:
                    earlier = now
                else:
                    empty(folder)
                continue
            assert temporary_files(folder) == [], kib
            if name != "comparison":  # its files are complete one by one, and the next run writes all
                assert contents(folder) == earlier, kib
            if not again:
                empty(folder)
        disk.leave(None)
        write(analysis, inputs, images, folder)
        assert temporary_files(folder) == []
    assert failed >= 2


def test_a_scene_is_not_written_if_the_folder_for_temporary_files_is_full(disk, analysis, tmp_path, monkeypatch, full):
    write_mrb(analysis, tmp_path / "scene.mrb")
    size = (tmp_path / "scene.mrb").stat().st_size
    earlier = contents(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    for kib in np.linspace(0, size / 1024, 12 if full else 4).astype(int):
        disk.leave(int(kib))
        with pytest.raises(OSError) as caught:
            write_mrb(analysis, tmp_path / "scene.mrb")
        check_sentence(error_message(caught.value))
        assert contents(tmp_path) == earlier and temporary_files(disk.folder, tmp_path) == []
        assert list(disk.folder.iterdir()) == []


def test_a_batch_on_a_full_disk_keeps_its_complete_cases(disk, inputs, capsys, full):
    command = ["analyze", str(inputs / "a.nrrd"), "--output", str(disk.folder), "--model", str(inputs / "model"),
               "--device", "cpu", "--quiet"]  # fmt: skip
    assert cli.main(command) == 0
    earlier = contents(disk.folder)
    size = sum(len(one) for one in earlier.values()) // 1024
    for kib in (0, *np.linspace(8, size * 0.9, 6 if full else 1).astype(int)):
        disk.leave(int(kib))
        assert cli.main([*command[:2], str(inputs / "b.nrrd"), *command[2:]]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("b: ") and all("Traceback" not in line for line in lines)
        check_sentence(lines[0])
        assert not (disk.folder / "b").exists() and temporary_files(disk.folder) == []
        now = contents(disk.folder)
        assert {p: one for p, one in now.items() if p.name != "summary.csv"} == {
            p: one for p, one in earlier.items() if p.name != "summary.csv"
        }
        assert rows(disk.folder)["a"]["status"] == "done"
    disk.leave(None)
    assert cli.main([*command[:2], str(inputs / "b.nrrd"), *command[2:]]) == 0
    assert {case: row["status"] for case, row in rows(disk.folder).items()} == {"a": "done", "b": "done"}
    check_case(disk.folder / "b")


def test_a_complete_case_missing_in_the_summary_is_not_reported_as_failed(inputs, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    command = ["analyze", str(inputs / "a.nrrd"), "--output", str(tmp_path), "--model", str(inputs / "model"),
               "--device", "cpu", "--no-scene", "--overwrite", "--quiet"]  # fmt: skip
    assert cli.main(command) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Summary, "done", refuse)
        assert cli.main(command) == 1
    error = capsys.readouterr().err
    check_sentence(error)
    assert "summary.csv" in error and "kept" not in error
    check_case(tmp_path / "a", scene=False)
    assert rows(tmp_path)["a"]["status"] == "done"


def test_a_training_on_a_full_disk_stops_with_one_sentence(disk, images, capsys, full):
    command = ["train", str(images), "--output", str(disk.folder / "model"), *QUICK]
    for kib in (0, 8, 64, 200, 1500) if full else (8, 200):  # too small for the record, the slices, and the checkpoint
        disk.leave(kib)
        assert cli.main([*command, "--resume"]) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        check_sentence(error)
        assert not (disk.folder / "model").exists() and temporary_files(disk.folder) == []


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_sentence(text: str) -> None:
    assert len(text.strip().splitlines()) <= 2 and len(text) < 400, text
    assert "disk is full" in text or "disk full" in text, text
    assert "Error" not in text and "partial" not in text, text


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
