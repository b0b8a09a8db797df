"""Figures of slice diagnosis equal scikit-learn's, have intervals over patients, and fit into JSON."""

import json
import time

import numpy as np
import pytest
from LesionAnalysisTrainingLib.calibration import choose_threshold, fit_temperature
from LesionAnalysisTrainingLib.metrics import (
    auc,
    confusion_matrix,
    diagnosis_figures,
    most_confident_errors,
    pr_curve,
    reliability,
    roc_curve,
)
from LesionAnalysisTrainingLib.metrics.bootstrap import estimates, patient_resamples
from LesionAnalysisTrainingLib.metrics.weighted_metrics import areas, brier, rates
from sklearn import metrics


def scored(n=600, classes=2, seed=0, decimals=2):
    """Labels (n,) and probabilities (n, C) that are often right and often tied, patients and sources (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(0, 1.5, (n, classes)) + 1.5 * np.eye(classes)[labels]
    table = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), decimals)
    patients = rng.integers(0, n // 10, n)
    return labels, table, np.char.add("patient ", patients.astype(str)), np.array(["a", "b", "c"])[patients % 3]


def two_classes(**settings):
    """Truth (n,), probability (n,), patients (n,)."""
    labels, table, patients, _ = scored(**settings)
    return labels, table[:, 1], patients


def figures(truth, score, threshold=0.5):
    """Every figure of slices that count once."""
    once = np.ones((1, len(truth)))
    found = {**rates(truth, score, once, threshold), **areas(truth, score, once), "brier": brier(truth, score, once)}
    return {name: value[0] for name, value in found.items()}


# -- single figures ---------------------------------------------------------------------------------


def test_figures_agree_with_scikit_learn_where_scores_are_tied():
    truth, score, _ = two_classes()
    assert len(np.unique(score)) < len(score) / 4
    called = score >= 0.35
    assert auc(truth, score) == figures(truth, score)["auc"]
    assert figures(truth, score, 0.35) == pytest.approx({
        "auc": metrics.roc_auc_score(truth, score), "ap": metrics.average_precision_score(truth, score),
        "accuracy": metrics.accuracy_score(truth, called), "sensitivity": metrics.recall_score(truth, called),
        "specificity": metrics.recall_score(truth, called, pos_label=0),
        "precision": metrics.precision_score(truth, called), "f1": metrics.f1_score(truth, called),
        "brier": metrics.brier_score_loss(truth, score),
    }, abs=1e-12)  # fmt: skip


def test_figures_of_an_example_worked_by_hand():
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.5, 0.2, 0.7, 0.4, 0.3, 0.1, 0.1])  # at 0.5: 2 TP, 1 FN, 1 FP, 4 TN
    found = figures(truth, score)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(4 / 5)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["auc"] == pytest.approx((5 + 4 + 2) / 15)  # negatives below each positive
    assert found["ap"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert figures(np.array([1, 0]), np.array([0.8, 0.4]))["brier"] == pytest.approx((0.04 + 0.16) / 2)


def test_a_slice_exactly_at_the_threshold_is_positive():
    assert figures(np.array([1]), np.array([0.5]))["sensitivity"] == 1


def test_what_is_undefined_is_nan():
    ones, score = np.ones(3), np.array([0.1, 0.2, 0.3])
    positives, negatives, nothing = figures(ones, score), figures(0 * ones, score), figures(ones[:0], score[:0])
    undefined = [positives["auc"], positives["ap"], negatives["auc"], negatives["ap"], positives["specificity"],
                 negatives["sensitivity"], positives["precision"], negatives["f1"], *nothing.values()]  # fmt: skip
    assert np.isnan(undefined).all() and np.isnan(auc(ones, score))


def test_confusion_has_the_truth_in_rows():
    truth, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2])
    matrix = confusion_matrix(truth, predicted, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert np.array_equal(matrix, metrics.confusion_matrix(truth, predicted))
    assert confusion_matrix(truth[:0], predicted[:0], 2).tolist() == [[0, 0], [0, 0]]


# -- bootstrap over patients ------------------------------------------------------------------------


def test_weights_count_as_slices_that_are_repeated():
    truth, score, patients = two_classes(n=80)
    weights = np.concatenate(list(patient_resamples(patients, rounds=20, seed=3)))
    found = areas(truth, score, weights)
    for i, row in enumerate(weights.astype(int)):
        again, values = np.repeat(truth, row), np.repeat(score, row)
        assert found["auc"][i] == pytest.approx(metrics.roc_auc_score(again, values))
        assert found["ap"][i] == pytest.approx(metrics.average_precision_score(again, values))
        assert brier(truth, score, weights)[i] == pytest.approx(metrics.brier_score_loss(again, values))
        assert rates(truth, score, weights, 0.5)["f1"][i] == pytest.approx(metrics.f1_score(again, values >= 0.5))


def test_slices_of_a_patient_are_resampled_together():
    patients = np.array(["p", "q", "p", "r", "q", "p"])
    weights = np.concatenate(list(patient_resamples(patients, rounds=50)))
    assert weights.shape == (50, 6)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert len(np.unique(weights[:, 3])) > 1


def test_blocks_of_resamples_add_up_to_the_rounds(monkeypatch):
    whole = np.concatenate(list(patient_resamples(np.arange(30), rounds=10)))
    monkeypatch.setattr("LesionAnalysisTrainingLib.metrics.bootstrap._BLOCK", 100)
    blocks = list(patient_resamples(np.arange(30), rounds=10))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    assert np.array_equal(np.concatenate(blocks), whole)


def test_the_interval_does_not_shrink_when_slices_are_copied_within_patients():
    truth, score, patients = two_classes(n=120)

    def width(times):
        arrays = (np.tile(a, times) for a in (truth, score))
        found = diagnosis_figures(next(arrays), np.stack([1 - (s := next(arrays)), s], 1), np.tile(patients, times),
                                  np.full(times * 120, "a"))["rows"][0]["metrics"]["auc"]  # fmt: skip
        return found["high"] - found["low"]

    assert width(5) == pytest.approx(width(1))


def test_weights_give_the_interval_of_patients_that_are_drawn_one_by_one():
    truth, score, patients = two_classes(n=900)
    rng, names = np.random.default_rng(0), np.unique(patients)
    members = [np.flatnonzero(patients == name) for name in names]
    drawn = [np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))]) for _ in range(300)]
    slow = np.quantile([auc(truth[rows], score[rows]) for rows in drawn], [0.025, 0.975])
    fast = estimates(lambda w: areas(truth, score, w), patients, rounds=300)["auc"]
    assert fast.value == pytest.approx(metrics.roc_auc_score(truth, score))
    assert fast.low < fast.value < fast.high
    assert (fast.low, fast.high) == pytest.approx(slow, abs=0.01)


# -- curves -----------------------------------------------------------------------------------------


def test_curves_of_an_example_worked_by_hand():
    truth, score = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.6])
    roc = roc_curve(truth, score, np.arange(4), rounds=10, points=5)
    assert roc.x.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert roc.y == pytest.approx([0.5, 0.5, 1, 1, 1])
    pr = pr_curve(truth, score, np.arange(4), rounds=10, points=5)
    assert pr.y == pytest.approx([1, 1, 1, 2 / 3, 2 / 3])
    assert (pr.positives, pr.negatives, pr.patients) == (2, 2, 4)


def test_the_roc_ends_at_the_upper_right_even_if_a_positive_comes_last():
    curve = roc_curve(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1]), np.arange(3), rounds=10, points=3)
    assert curve.y == pytest.approx([0.5, 0.5, 1])


def test_the_roc_is_straight_through_ties():
    curve = roc_curve(np.array([1, 0, 1, 0]), np.full(4, 0.3), np.arange(4), rounds=10, points=11)
    assert curve.y == pytest.approx(curve.x)
    assert curve.area.value == pytest.approx(0.5)


def test_curves_agree_with_scikit_learn():
    truth, score, patients = two_classes()
    roc, pr = roc_curve(truth, score, patients, points=2001), pr_curve(truth, score, patients, points=2001)
    false, true, _ = metrics.roc_curve(truth, score, drop_intermediate=False)
    between = ~np.isin(np.round(roc.x, 9), np.round(false, 9))  # where the curve is upright both ends are right
    assert roc.y[between] == pytest.approx(np.interp(roc.x[between], false, true), abs=1e-6)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(metrics.roc_auc_score(truth, score), abs=0.002)
    precision, recall, _ = metrics.precision_recall_curve(truth, score)
    for x, y in zip(pr.x[1::97], pr.y[1::97], strict=True):
        assert y == pytest.approx(precision[recall >= x - 1e-9][-1])
    assert pr.y.mean() == pytest.approx(metrics.average_precision_score(truth, score), abs=0.002)


def test_bands_enclose_the_curve_and_narrow_with_more_patients():
    widths = []
    for n in (150, 2400):
        truth, score, patients = two_classes(n=n)
        for curve in (roc_curve(truth, score, patients), pr_curve(truth, score, patients)):
            inner = slice(20, -20)
            assert (curve.low <= curve.high).all()
            assert np.mean((curve.low <= curve.y) & (curve.y <= curve.high)) > 0.95
            assert curve.area.low < curve.area.value < curve.area.high
            widths.append(np.mean((curve.high - curve.low)[inner]))
    assert widths[2] < 0.6 * widths[0] and widths[3] < 0.6 * widths[1]


def test_a_class_of_one_patient_gives_a_curve_without_a_band():
    truth, score = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.4, 0.5, 0.2, 0.1])
    curve = roc_curve(truth, score, np.array(["p", "p", "q", "r", "s"]))
    assert np.isfinite(curve.y).all()
    assert np.isnan(curve.low).all() and np.isnan(curve.area.high)


@pytest.mark.parametrize("draw", [roc_curve, pr_curve])
def test_curves_of_one_class_or_of_nothing_are_nan(draw):
    for n in (0, 4):
        curve = draw(np.ones(n), np.linspace(0, 1, n), np.arange(n), rounds=5)
        assert np.isnan(curve.y).all() and np.isnan(curve.area.value)
        assert curve.positives == n


# -- calibration ------------------------------------------------------------------------------------


def test_reliability_of_an_example_worked_by_hand():
    probability = np.array([0.0, 0.1, 0.1, 0.95, 1.0])
    bins = reliability(np.array([0, 0, 1, 1, 0]), probability, bins=10)
    assert bins.counts.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]  # a bin begins with its lower edge
    assert bins.predicted[[0, 1, 9]] == pytest.approx([0, 0.1, 0.975])
    assert bins.observed[[0, 1, 9]] == pytest.approx([0, 0.5, 0.5])
    assert np.isnan(bins.observed[2:9]).all()
    assert bins.error == pytest.approx((0 + 2 * 0.4 + 2 * 0.475) / 5)


def test_probabilities_that_are_true_have_hardly_any_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20000)
    truth = rng.random(20000) < probability
    assert reliability(truth, probability).error < 0.015
    assert reliability(truth, probability**3).error > 0.1
    assert np.isnan(reliability(truth[:0], probability[:0]).error)


@pytest.mark.parametrize("classes", [2, 3])
def test_temperature_softens_overconfident_logits(classes):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((20000, 1)) > shares.cumsum(1)[:, :-1]).sum(1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert fit_temperature(0.5 * logits, labels) == pytest.approx(0.5, rel=0.05)


def test_temperature_counts_slices_by_their_weights():
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 8000)
    labels = (rng.random(8000) < 1 / (1 + np.exp(-odds))).astype(int)
    factor = np.where(np.arange(8000) < 4000, 2.0, 6.0)
    logits = np.stack([np.zeros(8000), factor * odds], 1)
    assert fit_temperature(logits, labels, (factor == 2).astype(float)) == pytest.approx(2, rel=0.1)
    assert fit_temperature(logits, labels, (factor == 6).astype(float)) == pytest.approx(6, rel=0.1)


def test_temperature_stays_sane_where_slices_say_little():
    right = np.array([[4.0, 0], [0, 3], [2, 0], [0, 5]])
    labels = np.array([0, 1, 0, 1])
    assert fit_temperature(right, labels) == 1  # without errors nothing limits the confidence
    many, doubt = np.repeat(right / 50, 500, axis=0), np.repeat(labels, 500)
    doubt[0] = 1 - doubt[0]  # underconfident, with one error in 2000
    assert fit_temperature(many, doubt) == pytest.approx(0.25, rel=1e-3)
    assert fit_temperature(50 * right, 1 - labels) == pytest.approx(10, rel=1e-3)
    assert fit_temperature(right, 0 * labels) == 1
    assert fit_temperature(right, labels, np.array([1.0, 0, 1, 0])) == 1  # what is left has one class
    assert fit_temperature(0 * right, labels) == 1
    assert fit_temperature(right[:0], labels[:0]) == 1


def test_temperature_refuses_what_are_no_logits():
    with pytest.raises(ValueError, match="shape"):
        fit_temperature(np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([[0, np.nan], [1, 0]]), np.array([0, 1]))


def test_the_threshold_lies_in_the_middle_of_the_best_gap():
    assert choose_threshold(np.array([0.1, 0.3, 0.7, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    assert choose_threshold(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.25)
    probability, truth = np.array([0.1, 0.3, 0.4, 0.6, 0.7, 0.85]), np.array([0, 1, 0, 0, 1, 1])
    assert choose_threshold(probability, truth) == pytest.approx(0.65)


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_chosen():
    truth = np.array([0, 1, 0, 1])  # the first gap and the last do equally well
    assert choose_threshold(np.array([0.1, 0.2, 0.6, 0.66]), truth) == pytest.approx(0.63)
    assert choose_threshold(np.array([0.3, 0.4, 0.8, 0.9]), truth) == pytest.approx(0.35)


def test_the_threshold_stays_away_from_0_and_1_and_is_one_half_without_evidence():
    assert choose_threshold(np.array([0.001, 0.002, 0.003]), np.array([0, 1, 1])) == 0.05
    assert choose_threshold(np.array([0.997, 0.998, 0.999]), np.array([0, 0, 1])) == 0.95
    for probability, truth in (([0.1, 0.2], [1, 1]), ([0.1, 0.2], [1, 0]), ([0.3, 0.3], [1, 0]), ([], [])):
        assert choose_threshold(np.array(probability), np.array(truth)) == 0.5


def test_the_threshold_is_that_of_the_best_balanced_accuracy():
    truth, score, _ = two_classes(decimals=5)
    weights = np.random.default_rng(0).random(len(truth))
    for w in (None, weights):
        sums = [metrics.balanced_accuracy_score(truth, score >= t, sample_weight=w) for t in np.unique(score)]
        chosen = score >= choose_threshold(score, truth, w)
        assert metrics.balanced_accuracy_score(truth, chosen, sample_weight=w) == pytest.approx(max(sums))


# -- the whole report -------------------------------------------------------------------------------


def test_rows_hold_the_figures_of_all_and_of_each_source():
    labels, table, patients, sources = scored()
    report = diagnosis_figures(labels, table, patients, sources, positive=1, threshold=0.4, rounds=100)
    assert [row["source"] for row in report["rows"]] == ["all", "a", "b", "c"]
    assert sum(row["slices"] for row in report["rows"][1:]) == report["rows"][0]["slices"] == 600
    for row in report["rows"]:
        here = np.ones(600, bool) if row["source"] == "all" else sources == row["source"]
        truth, score = labels[here], table[here, 1]
        assert row["patients"] == len(set(patients[here])) and row["positives"] == truth.sum()
        assert row["metrics"]["auc"]["value"] == pytest.approx(metrics.roc_auc_score(truth, score))
        assert row["metrics"]["precision"]["value"] == pytest.approx(metrics.precision_score(truth, score >= 0.4))
        assert row["metrics"]["ece"]["value"] == pytest.approx(reliability(truth, score).error)
        assert row["confusion"] == metrics.confusion_matrix(truth, score >= 0.4).tolist()
        for name, one in row["metrics"].items():
            assert name == "ece" or one["low"] <= one["value"] <= one["high"]
    assert report["threshold"] == 0.4 and report["positive"] == 1


def test_the_positive_class_may_be_any():
    labels, table, patients, sources = scored()
    row = diagnosis_figures(labels, table, patients, sources, positive=0, threshold=0.7, rounds=20)["rows"][0]
    called = table[:, 0] >= 0.7
    assert row["metrics"]["sensitivity"]["value"] == pytest.approx(metrics.recall_score(labels == 0, called))
    assert row["confusion"] == metrics.confusion_matrix(labels, np.where(called, 0, 1)).tolist()


def test_three_classes_have_figures_of_each_against_the_rest():
    labels, table, patients, sources = scored(classes=3)
    row = diagnosis_figures(labels, table, patients, sources, positive=2, rounds=100)["rows"][0]
    assert row["metrics"]["auc"] == {k: row["classes"][2]["auc"][k] for k in ("value", "low", "high")}
    for c, one in enumerate(row["classes"]):
        assert one["class"] == c and one["slices"] == np.sum(labels == c)
        assert one["auc"]["value"] == pytest.approx(metrics.roc_auc_score(labels == c, table[:, c]))
        assert one["ap"]["value"] == pytest.approx(metrics.average_precision_score(labels == c, table[:, c]))
    best = table.argmax(1)
    assert row["confusion"] == metrics.confusion_matrix(labels, best).tolist()
    overall = row["overall_accuracy"]
    assert overall["low"] < overall["value"] < overall["high"]
    assert overall["value"] == pytest.approx(np.mean(best == labels))


def test_undefined_figures_are_none_and_never_nan_in_json():
    labels, probability = np.array([1, 1, 0, 1]), np.array([0.2, 0.3, 0.1, 0.9])
    patients, sources = np.array(["p", "q", "r", "s"]), np.array(["sick", "sick", "clean", "sick"])
    report = diagnosis_figures(labels, np.stack([1 - probability, probability], 1), patients, sources, rounds=20)
    again = json.loads(json.dumps(report, allow_nan=False))
    assert again == report
    clean, sick = report["rows"][1:]
    nothing = {"value": None, "low": None, "high": None}
    assert clean["metrics"]["auc"] == clean["metrics"]["sensitivity"] == clean["metrics"]["precision"] == nothing
    assert clean["metrics"]["specificity"] == {"value": 1.0, "low": None, "high": None}  # of one patient
    assert sick["metrics"]["auc"] == sick["metrics"]["specificity"] == nothing
    assert sick["metrics"]["sensitivity"]["value"] == pytest.approx(1 / 3)
    assert sick["metrics"]["sensitivity"]["low"] == 0
    everything = report["rows"][0]["metrics"]
    assert everything["auc"] == {"value": 1.0, "low": None, "high": None}  # one patient alone is negative
    assert everything["accuracy"]["low"] < everything["accuracy"]["high"]


def test_figures_of_one_class_have_no_interval_where_it_is_of_one_patient():
    labels, patients = np.array([1, 1, 0, 0, 0, 0]), np.array(["p", "p", "q", "q", "r", "s"])
    probability = np.array([0.9, 0.3, 0.6, 0.2, 0.7, 0.1])
    for positive, without, with_one in ((1, "sensitivity", "specificity"), (0, "specificity", "sensitivity")):
        table = np.stack([1 - probability, probability], 1)
        report = diagnosis_figures(labels, table, patients, np.full(6, "a"), positive=positive)
        found = report["rows"][0]["metrics"]
        assert found[without] == {"value": 0.5, "low": None, "high": None}
        assert found[with_one]["low"] < found[with_one]["value"] < found[with_one]["high"]
        assert found["auc"]["low"] is None and found["auc"]["value"] == pytest.approx(0.75)


def test_a_report_of_no_slices_has_figures_of_none():
    report = diagnosis_figures(np.zeros(0, int), np.zeros((0, 3)), np.zeros(0, str), np.zeros(0, str))
    (row,) = json.loads(json.dumps(report, allow_nan=False))["rows"]
    assert row["slices"] == row["patients"] == 0
    assert all(one["value"] is None for one in row["metrics"].values())
    assert row["confusion"] == [[0] * 3] * 3


def test_the_same_seed_gives_the_same_intervals():
    labels, table, patients, sources = scored()
    first, second, other = (diagnosis_figures(labels, table, patients, sources, seed=seed) for seed in (1, 1, 2))
    assert first == second != other


def test_reports_of_five_thousand_slices_take_seconds():
    arrays = scored(n=5000, decimals=6)
    start = time.perf_counter()
    diagnosis_figures(*arrays, rounds=400)
    assert time.perf_counter() - start < 8  # 0.3 s on an idle core


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": np.full(4, 0.5)}, "table"),
        ({"probabilities": np.full((3, 2), 0.5)}, "same slices"),
        ({"probabilities": np.full((4, 2), np.nan)}, "finite"),
        ({"truth_labels": np.array([0, 1, 2, 0])}, "indices of 2 classes"),
        ({"positive": 2}, "indices of 2 classes"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    good = {"truth_labels": np.array([0, 1, 1, 0]), "probabilities": np.full((4, 2), 0.5),
            "patients": np.arange(4), "sources": np.full(4, "a")}  # fmt: skip
    diagnosis_figures(**good, rounds=2)
    with pytest.raises(ValueError, match=message):
        diagnosis_figures(**{**good, **change})


def test_the_most_confident_errors_come_first():
    truth, probability = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0.6, 0.9, 0.2, 0.4, 0.1, 0.8, 0.3])
    false_positives, false_negatives = most_confident_errors(truth, probability)
    assert false_positives.tolist() == [1, 0]
    assert false_negatives.tolist() == [4, 6, 3]
    assert [len(rows) for rows in most_confident_errors(truth, probability, 0.5, 1)] == [1, 1]
    assert most_confident_errors(truth, probability, 0.05)[1].tolist() == []
