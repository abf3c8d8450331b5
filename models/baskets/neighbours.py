"""Nearest customers by decayed baskets (TIFU-KNN, Hu et al. 2020), with an inverted index for one quick query."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from histories.compiled import compiled, piece
from models.baskets.board import least_of_heaviest, row_of

NEIGHBOURS = 150
GROUPS = 11
GROUP_DECAY = 0.9
POOL_CUSTOMERS = 6_000
POOL_ENTRIES = 2_000_000
SPOKEN = 40  # products that a neighbour speaks for
QUERY = 60  # products that a customer is looked up by; both by weight
_HALVINGS = 12  # of the span of distances, in search of the farthest neighbour


class Pool(NamedTuple):
    """Decayed basket vectors of a sample of customers, without ids: by customer and by product."""

    start: NDArray[np.int64]  # (pool customers + 1,): of each customer the SPOKEN heaviest
    item: NDArray[np.int32]
    weight: NDArray[np.float32]
    norm: NDArray[np.float32]  # squared length of each vector
    by_item: NDArray[np.int64]  # (items + 1,)
    owner: NDArray[np.int32]
    owner_weight: NDArray[np.float32]
    edge: NDArray[np.float32]  # (1,): the norm of the customer after the NEIGHBOURS shortest, the longest without one


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
            weights[at] = GROUP_DECAY ** (groups - 1 - group) / members / groups
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
    by = np.argsort(item, kind="stable")
    owner = np.repeat(np.arange(len(norm), dtype=np.int32), np.diff(start))[by]
    by_item = np.searchsorted(item[by], np.arange(items + 1)).astype(np.int64)
    return Pool(*_heaviest(start, item, weight), norm, by_item, owner, weight[by], _edge(norm)), row


def without(pool: Pool, rows: NDArray[np.int32]) -> Pool:
    """The pool with nothing left of the customers in these rows; they are nobody's neighbours any more."""
    counts = np.diff(pool.start)
    spoken = ~np.isin(np.repeat(np.arange(len(counts)), counts), rows)
    counts[rows] = 0
    indexed = ~np.isin(pool.owner, rows)
    norm = pool.norm.copy()
    norm[rows] = norm.max(initial=0.0)  # as far away as the farthest
    return Pool(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        pool.item[spoken],
        pool.weight[spoken],
        norm,
        np.concatenate([[0], np.cumsum(indexed)])[pool.by_item],
        pool.owner[indexed],
        pool.owner_weight[indexed],
        _edge(norm),
    )


def _edge(norm: NDArray[np.float32]) -> NDArray[np.float32]:
    ordered = np.sort(norm)
    return ordered[NEIGHBOURS : NEIGHBOURS + 1] if len(norm) > NEIGHBOURS else norm.max(initial=0.0, keepdims=True)


def _heaviest(start: NDArray, item: NDArray, weight: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    row = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.lexsort((-weight, row))
    kept = np.sort(order[np.arange(len(order)) - start[row] < SPOKEN])
    counts = np.minimum(np.diff(start), SPOKEN)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), item[kept], weight[kept]


def _sample(baskets: Baskets, seed: int) -> NDArray[np.int64]:
    """Customers with a basket: all, or a seeded sample that keeps the index small."""
    members = np.flatnonzero(np.diff(baskets.start) > 0)
    order = np.random.default_rng(seed).permutation(members)[:POOL_CUSTOMERS]
    lines = np.cumsum(baskets.item_start[baskets.start[order + 1]] - baskets.item_start[baskets.start[order]])
    return np.sort(order[: max(1, int(np.searchsorted(lines, POOL_ENTRIES, side="right")))])


@piece
def _lowest(distance, wanted, low, high):  # type: ignore[no-untyped-def]
    """Rows of the `wanted` lowest distances, none of which is above high or below low; nearly equal ones by row."""
    rows, inside = np.empty(len(distance) + 1, np.uint32), np.uint64(0)
    for row in range(len(distance)):
        rows[inside] = row  # kept only if the place moves on: a branch would be guessed wrong too often
        inside += np.uint64(distance[row] <= high)
    near = np.empty(inside, np.float32)
    for at in range(inside):
        near[at] = distance[rows[at]]
    below, edge = low - np.float32(1.0), high
    for _ in range(_HALVINGS):
        middle = (below + edge) * np.float32(0.5)
        if _count(near, middle) <= wanted:
            below = middle
        else:
            edge = middle
    spare, found = wanted - _count(near, below), 0
    for at in range(inside):
        sure = near[at] <= below
        if sure or (near[at] <= edge and spare > 0):
            spare -= not sure
            rows[found] = rows[at]
            found += 1
    return rows[:found]


@piece
def _count(values, limit):  # type: ignore[no-untyped-def]
    """How many are at or below the limit, several at a time."""
    count = np.int32(0)
    for at in range(len(values)):
        count += np.int32(values[at] <= limit)
    return count


@piece
def nearest(items, weights, pool):  # type: ignore[no-untyped-def]
    """Rows of the pool nearest in Euclidean distance, at most NEIGHBOURS.

    A customer who is in the pool is among their own: an answer does not know which row is theirs, and what the ranker
    is trained on must be made as answers are.
    """
    distance = pool.norm.copy()
    wanted = min(NEIGHBOURS, len(distance))
    if wanted <= 0:
        return np.empty(0, np.uint32)
    known, length = len(pool.by_item) - 1, np.float32(0.0)
    least = least_of_heaviest(weights, QUERY)
    for j in range(len(items)):
        if items[j] >= known or weights[j] < least:
            continue
        length += weights[j] * weights[j]
        twice = np.float32(2.0) * weights[j]
        begin, end = pool.by_item[items[j]], pool.by_item[items[j] + 1]
        owner, weight = pool.owner[begin:end], pool.owner_weight[begin:end]
        for at in range(len(owner)):
            distance[np.uint32(owner[at])] -= twice * weight[at]  # unsigned, or it might count from the end
    # Squared distances less the constant length: none is below -length, and `wanted` are at or below the edge.
    return _lowest(distance, wanted, -length, pool.edge[0])


@piece
def add_neighbours(board, rows, pool, column):  # type: ignore[no-untyped-def]
    """The mean weight of each product in those customers' vectors, as TIFU-KNN's second part."""
    share = np.float32(1.0) / np.float32(max(1, len(rows)))
    for row in rows:
        begin, end = pool.start[row], pool.start[row + 1]
        item, weight = pool.item[begin:end], pool.weight[begin:end]
        for at in range(len(item)):
            place = np.uint64(row_of(board, np.uint32(item[at])))
            board.score[place, column] += share * weight[at]
