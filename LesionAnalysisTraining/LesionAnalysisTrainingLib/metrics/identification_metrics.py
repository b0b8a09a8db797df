"""How well lesion clusters match lesion types (section 5.3, table 7).

Clusters have no names of their own: ``assign_clusters`` learns on some lesions which type each cluster stands for, and
``identify`` measures on others. A confusion matrix (T, T) has the true type in rows, the assigned one in columns.
Table 7 is printed transposed: its columns are the truth.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from .bootstrap import Estimate, estimates
from .weighted_metrics import divide

TWO_TYPES = ("ground glass", "consolidation")
THREE_TYPES = ("ground glass", "partial consolidation", "consolidation")
PARTIAL = (0.10, 0.80)  # fractions of consolidation between which a lesion is partial consolidation (section 5.3)


def lesion_type(consolidation: float, types: int = 2) -> int:
    """Index of the type of a lesion with this fraction (0..1) of consolidation among its segmented pixels.

    With two types the majority decides; with three, 10 % and 80 % bound partial consolidation (section 5.3). Raises
    ValueError for other numbers of types.
    """
    if types == 2:
        return int(consolidation > 0.5)
    if types == 3:
        return 0 if consolidation < PARTIAL[0] else 2 if consolidation > PARTIAL[1] else 1
    raise ValueError(f"Lesions are of 2 or 3 types, not {types}.")


def assign_clusters(types: np.ndarray, clusters: np.ndarray, type_count: int, cluster_count: int) -> np.ndarray:
    """The type that each cluster stands for, (K,): the assignment of highest balanced accuracy on these lesions.

    Every type gets a cluster of its own as far as there are enough; a remaining cluster gets the type of whose
    lesions it holds the largest fraction.

    Args:
        types, clusters: (n,) indices of the lesions' types and clusters.
    """
    flat = np.asarray(types, int) * cluster_count + np.asarray(clusters, int)
    table = np.bincount(flat, minlength=type_count * cluster_count).reshape(type_count, cluster_count)
    fraction = np.nan_to_num(divide(table, table.sum(axis=1, keepdims=True)))  # of each type's lesions
    assigned = fraction.argmax(axis=0)
    rows, columns = linear_sum_assignment(fraction, maximize=True)
    assigned[columns] = rows
    return assigned


def halves(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n,) bool: True for the lesions of one half of the ``groups`` (patients or slices), drawn at random."""
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.isin(codes, order[: (len(names) + 1) // 2])


def identify(types: np.ndarray, clusters: np.ndarray, groups: np.ndarray, type_count: int, cluster_count: int,
             seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Two-fold cross-validation: learn the assignment on one half of the groups, apply it to the other, and vice versa.

    Returns the type (n,) that each lesion's cluster stands for among lesions of the other half, and the assignments
    (K,) learned from the first half and from the second. Raises ValueError if all lesions are of one group.
    """
    types, clusters, first = np.asarray(types, int), np.asarray(clusters, int), halves(groups, seed)
    if first.all() or not first.any():
        raise ValueError("Clusters are assigned to types on one half of the slices and measured on the other: give at "
                         "least two slices or patients with lesions.")  # fmt: skip
    learned = [assign_clusters(types[h], clusters[h], type_count, cluster_count) for h in (first, ~first)]
    return np.where(first, learned[1][clusters], learned[0][clusters]), learned


def type_figures(confusion: np.ndarray) -> dict[str, np.ndarray | float]:
    """``sensitivity`` and ``specificity`` (T,) of every type, ``balanced_accuracy`` and ``accuracy``, from (T, T).

    NaN where a type has no lesion, or every lesion; the balanced accuracy is the mean sensitivity of types with some.
    """
    table = np.asarray(confusion, float)
    right, true, given, total = np.diag(table), table.sum(axis=1), table.sum(axis=0), table.sum()
    sensitivity = divide(right, true)
    known = sensitivity[~np.isnan(sensitivity)]
    return {
        "sensitivity": sensitivity,
        "specificity": divide(total - true - given + right, total - true),
        "balanced_accuracy": float(known.mean()) if len(known) else float("nan"),
        "accuracy": float(divide(right.sum(), total)),
    }


def balanced_accuracy(types: np.ndarray, given: np.ndarray, groups: np.ndarray, rounds: int = 400,
                      seed: int = 0) -> Estimate:  # fmt: skip
    """Mean sensitivity over the types with an interval over ``groups``, resampled with all their lesions."""
    types, given, groups = (np.asarray(a) for a in (types, given, groups))
    right = (types == given).astype(float)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        members = [(types == t).astype(float) for t in np.unique(types)]
        each = [divide(weights @ (right * here), weights @ here) for here in members]
        known = ~np.isnan(each)
        return {"balanced": divide(np.nansum(each, axis=0), known.sum(axis=0))}

    if not len(types):
        return Estimate(*[float("nan")] * 3)
    return estimates(statistic, groups, rounds if len(np.unique(groups)) > 1 else 0, seed)["balanced"]
