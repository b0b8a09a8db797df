"""Lesion clusters and the lesion score (section 3.2.3): k-means on the features of lesions.

    clusters = LesionClusters(n_clusters=3).fit(features)           # (n, F) of all training lesions
    clusters.predict(new), clusters.predict_proba(new)              # cluster (from 0) and scores of each lesion
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted


class LesionClusters(TransformerMixin, ClusterMixin, BaseEstimator):
    """Clusters of lesions as k-means centers in feature space; a scikit-learn estimator.

    Args:
        n_clusters: K.
        n_init: number of k-means runs, of which the best is kept.
        random_state: seed of the runs.

    Attributes (after ``fit``):
        cluster_centers_: (K, F) float64, the largest cluster first.
        counts_: (K,) number of training lesions in each.
        labels_: (n,) cluster of each training lesion, from 0 (not stored in a model folder).
        inertia_: sum of squared distances to the nearest center.
    """

    def __init__(self, n_clusters: int = 2, n_init: int = 10, random_state: int = 0):
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: None = None) -> LesionClusters:  # noqa: N803 - scikit-learn's names
        """Find the centers of the lesions' features ``X`` (n, F), which are not scaled.

        Raises ValueError for fewer (different) lesions than clusters, or features that are not finite.
        """
        from sklearn.cluster import KMeans  # slow to import, and an analysis does not need it
        from sklearn.exceptions import ConvergenceWarning

        features = _checked(X)
        if self.n_clusters < 1:
            raise ValueError(f"Lesions need at least one cluster, not {self.n_clusters}.")
        if len(features) < self.n_clusters:
            raise ValueError(_too_few(self.n_clusters, len(features)))
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, random_state=self.random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # too few different lesions: an error below
            kmeans.fit(features)
        counts = np.bincount(kmeans.labels_, minlength=self.n_clusters)
        if (counts == 0).any():
            raise ValueError(_too_few(self.n_clusters, np.count_nonzero(counts)))
        order = np.argsort(-counts, kind="stable")  # cluster 1 is the most common one, whatever the seed
        self.cluster_centers_ = kmeans.cluster_centers_[order]
        self.counts_ = counts[order]
        self.labels_ = np.argsort(order)[kmeans.labels_]
        self.inertia_ = float(kmeans.inertia_)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Euclidean distances d(i, k) to the centers: (n, F) -> (n, K) float64.

        Raises NotFittedError before ``fit``, ValueError for another number of features or ones that are not finite.
        """
        check_is_fitted(self, "cluster_centers_")
        features = _checked(X)
        if features.shape[1] != self.cluster_centers_.shape[1]:
            fitted = self.cluster_centers_.shape[1]
            raise ValueError(f"Lesions of {features.shape[1]} features do not fit clusters of {fitted}: use network "
                             "and clusters of the same model.")  # fmt: skip
        return cdist(features, self.cluster_centers_)

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """The nearest cluster, from 0; the first of equally near ones: (n, F) -> (n,)."""
        return self.transform(X).argmin(axis=1)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Scores softmax(-d) of all clusters, 0..1, rows adding up to 1: (n, F) -> (n, K).

        By their differences alone: distances in 2048 dimensions run into the thousands, where exp(-d) underflows.
        """
        return np.exp(log_softmax(-self.transform(X), axis=1))

    def margin(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """The best cluster's score minus the second best's, 0..1 (1 if there is one cluster): -> (n,)."""
        scores = np.sort(self.predict_proba(X), axis=1)
        return scores[:, -1] - scores[:, -2] if scores.shape[1] > 1 else scores[:, -1]

    def paper_score(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Equation 10 as printed: the score of the *least* likely cluster, min over k: -> (n,).

        It falls as membership becomes clearer, as the paper says below the equation. Readers expect
        ``predict_proba(X).max(axis=1)``.
        """
        return self.predict_proba(X).min(axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What was learned, as plain arrays for ``numpy.savez``, without pickle; NotFittedError before ``fit``."""
        check_is_fitted(self, "cluster_centers_")
        return {
            "centers": self.cluster_centers_, "counts": self.counts_, "inertia": np.array(self.inertia_),
            "n_init": np.array(self.n_init), "random_state": np.array(self.random_state),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LesionClusters:
        """The inverse of ``to_arrays``; ValueError where arrays are missing or do not describe clusters."""
        try:
            centers = np.asarray(arrays["centers"], dtype=np.float64)
            counts = np.asarray(arrays["counts"], dtype=np.int64)
            inertia, n_init, seed = (np.asarray(arrays[key]).item() for key in ("inertia", "n_init", "random_state"))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError("The model's lesion clusters are incomplete: reinstall the model.") from error
        table = centers.ndim == 2 and 0 not in centers.shape and counts.shape == centers.shape[:1]
        with np.errstate(over="ignore"):
            usable = table and np.isfinite(np.square(centers).sum())  # so that distances are finite, too
        if not (usable and np.isfinite([n_init, seed, inertia]).all()):
            raise ValueError("The model's lesion clusters are damaged: reinstall the model.")
        clusters = cls(len(centers), n_init=int(n_init), random_state=int(seed))
        clusters.cluster_centers_, clusters.counts_, clusters.inertia_ = centers, counts, float(inertia)
        return clusters


@dataclass(frozen=True, eq=False)
class KChoice:
    """How well each number of clusters fits; every array has one value for each of ``ks``."""

    k: int  # by the elbow method
    ks: np.ndarray  # 1, 2, ...
    inertias: np.ndarray  # sums of squared distances
    silhouettes: np.ndarray  # mean silhouette, -1..1; NaN for k = 1 and k = n, where it is undefined
    stability: np.ndarray  # mean adjusted Rand index of bootstraps, 1: always the same clusters; NaN for k = 1


def choose_k(
    features: np.ndarray, k_max: int = 20, n_init: int = 10, n_bootstraps: int = 10, random_state: int = 0
) -> KChoice:
    """Choose the number of clusters by the elbow method (section 6.3).

    The elbow is the K whose inertia lies farthest below the chord from the first to the last; the distance along the
    inertia axis serves, being a constant multiple of the perpendicular one.

    Args:
        features: (n, F) of the lesions.
        k_max: largest K tried; fewer where there are fewer (different) lesions.
        n_init: k-means runs for each K; bootstraps use at most 3.
        n_bootstraps: 0 for none (stability NaN).
        random_state: seed of everything.

    Raises ValueError without lesions, or for k_max below 1.
    """
    features = _checked(features)
    if len(features) == 0:
        raise ValueError("There is no lesion to choose the number of clusters by: provide more positive slices.")
    if k_max < 1:
        raise ValueError(f"The largest number of clusters must be at least 1, not {k_max}.")
    fits = []
    for k in range(1, min(k_max, len(features)) + 1):
        try:
            fits.append(LesionClusters(k, n_init, random_state).fit(features))
        except ValueError:  # more clusters than different lesions
            break
    inertias = np.array([fit.inertia_ for fit in fits])
    rng = np.random.default_rng(random_state)
    below = np.linspace(inertias[0], inertias[-1], len(inertias)) - inertias
    return KChoice(
        k=1 + int(np.argmax(np.where(below > 1e-9 * inertias[0], below, 0))),  # 1 where none is below the chord
        ks=np.arange(1, len(fits) + 1),
        inertias=inertias,
        silhouettes=np.array([_silhouette(features, fit.labels_, random_state) for fit in fits]),
        stability=np.array([_stability(features, fit, n_bootstraps, rng) for fit in fits]),
    )


def _silhouette(features: np.ndarray, labels: np.ndarray, random_state: int, at_most: int = 2000) -> float:
    """Mean silhouette, of a sample where all pairs would be too many."""
    from sklearn.metrics import silhouette_score

    if len(labels) > at_most:
        sample = np.random.default_rng(random_state).choice(len(labels), at_most, replace=False)
        features, labels = features[sample], labels[sample]
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(features, labels))


def _stability(features: np.ndarray, fit: LesionClusters, n_bootstraps: int, rng: np.random.Generator) -> float:
    """Mean adjusted Rand index between the clusters of all lesions and those of bootstrap samples, applied to all."""
    from sklearn.metrics import adjusted_rand_score

    if fit.n_clusters == 1:
        return float("nan")
    resampled = clone(fit).set_params(n_init=min(3, fit.n_init))
    agreement = []
    for _ in range(n_bootstraps):
        try:
            resampled.fit(features[rng.integers(len(features), size=len(features))])
        except ValueError:  # fewer different lesions in the sample than clusters
            continue
        agreement.append(adjusted_rand_score(fit.labels_, resampled.predict(features)))
    return float(np.mean(agreement)) if agreement else float("nan")


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"Lesion features are a table (lesions, features), not of shape {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("Lesion features must be finite: the network returned NaN or infinity.")
    return features


def _too_few(clusters: int, lesions: int) -> str:
    return (f"{clusters} clusters need at least {clusters} different lesions, but there are {lesions}: choose fewer "
            "clusters or provide more positive slices.")  # fmt: skip
