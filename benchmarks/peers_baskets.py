"""Peers of the next-basket benchmark, written from their papers, with the settings known to be best for Ta-Feng.

On other data the settings are those of a grid, and then of those beside its best, that do best on a validation basket,
the newest of some users' histories. Each takes a Split and returns the best items per scored user, (users, DEPTH), -1
where there are none left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
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
Method = Callable[[Split, Settings], NDArray[np.int64]]
Beside = Callable[[Settings], list[Settings]]
TA_FENG_M2, TA_FENG_REALITY_CHECK = (9_629, 10_829), (13_858, 11_997)  # users, items
TIFU_KNOWN = {TA_FENG_M2: (300, 1.0, 0.9, 11, 0.1), TA_FENG_REALITY_CHECK: (300, 0.9, 0.7, 7, 0.1)}
UP_CF_KNOWN = dict.fromkeys((TA_FENG_M2, TA_FENG_REALITY_CHECK), (100, 300, 0.75, 5.0))
_DECAYS = ((1.0, 0.9, 11), (0.9, 0.7, 7), (0.9, 0.7, 3))
_MORE_DECAYS = (*_DECAYS, (0.9, 0.6, 3), (0.9, 0.9, 11), (0.9, 0.9, 20), (0.95, 0.95, 20))
TIFU_GRID = [(n, *decays, own) for decays, n, own in product(_DECAYS, (100, 300, 900), (0.1, 0.5, 0.9))]
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
    return _tifu_knn(split, TIFU_KNOWN.get(_shape(split)) or _best(split, TIFU_GRID, _tifu_knn, _beside_tifu))


def up_cf(split: Split) -> NDArray[np.int64]:
    """UP-CF@r: users near by asymmetric cosine, and how often each buys an item in recent baskets."""
    return _up_cf(split, UP_CF_KNOWN.get(_shape(split)) or _best(split, UP_CF_GRID, _up_cf, _beside_up_cf))


def _shape(split: Split) -> tuple[int, int]:
    return len(split.histories), split.items


def _best(split: Split, grid: Sequence[Settings], method: Method, beside: Beside) -> Settings:
    """The settings with the highest recall@10 on the validation baskets."""
    held = _validation(split)

    def recall(settings: Settings) -> float:
        top = method(held, settings)[:, :10]
        return float(np.mean([np.isin(t, row).mean() for t, row in zip(held.targets, top, strict=True)]))

    if not held.scored:
        return grid[0]
    best = max(grid, key=recall)
    return max((best, *beside(best)), key=recall)


def _beside_tifu(best: Settings) -> list[Settings]:
    """Fewer and more neighbours with every own part, and every decay: long histories want what short ones do not."""
    n, within, between, groups, own = best
    parts = product((n // 3, n, 2 * n), (own - 0.2, own, min(own + 0.2, 1.0)))
    decays = [(n, *each, own) for each in _MORE_DECAYS]
    return decays + [(near, within, between, groups, round(part, 1)) for near, part in parts if part > 0]


def _beside_up_cf(best: Settings) -> list[Settings]:
    recent, n, asymmetry, locality = best
    around = product((recent // 2 + 1, recent, 2 * recent), (n // 3, n), (locality, 2 * locality))
    return [(newest, near, asymmetry, power) for newest, near, power in around]


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
    vectors = _vectors(split, within, between, int(groups))
    norm = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()

    def scores(users: NDArray[np.int64]) -> NDArray[np.float64]:
        distance = norm - 2 * (vectors[users] @ vectors.T).toarray()
        distance[np.arange(len(users)), users] = np.inf
        return own * vectors[users].toarray() + (1 - own) * _mean_of(_lowest(distance, int(neighbours)), vectors)

    return _top(split, scores)


@lru_cache(maxsize=1)
def _vectors(split: Split, within: float, between: float, groups: int) -> sparse.csr_array:
    return _matrix(split, [_decayed(orders, within, between, groups) for orders in split.histories])


def _up_cf(split: Split, settings: Settings) -> NDArray[np.int64]:
    recent, neighbours, asymmetry, locality = settings
    popular, binary = _popular(split, int(recent)), _binary(split)
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


@lru_cache(maxsize=1)
def _popular(split: Split, recent: int) -> sparse.csr_array:
    return _matrix(split, [_popularity(orders, recent) for orders in split.histories])


@lru_cache(maxsize=1)
def _binary(split: Split) -> sparse.csr_array:
    return (_matrix(split, [_counts(orders) for orders in split.histories]) > 0).astype(np.float64)


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
