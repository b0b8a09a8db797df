"""The evidence page: every sentence follows from the measured CSV, and the committed page is the generated one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_evaluate import labeled_folder, segmented_folder, tiny_model
from helpers_training import save
from LesionAnalysisLib.report.json_csv import plain
from LesionAnalysisTrainingLib.evaluate import report_folder
from LesionAnalysisTrainingLib.evaluate.detection import evaluate_detection
from LesionAnalysisTrainingLib.evaluate.diagnosis import evaluate_diagnosis
from LesionAnalysisTrainingLib.evaluate.identification import evaluate_identification
from LesionAnalysisTrainingLib.evaluate.settings import DetectionSettings, DiagnosisSettings, IdentificationSettings
from reproduction import ROOT, published
from reproduction.evidence import classification_page, evidence_page, lesions_page, measure_evidence, measured_csv
from reproduction.evidence.measured_csv import BOXES, HIT, ORACLE, OTSU, POINTING, RECALL, UNION, Figure
from reproduction.evidence.page_text import at_least, number, overlap, ranged, table
from reproduction.experiments import phantom_slices, split_leakage

MEASURED = evidence_page.MEASURED


def estimate(value, width=0.1):
    """A figure with an interval around it, or without one."""
    return Figure(value) if width is None else Figure(value, value - width, value + width)


# -- detection


def metrics(hit, **others):
    figures = {HIT: hit, UNION: 0.5, POINTING: 0.5, RECALL: 0.5, BOXES: 1.0, "new": 0.5} | others
    return {name: estimate(value) for name, value in figures.items()}


def detected(lam, normgrad, preset="paper", **others):
    """The measured tables of ten slices with thirty lesions; others are LAM's figures."""
    maps = {f"enhanced; {OTSU}": metrics(0.9)} if preset == "enhanced" else {}
    maps |= {f"lam; {OTSU}": metrics(lam, **others), f"normgrad; {OTSU}": metrics(normgrad),
             f"lam; {measured_csv.MAXIMUM}": metrics(0.1), f"{ORACLE}; {OTSU}": metrics(0.75)}  # fmt: skip
    rates = {str(t): Figure(0.1) for t in published.TABLE_5}
    series = {m: rates | {"0.1": Figure(0.6), "0.5": Figure(lam)} for m in ("lam", "enhanced")} | {ORACLE: rates}
    shown = "enhanced" if preset == "enhanced" else "lam"
    return {
        "subject": {"": {"slices with lesions": 10, "slices": 10, "lesions": 30, "positive slices with lesions": 8,
                         "threshold": Figure(0.5), "preset": preset, "oracle grid": "12x12"}},
        "maps": maps, HIT: series, UNION: series, "positive slices": {shown: {HIT: estimate(0.9)}},
    }  # fmt: skip


def cam(hit):
    return {"maps": {f"cam; {OTSU}": metrics(hit)}}


KEY = ("medseg", "paper")


def test_maps_and_metrics_are_those_that_were_measured():
    section = lesions_page.detection({("medseg", "enhanced"): detected(0.5, 0.3, "enhanced")}, {KEY: cam(0.2)}, {})
    text = section.text()
    assert "| the enhanced map | own contours |" in text and "| LAM | Otsu, components |" in text
    assert "| LAM | 20 % of the maximum |" in text and "| new |" in text
    assert "The highest hit rate is that of the enhanced map, .90" in text
    assert "the hit rate of the enhanced map is .90" in text
    assert "| CAM |" not in text  # measured with another preset
    text = lesions_page.detection({KEY: detected(0.5, 0.3)}, {KEY: cam(0.2)}, {}).text()
    assert "| CAM | Otsu, components |" in text and "enhanced map |" not in text
    assert "CAM was not measured" in lesions_page.detection({KEY: detected(0.5, 0.3)}, {}, {}).text()


@pytest.mark.parametrize(
    "lam, other, cams, words, reached",
    [
        (0.5, 0.2, 0.1, "LAM has the highest value.", True),
        (0.5, 0.4, 0.1, "its interval overlaps that of NormGrad, so that the order is undecided", None),
        (0.3, 0.6, 0.1, "LAM exceeds CAM only", False),
        (0.1, 0.6, 0.5, "LAM exceeds neither", False),
    ],
)
def test_the_order_of_the_maps_follows_from_hit_rates_and_their_intervals(lam, other, cams, words, reached):
    section = lesions_page.detection({KEY: detected(lam, other)}, {KEY: cam(cams)}, {})
    assert words in section.text()
    goal = section.goals[0]
    assert goal.reached is reached and bool(goal.why) is (reached is False)
    assert (goal.answer == "undecided (intervals overlap)") is (reached is None)


def test_lam_is_not_shown_to_lead_where_cam_was_not_measured():
    goal = lesions_page.detection({KEY: detected(0.5, 0.2)}, {}, {}).goals[0]
    assert goal.reached is None and "CAM not measured" in goal.measured
    assert goal.answer == "undecided (CAM not measured)"


def test_goals_compare_the_figures_of_the_displayed_map_with_their_targets():
    goals = lesions_page.detection({KEY: detected(0.55, 0.3, **{POINTING: 0.49})}, {}, {}).goals[1:]
    assert [goal.reached for goal in goals] == [True, False, False]  # in the order of GOALS
    assert all(what in goal.what for goal, (what, _) in zip(goals, lesions_page.GOALS.values(), strict=True))
    goals = lesions_page.detection({("medseg", "enhanced"): detected(0.1, 0.3, "enhanced")}, {}, {}).goals
    assert goals[1].what.startswith("The enhanced map: hit rate") and goals[1].reached


def test_a_goal_within_the_interval_is_not_reached_for_certain():
    assert at_least("x", estimate(0.41), 0.40).answer == "undecided (95 % CI includes .40)"
    assert at_least("x", estimate(0.39), 0.40).answer == "no (95 % CI includes .40)"
    assert at_least("x", estimate(0.51), 0.40).answer == "yes" and at_least("x", estimate(0.2), 0.40).answer == "no"
    assert at_least("x", Figure(0.41), 0.40).answer == "yes"


def test_a_single_patient_decides_no_goal():
    tables = detected(0.5, 0.3)
    for row in tables["maps"].values():
        row[HIT] = Figure(row[HIT].value)
    section = lesions_page.detection({KEY: tables}, {}, {})
    assert not section.goals and "overlap" not in section.parts[4]


def test_reasons_follow_from_boxes_peaks_and_the_oracle_map():
    tables = detected(0.2, 0.3, **{POINTING: 0.4})
    why = lesions_page.reasons(tables, lesions_page.maps_of(tables, None), "lam")
    assert "grid reaches only .75" in why
    assert "1.0 boxes per slice for 3.0 lesions" in why
    assert "60 % of the peaks lie on no lesion" in why
    assert "for 40 % of the lesions the peak is correct" in why  # .6 at the threshold .1, .2 at .5
    tables = detected(0.58, 0.3, **{BOXES: 4.0})
    why = lesions_page.reasons(tables, lesions_page.maps_of(tables, None), "lam")
    assert "share a box" not in why and "the peak is correct" not in why


# -- lesion types


def identified(balanced, same, clusters):
    names = ("ground glass", "consolidation")
    rows = {name: dict(zip((*names, "by first half", "by second half"), one, strict=True)) for name, *one in clusters}
    whole = {"lesions matched": 60, "balanced accuracy": balanced, "accuracy": Figure(0.7), "clustered by": "density",
             "balanced accuracy, same lesions": Figure(same)}  # fmt: skip
    types = {name: {"sensitivity": Figure(0.7), "specificity": Figure(0.7)} for name in names}
    return {"summary": {"": whole}, "types": types, "clusters": rows}


def test_clusters_that_agree_with_the_types_reach_the_goal():
    clusters = [("cluster 1", 30, 2, "ground glass", "ground glass"), ("cluster 2", 3, 25, *["consolidation"] * 2)]
    section = lesions_page.identification({(2, "paper"): identified(estimate(0.9), 0.92, clusters)})
    assert section.goals[0].reached and "above chance" in section.text()
    assert "only in part" not in section.text() and "differs between" not in section.text()


def test_clusters_that_do_not_are_explained_by_their_contents():
    clusters = [("cluster 1", 30, 9, "ground glass", "consolidation"), ("cluster 2", 20, 5, *["ground glass"] * 2)]
    section = lesions_page.identification({(2, "paper"): identified(estimate(0.52), 0.6, clusters)})
    goal = section.goals[0]
    assert goal.reached is False and "not significantly different from chance" in section.text()
    assert "Ground glass is the majority in every cluster" in goal.why
    assert "type assigned to cluster 1 differs" in goal.why and "balanced accuracy is .60" in goal.why


def test_table_7_is_computed_from_its_counts():
    figures = lesions_page._printed(published.TYPES)
    assert [number(f) for f in figures[4:]] == [".944", ".826", ".444", ".956", ".857", ".952"]
    assert number(figures[2]) == ".870"


# -- classification and competing systems


def system(auc, difference=None, start="ImageNet"):
    found = {name: estimate(auc) for name in ("accuracy", "f1", "auc", "ap")} | {"start": start}
    return found | ({"AUC difference": Figure(*difference[:3]), "p": Figure(difference[3])} if difference else {})


def compared(**systems):
    subject = {"budget": "4 epochs", "split": "test", "evaluated on": "the test slices: 9", "split by": "patients",
               "quick": "False"}  # fmt: skip
    return {"systems": systems, "subject": {"": subject}}


def test_fecnn_ahead_of_all_systems_reaches_its_goal():
    found = compared(FeCNN=system(0.9), Xception=system(0.8, (-0.1, -0.15, -0.05, 0.01)),
                     VGG16=system(0.85, (-0.05, -0.1, 0.02, 0.3), "random"))  # fmt: skip
    section = classification_page.comparison(found)
    assert section.goals[0].reached is True
    assert "excludes 0 for Xception" in section.text() and "random initial weights are at a disadv" in section.text()


def test_a_significant_lead_of_another_system_is_distinguished_from_chance():
    unsure = classification_page.comparison(
        compared(FeCNN=system(0.8), Xception=system(0.82, (0.02, -0.03, 0.07, 0.4)))
    )
    assert unsure.goals[0].reached is None and "not significantly different" in unsure.goals[0].why
    sure = classification_page.comparison(compared(FeCNN=system(0.7), Xception=system(0.82, (0.12, 0.03, 0.2, 0.01))))
    assert sure.goals[0].reached is False and "the same initial weights" in sure.goals[0].why


def test_variants_of_fecnn_do_not_compete():
    found = compared(FeCNN=system(0.8), **{"FeCNN without FPN": system(0.85, (0.05, 0.01, 0.1, 0.01))})
    section = classification_page.comparison(found)
    assert section.goals[0].reached is True
    assert "exceeds that of 0 of the 1 variants" in section.text()
    assert "FeCNN without FPN has the highest AUC" in section.text()


@pytest.mark.parametrize("random, words", [(0.95, "raises the AUC by .150"), (0.78, "does not raise the AUC")])
def test_split_leakage_is_the_difference_of_the_two_splits(random, words):
    def split(auc):
        return {"slices": 5, "patients": 3, **dict.fromkeys(("auc", "accuracy", "nearest neighbor"), estimate(auc))}

    tables = {"splits": {"random": split(random), "patients": split(0.8)},
              "subject": {"": {"backbone": "resnet50", "source": "s", "budget": "3 epochs"}}}  # fmt: skip
    assert words in classification_page.split_leakage(tables).text()


@pytest.mark.parametrize("predicted, words", [([1, 6, 0], "pneumonia transfers"), ([2, 0, 5], "does not transfer")])
def test_predictions_for_a_real_pneumonia_decide_the_conclusion(predicted, words):
    classes = ["NonCOVID", "Pneumonia (phantom)", "COVID"]

    def row(right, wrong):
        return {"slices": 3 * (right + wrong), "patients": 4, "positives": 1, "auc": estimate(0.8),
                "overall accuracy": estimate(right / (right + wrong))}  # fmt: skip

    counts = {"all": (4, 2), "covid-ct": (4, 2), "phantom": (5, 0)}
    confusion = {f"{source}; {name}": {other: right if name == other else wrong // 2 for other in classes}
                 for source, (right, wrong) in counts.items() for name in classes}  # fmt: skip
    by_threshold = {str(t): {f"{c} {k}": Figure(0.5) for c in classes for k in ("recognized", "accuracy")}
                    for t in published.TABLE_8}  # fmt: skip
    text = classification_page.three_classes({
        "subject": {"": {"synthetic": classes[1], "budget": "2 epochs"}},
        "classes": {str(i): {"name": name} for i, name in enumerate(classes)}, "slices": {"real": {"COVID": 3}},
        "sources": {source: row(*count) for source, count in counts.items()}, "confusion": confusion,
        "thresholds, all": by_threshold, "thresholds, phantom": by_threshold,
        "volume": {"": {"name": "cap"}, "without lesions": {"slices": 0},
                   "with lesions": {"slices": 7, **{f"called {c}": n for c, n in zip(classes, predicted, strict=True)},
                                    f"mean probability {classes[1]}": Figure(0.8)}},
    }).text()  # fmt: skip
    assert words in text and "Of the real slices, 67 % are classified correctly" in text and "is synthetic" in text


# -- the whole page


@pytest.fixture
def results(tmp_path):
    """A folder of ``measure_evidence`` with one result of an earlier model."""
    model = {"id": "m", "title": "t", "license": "CC0", "checksum": "c" * 64, "threshold": 0.5, "size": 384,
             "clusters": 2, "fecnn": {"backbone": "resnet18", "classes": 2, "fpn": True, "fusion": True},
             "training": {}}  # fmt: skip
    summary = {"cases": 2, "mean": 0.9, "median": 0.9, "worst": 0.8, "mean_volume_error": 0.01,
               "mean_absolute_volume_error": 0.02}  # fmt: skip
    lungs = {"summary": summary, "tables": {"cases": {"rows": [{"case": "a", "Dice": 1.0}]}}, "notes": []}
    steps = {"lungs-slices": (None, lungs), "diagnosis": ("d" * 64, {})}
    for name, (_, found) in steps.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(found))
    steps = {name: {"command": f"lesion-analysis evaluate {name}", "model": checksum, "seconds": 1.0}
             for name, (checksum, _) in steps.items()}  # fmt: skip
    record = {"models": {"MODEL": model}, "held_out": {}, "steps": steps}
    (tmp_path / "evidence.json").write_text(json.dumps(record))
    return tmp_path


def test_the_page_names_model_and_commands_and_what_is_missing(results, tmp_path, monkeypatch):
    target, folder = tmp_path / "evidence.md", tmp_path / "csv"
    folder.mkdir()
    options = ["--convert", str(results), "--measured", str(folder), "--output", str(target)]
    monkeypatch.setattr(sys, "argv", ["evidence_page", *options])
    evidence_page.main()
    text = target.read_text(encoding="utf-8")
    assert "`cccccccccccccccc`" in text and "lesion-analysis evaluate lungs-slices" in text
    assert "evaluate diagnosis" not in text  # it was measured with another model
    assert text.count("Not measured for this page") == 6
    assert "| Lungs: mean Dice above the paper's .82 | .900 (slices) | yes |" in text
    assert "a,Dice,1.0" in (folder / "lungs.csv").read_text() and str(results) not in text


def test_the_committed_page_is_generated_from_the_committed_figures():
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    assert text == evidence_page.page(measured_csv.read_measured(MEASURED))
    outside_table_8 = "\n".join(line for line in text.splitlines() if not line.startswith("| 0."))
    for impossible in (".957", "95.7", "86.37", "92.85", "76.53", "194 922"):
        assert impossible not in outside_table_8


def test_every_source_and_data_set_of_the_page_has_a_role():
    measured = measured_csv.read_measured(MEASURED)
    roles = measured["roles"]
    assert set(roles["sources"]) == set(measured["diagnosis"]["sources"]) - {"all"}
    assert set(roles["detection"]) == {data for data, _ in evidence_page._by_data(measured, "detection")}
    named = {role for group in roles.values() for row in group.values() for role in row["role"].split(", ")}
    assert named <= {"trained", "chose", "development", "untouched"}


@pytest.mark.usefixtures("one_thread")
def test_results_of_evaluations_can_be_converted(tmp_path):
    bundle, data = tiny_model(tmp_path / "m"), segmented_folder(tmp_path / "data")
    small = {"rounds": 2, "examples": 0, "limit": 4}
    reports = [
        evaluate_detection(data / "images", data / "masks", bundle,
                           DetectionSettings(**small, methods=("enhanced", "lam")), lambda *_: None),
        evaluate_identification(data / "images", data / "masks", bundle, IdentificationSettings(**small, clusters=2),
                                lambda *_: None),
        evaluate_diagnosis([labeled_folder(tmp_path / "slices")], [bundle], DiagnosisSettings(rounds=2),
                           lambda *_: None),
    ]  # fmt: skip
    for report in reports:
        lines = measured_csv._CONVERTERS[report.type](plain(report_folder._metrics(report)))
        measured_csv.write_measured(tmp_path / f"{report.type}.csv", {report.type: list(lines)})
    found = measured_csv.read_measured(tmp_path)
    assert set(lesions_page.maps_of(found["detection"], None)) >= {("enhanced", OTSU), ("lam", OTSU), (ORACLE, OTSU)}
    assert found["detection"]["subject"][""]["files"] == 5
    assert "LAM" in lesions_page.detection({("medseg", "enhanced"): found["detection"]}, {}, {}).text()
    assert "contains" in lesions_page.identification({(2, "enhanced"): found["identification"]}).text()
    section = classification_page.classification(found["diagnosis"], {"slices": {"val": 6}}, {})
    assert "| all | mixed | 6 |" in section.text()


def test_measured_figures_survive_writing_and_reading(tmp_path):
    lines = [("t", "r", "count", 3), ("t", "r", "rate", {"value": 1.0, "low": 0.25, "high": None}),
             ("t", "r", "text", "a, \"b\""), ("t", "r", "undefined", {"value": None, "low": None, "high": None}),
             ("t", "r", "nan", float("nan"))]  # fmt: skip
    measured_csv.write_measured(tmp_path / "x.csv", {"run": lines})
    assert measured_csv.read_measured(tmp_path) == {"run": {"t": {"r": {"count": 3, "rate": Figure(1.0, 0.25, None),
                                                                         "text": 'a, "b"'}}}}  # fmt: skip


def test_the_measured_figures_stay_compact():
    files = list(MEASURED.glob("*"))
    assert all(path.suffix == ".csv" for path in files)
    assert sum(path.stat().st_size for path in files) < 400_000
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 2500


def test_numbers_intervals_and_tables_are_written_as_markdown():
    assert [number(v, 2) for v in (0.5, -0.25, 1.0, None, float("nan"), 7, "a")] == [".50", "-.25", "1.00", "–", "–",
                                                                                    "7", "a"]  # fmt: skip
    assert ranged(estimate(0.5), 2) == ".50 (.40 to .60)" and ranged(estimate(0.5, None), 2) == ".50"
    assert overlap(estimate(0.5), estimate(0.65)) and not overlap(estimate(0.5), estimate(0.8))
    assert overlap(estimate(0.5, None), estimate(0.8)) is None
    assert table(("a", "b"), [["x|y", 0.5]], 1) == "| a | b |\n| --- | ---: |\n| x\\|y | .5 |"


# -- measuring


def test_every_evaluation_is_a_command_with_a_name_of_its_own():
    found = measure_evidence.steps(cam=True, unseen=["radiopaedia-8"])
    assert len({step.name for step in found}) == len(found)
    assert all("--preset" in s.arguments for s in found if s.name.startswith(("detection", "cam", "identif")))
    cams = [step for step in found if step.model == measure_evidence.CAM_MODEL]
    options = ("--method", "cam", "--model", measure_evidence.CAM_MODEL)
    assert cams and all(step.arguments[-4:] == options for step in cams)
    places = {"DATA": Path("/d"), "DIR": Path("/o"), "MODEL": Path("/m")}
    options = next(step for step in found if step.name == "detection-radiopaedia-paper").options(places)
    assert options[:3] == ["detection", "/d/lesion-masks/radiopaedia/images", "/d/lesion-masks/radiopaedia/masks"]
    assert options[-2:] == ["--model", "/m"] and "radiopaedia-8" in options


def test_held_out_patients_come_from_the_slice_table_beside_the_model(tmp_path):
    class Bundle:
        folder, training = tmp_path / "m", {"validation_patients": ["s/old"]}

    assert measure_evidence.held_out_patients(Bundle, tmp_path, tmp_path) == {"s/old": "val"}
    (tmp_path / "m.slices.csv").write_text("patient,split\ns/a,train\ns/b,val\ns/c,test\n")
    assert measure_evidence.held_out_patients(Bundle, tmp_path, tmp_path) == {"s/b": "val", "s/c": "test"}


@pytest.fixture
def data(tmp_path):
    """The manifests of the shared data, of few empty slice files."""
    root = tmp_path / "data"
    scans = root / "lesion-masks" / "radiopaedia"
    for part, suffix in (("images", "jpg"), ("masks", "png")):
        (scans / part).mkdir(parents=True)
        for name in ("7_z1", "8_z1"):
            (scans / part / f"{name}.{suffix}").touch()
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


def test_only_held_out_patients_are_evaluated(data, tmp_path):
    class Bundle:
        folder, training = tmp_path / "m", {}

    patients = measure_evidence.held_out_patients(Bundle, data, tmp_path / "all")  # as of the bundled model
    assert {"covid-ct/p1", "radiopaedia/radiopaedia-8"} <= set(patients) and set(patients.values()) == {"val"}
    assert not {"covid-ct/p2", "radiopaedia/radiopaedia-7", "covid-19-ct-seg/coronacases_org_002"} & set(patients)
    patients = {"covid-ct/p1": "val", "radiopaedia/radiopaedia-8": "val"}
    counts = measure_evidence.link_held_out(data, tmp_path / "held", patients)
    rows = measure_evidence.read_rows(tmp_path / "held" / "manifest.csv")
    assert {(row["patient"], row["split"]) for row in rows} == {("p1", "val"), ("e1", "test"), ("radiopaedia-8", "val")}
    assert counts["emphysema"] == {"val": 0, "test": 1}
    measure_evidence.link_scans(data / "lesion-masks" / "radiopaedia", tmp_path / "scan", patients)
    assert [path.name for path in sorted((tmp_path / "scan").rglob("8*"))] == ["8_z1.jpg", "8_z1.png"]
    assert not list((tmp_path / "scan").rglob("7*"))


def test_existing_results_of_a_model_are_not_measured_again(data, tmp_path, monkeypatch):
    class Bundle:
        id = title = license = "m"
        folder, training, fecnn, threshold = tmp_path / "m", {}, {}, 0.5
        preprocessing = {"size": 64}

        class clusters:  # noqa: N801
            class features:  # noqa: N801
                cluster_centers_ = [0, 1]

        def __init__(self, checksum):
            self.checksum = checksum

    called = []

    def measure(options):
        called.append(options[0])
        folder = Path(options[options.index("--output") + 1])
        folder.mkdir(exist_ok=True)
        (folder / "metrics.json").write_text("{}")
        return 0

    monkeypatch.setattr(measure_evidence, "evaluate_main", measure)
    step = measure_evidence.Step("diagnosis", ("diagnosis", "DIR/held-out", "--model", "MODEL"))
    lungs = measure_evidence.Step("lungs-slices", ("lungs", "DATA/x", "DATA/x"), None)
    for checksum in ("one", "one", "two"):
        runner = measure_evidence.Runner(tmp_path / "out", data, {"MODEL": Bundle(checksum)}, "cpu")
        assert runner.run(step) and runner.run(lungs)
    assert called == ["diagnosis", "lungs", "diagnosis"]  # again for the other model, which the lungs do not need
    assert json.loads((tmp_path / "out" / "evidence.json").read_text())["steps"]["diagnosis"]["model"] == "two"
    monkeypatch.setattr(measure_evidence, "evaluate_main", lambda options: 1)
    assert not runner.run(step, again=True)


# -- the other experiments


def test_the_nearest_neighbor_gives_its_label(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for label in ("COVID", "NonCOVID"):
        image = rng.integers(0, 200, (32, 32))
        for split in ("train", "test", "test"):
            path = save(tmp_path / f"{len(rows)}.png", (image + rng.integers(0, 20, (32, 32))).astype(np.uint8))
            rows.append({"file": str(path), "label": label, "split": split, "patient": f"{label}{split}"})
    assert split_leakage.nearest_neighbor(rows)["value"] == 1.0
    rows[1]["label"] = "NonCOVID"
    assert split_leakage.nearest_neighbor(rows)["value"] == 0.75


def test_synthetic_patients_differ_only_by_disease():
    assert {lesion.type for lesion in phantom_slices.Multifocal(1).lesions} == {"GGO"}
    for seed in (2, 5):
        (lesion,) = phantom_slices.Lobar(seed).lesions
        assert lesion.type == "consolidation" and abs(lesion.center[0]) > 30
        assert (phantom_slices.Lobar(seed).scale == phantom_slices.Multifocal(seed).scale).all()
