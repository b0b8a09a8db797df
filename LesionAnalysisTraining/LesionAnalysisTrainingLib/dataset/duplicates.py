"""Slices that are there twice: the same pixels, or pictures that look so alike that they are of one scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .samples import TEST, TRAIN, VALIDATION, Sample

# Correlation of 24 x 24 thumbnails. Among the 937 patients of five sources one pair of "different" patients lies above
# (.96), and it shows the same slice in two windows; whole slices of different patients reach .94. Of SARS-CoV-2 CT
# the pairs just above are neighbors in one scan, pairs of .90 are often not. A copy saved as JPEG of quality 30 or at
# half size has .99 or more (19 of 20), one cut by 2 % on every side .92 (median): such copies are missed.
NEAR = 0.95
_ROWS, _COLUMNS = 1024, 8192  # of the block of correlations that is held at a time
_RANK = {TEST: 0, VALIDATION: 1, TRAIN: 2, None: 3}


@dataclass(frozen=True)
class Repeats:
    """Indices of samples by what exact comparison says of them."""

    kept: list[int]
    repeated: list[tuple[int, int]]  # (left out, the equal one that is kept)
    contradictory: list[list[int]]  # equal pixels with different labels: all of them are left out


def find_repeats(samples: Sequence[Sample], digests: Sequence[str]) -> Repeats:
    """One of several equal slices is kept, first of those given for testing, then validation, then training."""
    groups: dict[str, list[int]] = {}
    for i, digest in enumerate(digests):
        groups.setdefault(digest, []).append(i)
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
    """Files of unknown patients that look alike become one patient; also the number of files that were joined.

    ``thumbnails`` is (n, h, w). Files alike to a third one are of one patient, too.
    """
    unknown = [i for i, s in enumerate(samples) if not s.patient_known]
    names = {name: k for k, name in enumerate(dict.fromkeys(samples[i].patient for i in unknown))}
    if len(names) < 2:
        return list(samples), 0
    who = np.array([names[samples[i].patient] for i in unknown])
    edges = [np.zeros(0, np.int64)]
    for i, j, _ in near_pairs(normalized(thumbnails[unknown])):
        edges.append(np.unique(who[i] * len(names) + who[j]))  # a pair of patients as one number
    a, b = np.divmod(np.unique(np.concatenate(edges)), len(names))
    _, group = connected_components(coo_matrix((np.ones(len(a), bool), (a, b)), (len(names),) * 2), directed=False)
    first: dict[int, str] = {}
    for name, k in names.items():
        first.setdefault(group[k], name)
    joined = sum(np.bincount(group)[np.bincount(group) > 1])
    done = list(samples)
    for i in unknown:
        done[i] = replace(samples[i], patient=first[group[names[samples[i].patient]]])
    return done, int(joined)


def across_splits(samples: Sequence[Sample], thumbnails: np.ndarray, shown: int = 5) -> tuple[int, list[tuple]]:
    """Number of pairs that look alike though of different patients in different splits, and the first of them."""
    sides = defaultdict(list)
    for i, s in enumerate(samples):
        sides[s.split].append(i)
    _, patients = np.unique([s.patient for s in samples], return_inverse=True)
    count, first = 0, []
    for one, other in ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST)):
        a, b = np.array(sides[one], int), np.array(sides[other], int)
        for i, j, likeness in near_pairs(normalized(thumbnails[a]), normalized(thumbnails[b])):
            different = patients[a[i]] != patients[b[j]]
            count += int(different.sum())
            most = np.argsort(-likeness[different])[:shown]
            first += zip(likeness[different][most], a[i][different][most], b[j][different][most], strict=True)
            first = sorted(first, reverse=True)[:shown]
    return count, [(samples[i], samples[j]) for _, i, j in first]


def normalized(thumbnails: np.ndarray) -> np.ndarray:
    """(n, h, w) as vectors (n, h w) float32 of mean 0 and length 1, so that products are correlations."""
    vectors = thumbnails.reshape(len(thumbnails), int(np.prod(thumbnails.shape[1:]))).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 1e-3, lengths, np.inf)  # an empty slice is like no other


def near_pairs(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Indices (i, j) of the near pairs of ``a`` and ``b`` with their correlation, block by block.

    Without ``b`` those within ``a``, i < j.
    """
    other = a if b is None else b
    for top in range(0, len(a), _ROWS):
        for left in range(top if b is None else 0, len(other), _COLUMNS):
            likeness = a[top : top + _ROWS] @ other[left : left + _COLUMNS].T
            i, j = np.nonzero(likeness >= NEAR)
            values = likeness[i, j]
            i, j = i + top, j + left
            wanted = np.ones(len(i), bool) if b is not None else i < j
            if wanted.any():
                yield i[wanted], j[wanted], values[wanted]
