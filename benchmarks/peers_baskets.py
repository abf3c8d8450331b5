"""Peers of the next-basket benchmark, written from their papers, with the settings tuned for Ta-Feng.

Each takes a Split and returns the best items per scored user, (users, DEPTH), -1 where there are none left.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.baskets import Basket, Split

DEPTH = 20
_CHUNK = 500  # users whose dense scores are held at a time

# TIFU-KNN (Hu et al., SIGIR 2020): neighbours, within-group decay, group decay, groups, own part.
TIFU_ALL_USERS = (300, 1.0, 0.9, 11, 0.1)  # tuned on Ta-Feng as M2 uses it
TIFU_USER_SPLITS = (300, 0.9, 0.7, 7, 0.1)  # tuned on Ta-Feng as Reality Check uses it
UP_CF = (
    100,
    300,
    0.75,
    5.0,
)  # recent baskets, neighbours, asymmetry, locality (Faggioli et al., UMAP 2020); tuned likewise


def gp_top_freq(split: Split) -> NDArray[np.int64]:
    """The user's own items by frequency, then everybody's."""
    counts = _matrix(split, [_counts(orders) for orders in split.histories])
    overall = np.asarray(counts.sum(axis=0)).ravel()
    tail = overall / (overall.max() + 1.0)
    return _top(split, lambda users: counts[users].toarray() + tail)


def tifu_knn(split: Split) -> NDArray[np.int64]:
    """Decayed baskets of the user, mixed with the mean of the nearest users' (Euclidean distance)."""
    everybody = len(split.scored) == len(split.histories)
    neighbours, within, between, groups, own = TIFU_ALL_USERS if everybody else TIFU_USER_SPLITS
    vectors = _matrix(split, [_decayed(orders, within, between, groups) for orders in split.histories])
    norm = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()

    def scores(users: NDArray[np.int64]) -> NDArray[np.float64]:
        distance = norm - 2 * (vectors[users] @ vectors.T).toarray()
        distance[np.arange(len(users)), users] = np.inf
        return own * vectors[users].toarray() + (1 - own) * _mean_of(_lowest(distance, neighbours), vectors)

    return _top(split, scores)


def up_cf(split: Split) -> NDArray[np.int64]:
    """UP-CF@r: users near by asymmetric cosine, and how often each buys an item in recent baskets."""
    recent, neighbours, asymmetry, locality = UP_CF
    popular = _matrix(split, [_popularity(orders, recent) for orders in split.histories])
    binary = (_matrix(split, [_counts(orders) for orders in split.histories]) > 0).astype(np.float64)
    size = np.maximum(np.asarray(binary.sum(axis=1)).ravel(), 1.0)

    def scores(users: NDArray[np.int64]) -> NDArray[np.float64]:
        near = (binary[users] @ binary.T).toarray()
        near /= size[users, None] ** asymmetry * size ** (1 - asymmetry)
        near = near**locality
        keep = np.argpartition(-near, min(neighbours, near.shape[1] - 1), axis=1)[:, :neighbours]
        weight = np.zeros_like(near)
        np.put_along_axis(weight, keep, np.take_along_axis(near, keep, axis=1), axis=1)
        return weight @ popular

    return _top(split, scores)


def _counts(orders: list[Basket]) -> dict[int, float]:
    counts: dict[int, float] = {}
    for basket in orders:
        for item in basket:
            counts[item] = counts.get(item, 0.0) + 1.0
    return counts


def _popularity(orders: list[Basket], recent: int) -> dict[int, float]:
    newest = orders[-recent:]
    return {item: count / len(newest) for item, count in _counts(newest).items()}


def _decayed(orders: list[Basket], within: float, between: float, groups: int) -> dict[int, float]:
    """TIFU-KNN's vector: mean over equal groups (the later ones hold the extra baskets), decayed within and between."""
    vector: dict[int, float] = {}
    used = min(groups, len(orders))
    size, extra = divmod(len(orders), max(used, 1))
    at = 0
    for group in range(used):
        members = size + (group >= used - extra)
        for number in range(members):
            weight = within ** (members - 1 - number) * between ** (used - 1 - group) / members / used
            for item in orders[at]:
                vector[item] = vector.get(item, 0.0) + weight
            at += 1
    return vector


def _matrix(split: Split, rows: list[dict[int, float]]) -> sparse.csr_array:
    start = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    weights = np.array([weight for row in rows for weight in row.values()], dtype=np.float64)
    return sparse.csr_array((weights, items, start), shape=(len(rows), split.items))


def _lowest(distance: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    number = min(number, distance.shape[1] - 1)
    return np.argpartition(distance, number - 1, axis=1)[:, :number]


def _mean_of(rows: NDArray[np.int64], vectors: sparse.csr_array) -> NDArray[np.float64]:
    users, number = rows.shape
    start = np.arange(0, users * number + 1, number)
    pick = sparse.csr_array((np.full(rows.size, 1.0 / number), rows.ravel(), start), shape=(users, vectors.shape[0]))
    return (pick @ vectors).toarray()


def _chunks(split: Split) -> Iterator[NDArray[np.int64]]:
    users = np.array(split.scored, dtype=np.int64)
    for at in range(0, len(users), _CHUNK):
        yield users[at : at + _CHUNK]


def _top(split: Split, scores) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
    """The DEPTH highest of each user's dense scores, without zeros."""
    parts = []
    for users in _chunks(split):
        dense = scores(users)
        depth = min(DEPTH, dense.shape[1])
        best = np.argpartition(-dense, depth - 1, axis=1)[:, :depth]
        value = np.take_along_axis(dense, best, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        top = np.full((len(users), DEPTH), -1, dtype=np.int64)
        top[:, :depth] = np.where(
            np.take_along_axis(value, order, axis=1) > 0, np.take_along_axis(best, order, axis=1), -1
        )
        parts.append(top)
    return np.concatenate(parts)
