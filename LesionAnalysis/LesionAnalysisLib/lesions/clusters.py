"""Lesion clusters and the lesion score (section 3.2.3): k-means on the features of the lesions.

    clusters = LesionClusters(n_clusters=3).fit(features)     # (n, F) of all training lesions
    clusters.predict(new), clusters.scores(new)               # which cluster (from 0), how surely

Scikit-learn is needed to fit, not to use what was fitted: a bundle's clusters are plain arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import log_softmax


class LesionClusters:
    """Lesion types as k-means centers in feature space, in the manner of a scikit-learn estimator.

    Args:
        n_clusters: K, the number of lesion types.
        n_init: how often k-means starts anew; the best run counts.
        random_state: seed of the starts.

    Attributes (after ``fit``):
        centers_: (K, F) float64, the most populous cluster first.
        counts_: (K,) number of training lesions in each.
        labels_: (n,) cluster of each training lesion, from 0 (not stored in a bundle).
        inertia_: sum of squared distances to the nearest center.
    """

    def __init__(self, n_clusters: int = 2, n_init: int = 10, random_state: int = 0):
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, features: np.ndarray) -> LesionClusters:
        """Find the centers of the lesions' features (n, F), raw: not scaled.

        Raises:
            ValueError: fewer (different) lesions than clusters, or features that are not finite numbers.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        features = _checked(features)
        if self.n_clusters < 1:
            raise ValueError(f"Lesions need at least one cluster, not {self.n_clusters}.")
        if len(features) < self.n_clusters:
            raise ValueError(_too_few(self.n_clusters, len(features)))
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, random_state=self.random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of too few points: an error below
            kmeans.fit(features)
        counts = np.bincount(kmeans.labels_, minlength=self.n_clusters)
        if (counts == 0).any():  # more clusters than different points
            raise ValueError(_too_few(self.n_clusters, np.count_nonzero(counts)))
        order = np.argsort(-counts, kind="stable")  # so that cluster 1 is the commonest, whatever the seed
        self.centers_ = kmeans.cluster_centers_[order]
        self.counts_ = counts[order]
        self.labels_ = np.argsort(order)[kmeans.labels_]
        self.inertia_ = float(kmeans.inertia_)
        return self

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Euclidean distances d(i, k) to the centers: (n, F) -> (n, K) float64.

        Raises:
            RuntimeError: before ``fit``.
            ValueError: features of another length than the centers, or not finite numbers.
        """
        if not hasattr(self, "centers_"):
            raise RuntimeError("These lesion clusters have no centers yet: call fit, or load a model.")
        features = _checked(features)
        if features.shape[1] != self.centers_.shape[1]:
            raise ValueError(
                f"Lesions of {features.shape[1]} features do not fit clusters of {self.centers_.shape[1]}: "
                "take network and clusters from the same model."
            )
        return cdist(features, self.centers_)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The nearest cluster, from 0; the first of equally near ones: (n, F) -> (n,)."""
        return self.distances(features).argmin(axis=1)

    def log_scores(self, features: np.ndarray) -> np.ndarray:
        """Logarithm of ``scores``, which keeps its meaning where they round to 0: (n, F) -> (n, K)."""
        return log_softmax(-self.distances(features), axis=1)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """softmax(-d): how likely each cluster is, in 0..1, rows adding up to 1: (n, F) -> (n, K).

        Distances in 2048 dimensions run into the thousands, where exp(-d) is 0 for every cluster;
        the log-softmax sees only their differences.
        """
        return np.exp(self.log_scores(features))

    def margin(self, features: np.ndarray) -> np.ndarray:
        """The best cluster's score minus the second best's, 0..1 (1 if there is one cluster): -> (n,)."""
        scores = np.sort(self.scores(features), axis=1)
        return scores[:, -1] - scores[:, -2] if scores.shape[1] > 1 else scores[:, -1]

    def paper_score(self, features: np.ndarray) -> np.ndarray:
        """Equation 10 as printed: the score of the *least* likely cluster, min over k: -> (n,).

        It falls as the lesion's membership grows clearer, as the paper says below the equation.
        ``scores(...).max(axis=1)`` is the number that readers expect.
        """
        return self.scores(features).min(axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What was learnt, as plain arrays for ``numpy.savez``: no pickles.

        Raises:
            RuntimeError: before ``fit``.
        """
        if not hasattr(self, "centers_"):
            raise RuntimeError("Only fitted lesion clusters can be stored: call fit first.")
        return {
            "centers": self.centers_,
            "counts": self.counts_,
            "inertia": np.array(self.inertia_),
            "n_init": np.array(self.n_init),
            "random_state": np.array(self.random_state),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LesionClusters:
        """The inverse of ``to_arrays``; takes what ``numpy.load(..., allow_pickle=False)`` gives.

        Raises:
            ValueError: arrays that are missing or do not describe clusters.
        """
        try:
            centers = np.asarray(arrays["centers"], dtype=np.float64)
            counts = np.asarray(arrays["counts"], dtype=np.int64)
            inertia, n_init, seed = (
                np.asarray(arrays[key]).item() for key in ("inertia", "n_init", "random_state")
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError("The model's lesion clusters are incomplete: get the model again.") from error
        table = centers.ndim == 2 and 0 not in centers.shape and counts.shape == centers.shape[:1]
        with np.errstate(over="ignore"):
            usable = table and np.isfinite(np.square(centers).sum())  # distances to them are numbers, too
        if not (usable and np.isfinite([n_init, seed, inertia]).all()):
            raise ValueError("The model's lesion clusters are damaged: get the model again.")
        clusters = cls(len(centers), n_init=int(n_init), random_state=int(seed))
        clusters.centers_, clusters.counts_, clusters.inertia_ = centers, counts, float(inertia)
        return clusters


@dataclass(frozen=True, eq=False)
class KChoice:
    """How well each number of clusters fits; every array has one value for each of ``ks``."""

    k: int  # by the elbow
    ks: np.ndarray  # 1, 2, ...
    inertias: np.ndarray  # sums of squared distances
    silhouettes: np.ndarray  # mean silhouette, -1..1; NaN for k = 1 and k = n, where there is none
    stability: np.ndarray  # mean adjusted Rand index of bootstraps, 1 = same clusters always; NaN for k = 1


def choose_k(
    features: np.ndarray,
    k_max: int = 20,
    n_init: int = 10,
    n_bootstraps: int = 10,
    random_state: int = 0,
) -> KChoice:
    """Choose the number of clusters by the elbow of the inertias (section 6.3).

    The elbow is the K whose inertia lies farthest below the chord from the first to the last; distance
    along the inertia axis will do, since it is a constant multiple of the distance at right angles.
    Silhouette and stability are there to judge it by. Stability: clusters fitted on lesions drawn with
    replacement, applied to all, compared with the clusters of all by the adjusted Rand index.

    Args:
        features: (n, F) of the lesions.
        k_max: largest K tried; fewer where there are fewer (different) lesions.
        n_init: starts of k-means for each K; bootstraps use fewer.
        n_bootstraps: 0 for none (stability NaN).
        random_state: seed of everything.

    Raises:
        ValueError: no lesions, or k_max below 1.
    """
    features = _checked(features)
    if len(features) == 0:
        raise ValueError("There is no lesion to choose the number of clusters by: give more positive slices.")
    if k_max < 1:
        raise ValueError(f"The largest number of clusters must be at least 1, not {k_max}.")
    fits: list[LesionClusters] = []
    for k in range(1, min(k_max, len(features)) + 1):
        try:
            fits.append(LesionClusters(k, n_init, random_state).fit(features))
        except ValueError:  # as many clusters as different lesions were found already
            break
    inertias = np.array([fit.inertia_ for fit in fits])
    rng = np.random.default_rng(random_state)
    return KChoice(
        k=1 + _elbow(inertias),
        ks=np.arange(1, len(fits) + 1),
        inertias=inertias,
        silhouettes=np.array([_silhouette(features, fit.labels_, random_state) for fit in fits]),
        stability=np.array([_stability(features, fit, n_bootstraps, rng) for fit in fits]),
    )


def _elbow(inertias: np.ndarray) -> int:
    """Position of the value farthest below the chord; the first where none is below it."""
    chord = np.linspace(inertias[0], inertias[-1], len(inertias))
    below = chord - inertias
    return int(np.argmax(np.where(below > 1e-9 * inertias[0], below, 0)))


def _silhouette(features: np.ndarray, labels: np.ndarray, random_state: int, at_most: int = 2000) -> float:
    """Mean silhouette, of a sample where all pairs would be too many."""
    from sklearn.metrics import silhouette_score

    if len(labels) > at_most:
        sample = np.random.default_rng(random_state).choice(len(labels), at_most, replace=False)
        features, labels = features[sample], labels[sample]
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(features, labels))


def _stability(
    features: np.ndarray, fit: LesionClusters, n_bootstraps: int, rng: np.random.Generator
) -> float:
    """Mean adjusted Rand index between the clusters of all lesions and those of bootstrap samples."""
    from sklearn.metrics import adjusted_rand_score

    if fit.n_clusters == 1:
        return float("nan")
    agreement = []
    for _ in range(n_bootstraps):
        sample = features[rng.integers(len(features), size=len(features))]
        try:
            again = LesionClusters(fit.n_clusters, n_init=min(3, fit.n_init), random_state=fit.random_state)
            labels = again.fit(sample).predict(features)
        except ValueError:  # drew fewer different lesions than clusters
            continue
        agreement.append(adjusted_rand_score(fit.labels_, labels))
    return float(np.mean(agreement)) if agreement else float("nan")


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"Lesion features are a table (lesions, features), not of shape {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("Lesion features must be finite numbers: the network gave NaN or infinity.")
    return features


def _too_few(clusters: int, lesions: int) -> str:
    return (
        f"{clusters} clusters need at least {clusters} different lesions, but there are {lesions}: "
        "choose fewer clusters or give more positive slices."
    )
