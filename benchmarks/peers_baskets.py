"""Peers of the next-basket benchmark, written from their papers, with the settings known to be best for Ta-Feng.

On other data the settings are those of a grid that do best on a validation basket, the newest of some users'
histories. Each takes a Split and returns the best items per scored user, (users, DEPTH), -1 where there are none left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.baskets import Basket, Split

DEPTH = 20
_CHUNK = 500  # users whose dense scores are held at a time

# TIFU-KNN (Hu et al., SIGIR 2020): neighbours, within-group decay, group decay, groups, own part.
# UP-CF@r (Faggioli et al., UMAP 2020): recent baskets, neighbours, asymmetry, locality.
Settings = tuple[float, ...]
TA_FENG_M2, TA_FENG_REALITY_CHECK = (9_629, 10_829), (13_858, 11_997)  # users, items
TIFU_KNOWN = {TA_FENG_M2: (300, 1.0, 0.9, 11, 0.1), TA_FENG_REALITY_CHECK: (300, 0.9, 0.7, 7, 0.1)}
UP_CF_KNOWN = dict.fromkeys((TA_FENG_M2, TA_FENG_REALITY_CHECK), (100, 300, 0.75, 5.0))
_DECAYS = ((1.0, 0.9, 11), (0.9, 0.7, 7), (0.9, 0.7, 3))
TIFU_GRID = [(n, *decays, own) for n, decays, own in product((100, 300, 900), _DECAYS, (0.1, 0.5, 0.9))]
UP_CF_GRID = list(product((5, 25, 100), (300, 900), (0.25, 0.75), (1.0, 5.0)))
VALIDATION_USERS = 500


def gp_top_freq(split: Split) -> NDArray[np.int64]:
    """The user's own items by frequency, then everybody's."""
    counts = _matrix(split, [_counts(orders) for orders in split.histories])
    overall = np.asarray(counts.sum(axis=0)).ravel()
    tail = overall / (overall.max() + 1.0)
    return _top(split, lambda users: counts[users].toarray() + tail)


def tifu_knn(split: Split) -> NDArray[np.int64]:
    """Decayed baskets of the user, mixed with the mean of the nearest users' (Euclidean distance)."""
    return _tifu_knn(split, TIFU_KNOWN.get(_shape(split)) or _best(split, TIFU_GRID, _tifu_knn))


def up_cf(split: Split) -> NDArray[np.int64]:
    """UP-CF@r: users near by asymmetric cosine, and how often each buys an item in recent baskets."""
    return _up_cf(split, UP_CF_KNOWN.get(_shape(split)) or _best(split, UP_CF_GRID, _up_cf))


def _shape(split: Split) -> tuple[int, int]:
    return len(split.histories), split.items


def _best(split: Split, grid: Sequence[Settings], method: Callable[[Split, Settings], NDArray[np.int64]]) -> Settings:
    """The settings with the highest recall@10 on the validation baskets."""
    held = _validation(split)

    def recall(settings: Settings) -> float:
        top = method(held, settings)[:, :10]
        return float(np.mean([np.isin(t, row).mean() for t, row in zip(held.targets, top, strict=True)]))

    return max(grid, key=recall) if held.scored else grid[0]


def _validation(split: Split) -> Split:
    """Some of the scored users, asked for the newest basket of their histories."""
    able = [user for user in split.scored if len(split.histories[user]) > 1]
    chosen = np.random.default_rng(0).permutation(able)[:VALIDATION_USERS].tolist()
    histories = list(split.histories)
    for user in chosen:
        histories[user] = histories[user][:-1]
    return replace(split, histories=histories, scored=chosen, targets=[split.histories[user][-1] for user in chosen])


def _tifu_knn(split: Split, settings: Settings) -> NDArray[np.int64]:
    neighbours, within, between, groups, own = settings
    vectors = _matrix(split, [_decayed(orders, within, between, int(groups)) for orders in split.histories])
    norm = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()

    def scores(users: NDArray[np.int64]) -> NDArray[np.float64]:
        distance = norm - 2 * (vectors[users] @ vectors.T).toarray()
        distance[np.arange(len(users)), users] = np.inf
        return own * vectors[users].toarray() + (1 - own) * _mean_of(_lowest(distance, int(neighbours)), vectors)

    return _top(split, scores)


def _up_cf(split: Split, settings: Settings) -> NDArray[np.int64]:
    recent, neighbours, asymmetry, locality = settings
    popular = _matrix(split, [_popularity(orders, int(recent)) for orders in split.histories])
    binary = (_matrix(split, [_counts(orders) for orders in split.histories]) > 0).astype(np.float64)
    size = np.maximum(np.asarray(binary.sum(axis=1)).ravel(), 1.0)

    def scores(users: NDArray[np.int64]) -> NDArray[np.float64]:
        near = (binary[users] @ binary.T).toarray()
        near /= size[users, None] ** asymmetry * size ** (1 - asymmetry)
        near = near**locality
        number = min(int(neighbours), near.shape[1] - 1)
        keep = np.argpartition(-near, number, axis=1)[:, :number]
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
