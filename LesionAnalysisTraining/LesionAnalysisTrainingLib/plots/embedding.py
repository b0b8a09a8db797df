"""Two-dimensional embedding of lesions: t-SNE after truncated SVD (section 5.3)."""

from __future__ import annotations

import numpy as np

FEWEST, MOST = 5, 2000


class NoLesionSpace(ValueError):  # noqa: N818
    """There are too few lesions, or too few distinct ones, to be embedded."""


def embed_lesions(features: np.ndarray, seed: int = 0, at_most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """Which lesions are shown, ``rows`` (m,), ascending, and their coordinates (m, 2); m = min(n, at_most).

    Components: min(50, n - 1), perplexity: min(30, (n - 1) / 3), which suits few lesions. ``features`` are (n, F), from
    F = 2 on; ``seed`` is that of the choice and of the embedding. Raises NoLesionSpace for fewer than 5 lesions, or
    equal ones.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.manifold import TSNE

    features = np.asarray(features, np.float32)
    rows = np.arange(len(features))
    if len(rows) > at_most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, at_most, replace=False))
    features = features[rows]
    if len(rows) < FEWEST:
        raise NoLesionSpace(f"The lesion space needs at least {FEWEST} lesions; there are {len(rows)}.")
    if not np.ptp(features, axis=0).any():
        raise NoLesionSpace(f"All {len(rows)} lesions have the same features: the lesion space needs different ones.")
    components = min(50, len(rows) - 1, features.shape[1])
    reduced = TruncatedSVD(components, random_state=seed).fit_transform(features)
    points = TSNE(perplexity=min(30, (len(rows) - 1) / 3), random_state=seed).fit_transform(reduced)
    return rows, points
