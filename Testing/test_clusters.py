"""Promises of the lesion clusters, the lesion score and the choice of K."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from LesionAnalysisLib.lesions.clusters import LesionClusters, choose_k
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score, silhouette_score

# Two lesions at 0 and 2, four at 10 to 16: the centers are 1 and 13 in one dimension.
LINE = np.array([[0.0], [2], [10], [12], [14], [16]])


def groups(k=3, n=30, features=16, spread=1.0, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 10, (k, features))
    truth = np.repeat(np.arange(k), n)
    return centers[truth] + rng.normal(0, spread, (k * n, features)), truth


def clusters_at(*centers) -> LesionClusters:
    clusters = LesionClusters(len(centers))
    clusters.cluster_centers_ = np.array(centers, dtype=float)
    return clusters


# --- k-means ---------------------------------------------------------------------------------------------


def test_centers_and_inertia_by_hand():
    clusters = LesionClusters(2).fit(LINE)
    assert clusters.cluster_centers_.tolist() == [[13], [1]]  # the most populous first
    assert clusters.counts_.tolist() == [4, 2]
    assert clusters.labels_.tolist() == [1, 1, 0, 0, 0, 0]
    assert clusters.inertia_ == pytest.approx(1 + 1 + 9 + 1 + 1 + 9)
    assert clusters.predict([[0.0], [6.9], [7.1], [99]]).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_clusters_equal_scikit_learns(k):
    features, _ = groups(spread=6)
    ours = LesionClusters(k, n_init=10, random_state=0).fit(features)
    theirs = KMeans(k, n_init=10, random_state=0).fit(features)
    assert ours.inertia_ == pytest.approx(theirs.inertia_)
    assert adjusted_rand_score(ours.labels_, theirs.labels_) == 1
    assert np.array_equal(ours.labels_, ours.predict(features))
    new = features + 0.5
    expected = np.sort(theirs.transform(new), axis=1)
    np.testing.assert_allclose(np.sort(ours.transform(new), axis=1), expected, rtol=1e-9)


def test_groups_are_numbered_by_size():
    features, truth = groups()
    clusters = LesionClusters(3).fit(np.concatenate([features, features[truth == 2]]))
    assert adjusted_rand_score(truth, clusters.labels_[: len(truth)]) == 1
    assert (np.diff(clusters.counts_) <= 0).all()
    assert (clusters.predict(features[truth == 2]) == 0).all()


def test_the_same_seed_gives_the_same_clusters_in_float32_too():
    features, _ = groups(spread=8)
    a = LesionClusters(3, random_state=5).fit(features)
    b = LesionClusters(3, random_state=5).fit(features.astype(np.float32).astype(float))
    assert np.array_equal(a.labels_, b.labels_)
    assert np.array_equal(a.cluster_centers_, LesionClusters(3, random_state=5).fit(features).cluster_centers_)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lesions", [0, 1, 2])
def test_fewer_lesions_than_clusters_is_an_error(lesions):
    with pytest.raises(ValueError, match=rf"3 clusters need at least 3 .* but there are {lesions}"):
        LesionClusters(3).fit(np.eye(4)[:lesions])


@pytest.mark.filterwarnings("error")
def test_identical_lesions_count_once():
    features = np.repeat(np.eye(4)[:2], 10, axis=0)
    assert LesionClusters(2).fit(features).inertia_ == pytest.approx(0)
    with pytest.raises(ValueError, match="but there are 2"):
        LesionClusters(3).fit(features)


def test_as_many_clusters_as_lesions_are_possible():
    clusters = LesionClusters(3).fit(np.eye(3))
    assert sorted(clusters.predict(np.eye(3))) == [0, 1, 2] and clusters.inertia_ == pytest.approx(0)


def test_clusters_are_a_scikit_learn_estimator():
    features, _ = groups()
    again = clone(LesionClusters(3, n_init=4, random_state=7).fit(features))
    assert again.get_params() == {"n_clusters": 3, "n_init": 4, "random_state": 7}
    assert not hasattr(again, "cluster_centers_")
    assert np.array_equal(again.fit_predict(features), again.labels_)


# --- scores ----------------------------------------------------------------------------------------------


def test_scores_by_hand():
    clusters = clusters_at([0.0, 0], [3, 4])  # distances from the origin: 0 and 5
    origin = np.zeros((1, 2))
    assert clusters.transform(origin).tolist() == [[0, 5]]
    near = 1 / (1 + np.exp(-5))
    np.testing.assert_allclose(clusters.predict_proba(origin), [[near, 1 - near]])
    np.testing.assert_allclose(clusters.margin(origin), [2 * near - 1])
    np.testing.assert_allclose(clusters.paper_score(origin), [1 - near])


def test_distance_is_euclidean_and_not_squared():
    assert clusters_at([0.0, 0]).transform([[3, 4]]).tolist() == [[5]]


def test_equation_10_as_printed_is_the_least_likely_clusters_probability():
    clusters = clusters_at([0.0], [1], [2])
    x = np.array([[0.3], [-5], [1]])
    weights = np.exp(-np.abs(x - [[0.0, 1, 2]]))
    np.testing.assert_allclose(clusters.paper_score(x), (weights / weights.sum(1, keepdims=True)).min(axis=1))


def test_the_papers_score_falls_as_membership_grows_clearer():
    clusters = clusters_at([0.0], [10])
    x = np.array([[5.0], [4], [3], [2], [1], [0]])
    assert (np.diff(clusters.paper_score(x)) < 0).all()
    assert (np.diff(clusters.predict_proba(x).max(axis=1)) > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", [5_000.0, 1e8])
def test_large_distances_do_not_underflow(distance):
    clusters = clusters_at([0.0], [3])  # from the far left: d and d + 3
    x = np.array([[-distance]])
    assert np.exp(-distance) == 0  # the plain formula would divide zero by zero
    near = 1 / (1 + np.exp(-3))
    np.testing.assert_allclose(clusters.predict_proba(x), [[near, 1 - near]], rtol=1e-6)
    np.testing.assert_allclose(clusters.margin(x), [2 * near - 1], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_clusters_far_apart_give_scores_of_one_and_zero():
    clusters = clusters_at([0.0], [5000])
    x = np.array([[0.0]])
    assert clusters.predict_proba(x).tolist() == [[1, 0]]
    assert clusters.margin(x).tolist() == [1] and clusters.paper_score(x).tolist() == [0]


def test_a_tie_goes_to_the_first_cluster_with_no_margin():
    clusters = clusters_at([0.0], [2], [4])
    x = np.array([[1.0]])
    assert clusters.predict(x).tolist() == [0]
    assert clusters.margin(x).tolist() == [0]
    scores = clusters.predict_proba(x)
    assert scores[0, 0] == scores[0, 1] > scores[0, 2]


def test_one_cluster_is_certain():
    clusters = LesionClusters(1).fit(LINE)
    assert clusters.cluster_centers_.tolist() == [[9]]
    for number in (clusters.predict_proba(LINE)[:, 0], clusters.margin(LINE), clusters.paper_score(LINE)):
        assert number.tolist() == [1] * 6


@pytest.mark.parametrize("k", [1, 2, 5])
def test_scores_add_up_to_one_and_the_nearest_scores_best(k):
    features, _ = groups(spread=5)
    clusters = LesionClusters(k).fit(features)
    scores = clusters.predict_proba(features)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert np.array_equal(scores.argmax(axis=1), clusters.predict(features))
    assert ((clusters.margin(features) >= 0) & (clusters.margin(features) <= 1)).all()


def test_a_slice_without_lesions_has_no_scores():
    clusters, none = clusters_at([0.0, 0], [3, 4]), np.zeros((0, 2))
    for numbers in (clusters.predict(none), clusters.margin(none), clusters.paper_score(none)):
        assert numbers.shape == (0,)
    assert clusters.predict_proba(none).shape == (0, 2)


def test_wrong_features_are_errors():
    clusters = clusters_at([0.0, 0], [3, 4])
    with pytest.raises(ValueError, match="same model"):
        clusters.predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="table"):
        clusters.predict(np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        clusters.predict([[np.nan, 0]])
    with pytest.raises(ValueError, match="finite"):
        LesionClusters(1).fit([[np.inf, 0]])
    with pytest.raises(ValueError, match="at least one cluster"):
        LesionClusters(0).fit(LINE)
    with pytest.raises(NotFittedError):
        LesionClusters(2).predict(LINE)
    with pytest.raises(NotFittedError):
        LesionClusters(2).to_arrays()


# --- storage ---------------------------------------------------------------------------------------------


def test_clusters_come_back_from_a_file_without_pickle():
    features, _ = groups()
    clusters = LesionClusters(3, n_init=4, random_state=7).fit(features)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **clusters.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = LesionClusters.from_arrays(arrays)
    assert (again.n_clusters, again.n_init, again.random_state) == (3, 4, 7)
    assert again.inertia_ == clusters.inertia_ and np.array_equal(again.counts_, clusters.counts_)
    assert np.array_equal(again.predict_proba(features), clusters.predict_proba(features))


def test_damaged_clusters_are_refused():
    good = LesionClusters(2).fit(LINE).to_arrays()
    for name in good:
        with pytest.raises(ValueError, match="incomplete"):
            LesionClusters.from_arrays({key: value for key, value in good.items() if key != name})
    for damage in ({"centers": np.zeros(3)}, {"centers": np.full((2, 1), np.nan)}, {"counts": np.zeros(5)}):
        with pytest.raises(ValueError, match="damaged"):
            LesionClusters.from_arrays({**good, **damage})


# --- choice of K -----------------------------------------------------------------------------------------


def test_the_elbow_is_farthest_from_the_chord():
    choice = choose_k(LINE, k_max=4, n_bootstraps=0)
    # By hand: 1 cluster 214, 2 clusters 22; three are {0, 2}, {10, 12}, {14, 16}: 6; four split one pair: 4.
    np.testing.assert_allclose(choice.inertias, [214, 22, 6, 4])
    # The chord falls by 70: 214, 144, 74, 4; below it: 0, 122, 68, 0.
    assert choice.ks.tolist() == [1, 2, 3, 4] and choice.k == 2
    assert np.isnan(choice.stability).all()


@pytest.mark.parametrize("k", [2, 3, 4])
def test_clear_groups_are_counted_correctly_by_every_criterion(k):
    features, _ = groups(k)
    choice = choose_k(features, k_max=10, n_bootstraps=5)
    assert choice.k == k
    assert choice.ks[np.nanargmax(choice.silhouettes)] == k
    assert choice.stability[k - 1] == 1 and np.isnan(choice.stability[0])
    assert choice.stability[k + 2] < 1
    expected = silhouette_score(features, KMeans(k, n_init=10, random_state=0).fit_predict(features))
    assert choice.silhouettes[k - 1] == pytest.approx(expected)


def test_the_choice_is_reproducible():
    features, _ = groups(spread=8)
    a, b = (choose_k(features, k_max=5, n_bootstraps=3) for _ in range(2))
    np.testing.assert_array_equal(a.stability, b.stability)
    np.testing.assert_array_equal(a.inertias, b.inertias)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_lesions_are_enough_to_choose_k(n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choice = choose_k(groups(1, n)[0], k_max=12, n_bootstraps=3)
    assert choice.ks.tolist() == list(range(1, n + 1)) and 1 <= choice.k <= n
    for values in (choice.inertias, choice.silhouettes, choice.stability):
        assert values.shape == (n,)
    assert np.isnan(choice.silhouettes[[0, -1]]).all()


def test_identical_lesions_are_one_cluster():
    choice = choose_k(np.ones((10, 4)), k_max=5)
    assert choice.k == 1 and choice.ks.tolist() == [1]


def test_no_lesion_and_no_cluster_are_errors():
    with pytest.raises(ValueError, match="no lesion"):
        choose_k(np.zeros((0, 4)), k_max=5)
    with pytest.raises(ValueError, match="at least 1"):
        choose_k(LINE, k_max=0)
