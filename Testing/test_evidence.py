"""The evidence page: every sentence follows from the figures, and what was measured of another model is not shown."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_training import save

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "Testing" / "reproduction"
MEASURED = EXPERIMENTS / "measured"

from reproduction import evidence, evidence_page, leak, phantom_slices
from reproduction.evidence_parts import diagnosis_page as diagnosis
from reproduction.evidence_parts import lesions_page as lesions
from reproduction.evidence_parts import published_page as published  # noqa: E402
from reproduction.evidence_parts.page_text import number, overlap, ranged, table  # noqa: E402


def estimate(value, width=0.1):
    """A figure with an interval around it, or without one."""
    return {"value": value, "low": None if width is None else value - width, "high": width and value + width}


# -- detection


def row(method, hit, step=lesions.COMMON, **others):
    figures = {lesions.HIT: hit, "hit .5 of union": 0.5, "pointing": 0.5, "area hit": 0.5, "new": 0.5} | others
    figures.setdefault(lesions.BOXES, 1.0)
    return {"method": method, "boxes by": step, **{name: estimate(value) for name, value in figures.items()}}


def detected(lam, normgrad, preset="paper", **others):
    """What ``evaluate detection`` writes of ten slices with thirty lesions; others are LAM's figures."""
    rows = [row("lam", lam, **others), row("normgrad", normgrad), row("lam", 0.1, "20 % of the maximum")]
    rows = [row("enhanced", 0.9), *rows] if preset == "enhanced" else rows
    rates = {f"hit {ratio} {t}": 0.1 for ratio in ("box", "iou") for t in published.TABLE_5}
    named = {f"{m}, Otsu, components": rates | {"hit box 0.1": 0.6, "hit box 0.5": lam} for m in ("lam", "enhanced")}
    return {
        "subject": [["slices with lesions", "10 of 10"], ["lesions", "30"], ["called positive", "8 slices"],
                    ["preset", preset]],
        "notes": [], "ceiling": "ceiling 12x12", "rates": named | {"ceiling 12x12": rates},
        "tables": {"methods": {"rows": [*rows, row("ceiling 12x12", 0.75)]}, "positive_slices": {"rows": rows[:2]}},
    }  # fmt: skip


def cam(hit):
    return {"tables": {"methods": {"rows": [row("cam", hit)]}}}


KEY = ("medseg", "paper")


def test_methods_and_figures_are_those_that_were_measured():
    text = lesions.detection({("medseg", "enhanced"): detected(0.5, 0.3, "enhanced")}, {KEY: cam(0.2)}).text()
    assert "| the enhanced map | its own regions |" in text and "| LAM | Otsu, components |" in text
    assert "| LAM | 20 % of the maximum |" in text and "| new |" in text
    assert "The highest hit rate has the enhanced map, .90" in text
    assert "lesions of the others as missed, the enhanced map hits .90" in text
    assert "| CAM |" not in text  # it was measured with another preset
    text = lesions.detection({KEY: detected(0.5, 0.3)}, {KEY: cam(0.2)}).text()
    assert "| CAM | Otsu, components |" in text and "enhanced map |" not in text
    assert "CAM is not measured" in lesions.detection({KEY: detected(0.5, 0.3)}, {}).text()


@pytest.mark.parametrize(
    "lam, other, cams, words, reached",
    [
        (0.5, 0.2, 0.1, "LAM is ahead of CAM and NormGrad.", True),
        (0.5, 0.4, 0.1, "ahead of CAM and NormGrad; the intervals of LAM and NormGrad overlap", True),
        (0.3, 0.6, 0.1, "LAM is ahead of CAM only", False),
        (0.1, 0.6, 0.5, "LAM is ahead of neither", False),
    ],
)
def test_the_order_of_the_maps_is_told_from_the_hit_rates(lam, other, cams, words, reached):
    section = lesions.detection({KEY: detected(lam, other)}, {KEY: cam(cams)})
    assert words in section.text()
    goal = section.goals[0]
    assert goal.reached is reached and bool(goal.why) is not reached


def test_lam_is_not_shown_to_lead_where_cam_was_not_measured():
    goal = lesions.detection({KEY: detected(0.5, 0.3)}, {}).goals[0]
    assert goal.reached is None and "CAM not measured" in goal.measured


def test_goals_compare_the_figures_of_the_map_that_is_shown_with_the_issues():
    goals = lesions.detection({KEY: detected(0.41, 0.3, pointing=0.59)}, {}).goals[1:]
    assert [goal.reached for goal in goals] == [True, False, False]  # in the order of GOALS
    assert all(what in goal.what for goal, (what, _) in zip(goals, lesions.GOALS.values(), strict=True))
    goals = lesions.detection({("medseg", "enhanced"): detected(0.1, 0.3, "enhanced")}, {}).goals
    assert goals[1].what.startswith("The enhanced map: hit rate") and goals[1].reached


def test_a_single_patient_decides_no_goal():
    metrics = detected(0.5, 0.3)
    for one in metrics["tables"]["methods"]["rows"]:
        one[lesions.HIT] |= {"low": None, "high": None}
    section = lesions.detection({KEY: metrics}, {})
    assert not section.goals and "overlap" not in section.parts[4]


def test_reasons_follow_from_boxes_peaks_and_the_ceiling():
    metrics = detected(0.2, 0.3, pointing=0.4)
    rows = lesions.methods_of(metrics, None)
    why = lesions.reasons(metrics, rows, "lam")
    assert "grid hits .75" in why
    assert "1.0 boxes a slice for 3.0 lesions" in why
    assert "60 % of the peaks lie on no lesion" in why
    assert "40 % of the lesions are met" in why  # .6 at the threshold .1, .2 at .5
    metrics = detected(0.58, 0.3, **{lesions.BOXES: 4.0})
    rows = lesions.methods_of(metrics, None)
    why = lesions.reasons(metrics, rows, "lam")
    assert "share a box" not in why and "are met" not in why


# -- identification


def identified(balanced, same, clusters):
    names = ("ground glass", "consolidation")
    rows = [dict(zip(("cluster", *names, "by first half", "by second half"), one, strict=True)) for one in clusters]
    whole = {"on drawn lesions": 60, "balanced accuracy": balanced, "accuracy": 0.7, "balanced, same lesions": same}
    types = [{"type": name, "sensitivity": 0.7, "specificity": 0.7} for name in names]
    return {"types": list(names), "tables": {"identification": {"rows": [whole]}, "types": {"rows": types},
                                             "clusters": {"rows": rows}}}  # fmt: skip


def test_clusters_that_follow_the_types_reach_the_goal():
    clusters = [("cluster 1", 30, 2, "ground glass", "ground glass"), ("cluster 2", 3, 25, *["consolidation"] * 2)]
    section = lesions.identification({(2, "paper"): identified(estimate(0.9), 0.92, clusters)})
    assert section.goals[0].reached and "above chance" in section.text()
    assert "agree in part only" not in section.text() and "changes from one half" not in section.text()


def test_clusters_that_do_not_are_explained_by_what_they_hold():
    clusters = [("cluster 1", 30, 9, "ground glass", "consolidation"), ("cluster 2", 20, 5, *["ground glass"] * 2)]
    section = lesions.identification({(2, "paper"): identified(estimate(0.52), 0.6, clusters)})
    goal = section.goals[0]
    assert goal.reached is False and "not told apart from chance" in section.text()
    assert "Every cluster holds more of ground glass" in goal.why
    assert "What cluster 1 stands for changes" in goal.why and "reach only .60" in goal.why


def test_table_7_is_computed_from_its_counts():
    figures = lesions._printed(published.TYPES)
    assert [number(f) for f in figures[4:]] == [".944", ".826", ".444", ".956", ".857", ".952"]
    assert number(figures[2]) == ".870"


# -- diagnosis and rivals


def system(auc, difference=None, start="resnet50.pth"):
    metrics = {name: estimate(auc) for name in ("accuracy", "f1", "auc", "ap")}
    found = difference and dict(zip(("value", "low", "high", "p"), difference, strict=True))
    return {"figures": {"rows": [{"metrics": metrics}]}, "difference_to_fecnn": found,
            "facts": {"epochs": 4, "history": [], "start": start}}  # fmt: skip


def compared(**systems):
    return {"systems": systems, "budget": "4 epochs", "split": "test", "subject": [["judged on", "the test slices: 9"]],
            "config": {"split": "patients"}}  # fmt: skip


def test_fecnn_ahead_of_all_rivals_reaches_its_goal():
    found = compared(FeCNN=system(0.9), Xception=system(0.8, (-0.1, -0.15, -0.05, 0.01)),
                     VGG16=system(0.85, (-0.05, -0.1, 0.02, 0.3), None))  # fmt: skip
    section = diagnosis.rivals(found)
    assert section.goals[0].reached is True
    assert "for Xception the interval" in section.text() and "start from random numbers" in section.text()


def test_a_rival_ahead_by_chance_or_for_sure_is_told_apart():
    unsure = diagnosis.rivals(compared(FeCNN=system(0.8), Xception=system(0.82, (0.02, -0.03, 0.07, 0.4))))
    assert unsure.goals[0].reached is None and "cannot tell the two apart" in unsure.goals[0].why
    sure = diagnosis.rivals(compared(FeCNN=system(0.7), Xception=system(0.82, (0.12, 0.03, 0.2, 0.01))))
    assert sure.goals[0].reached is False and "the same start" in sure.goals[0].why


def test_forms_of_fecnn_are_no_rivals():
    found = compared(FeCNN=system(0.8), **{"FeCNN without FPN": system(0.85, (0.05, 0.01, 0.1, 0.01))})
    section = diagnosis.rivals(found)
    assert section.goals[0].reached is True
    assert "ahead of 0 of the 1 forms" in section.text() and "highest AUC has FeCNN without FPN" in section.text()


@pytest.mark.parametrize("drawn, words", [(0.95, "lifts the AUC by .150"), (0.78, "No gain by the random split")])
def test_the_leak_is_the_difference_of_the_two_splits(drawn, words):
    def split(auc):
        metrics = {"auc": estimate(auc), "accuracy": estimate(auc)}
        return {"test": {"slices": 5, "patients": 3, "metrics": metrics}, "neighbor": estimate(auc)}

    facts = {"splits": {"random": split(drawn), "patients": split(0.8)}, "backbone": "resnet50", "source": "s",
             "budget": "3 epochs"}  # fmt: skip
    assert words in diagnosis.leak(facts).text()


def judged(source, right, wrong, patients=4):
    metrics = {name: estimate(0.8) for name in ("accuracy", "auc", "ap", "specificity", "sensitivity")}
    return {"source": source, "slices": 3 * (right + wrong), "patients": patients, "positives": 1, "metrics": metrics,
            "overall_accuracy": estimate(right / (right + wrong)),
            "confusion": [[right if i == j else wrong // 2 for j in range(3)] for i in range(3)]}  # fmt: skip


@pytest.mark.parametrize("called, words", [([1, 6, 0], "it does carry over"), ([2, 0, 5], "does not carry over")])
def test_what_three_classes_say_of_a_real_pneumonia_decides_the_sentence(called, words):
    classes = ["NonCOVID", "Pneumonia (phantom)", "COVID"]
    thresholds = [{"threshold": str(t), **{f"{c} {k}": 0.5 for c in classes for k in ("recognized", "accuracy")}}
                  for t in published.TABLE_8]  # fmt: skip
    part = {"rows": [judged("all", 4, 2), judged("covid-ct", 4, 2), judged("phantom", 5, 0)], "thresholds": thresholds}
    text = diagnosis.three_classes({
        "classes": classes, "synthetic": classes[1], "counts": {"real": {"COVID": 3}}, "budget": "2 epochs",
        "evaluations": {"all": part, "phantom": part},
        "volume": {"name": "cap", "infected": {"slices": 7, "called": called, "probabilities": [0.1, 0.8, 0.1]},
                   "clean": {"slices": 0, "called": [], "probabilities": []}},
    }).text()  # fmt: skip
    assert words in text and "Of the real slices 67 % get their class" in text and "is synthetic" in text


# -- the whole page


@pytest.fixture
def measured(tmp_path):
    """A folder as ``evidence.py`` leaves it, with one result of an earlier model."""
    model = {"id": "m", "title": "t", "license": "CC0", "checksum": "c" * 64, "threshold": 0.5, "size": 384,
             "clusters": 2, "fecnn": {"backbone": "resnet18", "classes": 2, "fpn": True, "fusion": True},
             "training": {}}  # fmt: skip
    lungs = {"summary": {"cases": 2, "mean": 0.9, "median": 0.9, "worst": 0.8, "mean_absolute_volume_error": 0.02},
             "notes": []}  # fmt: skip
    results = {"lungs-slices": (None, lungs), "detection-medseg-paper": ("c" * 64, detected(0.5, 0.3)),
               "diagnosis": ("d" * 64, {})}  # fmt: skip
    steps = {name: {"command": f"lesion-analysis evaluate {name}", "model": checksum}
             for name, (checksum, _) in results.items()}  # fmt: skip
    for name, (_, metrics) in results.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
    record = {"models": {"MODEL": model}, "held_out": {}, "steps": steps}
    (tmp_path / "evidence.json").write_text(json.dumps(record))
    return tmp_path


def test_the_page_names_model_and_commands_and_what_is_missing(measured, monkeypatch):
    target = measured / "EVIDENCE.md"
    monkeypatch.setattr(sys, "argv", ["evidence_page.py", str(measured), "--output", str(target)])
    evidence_page.main()
    text = target.read_text(encoding="utf-8")
    assert "`cccccccccccccccc`" in text and "lesion-analysis evaluate detection-medseg-paper" in text
    assert "evaluate diagnosis" not in text  # it was measured of another model
    assert text.count("Not measured for this page") == 5
    assert "| Lungs: mean Dice above the paper's .82 | .900 (slices) | yes |" in text
    assert str(measured) not in text
    for impossible in (".957", "95.7", "86.37", "92.85", "76.53", "194 922"):
        assert impossible not in text.replace("| 0.1 | .934 | .958 | .957 |", "")


def test_the_page_is_the_one_of_the_measurements_beside_it():
    others = {name: evidence_page.metrics_of(MEASURED / name) for name in ("compare", "leak", "three")}
    assert (ROOT / "EVIDENCE.md").read_text(encoding="utf-8") == evidence_page.page(MEASURED, **others)


def test_numbers_intervals_and_tables_are_written_as_markdown():
    assert [number(v, 2) for v in (0.5, -0.25, 1.0, None, float("nan"), 7, "a")] == [".50", "-.25", "1.00", "–", "–",
                                                                                    "7", "a"]  # fmt: skip
    assert ranged(estimate(0.5), 2) == ".50 (.40 to .60)" and ranged(estimate(0.5, None), 2) == ".50"
    assert overlap(estimate(0.5), estimate(0.65)) and not overlap(estimate(0.5), estimate(0.8))
    assert overlap(estimate(0.5, None), estimate(0.8)) is None
    assert table(("a", "b"), [["x|y", 0.5]], 1) == "| a | b |\n| --- | ---: |\n| x\\|y | .5 |"


# -- measuring


def test_every_evaluation_is_a_command_with_a_name_of_its_own():
    found = evidence.steps(cam=True, unseen=["radiopaedia-8"])
    assert len({step.name for step in found}) == len(found)
    assert all("--preset" in step.words for step in found if step.name.startswith(("detection", "cam", "identif")))
    cams = [step for step in found if step.model == evidence.CAM_MODEL]
    assert cams and all(step.words[-4:] == ("--method", "cam", "--model", evidence.CAM_MODEL) for step in cams)
    places = {"DATA": Path("/d"), "DIR": Path("/o"), "MODEL": Path("/m")}
    options = next(step for step in found if step.name == "detection-radiopaedia-paper").options(places)
    assert options[:3] == ["detection", "/d/lesion-masks/radiopaedia/images", "/d/lesion-masks/radiopaedia/masks"]
    assert options[-2:] == ["--model", "/m"] and "radiopaedia-8" in options


def test_slices_beside_the_model_say_who_was_held_out(tmp_path):
    class Bundle:
        folder, training = tmp_path / "m", {"validation_patients": ["s/old"]}

    assert evidence.held_out_patients(Bundle, tmp_path, tmp_path) == {"s/old": "val"}
    (tmp_path / "m.slices.csv").write_text("patient,split\ns/a,train\ns/b,val\ns/c,test\n")
    assert evidence.held_out_patients(Bundle, tmp_path, tmp_path) == {"s/b": "val", "s/c": "test"}


@pytest.fixture
def data(tmp_path):
    """The manifests of the shared data, of few slices without pictures."""
    root = tmp_path / "data"
    scans = root / "lesion-masks" / "radiopaedia"
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (scans / kind).mkdir(parents=True)
        for name in ("7_z1", "8_z1"):
            (scans / kind / f"{name}.{suffix}").touch()
    (scans / "slices.csv").write_text(
        "slice,patient,lesion_share_of_lung\n7_z1,radiopaedia-7,0.1\n8_z1,radiopaedia-8,0\n"
    )
    (root / "slices").mkdir()
    (root / "slices" / "manifest.csv").write_text(
        "file,dataset,label,patient,official_split\na.png,covid-ct,COVID,p1,val\nb.png,covid-ct,NonCOVID,p2,train\n"
        "c.png,emphysema,NonCOVID,e1,\nd.png,luna16,NonCOVID,l1,\ne.png,sars-cov-2-ct,COVID,s1,\n"
        "f.png,tcga-luad,NonCOVID,t1,\ng.png,covid-19-ct-seg,COVID,coronacases_org_002,\n"
    )
    (root / "volumes").mkdir()
    (root / "volumes" / "slice_labels.csv").write_text("volume,slice_index,infected\n")
    return root


def test_only_patients_who_were_held_out_are_judged(data, tmp_path):
    class Bundle:
        folder, training = tmp_path / "m", {}

    patients = evidence.held_out_patients(Bundle, data, tmp_path / "all")  # as of the bundled model
    assert {"covid-ct/p1", "radiopaedia/radiopaedia-8"} <= set(patients) and set(patients.values()) == {"val"}
    assert not {"covid-ct/p2", "radiopaedia/radiopaedia-7", "covid-19-ct-seg/coronacases_org_002"} & set(patients)
    patients = {"covid-ct/p1": "val", "radiopaedia/radiopaedia-8": "val"}
    counts = evidence.link_held_out(data, tmp_path / "held", patients)
    rows = evidence.read_rows(tmp_path / "held" / "manifest.csv")
    assert {(row["patient"], row["split"]) for row in rows} == {("p1", "val"), ("e1", "test"), ("radiopaedia-8", "val")}
    assert counts["emphysema"] == {"val": 0, "test": 1}
    evidence.link_scans(data / "lesion-masks" / "radiopaedia", tmp_path / "scan", patients)
    assert [path.name for path in sorted((tmp_path / "scan").rglob("8*"))] == ["8_z1.jpg", "8_z1.png"]
    assert not list((tmp_path / "scan").rglob("7*"))


def test_what_is_done_for_a_model_is_not_done_again(data, tmp_path, monkeypatch):
    class Bundle:
        id = title = license = "m"
        folder, training, fecnn, threshold = tmp_path / "m", {}, {}, 0.5
        preprocessing = {"size": 64}

        class clusters:  # noqa: N801
            centers_ = [0, 1]

        def __init__(self, checksum):
            self.checksum = checksum

    called = []

    def measure(options):
        called.append(options[0])
        folder = Path(options[options.index("--output") + 1])
        folder.mkdir(exist_ok=True)
        (folder / "metrics.json").write_text("{}")
        return 0

    monkeypatch.setattr(evidence, "evaluate_main", measure)
    step = evidence.Step("diagnosis", ("diagnosis", "DIR/held-out", "--model", "MODEL"))
    lungs = evidence.Step("lungs-slices", ("lungs", "DATA/x", "DATA/x"), None)
    for checksum in ("one", "one", "two"):
        runner = evidence.Runner(tmp_path / "out", data, {"MODEL": Bundle(checksum)}, "cpu")
        assert runner.run(step) and runner.run(lungs)
    assert called == ["diagnosis", "lungs", "diagnosis"]  # anew for the other model, which the lungs do not need
    assert json.loads((tmp_path / "out" / "evidence.json").read_text())["steps"]["diagnosis"]["model"] == "two"
    monkeypatch.setattr(evidence, "evaluate_main", lambda options: 1)
    assert not runner.run(step, again=True)


# -- the other experiments


def test_the_nearest_thumbnail_gives_its_label(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for label in ("COVID", "NonCOVID"):
        picture = rng.integers(0, 200, (32, 32))
        for split in ("train", "test", "test"):
            path = save(tmp_path / f"{len(rows)}.png", (picture + rng.integers(0, 20, (32, 32))).astype(np.uint8))
            rows.append({"file": str(path), "label": label, "split": split, "patient": f"{label}{split}"})
    assert leak.nearest_neighbor(rows)["value"] == 1.0
    rows[1]["label"] = "NonCOVID"
    assert leak.nearest_neighbor(rows)["value"] == 0.75


def test_synthetic_patients_differ_by_their_disease_alone():
    assert {lesion.type for lesion in phantom_slices.Multifocal(1).lesions} == {"GGO"}
    for seed in (2, 5):
        (lesion,) = phantom_slices.Lobar(seed).lesions
        assert lesion.type == "consolidation" and abs(lesion.center[0]) > 30
        assert (phantom_slices.Lobar(seed).scale == phantom_slices.Multifocal(seed).scale).all()
