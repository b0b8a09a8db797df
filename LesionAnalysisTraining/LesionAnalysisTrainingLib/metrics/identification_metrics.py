"""How well lesion clusters match lesion types (section 5.3, table 7).

Clusters have no names of their own: ``assign_clusters`` learns on some lesions which type each cluster stands for, and
``identify`` measures on others. A confusion matrix (T, T) has the true type in rows, the given one in columns. Table 7
is printed the other way round: its columns are the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .basic_metrics import confusion_matrix
from .bootstrap import Estimate, estimates
from .weighted import divide

TWO_TYPES = ("ground glass", "consolidation")
THREE_TYPES = ("ground glass", "partial consolidation", "consolidation")
PARTIAL = (0.10, 0.80)  # shares of consolidation in a lesion between which it is partial (section 5.3)


def lesion_type(consolidation: float, types: int = 2) -> int:
    """Index of the type of a lesion with this share (0..1) of consolidation among its drawn pixels.

    Of two types the larger part decides; of three, section 5.3: 10 % and 80 % bound partial consolidation.

    Raises:
        ValueError: there are neither two nor three types.
    """
    if types == 2:
        return int(consolidation > 0.5)
    if types == 3:
        return 0 if consolidation < PARTIAL[0] else 2 if consolidation > PARTIAL[1] else 1
    raise ValueError(f"Lesions are of 2 or 3 types, not {types}.")


def assign_clusters(types: np.ndarray, clusters: np.ndarray, type_count: int, cluster_count: int) -> np.ndarray:
    """The type that each cluster stands for, (K,): the match with the highest balanced accuracy on these lesions.

    Every type gets a cluster of its own as far as there are enough; what is left over goes to the type of whose
    lesions it holds the largest share.

    Args:
        types, clusters: (n,) indices of the lesions' types and clusters.
    """
    flat = np.asarray(types, int) * cluster_count + np.asarray(clusters, int)
    table = np.bincount(flat, minlength=type_count * cluster_count).reshape(type_count, cluster_count)
    share = np.nan_to_num(divide(table, table.sum(axis=1, keepdims=True)))  # of each type's lesions
    assigned = share.argmax(axis=0)
    rows, columns = linear_sum_assignment(share, maximize=True)
    assigned[columns] = rows
    return assigned


def halves(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n,) bool: True for the lesions of one half of the ``groups`` (patients or slices), drawn at random."""
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.isin(codes, order[: (len(names) + 1) // 2])


@dataclass(frozen=True, eq=False)
class Identification:
    """n lesions with the types that their clusters stand for, learnt on lesions of other patients."""

    given: np.ndarray  # (n,) type of each lesion's cluster
    assignments: tuple[np.ndarray, np.ndarray]  # (K,) learnt on the first half, and on the second


def identify(types: np.ndarray, clusters: np.ndarray, groups: np.ndarray, type_count: int, cluster_count: int,
             seed: int = 0) -> Identification:  # fmt: skip
    """Learn the match on one half of the groups and apply it to the other, and the other way round.

    Raises:
        ValueError: all lesions are of one group, which cannot be halved.
    """
    types, clusters, first = np.asarray(types, int), np.asarray(clusters, int), halves(groups, seed)
    if first.all() or not first.any():
        raise ValueError("Clusters are matched on one half of the slices and measured on the other: give at least two "
                         "slices or patients with lesions.")  # fmt: skip
    learnt = tuple(assign_clusters(types[h], clusters[h], type_count, cluster_count) for h in (first, ~first))
    return Identification(np.where(first, learnt[1][clusters], learnt[0][clusters]), learnt)


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
    """Mean sensitivity over the types with an interval over ``groups``, redrawn with all their lesions."""
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


def confusion_of(types: np.ndarray, given: np.ndarray, type_count: int) -> np.ndarray:
    """(T, T) numbers of lesions, true type in rows, given type in columns."""
    return confusion_matrix(types, given, type_count)
