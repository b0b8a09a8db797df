"""Patients stay on one side, every class is on both sides, and the sides have their shares."""

import time
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from helpers_volume import refusal
from LesionAnalysisTrainingLib.dataset import TEST, TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.dataset.splits import split_at_random, split_by_patient
from LesionAnalysisTrainingLib.training_config import TrainingConfig


def rows(patients, source="s", split=None):
    """Samples from {patient: {label: count}}."""
    return [Sample(f"{p}-{c}-{i}", c, f"{source}/{p}", source, split)
            for p, counts in patients.items() for c, n in counts.items() for i in range(n)]  # fmt: skip


def sides(samples):
    found = defaultdict(set)
    for s in samples:
        found[s.patient].add(s.split)
    return found


def shares(samples):
    return {split: np.mean([s.split == split for s in samples]) for split in (TRAIN, VALIDATION, TEST)}


def complete(samples):
    """Whether every class is in training and in validation."""
    there = {(s.label, s.split) for s in samples}
    return all((c, side) in there for c in {s.label for s in samples} for side in (TRAIN, VALIDATION))


def test_patients_stay_together_and_the_shares_are_near():
    many = rows({p: {p % 2: 1 + p % 4} for p in range(200)})
    done = split_by_patient(many, 0.2, 0.1)
    assert all(len(v) == 1 for v in sides(done).values())
    assert shares(done)[VALIDATION] == pytest.approx(0.2, abs=0.03)
    assert shares(done)[TEST] == pytest.approx(0.1, abs=0.03)
    assert [s.path for s in done] == [s.path for s in many]


def test_every_source_and_class_gives_to_validation():
    many = [s for name in "ab" for s in rows({f"{c}{p}": {c: 2} for c in (0, 1) for p in range(20)}, name)]
    done = split_by_patient(many, 0.2)
    for source, label in product("ab", (0, 1)):
        part = [s for s in done if (s.source, s.label) == (source, label)]
        assert shares(part)[VALIDATION] == pytest.approx(0.2, abs=0.05)


def test_a_seed_repeats_its_split_and_another_differs():
    many = rows({p: {p % 2: 1} for p in range(60)})
    assert split_by_patient(many, seed=3) == split_by_patient(many, seed=3) != split_by_patient(many, seed=4)


def test_given_splits_are_kept_and_only_the_rest_is_split():
    given = rows({"a": {0: 2}, "b": {1: 2}}, split=TRAIN) + rows({"c": {0: 1}, "d": {1: 1}}, split=VALIDATION)
    assert split_by_patient(given, 0.5) == given
    done = split_by_patient(given + rows({f"n{p}": {p % 2: 1} for p in range(40)}), 0.25)
    assert done[: len(given)] == given
    assert shares(done[len(given) :])[VALIDATION] == pytest.approx(0.25, abs=0.06)


def test_a_patient_with_one_given_slice_takes_the_others_along():
    torn = rows({"a": {0: 1}}, split=TEST) + rows({"a": {0: 3}}) + rows({f"n{p}": {p % 2: 1} for p in range(10)})
    assert sides(split_by_patient(torn))["s/a"] == {TEST}


def test_a_patient_in_two_splits_is_refused_by_name():
    torn = rows({"anna": {0: 1}}, split=TRAIN) + rows({"anna": {0: 1}}, split=VALIDATION)
    assert "s/anna" in refusal(lambda: split_by_patient(torn))


@pytest.mark.parametrize("seed", range(5))
def test_two_patients_a_class_are_enough(seed):
    few = rows({"a": {0: 30}, "b": {0: 2}, "c": {1: 5}, "d": {1: 50}, "e": {2: 9}, "f": {2: 9}})
    done = split_by_patient(few, 0.15, 0.05, seed)
    assert complete(done)
    assert sides(done)["s/b"] == sides(done)["s/c"] == {VALIDATION}  # those with the fewest slices move


@pytest.mark.parametrize("seed", range(5))
def test_patients_with_several_classes_leave_none_out(seed):
    mixed = rows({"a": {0: 9, 1: 1}, "b": {1: 8}, "c": {0: 7}, "d": {0: 1, 1: 9}})
    done = split_by_patient(mixed, 0.2, seed=seed)
    assert complete(done)
    assert all(len(v) == 1 for v in sides(done).values())


def test_all_small_mixtures_of_patients_are_split_where_that_is_possible():
    kinds = [{0: 2}, {1: 2}, {0: 3, 1: 1}, {0: 1, 1: 3}]
    for count in (2, 3, 4):
        for chosen in product(kinds, repeat=count):
            samples = rows(dict(enumerate(chosen)))
            patients = sorted({s.patient for s in samples})
            possible = len({s.label for s in samples}) == 2 and any(
                complete([Sample(s.path, s.label, s.patient, "s", where[patients.index(s.patient)]) for s in samples])
                for where in product((TRAIN, VALIDATION), repeat=count))  # fmt: skip
            if possible:
                assert complete(split_by_patient(samples, 0.2)), chosen


def test_a_class_of_one_patient_is_refused_with_names():
    message = refusal(lambda: split_by_patient(rows({"a": {0: 5}, "b": {0: 5}, "lone": {1: 5}}),
                                               classes=("healthy", "COVID")))  # fmt: skip
    assert "COVID" in message and "s/lone" in message


def test_given_splits_that_leave_a_class_out_are_refused():
    given = rows({"a": {0: 1}, "b": {1: 1}, "c": {1: 1}}, split=TRAIN) + rows({"d": {0: 1}}, split=VALIDATION)
    message = refusal(lambda: split_by_patient(given, classes=("healthy", "COVID")))
    assert "COVID" in message and "validation" in message and "s/b" in message


def test_classes_that_share_their_patients_too_much_are_refused():
    triangle = rows({"a": {0: 1, 1: 1}, "b": {1: 1, 2: 1}, "c": {0: 1, 2: 1}})
    assert "add patients" in refusal(lambda: split_by_patient(triangle))


def test_one_large_patient_is_not_the_validation():
    done = split_by_patient(rows({"huge": {0: 500}, **{p: {0: 1} for p in range(100)}, **{f"x{p}": {1: 1}
                                  for p in range(20)}}), 0.15)  # fmt: skip
    assert sides(done)["s/huge"] == {TRAIN}


def test_ten_thousand_patients_take_seconds():
    many = rows({p: {p % 3: 5} for p in range(10_000)})
    start = time.monotonic()
    assert complete(split_by_patient(many, 0.1, 0.1))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("split", [split_by_patient, split_at_random])
def test_the_paper_recipe_trains_on_80_tests_on_15_and_validates_on_5_percent(split):
    paper = TrainingConfig.paper()
    done = split(rows({p: {p % 2: 5} for p in range(400)}), paper.validation_share, paper.test_share)
    assert shares(done) == pytest.approx({TRAIN: 0.80, VALIDATION: 0.05, TEST: 0.15}, abs=0.01)


def test_the_random_split_separates_slices_of_patients_and_keeps_given_splits():
    given = rows({"g": {0: 4}}, split=TEST)
    done = split_at_random(given + rows({p: {p % 2: 20} for p in range(20)}), 0.15, 0.05)
    assert done[:4] == given
    assert sum(len(v) > 1 for v in sides(done[4:]).values()) > 10
    assert shares(done[4:])[VALIDATION] == pytest.approx(0.15, abs=0.01)
    assert shares(done[4:])[TEST] == pytest.approx(0.05, abs=0.01)
    assert complete(done[4:])


def test_the_random_split_of_two_slices_has_one_on_each_side():
    assert complete(split_at_random(rows({"a": {0: 2}, "b": {1: 2}}), 0.15, 0.4))
    assert "validation" in refusal(lambda: split_at_random(rows({"a": {0: 2}, "b": {1: 1}})))
