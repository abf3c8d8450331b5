"""Candidates for a customer's next basket and their rows of features, in one compiled pass per customer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets, baskets_of
from features.feature import Feature
from features.items import (
    AFFINITY_FEATURES,
    COUNT,
    CUSTOMER_FEATURES,
    DECAY_90,
    ITEM_FEATURES,
    ITEM_GAP_DAYS,
    ITEM_GAP_ORDERS,
    ITEM_LOG_PRICE,
    LAST,
    OWN_FEATURES,
    WEIGHT,
    category_tastes,
    fill_affinity,
    fill_customer,
    fill_own,
    item_table,
    own_items,
    usual_price,
)
from features.numbers import copy
from histories.compiled import piece
from models.baskets.board import (
    AFTER,
    FOLLOW,
    GOES,
    NEAR,
    TOGETHER,
    best_first,
    keep_best,
    least_of_heaviest,
    row_of,
    start_board,
)
from models.baskets.follow_links import Follow, add_follow, follow_links
from models.baskets.item_links import Links, add_cart, add_links, next_links, together_links
from models.baskets.neighbours import Pool, add_neighbours, basket_weights, build_pool, nearest

OWN_LIMIT = 30  # own products, by TIFU-KNN's score; and up to twice as many of a long history, see _moved
NEAR_LIMIT = 15  # other products, by neighbours' baskets
FOLLOW_LIMIT = 15  # more, by the linear forecast
CART_LIMIT = 30  # more, by links from the cart
FEWEST = 30  # in all: what sells now fills up
MOST = OWN_LIMIT + NEAR_LIMIT + FOLLOW_LIMIT + FEWEST  # with no cart and k at most FEWEST
FOLLOW_QUERY = 40  # own products that the linear forecast looks at, by decayed orders
LINK_LINES = 2_000_000  # that item-to-item links are counted from
OWN_PRIOR = 60.0  # baskets that the neighbours' word is worth in that score

COLLABORATIVE_FEATURES = (
    Feature("tifu", "weight", "of TIFU-KNN: own baskets and nearest customers'", "neighbours"),
    Feature("near", "weight", "in the baskets of the nearest customers", "neighbours"),
    Feature("near_lift", "log ratio", "that weight over the product's share of all baskets", "neighbours"),
    Feature("tifu_rank", "rank", "among the customer's candidates by tifu, 1 the best", "neighbours"),
    Feature("together_last", "cosine", "with the products of the last order, in one basket, summed", "links"),
    Feature("after_last", "cosine", "with the products of the last order, in the next basket, summed", "links"),
    Feature("follow", "weight", "of the linear forecast from all own baskets", "links"),
)
FEATURES = OWN_FEATURES + COLLABORATIVE_FEATURES + ITEM_FEATURES + CUSTOMER_FEATURES + AFFINITY_FEATURES
NAMES = tuple(feature.name for feature in FEATURES)

_COLLABORATIVE = len(OWN_FEATURES)
_ITEM = _COLLABORATIVE + len(COLLABORATIVE_FEATURES)
_CUSTOMER = _ITEM + len(ITEM_FEATURES)
_AFFINITY = _CUSTOMER + len(CUSTOMER_FEATURES)
WIDTH = len(FEATURES)
_NEW_GAP = 3.0  # orders; and with _NEW_GAP_DAYS what is assumed of a product that the model does not know
_NEW_GAP_DAYS = 60.0

MIXED, ONLY, NONE = 0, 1, 2  # repeat


class Evidence(NamedTuple):
    """What all customers together say about the products 0..items-1, as of one instant."""

    table: NDArray[np.float32]  # (items, len(ITEM_FEATURES))
    pool: Pool
    together: Links
    after: Links
    follow: Follow
    popular: NDArray[np.int32]  # products by recent share, best first


class Shelf(NamedTuple):
    """The products of one catalog, in the model's numbering: the model's own first, then those it does not know."""

    category: NDArray[np.int32]  # -1 without one
    categories: int
    blocked: NDArray[np.bool_]  # not to be recommended


class Wish(NamedTuple):
    """What one call asks of every customer."""

    k: int
    repeat: int  # MIXED, ONLY or NONE
    cart: NDArray[np.int32]  # products in the model's numbering


def gather_evidence(baskets: Baskets, items: int, as_of_day: int, seed: int) -> tuple[Evidence, NDArray[np.int32]]:
    """The evidence, and each customer's row in its pool of neighbours (-1 outside)."""
    table = item_table(baskets, items, as_of_day)
    pool, row = build_pool(baskets, items, seed)
    popular = np.argsort(-np.nan_to_num(table[:, 1]), kind="stable").astype(np.int32)
    some = _sampled(baskets, seed)
    together, after = together_links(some, items), next_links(some, items)
    return Evidence(table, pool, together, after, follow_links(some, items, seed), popular), row


def _sampled(baskets: Baskets, seed: int) -> Baskets:
    """All customers, or as many at random as have LINK_LINES lines: pairs of products need no more."""
    if len(baskets.item) <= LINK_LINES:
        return baskets
    order = np.random.default_rng(seed).permutation(len(baskets))
    lines = np.cumsum(baskets.item_start[baskets.start[order + 1]] - baskets.item_start[baskets.start[order]])
    return baskets_of(baskets, np.sort(order[: int(np.searchsorted(lines, LINK_LINES))]))


@piece
def candidate_rows(baskets, begin, end, as_of_day, evidence, shelf, wish, board):  # type: ignore[no-untyped-def]
    """(products, X, rows): candidates of the customer with baskets begin..end, their FEATURES, their rows on the board.

    At least wish.k candidates where the shelf allows.
    """
    start_board(board)
    own, tallies = own_items(baskets, begin, end, as_of_day, basket_weights(end - begin))
    for at in range(len(own)):
        row_of(board, own[at])  # own product number `at` has row `at`
    _gather(board, own, tallies, end - begin, evidence, wish.cart)
    part = own_part(end - begin)
    rows = _choose(board, len(own), tallies, part, evidence, shelf, wish)
    X = np.full((len(rows), WIDTH), np.nan, np.float32)
    tastes = category_tastes(own, tallies, shelf.category, shelf.categories)
    usual = usual_price(own, tallies, evidence.table)
    bought = tallies[:, COUNT].sum()
    shared = np.empty(_AFFINITY - _CUSTOMER, np.float32)
    fill_customer(shared, baskets, begin, end, len(own), as_of_day)
    for at in range(len(rows)):
        row, product, mine = X[at], board.item[rows[at]], np.float32(0.0)
        if product < len(evidence.table):
            copy(evidence.table[product], row[_ITEM:_CUSTOMER])
        if rows[at] < len(own):
            mine = tallies[rows[at], WEIGHT]
            _fill_own(row, tallies[rows[at]], end - begin, as_of_day, product < len(evidence.table))
        copy(shared, row[_CUSTOMER:_AFFINITY])
        fill_affinity(row[_AFFINITY:], shelf.category[product], tastes, bought, row[_ITEM + ITEM_LOG_PRICE], usual)
        _fill_collaborative(row[_COLLABORATIVE:], part, mine, board.score[rows[at]], row[_ITEM])
    _fill_ranks(X[:, _COLLABORATIVE], X[:, _COLLABORATIVE + 3])
    return board.item[rows], X, rows


@piece
def _gather(board, own, tallies, orders, evidence, cart):  # type: ignore[no-untyped-def]
    """What the evidence says of products to somebody who bought these."""
    add_neighbours(board, nearest(own, tallies[:, WEIGHT], evidence.pool), evidence.pool, NEAR)
    least, square = least_of_heaviest(tallies[:, DECAY_90], FOLLOW_QUERY), np.float32(1e-9)
    for at in range(len(own)):
        square += tallies[at, DECAY_90] * tallies[at, DECAY_90]
    for at in range(len(own)):
        if tallies[at, DECAY_90] >= least:
            add_follow(board, own[at], tallies[at, DECAY_90] / np.sqrt(square), evidence.follow)
        if tallies[at, LAST] == orders - 1:
            add_links(board, own[at], evidence.together, TOGETHER)
            add_links(board, own[at], evidence.after, AFTER)
    for item in cart:
        add_cart(board, item, evidence.together)


@piece
def own_part(orders):  # type: ignore[no-untyped-def]
    """Weight of the customer's own baskets in TIFU-KNN's score: the more there are, the less the neighbours add."""
    return np.float32(orders) / (np.float32(orders) + np.float32(OWN_PRIOR))


@piece
def _fill_own(row, tally, orders, as_of_day, is_known):  # type: ignore[no-untyped-def]
    gap = row[_ITEM + ITEM_GAP_ORDERS] if is_known else np.float32(_NEW_GAP)
    gap_days = row[_ITEM + ITEM_GAP_DAYS] if is_known else np.float32(_NEW_GAP_DAYS)
    fill_own(row, tally, orders, as_of_day, gap, gap_days)


@piece
def _fill_collaborative(row, part, mine, noted, share):  # type: ignore[no-untyped-def]
    row[0] = part * mine + (1 - part) * noted[NEAR]
    row[1] = noted[NEAR]
    row[2] = np.log((noted[NEAR] + np.float32(1e-5)) / (share + np.float32(1e-5)))
    row[4] = noted[TOGETHER]
    row[5] = noted[AFTER]
    row[6] = noted[FOLLOW]


@piece
def _fill_ranks(scores, ranks):  # type: ignore[no-untyped-def]
    order = best_first(scores, len(scores))
    for at in range(len(order)):
        ranks[order[at]] = at + 1


@piece
def _choose(board, own, tallies, part, evidence, shelf, wish):  # type: ignore[no-untyped-def]
    """Rows on the board of the candidates: own products first, then the best by each kind of evidence."""
    more = wish.k if wish.repeat == NONE else 0
    moved = _moved(part, own) if wish.repeat != NONE else 0
    most = max(OWN_LIMIT, wish.k) + max(NEAR_LIMIT, more) + FOLLOW_LIMIT + CART_LIMIT + max(FEWEST, wish.k)
    rows = np.empty(most, np.int64)
    found, touched = 0, board.state[0]
    for at in range(touched):
        board.taken[at] = shelf.blocked[board.item[at]]
    if wish.repeat != NONE:
        score = np.empty(own, np.float32)
        for at in range(own):
            score[at] = part * tallies[at, WEIGHT] + (1 - part) * board.score[at, NEAR]
        found = _take_best(score, board.taken, max(OWN_LIMIT + 2 * moved, wish.k), rows, found)
    board.taken[:own] = True
    if wish.repeat == ONLY:
        return rows[:found]
    found = _take_best(board.score[:touched, NEAR], board.taken, max(NEAR_LIMIT - moved, more), rows, found)
    if len(wish.cart):
        found = _take_best(board.score[:touched, GOES], board.taken, CART_LIMIT, rows, found)
    found = _take_best(board.score[:touched, FOLLOW], board.taken, FOLLOW_LIMIT - moved, rows, found)
    return rows[: take_popular(board, evidence.popular, shelf, max(FEWEST, wish.k), rows, found)]


@piece
def _moved(part, own):  # type: ignore[no-untyped-def]
    """Rows that neighbours and forecast each leave to own products: who has a long history buys little that is new."""
    return min(int(part * np.float32(FOLLOW_LIMIT - 1) + np.float32(0.5)), max(own - OWN_LIMIT, 0) // 2)


@piece
def _take_best(scores, taken, limit, rows, found):  # type: ignore[no-untyped-def]
    """Adds the untaken rows of the highest scores above zero, best first, ties by row; how many there are then."""
    first, last = found, found + limit
    for at in range(len(scores)):
        if not taken[at] and scores[at] > 0:
            found = keep_best(rows, first, found, last, scores, at)
    for at in range(first, found):
        taken[rows[at]] = True
    return found


@piece
def take_popular(board, popular, shelf, wanted, rows, found):  # type: ignore[no-untyped-def]
    for item in popular:
        if found >= wanted:
            break
        if not shelf.blocked[item]:
            row = row_of(board, item)
            if not board.taken[row]:
                board.taken[row] = True
                rows[found] = row
                found += 1
    return found
