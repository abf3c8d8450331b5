"""A linear forecast of the next basket: ridge regression on decayed history, as each product's strongest weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from features.baskets import Baskets
from histories.compiled import compiled, piece
from models.baskets.board import FOLLOW, least_of_heaviest, row_of

PRODUCTS = 3_000  # the most bought; the cost of the fit is their cube
PAIRS = 40_000  # of a history and the basket after it, the newest of each customer first
PER_CUSTOMER = 4
HISTORY_PRODUCTS = 150  # of a history, the heaviest
WEIGHTS = 60  # kept per product
PENALTY = 100.0
DECAY = 0.9  # per basket back, as own_decay_90


class Follow(NamedTuple):
    """Weights from a product in the history to products in the next basket, itself included."""

    start: NDArray[np.int64]  # (items + 1,)
    item: NDArray[np.int32]
    weight: NDArray[np.float32]


def follow_links(baskets: Baskets, items: int, seed: int) -> Follow:
    """Unit histories x and next baskets y: W = (X'X + PENALTY I)^-1 X'Y over the most bought products."""
    counts = np.bincount(baskets.item, minlength=items)
    kept = np.sort(np.argsort(-counts, kind="stable")[: min(PRODUCTS, int((counts > 0).sum()))])
    customers, nexts = _pairs(baskets, seed)
    if not len(kept) or not len(nexts):
        return Follow(np.zeros(items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    place = np.full(items, -1, np.int32)
    place[kept] = np.arange(len(kept))
    gram, cross = _sums(baskets, baskets.start[customers], nexts, place, len(kept), items)
    gram += gram.T
    gram[np.diag_indices(len(kept))] = gram.diagonal() / 2 + PENALTY
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    return _pruned(cho_solve(factor, cross, overwrite_b=True, check_finite=False), kept, items)


def _pairs(baskets: Baskets, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Customers and the numbers of their newest baskets that follow another."""
    owner = np.repeat(np.arange(len(baskets)), np.diff(baskets.start))
    number = np.arange(len(owner))
    usable = np.flatnonzero((number > baskets.start[owner]) & (number >= baskets.start[owner + 1] - PER_CUSTOMER))
    if len(usable) > PAIRS:
        usable = np.sort(np.random.default_rng(seed).permutation(usable)[:PAIRS])
    return owner[usable], usable


@piece
def _history(baskets, begin, end, place, where, found_item, found_weight):  # type: ignore[no-untyped-def]
    """Decayed weights of baskets begin..end by place, at unit length, the heaviest HISTORY_PRODUCTS; their number."""
    found = 0
    for basket in range(begin, end):
        decay = np.float32(DECAY ** (end - 1 - basket))
        for line in range(baskets.item_start[basket], baskets.item_start[basket + 1]):
            product = place[baskets.item[line]]
            if product < 0:
                continue
            at = where[product]
            if not (at < found and found_item[at] == product):
                at = found
                where[product], found_item[at], found_weight[at] = at, product, 0.0
                found += 1
            found_weight[at] += decay
    least = least_of_heaviest(found_weight[:found], HISTORY_PRODUCTS)
    kept, square = 0, np.float32(0.0)
    for at in range(found):
        if found_weight[at] >= least and kept < HISTORY_PRODUCTS:
            found_item[kept], found_weight[kept] = found_item[at], found_weight[at]
            square += found_weight[at] * found_weight[at]
            kept += 1
    for at in range(kept):
        found_weight[at] /= np.sqrt(square)
    return kept


@compiled
def _sums(baskets, begins, nexts, place, size, items):  # type: ignore[no-untyped-def]
    """X'X (below the diagonal or on it, in either order of a pair once) and X'Y."""
    gram, cross = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    where, item, weight = np.zeros(size, np.int64), np.empty(size, np.int64), np.empty(size, np.float32)
    for pair in range(len(nexts)):
        found = _history(baskets, begins[pair], nexts[pair], place, where, item, weight)
        for a in range(found):
            for b in range(a + 1):
                gram[item[a], item[b]] += weight[a] * weight[b]
        for line in range(baskets.item_start[nexts[pair]], baskets.item_start[nexts[pair] + 1]):
            target = place[baskets.item[line]]
            if target >= 0:
                for a in range(found):
                    cross[item[a], target] += weight[a]
    return gram, cross


def _pruned(weights: NDArray[np.float32], kept: NDArray[np.int64], items: int) -> Follow:
    """The WEIGHTS largest of each row by size, positive or negative."""
    number = min(WEIGHTS, weights.shape[1])
    best = np.sort(np.argpartition(-np.abs(weights), number - 1, axis=1)[:, :number], axis=1)
    counts = np.zeros(items, np.int64)
    counts[kept] = number
    value = np.take_along_axis(weights, best, axis=1).ravel().astype(np.float32)
    return Follow(np.concatenate([[0], np.cumsum(counts)]), kept[best].ravel().astype(np.int32), value)


@piece
def add_follow(board, item, weight, follow):  # type: ignore[no-untyped-def]
    """Adds weight times the product's weights to the forecast."""
    if item < len(follow.start) - 1:
        for at in range(follow.start[item], follow.start[item + 1]):
            board.score[row_of(board, follow.item[at]), FOLLOW] += weight * follow.weight[at]
