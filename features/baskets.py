"""Baskets: what each customer bought per shop-local day, as nested sorted arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from histories.history import PURCHASE, Lines


class Baskets(NamedTuple):
    """Customer c owns baskets start[c]:start[c + 1]; basket b owns lines item_start[b]:item_start[b + 1].

    A basket is a purchase day with at least one indexed product; a product is in it once. A NamedTuple,
    because compiled code takes it as it is.
    """

    start: NDArray[np.int64]  # (customers + 1,)
    day: NDArray[np.int32]  # (baskets,) shop-local days since 1970-01-01, rising within a customer
    item_start: NDArray[np.int64]  # (baskets + 1,)
    item: NDArray[np.int32]  # index of the product, see visible_baskets
    units: NDArray[np.float32]  # quantity of that product on that day
    amount: NDArray[np.float32]  # money for it, shop currency

    def __len__(self) -> int:
        return len(self.start) - 1


NOBODY = Baskets(  # one customer without a basket
    np.zeros(2, np.int64),
    np.empty(0, np.int32),
    np.zeros(1, np.int64),
    np.empty(0, np.int32),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
)


def visible_baskets(lines: Lines, as_of: int, index_of: NDArray[np.int32], *, live: bool = False) -> Baskets:
    """Purchases known at `as_of` (inclusive; by both clocks unless live) and not void by then.

    `index_of[code]` is the number a product gets in `item`, negative for products to leave out.
    """
    known = (lines.kind, lines.occurred_at, lines.recorded_at, lines.voided_at)
    bought = (lines.local_day, lines.product, lines.quantity, lines.amount)
    size = len(lines.product)
    room = Baskets(
        np.zeros(len(lines.offsets), np.int64),
        np.empty(size, np.int32),
        np.empty(size + 1, np.int64),
        np.empty(size, np.int32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
    )
    baskets, placed = _collect(lines.offsets, known, bought, as_of, live, index_of, tuple(room))
    return Baskets(
        room.start,
        room.day[:baskets],
        room.item_start[: baskets + 1],
        room.item[:placed],
        room.units[:placed],
        room.amount[:placed],
    )


@piece
def _counts(line, known, as_of, live):  # type: ignore[no-untyped-def]
    kind, occurred_at, recorded_at, voided_at = known
    if kind[line] != PURCHASE or occurred_at[line] > as_of or voided_at[line] <= as_of:
        return False
    return live or recorded_at[line] <= as_of


@compiled
def _collect(offsets, known, bought, as_of, live, index_of, room):  # type: ignore[no-untyped-def]
    """Fills `room`, the columns of Baskets; how many baskets there are, and products in them."""
    local_day, product, quantity, amount = bought
    start, day, item_start, item, units, money = room
    highest = -1
    for line in range(len(product)):
        if product[line] >= 0:
            highest = max(highest, index_of[product[line]])
    # Where each product was last put. Never cleared: an entry holds only if that place agrees (a sparse set).
    place = np.empty(highest + 1, np.int64)
    baskets = placed = 0
    for customer in range(len(offsets) - 1):
        first = baskets
        for line in range(offsets[customer], offsets[customer + 1]):
            index = index_of[product[line]] if product[line] >= 0 else -1
            if index < 0 or not _counts(line, known, as_of, live):
                continue
            if baskets == first or day[baskets - 1] != local_day[line]:
                day[baskets] = local_day[line]
                item_start[baskets] = placed
                baskets += 1
            at = place[index]
            if not (item_start[baskets - 1] <= at < placed and item[at] == index):
                at = placed
                place[index] = at
                item[at], units[at], money[at] = index, 0.0, 0.0
                placed += 1
            units[at] += quantity[line]
            money[at] += amount[line]
        start[customer + 1] = baskets
    item_start[baskets] = placed
    return baskets, placed


def baskets_of(baskets: Baskets, customers: NDArray[np.int64]) -> Baskets:
    """The baskets of these customers, in that order."""
    sizes = np.diff(baskets.start)[customers]
    picked = _spans(baskets.start[customers], sizes)
    lines = _spans(baskets.item_start[picked], np.diff(baskets.item_start)[picked])
    return Baskets(
        np.concatenate([[0], np.cumsum(sizes)]),
        baskets.day[picked],
        np.concatenate([[0], np.cumsum(np.diff(baskets.item_start)[picked])]),
        baskets.item[lines],
        baskets.units[lines],
        baskets.amount[lines],
    )


def _spans(begin: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """begin[i], begin[i] + 1, ... sizes[i] of them, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - ends + sizes, sizes)
