"""Vectors of voices into speakers: agglomerative clustering by the average cosine distance.

How many there are is told by a threshold where the model has one, else by the silhouette (Rousseeuw, 1987).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 10
"""Speakers looked for where nobody says how many there may be."""
_SEPARATE = 0.2
"""Silhouette below which all vectors are those of one speaker."""
_ENOUGH = 3000
"""Vectors that are compared with each other: distances take memory with the square; the others join the nearest."""


def cluster(
    vectors: NDArray[np.float32], least: int = 1, most: int | None = None, threshold: float | None = None
) -> NDArray[np.intp]:
    """The speaker of each vector [n, d], numbered from 0: at least `least` of them and no more than `most`."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(length, 1e-12)
    if len(unit) <= _ENOUGH:
        return _agglomerated(unit, least, most, threshold)
    chosen = np.linspace(0, len(unit) - 1, _ENOUGH).astype(int)
    labels = _agglomerated(unit[chosen], least, most, threshold)
    centres = np.stack([unit[chosen[labels == label]].mean(axis=0) for label in range(labels.max() + 1)])
    nearest: NDArray[np.intp] = (unit @ centres.T / np.linalg.norm(centres, axis=1)).argmax(axis=1)
    return nearest


def _agglomerated(unit: NDArray[np.float32], least: int, most: int | None, threshold: float | None) -> NDArray[np.intp]:
    least = min(least, len(unit))
    if len(unit) == 1 or most == 1:
        return np.zeros(len(unit), np.intp)
    distances = np.maximum(pdist(unit.astype(np.float64), "cosine"), 0.0)
    tree = linkage(distances, "average")

    def cut(count: int) -> NDArray[np.intp]:
        return np.unique(fcluster(tree, count, "maxclust"), return_inverse=True)[1].astype(np.intp)

    if threshold is not None:
        found = int(fcluster(tree, threshold, "distance").max())
        return cut(max(least, min(found, most or found)))
    highest = min(most or max(_MOST, least), len(unit))
    if least >= highest:
        return cut(least)
    square = squareform(distances)
    scores = {count: _silhouette(square, cut(count)) for count in range(max(2, least), highest + 1)}
    best = max(scores, key=scores.__getitem__)
    return cut(1 if least == 1 and scores[best] < _SEPARATE else best)


def _silhouette(distances: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """How much nearer a vector is to its own cluster than to the next, from -1 to 1 on average; 0 for a lonely one."""
    members = labels == np.arange(labels.max() + 1)[:, None]
    count = members.sum(axis=1)
    if len(count) < 2:
        return -1.0
    sums = distances @ members.T
    own = members.T
    inside = sums[own] / np.maximum(count[labels] - 1, 1)
    outside = np.where(own, np.inf, sums / count).min(axis=1)
    score = (outside - inside) / np.maximum(np.maximum(inside, outside), 1e-12)
    return float(np.where(count[labels] > 1, score, 0.0).mean())
