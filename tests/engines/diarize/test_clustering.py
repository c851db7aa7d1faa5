"""Vectors of voices become speakers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from mmcli.engines.diarize.clustering import cluster


def groups(sizes: tuple[int, ...], spread: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of 32 numbers around as many directions as there are sizes, mixed; whose each is."""
    random = np.random.default_rng(4)
    whose = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = random.normal(0, 1, (len(sizes), 32))
    vectors = centres[whose] + random.normal(0, spread, (len(whose), 32))
    return (vectors * random.uniform(0.1, 10, (len(whose), 1))).astype(np.float32), whose


def agree(found: np.ndarray, whose: np.ndarray) -> float:
    table = np.array([[np.sum((found == a) & (whose == b)) for b in np.unique(whose)] for a in np.unique(found)])
    return float(table[linear_sum_assignment(-table)].sum() / len(whose))


@pytest.mark.parametrize("sizes", [(30, 10), (12, 25, 40), (9, 9, 9, 9, 9)])
def test_the_silhouette_finds_how_many_there_are(sizes: tuple[int, ...]) -> None:
    vectors, whose = groups(sizes)
    assert agree(cluster(vectors), whose) == 1.0


def test_vectors_without_groups_are_one_speaker() -> None:
    vectors, _ = groups((50,), spread=1.0)
    assert set(cluster(vectors)) == {0}


def test_numbers_that_are_given_are_kept() -> None:
    vectors, whose = groups((30, 10, 20))
    assert len(set(cluster(vectors, 2, 2))) == 2
    assert len(set(cluster(vectors, 5, 8))) == 5
    assert set(cluster(vectors, 1, 1)) == {0}
    assert agree(cluster(vectors, 1, 3), whose) == 1.0
    assert len(set(cluster(vectors[:2], 4, 6))) == 2
    assert len(set(cluster(vectors, 1, 2, threshold=0.4))) == 2
    assert agree(cluster(vectors, threshold=0.4), whose) == 1.0


def test_more_vectors_than_are_compared_join_the_nearest() -> None:
    vectors, whose = groups((2500, 2000, 1500))
    assert agree(cluster(vectors, 3, 3), whose) == 1.0
