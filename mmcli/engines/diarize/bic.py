"""Groups of sound pieces that one Gaussian describes as well as two: clustering by the Bayesian information criterion.

Chen and Gopalakrishnan, "Speaker, environment and channel change detection and clustering via the BIC", 1998. A group is
kept as the sums over its frames, so that joining two groups and judging the join reads no frame again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTY = 2.2
"""Times what theory asks, as neighbouring frames are alike. Measured: benchmarks/speakers.py."""
_PITCH_WEIGHT = 2.0
_RIDGE = 0.5
"""Added to the variance of each coefficient, so that short pieces are not too sure of themselves."""
_PITCH_SPREAD = 0.15
"""The same for the pitch, in octaves."""
_LEAST_PITCHES = 20
_BLOCK = 800
"""Pieces that are compared with each other at once; an hour of talk has a thousand."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of groups [g]: frames, their sum [g, d] and sum of products [g, d, d]; of the pitch: frames, sum, sum of squares."""

    count: NDArray[np.float64]
    sum: NDArray[np.float64]
    product: NDArray[np.float64]
    pitch: NDArray[np.float64]
    """[g, 3]"""

    def __len__(self) -> int:
        return len(self.count)

    def __getitem__(self, index: NDArray[np.intp] | slice) -> Sums:
        return Sums(self.count[index], self.sum[index], self.product[index], self.pitch[index])

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.count + other.count,
            self.sum + other.sum,
            self.product + other.product,
            self.pitch + other.pitch,
        )


def sums(mfcc: NDArray[np.float64], pitch: NDArray[np.float64]) -> Sums:
    """One group of frames [n, d] and their pitches [n]; those that are NaN do not count."""
    loud = mfcc[~np.isnan(mfcc).any(axis=1)]
    voiced = pitch[~np.isnan(pitch)]
    return Sums(
        np.array([float(len(loud))]),
        loud.sum(axis=0)[None],
        (loud.T @ loud)[None],
        np.array([[float(len(voiced)), voiced.sum(), np.square(voiced).sum()]]),
    )


def stacked(groups: list[Sums]) -> Sums:
    return Sums(
        np.concatenate([group.count for group in groups]),
        np.concatenate([group.sum for group in groups]),
        np.concatenate([group.product for group in groups]),
        np.concatenate([group.pitch for group in groups]),
    )


def gaussians(groups: Sums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means [g, d] and covariances [g, d, d] of the groups."""
    count = np.maximum(groups.count, 1.0)
    mean = groups.sum / count[:, None]
    covariance = groups.product / count[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return mean, covariance + _RIDGE * np.eye(mean.shape[1])


def _cost(groups: Sums) -> NDArray[np.float64]:
    """Half the frames times the log of the spread, of the spectrum and, weighted, of the pitch: [g]."""
    spectrum = groups.count * np.linalg.slogdet(gaussians(groups)[1])[1]
    cost: NDArray[np.float64] = 0.5 * (spectrum + _PITCH_WEIGHT * _pitch_cost(groups.pitch))
    return cost


def _pitch_cost(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    count = np.maximum(pitch[:, 0], 1.0)
    spread = np.maximum(pitch[:, 2] / count - np.square(pitch[:, 1] / count), 0.0)
    return pitch[:, 0] * np.log(spread + _PITCH_SPREAD**2)


def _gain(one: Sums, one_cost: float, others: Sums, costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much better two Gaussians describe `one` and each of the others than a single one: [g], below 0 where not."""
    joined = others + one
    gain: NDArray[np.float64] = _cost(joined) - one_cost - costs
    # Where one of the two has hardly any pitch, the pitch tells nothing.
    mute = np.minimum(others.pitch[:, 0], one.pitch[:, 0]) < _LEAST_PITCHES
    apart = _pitch_cost(joined.pitch) - _pitch_cost(others.pitch) - _pitch_cost(one.pitch)
    gain = gain - np.where(mute, 0.5 * _PITCH_WEIGHT * apart, 0.0)
    size = one.sum.shape[1]
    parameters = size + size * (size + 1) / 2
    gain -= PENALTY * 0.5 * parameters * np.log(np.maximum(joined.count, 2.0))
    return gain


def cluster(pieces: Sums, least: int = 1, most: int | None = None) -> NDArray[np.intp]:
    """Which group each piece belongs to: from `least` to `most` groups, between them as many as the criterion says.

    Long recordings are clustered block by block and the groups of the blocks with each other.
    """
    labels = np.arange(len(pieces))
    for first in range(0, len(pieces), _BLOCK) if len(pieces) > _BLOCK else ():
        block = slice(first, first + _BLOCK)
        labels[block] = first + _agglomerate(pieces[block], least, None)
    used, labels = np.unique(labels, return_inverse=True)
    groups = stacked([total(pieces[np.flatnonzero(labels == group)]) for group in range(len(used))])
    result: NDArray[np.intp] = _agglomerate(groups, least, most)[labels]
    return result


def total(pieces: Sums) -> Sums:
    """All pieces as one group."""
    return Sums(
        pieces.count.sum(keepdims=True),
        pieces.sum.sum(axis=0, keepdims=True),
        pieces.product.sum(axis=0, keepdims=True),
        pieces.pitch.sum(axis=0, keepdims=True),
    )


def _agglomerate(pieces: Sums, least: int, most: int | None) -> NDArray[np.intp]:
    """Join the two groups that are least apart until all are apart and no more than `most`."""
    count = len(pieces)
    labels = np.arange(count)
    costs = _cost(pieces)
    groups = pieces[np.arange(count)]  # a copy
    gains = np.full((count, count), np.inf)
    for index in range(1, count):
        one = slice(index, index + 1)
        gains[index, :index] = _gain(groups[one], costs[index], groups[:index], costs[:index])
    alive = np.ones(count, bool)
    for left in range(count, max(least, 1), -1):
        gone, kept = (int(index) for index in np.unravel_index(gains.argmin(), gains.shape))
        if gains[gone, kept] > 0 and (most is None or left <= most):
            break
        joined = groups[kept : kept + 1] + groups[gone : gone + 1]
        groups.count[kept], groups.sum[kept] = joined.count[0], joined.sum[0]
        groups.product[kept], groups.pitch[kept] = joined.product[0], joined.pitch[0]
        costs[kept] = _cost(joined)[0]
        labels[labels == gone] = kept
        alive[gone] = False
        gains[gone, :] = gains[:, gone] = np.inf
        others = np.flatnonzero(alive & (np.arange(count) != kept))
        apart = _gain(joined, costs[kept], groups[others], costs[others])
        gains[np.maximum(others, kept), np.minimum(others, kept)] = apart
    result: NDArray[np.intp] = np.unique(labels, return_inverse=True)[1]
    return result
