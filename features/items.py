"""Numbers about a product, and about a customer and a product: columns beside the compiled code that fills them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from features.feature import Feature
from features.numbers import copy
from histories.compiled import compiled, piece

HALF_LIVES = (30.0, 90.0)  # days
RECENT_DAYS = 30.0

# What own_items tallies per product of one customer; basket numbers count from 0, the oldest.
COUNT, FIRST, LAST, PREVIOUS, FIRST_DAY, LAST_DAY = 0, 1, 2, 3, 4, 5
DECAY_50, DECAY_70, DECAY_90, DAYS_30, DAYS_90, UNITS, WEIGHT = 6, 7, 8, 9, 10, 11, 12
TALLIES = 13


@piece
def _decays(row, ago, days):  # type: ignore[no-untyped-def]
    """What a purchase `ago` orders and `days` days back adds to DECAY_50 .. DAYS_90."""
    row[0] = 0.5**ago
    row[1] = 0.7**ago
    row[2] = 0.9**ago
    row[3] = 2.0 ** (-days / HALF_LIVES[0])
    row[4] = 2.0 ** (-days / HALF_LIVES[1])


@piece
def own_items(baskets, begin, end, as_of_day, weights):  # type: ignore[no-untyped-def]
    """Products in baskets begin..end (exclusive) in order of appearance, and their tallies (n, TALLIES).

    `weights[b - begin]` is added to WEIGHT for each basket that holds the product.
    """
    size = baskets.item_start[end] - baskets.item_start[begin]
    highest = 0
    for line in range(baskets.item_start[begin], baskets.item_start[end]):
        highest = max(highest, baskets.item[line])
    place = np.empty(highest + 1, np.int64)  # a sparse set, see features.baskets
    items = np.empty(size, np.int32)
    tallies = np.zeros((size, TALLIES), np.float32)
    decay = np.empty(DAYS_90 + 1 - DECAY_50, np.float32)
    found = 0
    for basket in range(begin, end):
        number, day = basket - begin, baskets.day[basket]
        _decays(decay, end - 1 - basket, as_of_day - day)
        for line in range(baskets.item_start[basket], baskets.item_start[basket + 1]):
            item = baskets.item[line]
            at = place[item]
            if not (0 <= at < found and items[at] == item):
                at = found
                place[item] = at
                items[at] = item
                tallies[at, FIRST] = number
                tallies[at, FIRST_DAY] = day
                tallies[at, LAST] = -1
                found += 1
            tally = tallies[at]
            tally[COUNT] += 1
            tally[PREVIOUS] = tally[LAST]
            tally[LAST] = number
            tally[LAST_DAY] = day
            for column in range(len(decay)):
                tally[DECAY_50 + column] += decay[column]
            tally[UNITS] += baskets.units[line]
            tally[WEIGHT] += weights[number]
    return items[:found], tallies[:found]


ITEM_FEATURES = (
    Feature("item_share", "share", "of all baskets that hold the product", "item"),
    Feature("item_recent_share", "share", "the same with a half-life of 30 days", "item"),
    Feature("item_trend", "log ratio", "recent share over share", "item"),
    Feature("item_buyers_share", "share", "of customers who ever bought it", "item"),
    Feature("item_rebuy_share", "share", "of its buyers who bought it again, shrunk", "item"),
    Feature("item_orders_per_buyer", "orders", "purchases per buyer", "item"),
    Feature("item_gap_orders", "orders", "mean distance between purchases of it, shrunk", "item"),
    Feature("item_gap_days", "days", "mean distance between purchases of it, shrunk", "item"),
    Feature("item_age", "days", "since it was first sold", "item"),
    Feature("item_idle", "days", "since it was last sold", "item"),
    Feature("item_basket_size", "products", "in the baskets that hold it", "item"),
    Feature("item_log_price", "log money", "mean price paid per unit", "item"),
)
ITEM_SHARE, ITEM_RECENT, ITEM_REBUY, ITEM_GAP_ORDERS, ITEM_GAP_DAYS, ITEM_LOG_PRICE = 0, 1, 4, 6, 7, 11


@compiled
def _item_sums(baskets, items, as_of_day):  # type: ignore[no-untyped-def]
    """Per product 12 sums, in the order in which item_table uses them."""
    sums = np.zeros((items, 12))
    sums[:, 7] = np.inf
    sums[:, 8] = -np.inf
    for customer in range(len(baskets.start) - 1):
        begin, end = baskets.start[customer], baskets.start[customer + 1]
        found, tallies = own_items(baskets, begin, end, as_of_day, np.zeros(end - begin, np.float32))
        for at in range(len(found)):
            tally, total = tallies[at], sums[found[at]]
            total[2] += 1
            total[3] += tally[COUNT] > 1
            total[4] += tally[COUNT] - 1
            total[5] += tally[LAST] - tally[FIRST]
            total[6] += tally[LAST_DAY] - tally[FIRST_DAY]
            total[7] = min(total[7], tally[FIRST_DAY])
            total[8] = max(total[8], tally[LAST_DAY])
        for basket in range(begin, end):
            decay = 2.0 ** (-(as_of_day - baskets.day[basket]) / RECENT_DAYS)
            first, last = baskets.item_start[basket], baskets.item_start[basket + 1]
            for line in range(first, last):
                total = sums[baskets.item[line]]
                total[0] += 1
                total[1] += decay
                total[9] += last - first
                if baskets.amount[line] > 0 and baskets.units[line] > 0:
                    total[10] += np.log(baskets.amount[line] / baskets.units[line])
                    total[11] += 1
    return sums


def item_table(baskets: Baskets, items: int, as_of_day: int) -> NDArray[np.float32]:
    """(items, len(ITEM_FEATURES)) of the products 0..items-1; shrunk numbers lean on one customer of the average."""
    sums = _item_sums(baskets, items, as_of_day)
    orders, recent, buyers, rebuyers, gaps = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3], sums[:, 4]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = orders / max(1, len(baskets.day))
        recent_share = recent / max(recent.sum(), 1e-9) * (orders.sum() / max(1, len(baskets.day)))
        columns = (
            share,
            recent_share,
            np.log((recent_share + 1e-6) / (share + 1e-6)),
            buyers / max(1, len(baskets)),
            _shrunk(rebuyers, buyers, 5.0),
            orders / np.maximum(buyers, 1),
            _shrunk(sums[:, 5], gaps, 3.0),
            _shrunk(sums[:, 6], gaps, 3.0),
            as_of_day - sums[:, 7],
            as_of_day - sums[:, 8],
            sums[:, 9] / orders,
            sums[:, 10] / sums[:, 11],
        )
    table = np.stack(columns, axis=1)
    table[~np.isfinite(table)] = np.nan
    return np.ascontiguousarray(table, dtype=np.float32)


def _shrunk(total: NDArray, count: NDArray, prior: float) -> NDArray:
    """total / count, drawn to the mean over all by `prior` imagined observations."""
    mean = total.sum() / max(count.sum(), 1.0)
    return (total + prior * mean) / (count + prior)


OWN_FEATURES = (
    Feature("own_orders", "orders", "of the customer that hold the product", "own"),
    Feature("own_share", "share", "of the customer's orders that hold it", "own"),
    Feature("own_share_since_first", "share", "of the orders since its first that hold it", "own"),
    Feature("own_orders_since", "orders", "since the last with it; 1 = in the last order", "own"),
    Feature("own_days_since", "days", "since the customer last bought it", "own"),
    Feature("own_orders_since_first", "orders", "since the first with it", "own"),
    Feature("own_gap_orders", "orders", "mean distance between purchases of it", "own"),
    Feature("own_gap_days", "days", "mean distance between purchases of it", "own"),
    Feature("own_last_gap", "orders", "between its last two purchases", "own"),
    Feature("own_overdue_orders", "ratio", "orders since the last over the expected distance", "own"),
    Feature("own_overdue_days", "ratio", "days since the last over the expected distance", "own"),
    Feature("own_decay_50", "orders", "with it, each order back counting half", "own"),
    Feature("own_decay_70", "orders", "with it, each order back counting 0.7", "own"),
    Feature("own_decay_90", "orders", "with it, each order back counting 0.9", "own"),
    Feature("own_days_30", "orders", "with it, at a half-life of 30 days", "own"),
    Feature("own_days_90", "orders", "with it, at a half-life of 90 days", "own"),
    Feature("own_units", "units", "per purchase of it", "own"),
    Feature("own_weight", "weight", "in the customer's decayed baskets", "own"),
)


@piece
def fill_own(row, tally, orders, as_of_day, gap_orders, gap_days):  # type: ignore[no-untyped-def]
    """OWN_FEATURES of one product; gap_orders and gap_days are the product's over all customers."""
    count = tally[COUNT]
    since, days = orders - tally[LAST], as_of_day - tally[LAST_DAY]
    span, span_days = tally[LAST] - tally[FIRST], tally[LAST_DAY] - tally[FIRST_DAY]
    row[0] = count
    row[1] = count / orders
    row[2] = count / (orders - tally[FIRST])
    row[3] = since
    row[4] = days
    row[5] = orders - tally[FIRST]
    row[6] = span / (count - 1) if count > 1 else np.nan
    row[7] = span_days / (count - 1) if count > 1 else np.nan
    row[8] = tally[LAST] - tally[PREVIOUS] if count > 1 else np.nan
    row[9] = since * count / max(span + gap_orders, np.float32(0.5))
    row[10] = days * count / max(span_days + gap_days, np.float32(0.5))
    copy(tally[DECAY_50 : DAYS_90 + 1], row[11:16])
    row[16] = tally[UNITS] / count
    row[17] = tally[WEIGHT]


CUSTOMER_FEATURES = (
    Feature("orders", "orders", "of the customer", "customer"),
    Feature("basket_size", "products", "per order", "customer"),
    Feature("last_basket_size", "products", "in the last order", "customer"),
    Feature("distinct_items", "products", "ever bought", "customer"),
    Feature("repeat_share", "share", "of products in orders after the first that were bought before", "customer"),
    Feature("days_since_order", "days", "since the last order", "customer"),
    Feature("order_gap_days", "days", "mean distance between orders", "customer"),
)


@piece
def fill_customer(row, baskets, begin, end, distinct, as_of_day):  # type: ignore[no-untyped-def]
    """CUSTOMER_FEATURES of the customer with baskets begin..end (exclusive)."""
    orders = end - begin
    if orders == 0:
        row[:] = np.nan
        row[0] = 0
        return
    size = baskets.item_start[end] - baskets.item_start[begin]
    first = baskets.item_start[begin + 1] - baskets.item_start[begin]
    row[0] = orders
    row[1] = size / orders
    row[2] = baskets.item_start[end] - baskets.item_start[end - 1]
    row[3] = distinct
    row[4] = (size - distinct) / (size - first) if size > first else np.nan
    row[5] = as_of_day - baskets.day[end - 1]
    row[6] = (baskets.day[end - 1] - baskets.day[begin]) / (orders - 1) if orders > 1 else np.nan


AFFINITY_FEATURES = (
    Feature("category_share", "share", "of the customer's purchases that are of the product's category", "affinity"),
    Feature("category_recent", "orders", "with that category, each order back counting 0.7", "affinity"),
    Feature("price_fit", "log ratio", "the product's price over the customer's usual", "affinity"),
)


@piece
def category_tastes(items, tallies, category, categories):  # type: ignore[no-untyped-def]
    """(categories + 1, 2): purchases and decayed purchases per category; the last row is of products without one."""
    tastes = np.zeros((categories + 1, 2), np.float32)
    for at in range(len(items)):
        tastes[category[items[at]], 0] += tallies[at, COUNT]
        tastes[category[items[at]], 1] += tallies[at, DECAY_70]
    return tastes


@piece
def usual_price(items, tallies, table):  # type: ignore[no-untyped-def]
    """Mean log price of what the customer buys; nan where no price is known."""
    total, count = 0.0, 0.0
    for at in range(len(items)):
        if items[at] < len(table) and not np.isnan(table[items[at], ITEM_LOG_PRICE]):
            total += tallies[at, COUNT] * table[items[at], ITEM_LOG_PRICE]
            count += tallies[at, COUNT]
    return total / count if count > 0 else np.nan


@piece
def fill_affinity(row, category, tastes, bought, log_price, usual):  # type: ignore[no-untyped-def]
    """AFFINITY_FEATURES; `bought` is the customer's number of purchases, `category` -1 without one."""
    row[0] = tastes[category, 0] / bought if category >= 0 and bought > 0 else np.nan
    row[1] = tastes[category, 1] if category >= 0 else np.nan
    row[2] = log_price - usual
