"""Comparing models, classes and lesion types, each against a hand-worked example or scikit-learn."""

import numpy as np
import pytest
from LesionAnalysisTrainingLib.metrics.diagnosis_metrics import (
    class_figures,
    confusion_matrix,
    decide,
    threshold_table,
)
from LesionAnalysisTrainingLib.metrics.identification_metrics import (
    assign_clusters,
    balanced_accuracy,
    halves,
    identify,
    lesion_type,
    type_figures,
)
from LesionAnalysisTrainingLib.metrics.significance import auc_difference, delong, mcnemar
from sklearn import metrics as sk

# Two models on the same slices


def test_mcnemar_is_the_exact_binomial_test_of_slices_that_one_model_alone_classifies_correctly():
    first = np.array([True] * 1 + [False] * 9 + [True] * 20 + [False] * 3)
    second = np.array([False] * 1 + [True] * 9 + [True] * 20 + [False] * 3)
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (1, 9)
    assert found.p == pytest.approx(2 * (1 + 10) / 2**10)  # at most 1 of 10 heads, or at least 9
    assert mcnemar(first, first).p == 1


def test_delong_gives_the_areas_of_scikit_learn_and_the_variance_of_its_definition():
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [14, 21])
    first = np.round(truth + rng.normal(0, 1.0, 35), 1)  # with ties
    second = np.round(truth + rng.normal(0, 1.6, 35), 1)
    found = delong(truth, first, second)
    assert found.first == pytest.approx(sk.roc_auc_score(truth, first))
    assert found.second == pytest.approx(sk.roc_auc_score(truth, second))
    kernels = []
    for score in (first, second):  # DeLong 1988, pair by pair
        x, y = score[truth == 1][:, None], score[truth == 0][None]
        kernels.append((x > y) + 0.5 * (x == y))
    s10 = np.cov([k.mean(1) for k in kernels])
    s01 = np.cov([k.mean(0) for k in kernels])
    s = s10 / 14 + s01 / 21
    spread = np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])
    assert found.high - found.difference == pytest.approx(1.959964 * spread, rel=1e-5)
    assert 0 < found.p < 1


def test_delong_of_a_model_with_itself_finds_no_difference_and_of_a_single_class_nan():
    score = np.array([0.1, 0.4, 0.35, 0.8])
    same = delong([0, 0, 1, 1], score, score)
    assert same.difference == 0 and same.p == 1
    assert np.isnan(delong([1, 1, 1, 1], score, score).p)
    with pytest.raises(ValueError, match="same slices"):
        delong([1, 0], score, score)


def test_difference_of_areas_has_an_interval_over_patients_only_where_there_are_several():
    truth, first = np.array([1, 1, 0, 0]), np.array([0.9, 0.8, 0.2, 0.1])
    found = auc_difference(truth, first, 1 - first, np.array(["a", "b", "c", "d"]))
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert np.isnan(auc_difference(truth, first, 1 - first, np.array(["a", "a", "c", "d"])).low)


# Classes


def test_of_two_classes_the_threshold_decides_and_of_three_the_largest_probability():
    assert decide([[0.6, 0.4], [0.7, 0.3]], 1, 0.35).tolist() == [1, 0]
    assert decide([[0.4, 0.35, 0.25]], 2, 0.1).tolist() == [0]


def test_figures_of_each_class_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 60)
    table = rng.dirichlet([1, 1, 1], 60) + 0.4 * np.eye(3)[truth]
    table /= table.sum(1, keepdims=True)
    rows = class_figures(truth, table, np.arange(60).astype(str), 2, 0.5, rounds=20)
    given = table.argmax(1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, given)
    for c, row in enumerate(rows):
        found = {name: one["value"] for name, one in row["metrics"].items()}
        assert found["precision"] == pytest.approx(precision[c]) and found["sensitivity"] == pytest.approx(recall[c])
        assert found["f1"] == pytest.approx(f1[c])
        assert found["auc"] == pytest.approx(sk.roc_auc_score(truth == c, table[:, c]))
        assert found["ap"] == pytest.approx(sk.average_precision_score(truth == c, table[:, c]))
        assert row["metrics"]["auc"]["low"] <= found["auc"] <= row["metrics"]["auc"]["high"]


def test_fewer_slices_are_recognized_the_higher_the_threshold_and_all_likeliest_ones_below_a_third():
    truth = np.array([0, 0, 1, 2])
    table = np.array([[0.95, 0.03, 0.02], [0.4, 0.35, 0.25], [0.1, 0.85, 0.05], [0.5, 0.1, 0.4]])
    rows = {row["threshold"]: row for row in threshold_table(truth, table)}
    assert rows[0.1]["recognized"] == rows[0.3]["recognized"] == [1, 1, 0]
    assert rows[0.5]["recognized"] == [0.5, 1, 0]
    assert rows[0.9]["recognized"] == [0.5, 0, 0]
    assert rows[0.1]["accuracy"] == [0.75, 1, 0.75]


# Lesion types


def test_table_7_with_columns_as_truth_gives_the_papers_sensitivities_and_the_corrected_specificities():
    printed = np.array([[51, 3, 1], [2, 4, 1], [1, 2, 12]])  # rows detected, columns truth
    found = type_figures(printed.T)
    assert 100 * found["sensitivity"] == pytest.approx([94.44, 44.44, 85.71], abs=0.01)
    assert 100 * found["specificity"] == pytest.approx([82.61, 95.59, 95.24], abs=0.01)
    assert found["accuracy"] == pytest.approx(67 / 77)


def test_lesions_are_partial_between_ten_and_eighty_percent_of_consolidation():
    assert [lesion_type(s, 3) for s in (0, 0.09, 0.1, 0.8, 0.81, 1)] == [0, 0, 1, 1, 2, 2]
    assert [lesion_type(s) for s in (0.5, 0.51)] == [0, 1]
    with pytest.raises(ValueError, match="2 or 3 types"):
        lesion_type(0.5, 4)


def test_clusters_stand_for_the_types_that_match_best():
    types, clusters = np.array([0] * 6 + [1] * 4), np.array([1, 1, 1, 1, 1, 0] + [0, 0, 0, 1])
    assert assign_clusters(types, clusters, 2, 2).tolist() == [1, 0]
    # a rare type gets a cluster all the same; a spare cluster goes to the type of whose lesions it holds more
    types, clusters = np.array([0] * 90 + [1] * 3), np.array([0] * 50 + [1] * 39 + [2] + [2] * 2 + [1])
    assert assign_clusters(types, clusters, 2, 3).tolist() == [0, 0, 1]
    assert assign_clusters(np.array([0, 1, 2]), np.array([0, 0, 1]), 3, 2).shape == (2,)


def test_clusters_are_assigned_on_one_half_and_measured_on_the_other():
    groups = np.repeat(list("abcdefgh"), 4)
    first = halves(groups)
    assert all(len(set(first[groups == g])) == 1 for g in "abcdefgh") and first.sum() == 16
    types = np.tile([0, 0, 1, 1], 8)
    given, _ = identify(types, 1 - types, groups, 2, 2)
    assert given.tolist() == types.tolist()  # clusters are numbered the other way round
    swapped = np.where(first, types, 1 - types)  # what one half teaches is wrong in the other
    assert (identify(types, swapped, groups, 2, 2)[0] != types).all()
    with pytest.raises(ValueError, match="at least two slices or patients"):
        identify(types, types, np.zeros(32), 2, 2)


def test_balanced_accuracy_is_the_mean_sensitivity_and_has_an_interval_over_groups():
    types, given = np.array([0] * 8 + [1] * 2), np.array([0] * 8 + [1, 0])
    found = balanced_accuracy(types, given, np.arange(10))
    assert found.value == pytest.approx(sk.balanced_accuracy_score(types, given)) == 0.75
    assert found.low <= 0.75 <= found.high
    assert np.isnan(balanced_accuracy(types, given, np.zeros(10)).low)
    assert type_figures(confusion_matrix(types, given, 2))["balanced_accuracy"] == 0.75
