"""Nearest customers by decayed baskets (TIFU-KNN, Hu et al. 2020), with an inverted index for one quick query."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from histories.compiled import compiled, piece

NEIGHBOURS = 300
GROUPS = 11
GROUP_DECAY = 0.9
QUERY_ITEMS = 300  # a heavier customer is looked up by the products that weigh most
POOL_CUSTOMERS = 12_000
POOL_ENTRIES = 2_000_000
_BINS = 1024


class Pool(NamedTuple):
    """Decayed basket vectors of a sample of customers, without ids: by customer and by product."""

    start: NDArray[np.int64]  # (pool customers + 1,)
    item: NDArray[np.int32]
    weight: NDArray[np.float32]
    norm: NDArray[np.float32]  # squared length of each vector
    by_item: NDArray[np.int64]  # (items + 1,)
    owner: NDArray[np.int32]
    owner_weight: NDArray[np.float32]


@piece
def basket_weights(baskets):  # type: ignore[no-untyped-def]
    """Weight of a customer's baskets, oldest first: mean within equal groups, decay between groups, as TIFU-KNN."""
    weights = np.empty(baskets, np.float32)
    groups = min(GROUPS, baskets)
    size, extra = baskets // groups, baskets % groups
    at = 0
    for group in range(groups):
        members = size + (1 if group >= groups - extra else 0)
        for _ in range(members):
            weights[at] = GROUP_DECAY ** (GROUPS - 1 - group) / members / groups
            at += 1
    return weights


@compiled
def _pool_vectors(start, item_start, item, customers, items, total):  # type: ignore[no-untyped-def]
    vector_start = np.zeros(len(customers) + 1, np.int64)
    vector_item, vector_weight = np.empty(total, np.int32), np.empty(total, np.float32)
    norm = np.zeros(len(customers), np.float32)
    place = np.empty(items, np.int64)
    at = 0
    for row in range(len(customers)):
        first = at
        begin, end = start[customers[row]], start[customers[row] + 1]
        weights = basket_weights(end - begin)
        for basket in range(begin, end):
            for line in range(item_start[basket], item_start[basket + 1]):
                where = place[item[line]]
                if not (first <= where < at and vector_item[where] == item[line]):
                    where = at
                    place[item[line]] = where
                    vector_item[where], vector_weight[where] = item[line], 0.0
                    at += 1
                vector_weight[where] += weights[basket - begin]
        for where in range(first, at):
            norm[row] += vector_weight[where] * vector_weight[where]
        vector_start[row + 1] = at
    return vector_start, vector_item[:at].copy(), vector_weight[:at].copy(), norm


def build_pool(baskets: Baskets, items: int, seed: int) -> tuple[Pool, NDArray[np.int32]]:
    """The pool, and each customer's row in it (-1 for those outside)."""
    members = _sample(baskets, seed)
    lines = baskets.item_start[baskets.start[members + 1]] - baskets.item_start[baskets.start[members]]
    start, item, weight, norm = _pool_vectors(
        baskets.start, baskets.item_start, baskets.item, members, items, int(lines.sum())
    )
    row = np.full(len(baskets), -1, dtype=np.int32)
    row[members] = np.arange(len(members), dtype=np.int32)
    return _indexed(start, item, weight, norm, items), row


def without(pool: Pool, rows: NDArray[np.int32]) -> Pool:
    """The pool with nothing left of the customers in these rows; they are nobody's neighbours any more."""
    sizes = np.diff(pool.start)
    stays = ~np.isin(np.repeat(np.arange(len(sizes)), sizes), rows)
    sizes[rows] = 0
    norm = pool.norm.copy()
    norm[rows] = norm.max(initial=0.0)  # as far away as the farthest: not infinite, which would blur all others
    start = np.concatenate([[0], np.cumsum(sizes)])
    return _indexed(start, pool.item[stays], pool.weight[stays], norm, len(pool.by_item) - 1)


def _indexed(start: NDArray, item: NDArray, weight: NDArray, norm: NDArray, items: int) -> Pool:
    by = np.argsort(item, kind="stable")
    owner = np.repeat(np.arange(len(norm), dtype=np.int32), np.diff(start))[by]
    by_item = np.searchsorted(item[by], np.arange(items + 1)).astype(np.int64)
    return Pool(start, item, weight, norm, by_item, owner, weight[by])


def _sample(baskets: Baskets, seed: int) -> NDArray[np.int64]:
    """Customers with a basket: all, or a seeded sample that keeps the index small."""
    members = np.flatnonzero(np.diff(baskets.start) > 0)
    order = np.random.default_rng(seed).permutation(members)[:POOL_CUSTOMERS]
    lines = np.cumsum(baskets.item_start[baskets.start[order + 1]] - baskets.item_start[baskets.start[order]])
    return np.sort(order[: max(1, int(np.searchsorted(lines, POOL_ENTRIES, side="right")))])


@piece
def _cut(values, wanted):  # type: ignore[no-untyped-def]
    """A bound below which at most `wanted` values lie, and the next above which the rest begin (two histograms)."""
    low, high = values.min(), values.max()
    below = 0
    for _ in range(2):
        if high <= low:
            break
        scale = (_BINS - 1) / (high - low)
        bins = np.zeros(_BINS, np.int64)
        for value in values:
            if low <= value <= high:
                bins[int((value - low) * scale)] += 1
        at = 0
        while at < _BINS - 1 and below + bins[at] <= wanted:
            below += bins[at]
            at += 1
        low, high = low + at / scale, low + (at + 1) / scale
    return low, high


@piece
def nearest(items, weights, pool, skip):  # type: ignore[no-untyped-def]
    """Rows of the pool nearest in Euclidean distance, at most NEIGHBOURS, without row `skip`."""
    if len(pool.norm) == 0:
        return np.empty(0, np.int32)
    distance = pool.norm.copy()
    known = len(pool.by_item) - 1
    for j in range(len(items)):
        if items[j] >= known:
            continue
        twice = np.float32(2.0) * weights[j]
        for at in range(pool.by_item[items[j]], pool.by_item[items[j] + 1]):
            distance[pool.owner[at]] -= twice * pool.owner_weight[at]
    if skip >= 0:
        distance[skip] = np.inf
        distance[skip] = distance[distance < np.inf].max() if len(distance) > 1 else 0.0
    wanted = min(NEIGHBOURS, len(distance))
    low, high = _cut(distance, wanted)
    rows = np.empty(wanted, np.int32)
    found = 0
    for edge in range(2):
        for row in range(len(distance)):
            inside = distance[row] < low if edge == 0 else low <= distance[row] <= high
            if inside and row != skip and found < wanted:
                rows[found] = row
                found += 1
    return rows[:found]


@piece
def neighbour_scores(rows, pool, size):  # type: ignore[no-untyped-def]
    """(size,) mean weight of each product in those customers' vectors, as TIFU-KNN's second part."""
    scores = np.zeros(size, np.float32)
    for row in rows:
        for at in range(pool.start[row], pool.start[row + 1]):
            scores[pool.item[at]] += pool.weight[at]
    share = np.float32(1.0) / np.float32(max(1, len(rows)))
    for item in range(size):
        scores[item] *= share
    return scores
