"""Candidates for a customer's next basket and their rows of features, in one compiled pass per customer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from features.feature import Feature
from features.items import (
    AFFINITY_FEATURES,
    CUSTOMER_FEATURES,
    DECAY_70,
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
from histories.compiled import compiled, piece
from models.item_links import Links, add_links, cart_shares, next_links, together_links
from models.neighbours import Pool, basket_weights, build_pool, nearest, neighbour_scores

OWN_LIMIT = 60  # own products, by decayed weight
NEAR_LIMIT = 30  # other products, by neighbours' baskets
LINK_LIMIT = 5  # more, by links from the customer's baskets
CART_LIMIT = 30  # more, by links from the cart
OWN_PART = 0.1  # of the customer's own weight in TIFU-KNN's score

COLLABORATIVE_FEATURES = (
    Feature("tifu", "weight", "of TIFU-KNN: own baskets and nearest customers'", "neighbours"),
    Feature("near", "weight", "in the baskets of the nearest customers", "neighbours"),
    Feature("near_lift", "log ratio", "that weight over the product's share of all baskets", "neighbours"),
    Feature("tifu_rank", "rank", "among the customer's candidates by tifu, 1 the best", "neighbours"),
    Feature("together_last", "cosine", "with the products of the last order, in one basket, summed", "links"),
    Feature("after_last", "cosine", "with the products of the last order, in the next basket, summed", "links"),
    Feature("after_all", "cosine", "with all own products by decay, in the next basket, summed", "links"),
)
FEATURES = OWN_FEATURES + COLLABORATIVE_FEATURES + ITEM_FEATURES + CUSTOMER_FEATURES + AFFINITY_FEATURES
NAMES = tuple(feature.name for feature in FEATURES)

_COLLABORATIVE = len(OWN_FEATURES)
_ITEM = _COLLABORATIVE + len(COLLABORATIVE_FEATURES)
_CUSTOMER = _ITEM + len(ITEM_FEATURES)
_AFFINITY = _CUSTOMER + len(CUSTOMER_FEATURES)
_WIDTH = len(FEATURES)
_NEW_GAP = 3.0  # orders; and with _NEW_GAP_DAYS what is assumed of a product that the model does not know
_NEW_GAP_DAYS = 60.0

MIXED, ONLY, NONE = 0, 1, 2  # repeat


class Evidence(NamedTuple):
    """What all customers together say about the products 0..items-1, as of one instant."""

    table: NDArray[np.float32]  # (items, len(ITEM_FEATURES))
    pool: Pool
    together: Links
    after: Links
    popular: NDArray[np.int32]  # products by recent share, best first


class Shelf(NamedTuple):
    """The products of one catalog, in the model's numbering: the model's own first, then those it does not know."""

    category: NDArray[np.int32]  # -1 without one
    categories: int
    blocked: NDArray[np.bool_]  # not to be recommended


def gather_evidence(baskets: Baskets, items: int, as_of_day: int, seed: int) -> tuple[Evidence, NDArray[np.int32]]:
    """The evidence, and each customer's row in its pool of neighbours (-1 outside)."""
    table = item_table(baskets, items, as_of_day)
    pool, row = build_pool(baskets, items, seed)
    popular = np.argsort(-np.nan_to_num(table[:, 1]), kind="stable").astype(np.int32)
    return Evidence(table, pool, together_links(baskets, items), next_links(baskets, items), popular), row


@piece
def _best(scores, taken, limit):  # type: ignore[no-untyped-def]
    """Positions of the highest scores above zero among those not taken, best first; ties by position."""
    best = np.empty(limit, np.int64)
    found = 0
    for at in range(len(scores)):
        if taken[at] or scores[at] <= 0 or (found == limit and scores[at] <= scores[best[found - 1]]):
            continue
        slot = found if found < limit else limit - 1
        while slot > 0 and scores[best[slot - 1]] < scores[at]:
            if slot < limit:
                best[slot] = best[slot - 1]
            slot -= 1
        best[slot] = at
        found = min(found + 1, limit)
    return best[:found]


@compiled
def candidate_rows(baskets, begin, end, as_of_day, evidence, shelf, skip, repeat, wanted, cart):  # type: ignore[no-untyped-def]
    """(products, X, own): candidates of the customer with baskets begin..end, rows of FEATURES, place in own or -1.

    At least `wanted` candidates where the shelf allows; `skip` is the customer's own row in the pool, -1 without.
    """
    known, size = len(evidence.table), len(shelf.blocked)
    weights = basket_weights(end - begin)
    own, tallies = own_items(baskets, begin, end, as_of_day, weights)
    rows = nearest(own, tallies[:, WEIGHT], evidence.pool, skip)
    near = neighbour_scores(rows, evidence.pool, size)
    together, after, after_all = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for at in range(len(own)):
        add_links(after_all, own[at], tallies[at, DECAY_70], evidence.after)
        if tallies[at, LAST] == end - begin - 1:
            add_links(together, own[at], np.float32(1.0), evidence.together)
            add_links(after, own[at], np.float32(1.0), evidence.after)

    products, place = _choose(own, tallies, near, after_all, evidence, shelf, repeat, wanted, cart)
    X = np.full((len(products), _WIDTH), np.nan, np.float32)
    tastes = category_tastes(own, tallies, shelf.category, shelf.categories)
    bought = tallies[:, 0].sum()
    usual = usual_price(own, tallies, evidence.table)
    shared = np.empty(_AFFINITY - _CUSTOMER, np.float32)
    fill_customer(shared, baskets, begin, end, len(own), as_of_day)
    for at in range(len(products)):
        product, row = products[at], X[at]
        is_known = product < known
        if place[at] >= 0:
            gap = evidence.table[product, ITEM_GAP_ORDERS] if is_known else np.float32(_NEW_GAP)
            gap_days = evidence.table[product, ITEM_GAP_DAYS] if is_known else np.float32(_NEW_GAP_DAYS)
            fill_own(row, tallies[place[at]], end - begin, as_of_day, gap, gap_days)
        if is_known:
            row[_ITEM:_CUSTOMER] = evidence.table[product]
        row[_CUSTOMER:_AFFINITY] = shared
        fill_affinity(row[_AFFINITY:], shelf.category[product], tastes, bought, row[_ITEM + ITEM_LOG_PRICE], usual)
        mine = tallies[place[at], WEIGHT] if place[at] >= 0 else np.float32(0.0)
        _fill_collaborative(
            row[_COLLABORATIVE:], mine, near[product], row[_ITEM], together[product], after[product], after_all[product]
        )
    _fill_ranks(X[:, _COLLABORATIVE], X[:, _COLLABORATIVE + 3])
    return products, X, place


@piece
def _fill_collaborative(row, mine, near, share, together, after, after_all):  # type: ignore[no-untyped-def]
    row[0] = OWN_PART * mine + (1 - OWN_PART) * near
    row[1] = near
    row[2] = np.log((near + 1e-5) / (share + 1e-5))
    row[4] = together
    row[5] = after
    row[6] = after_all


@piece
def _fill_ranks(scores, ranks):  # type: ignore[no-untyped-def]
    order = np.argsort(-scores, kind="mergesort")
    for at in range(len(order)):
        ranks[order[at]] = at + 1


@piece
def _choose(own, tallies, near, after_all, evidence, shelf, repeat, wanted, cart):  # type: ignore[no-untyped-def]
    products = np.empty(OWN_LIMIT + max(NEAR_LIMIT, wanted) + LINK_LIMIT + CART_LIMIT + wanted, np.int32)
    place = np.full(len(products), -1, np.int64)
    taken = shelf.blocked.copy()
    found = 0
    if repeat != NONE:
        score = np.empty(len(own), np.float32)
        for at in range(len(own)):
            score[at] = OWN_PART * tallies[at, WEIGHT] + (1 - OWN_PART) * near[own[at]]
        for at in _best(score, taken[own], OWN_LIMIT):
            products[found], place[found] = own[at], at
            found += 1
    for item in own:
        taken[item] = True
    if repeat == ONLY:
        return products[:found], place[:found]
    for item in _best(near, taken, max(NEAR_LIMIT, wanted if repeat == NONE else 0)):
        products[found] = item
        taken[item] = True
        found += 1
    if len(cart):
        for item in _best(cart_shares(cart, evidence.together, len(taken)), taken, CART_LIMIT):
            products[found] = item
            taken[item] = True
            found += 1
    for item in _best(after_all, taken, LINK_LIMIT):
        products[found] = item
        taken[item] = True
        found += 1
    for item in evidence.popular:
        if found >= wanted:
            break
        if not taken[item]:
            products[found] = item
            found += 1
    return products[:found], place[:found]
