"""From baskets to the k best products of each customer, in one compiled pass: candidates, trees, order, reasons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from histories.compiled import compiled, piece
from models.baskets.board import CLEAREST, GOES, Board, best_first, start_board
from models.baskets.candidates import NAMES, ONLY, Evidence, Shelf, Wish, candidate_rows, take_popular
from models.baskets.follow_links import Follow
from models.baskets.item_links import Links, add_cart
from models.baskets.neighbours import Pool
from models.trees.shallow import ShallowTrees, descend, two_sided

BOUGHT, LINKED, NEAR, POPULAR = 0, 1, 2, 3  # why a product is recommended
SIEVE_TREES = 40  # that all candidates go through; the best by these go through the others
FEWEST_SIFTED = 24  # of those, and at least twice the wanted
CLEAR_LINK = 0.05  # share of a product's baskets that hold the partner, for LINKED
_ORDERS, _GAP, _SINCE, _LIFT = (
    NAMES.index(name) for name in ("own_orders", "own_gap_days", "own_days_since", "near_lift")
)
_ALL_ORDERS, _DECAYED, _SHARE = (NAMES.index(name) for name in ("orders", "own_decay_90", "item_share"))


class Judge(NamedTuple):
    """The ranker's trees and the line from their sums to log-odds; without trees, plain shares."""

    trees: ShallowTrees
    slope: float
    intercept: float


PLAIN = Judge(ShallowTrees.none(), 1.0, 0.0)


class Ranked(NamedTuple):
    """The k best products of each customer, best first; every array (customers, k)."""

    product: NDArray[np.int32]  # in the model's numbering, -1 where there are fewer than k
    score: NDArray[np.float64]  # probability that the next basket holds it
    why: NDArray[np.int8]
    source: NDArray[np.int32]  # of LINKED: the product it goes with
    orders: NDArray[np.int32]  # of BOUGHT: the customer's orders with it,
    gap: NDArray[np.int32]  # days between them, rounded (0 after one),
    since: NDArray[np.int32]  # days since the last


def room_for(customers: int, k: int) -> Ranked:
    """Uninitialised."""
    kinds = (np.int32, np.float64, np.int8, np.int32, np.int32, np.int32, np.int32)
    return Ranked(*(np.empty((customers, k), kind) for kind in kinds))


@compiled
def rank_customers(baskets, first, last, as_of_day, evidence, shelf, judge, wish, board, out):  # type: ignore[no-untyped-def]
    """Fills the rows first..last (exclusive) of `out`; `board` serves one thread at a time. All tuples are plain."""
    table, pool, together, after, follow, popular = evidence
    known = Evidence(table, Pool(*pool), Links(*together), Links(*after), Follow(*follow), popular)
    trees, slope, intercept = judge
    by = Judge(ShallowTrees(*trees), slope, intercept)
    bought, goods, asked, room, ranked = Baskets(*baskets), Shelf(*shelf), Wish(*wish), Board(*board), Ranked(*out)
    for customer in range(first, last):
        begin, end = bought.start[customer], bought.start[customer + 1]
        ranked.product[customer], ranked.why[customer], ranked.source[customer] = -1, POPULAR, -1
        if begin < end:
            _rank_known(customer, bought, begin, end, as_of_day, known, goods, by, asked, room, ranked)
        elif asked.repeat != ONLY:
            _rank_unknown(customer, known, goods, asked, room, ranked)


@piece
def _rank_known(customer, baskets, begin, end, as_of_day, evidence, shelf, judge, wish, board, out):  # type: ignore[no-untyped-def]
    products, X, rows = candidate_rows(baskets, begin, end, as_of_day, evidence, shelf, wish, board)
    # What goes with the cart may overtake: then nobody is sifted out.
    score = probabilities(X, judge, len(X) if len(wish.cart) else max(2 * wish.k, FEWEST_SIFTED))
    for at in range(len(score) if len(wish.cart) else 0):
        score[at] = 1 - (1 - score[at]) * (1 - board.score[rows[at], GOES])
    best = best_first(score, wish.k)
    for place in range(len(best)):
        at = best[place]
        out.product[customer, place] = products[at]
        out.score[customer, place] = score[at]
        _explain(customer, place, X[at], board, rows[at], out)


@piece
def _explain(customer, place, row, board, noted, out):  # type: ignore[no-untyped-def]
    if row[_ORDERS] > 0:
        out.why[customer, place] = BOUGHT
        out.orders[customer, place] = np.int32(row[_ORDERS])
        out.gap[customer, place] = np.int32(np.rint(row[_GAP])) if row[_ORDERS] > 1 else 0
        out.since[customer, place] = np.int32(np.rint(row[_SINCE]))
    elif board.score[noted, CLEAREST] >= CLEAR_LINK:
        out.why[customer, place] = LINKED
        out.source[customer, place] = board.source[noted]
    elif row[_LIFT] > 0:
        out.why[customer, place] = NEAR


@piece
def _rank_unknown(customer, evidence, shelf, wish, board, out):  # type: ignore[no-untyped-def]
    """What goes with the cart, then what sells now."""
    start_board(board)
    for item in wish.cart:
        add_cart(board, item, evidence.together)
    rows, found = np.empty(board.state[0] + wish.k, np.int64), 0
    for at in range(board.state[0]):
        board.taken[at] = True
        if not shelf.blocked[board.item[at]]:
            rows[found] = at
            found += 1
    rows = rows[: take_popular(board, evidence.popular, shelf, found + wish.k, rows, found)]
    score = np.empty(len(rows))
    for at in range(len(rows)):
        share = _or_zero(evidence.table[board.item[rows[at]], 1])
        score[at] = 1 - (1 - min(share, 1.0)) * (1 - board.score[rows[at], GOES])
    best = best_first(score, wish.k)
    for place in range(len(best)):
        at = rows[best[place]]
        out.product[customer, place] = board.item[at]
        out.score[customer, place] = score[best[place]]
        if board.score[at, CLEAREST] >= CLEAR_LINK:
            out.why[customer, place] = LINKED
            out.source[customer, place] = board.source[at]


@piece
def probabilities(X, judge, wanted):  # type: ignore[no-untyped-def]
    """(rows,) that the customer's next basket holds the candidate; 0 for all but the `wanted` best of the sieve."""
    score = np.zeros(len(X))
    if not len(judge.trees.root):
        for at in range(len(X)):
            score[at] = _plain(X[at, _ALL_ORDERS], X[at, _DECAYED], X[at, _SHARE])
        return score
    _sift(judge.trees, X, score, wanted)
    for at in range(len(X)):
        score[at] = 1.0 / (1.0 + np.exp(-(judge.slope * score[at] + judge.intercept)))
    return score


@piece
def _sift(trees, X, score, wanted):  # type: ignore[no-untyped-def]
    """Raw scores; a cascade (Wang et al. 2011): few trees for all rows, all trees for the best, -inf for the rest."""
    both = two_sided(X)
    descend(trees, both, score, 0, min(SIEVE_TREES, len(trees.root)))
    best = best_first(score, wanted)
    sifted = score[best]
    descend(trees, both[best], sifted, min(SIEVE_TREES, len(trees.root)), len(trees.root))
    score[:] = -np.inf
    for at in range(len(best)):
        score[best[at]] = sifted[at]


@piece
def _plain(orders, decayed, share):  # type: ignore[no-untyped-def]
    """The share of the customer's orders with the product, newer ones more, drawn to everybody's by one order."""
    weight = (1 - 0.9**orders) / (1 - 0.9)
    return (_or_zero(decayed) + min(max(_or_zero(share), 0.0), 1.0)) / (weight + 1)


@piece
def _or_zero(value):  # type: ignore[no-untyped-def]
    return value if value == value else np.float32(0.0)
