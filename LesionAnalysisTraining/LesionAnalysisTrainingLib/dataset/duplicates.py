"""Duplicate slices: equal pixels, or images so similar that they are of one scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .samples import TEST, TRAIN, VALIDATION, Sample

# Correlation of 24 x 24 thumbnails. Among 937 patients of five sources one pair of "different" patients lies above
# (.96), and it shows the same slice in two windows; whole slices of different patients reach .94. In SARS-CoV-2 CT
# the pairs just above are neighbors in one scan, pairs of .90 often are not. A copy saved as JPEG of quality 30 or at
# half size has .99 or more (19 of 20); one cropped by 2 % on each side .92 (median): such copies are missed.
NEAR = 0.95
_ROWS, _COLUMNS = 1024, 8192  # of the block of correlations in memory at a time
_RANK = {TEST: 0, VALIDATION: 1, TRAIN: 2, None: 3}


@dataclass(frozen=True)
class Repeats:
    """Indices of samples after comparison of their pixels."""

    kept: list[int]
    repeated: list[tuple[int, int]]  # (left out, its equal that is kept)
    contradictory: list[list[int]]  # equal pixels with different labels: all are left out


def find_repeats(samples: Sequence[Sample], digests: Sequence[str]) -> Repeats:
    """Keep one of several equal slices, preferably of the test split, then of validation, then of training."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, digest in enumerate(digests):
        groups[digest].append(i)
    kept, repeated, contradictory = [], [], []
    for group in groups.values():
        if len({samples[i].label for i in group}) > 1:
            contradictory.append(group)
            continue
        best = min(group, key=lambda i: (_RANK[samples[i].split], i))
        kept.append(best)
        repeated += [(i, best) for i in group if i != best]
    return Repeats(sorted(kept), sorted(repeated), contradictory)


def group_unknown(samples: Sequence[Sample], thumbnails: np.ndarray) -> tuple[list[Sample], int]:
    """Give similar files of unknown patients one patient; also returns the number of files that were merged.

    ``thumbnails`` is (n, h, w). Similarity is transitive.
    """
    unknown = [i for i, s in enumerate(samples) if not s.patient_known]
    names = {name: k for k, name in enumerate(dict.fromkeys(samples[i].patient for i in unknown))}
    if len(names) < 2:
        return list(samples), 0
    who = np.array([names[samples[i].patient] for i in unknown])
    edges = [np.zeros(0, np.int64)]
    for i, j, _ in similar_pairs(normalized(thumbnails[unknown])):
        edges.append(np.unique(who[i] * len(names) + who[j]))  # a pair of patients as one number
    a, b = np.divmod(np.unique(np.concatenate(edges)), len(names))
    _, group = connected_components(coo_matrix((np.ones(len(a), bool), (a, b)), (len(names),) * 2), directed=False)
    first: dict[int, str] = {}
    for name, k in names.items():
        first.setdefault(group[k], name)
    sizes = np.bincount(group)
    done = [s if s.patient_known else replace(s, patient=first[group[names[s.patient]]]) for s in samples]
    return done, int(sizes[sizes > 1].sum())


def across_splits(samples: Sequence[Sample], thumbnails: np.ndarray, shown: int = 5) -> tuple[int, list[tuple]]:
    """Number of similar pairs of different patients in different splits, and the most similar of them."""
    members = defaultdict(list)
    for i, s in enumerate(samples):
        members[s.split].append(i)
    _, patients = np.unique([s.patient for s in samples], return_inverse=True)
    count, first = 0, []
    for one, other in combinations((TRAIN, VALIDATION, TEST), 2):
        a, b = np.array(members[one], int), np.array(members[other], int)
        for i, j, correlation in similar_pairs(normalized(thumbnails[a]), normalized(thumbnails[b])):
            different = patients[a[i]] != patients[b[j]]
            count += int(different.sum())
            most = np.argsort(-correlation[different])[:shown]
            first += zip(correlation[different][most], a[i][different][most], b[j][different][most], strict=True)
            first = sorted(first, reverse=True)[:shown]
    return count, [(samples[i], samples[j]) for _, i, j in first]


def normalized(thumbnails: np.ndarray) -> np.ndarray:
    """(n, h, w) as vectors (n, h w) float32 of mean 0 and length 1, whose dot products are correlations."""
    vectors = thumbnails.reshape(len(thumbnails), int(np.prod(thumbnails.shape[1:]))).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 1e-3, lengths, np.inf)  # a uniform slice is similar to none


def similar_pairs(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Indices (i, j) of the similar pairs of ``a`` and ``b`` with their correlation, block by block.

    Without ``b`` those within ``a``, i < j.
    """
    other = a if b is None else b
    for top in range(0, len(a), _ROWS):
        for left in range(top if b is None else 0, len(other), _COLUMNS):
            correlation = a[top : top + _ROWS] @ other[left : left + _COLUMNS].T
            i, j = np.nonzero(correlation >= NEAR)
            values = correlation[i, j]
            i, j = i + top, j + left
            wanted = np.ones(len(i), bool) if b is not None else i < j
            if wanted.any():
                yield i[wanted], j[wanted], values[wanted]
