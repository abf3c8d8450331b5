"""One customer's rows as a History of one: what an online call waits for, so without sorting, pandas or SQLAlchemy."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from histories.arrays import match_voids
from histories.clock import DAY, HOUR, transitions
from histories.compiled import compiled
from histories.history import EVENT_KINDS, FREE, NEVER, NO_CODE, PURCHASE, RETURN, Events, Lines

_OTHER: Final = EVENT_KINDS.index("other")
# Both tables are clustered in this order, so that nothing is sorted. Instants fit a double until the year 2255. An
# unknown price is of an amount-only file, where every line counts.
LINES_SQL: Final = (
    "SELECT occurred_at, recorded_at, product, channel, quantity, COALESCE(unit_price, 1), amount, discount FROM lines "
    "WHERE customer = ? ORDER BY occurred_at, line_id"
)
EVENTS_SQL: Final = (
    "SELECT occurred_at, recorded_at, kind FROM events WHERE customer = ? ORDER BY occurred_at, event_id"
)


def lines_of(rows: NDArray[np.float64], zone: str, products: int) -> Lines:
    """Rows of LINES_SQL as arrays.sorted_lines would make them.

    `products` are in the catalog that goes with them: one that was added between two looks has no code until the next.
    """
    return Lines(*_lines(rows, *transitions(zone), products))


def events_of(rows: NDArray[np.float64], kinds: NDArray[np.int8]) -> Events:
    """Rows of EVENTS_SQL as arrays.sorted_events would make them.

    `kinds` from the store's codes to EVENT_KINDS; one that was added since these were read is another kind.
    """
    return Events(*_events(rows, kinds))


@compiled
def _lines(rows, starts, offsets, products):  # type: ignore[no-untyped-def]
    """The columns of Lines."""
    count = len(rows)
    occurred, recorded = np.empty(count, np.int64), np.empty(count, np.int64)
    voided, ends = np.full(count, NEVER), np.array([0, count])
    day, hour, kind = np.empty(count, np.int32), np.empty(count, np.int8), np.empty(count, np.int8)
    product, channel = np.empty(count, np.int32), np.empty(count, np.int16)
    money = np.empty((3, count))
    returns = False
    for at in range(count):
        occurred[at] = np.int64(rows[at, 0])
        recorded[at] = max(np.int64(rows[at, 1]), occurred[at])
        local = occurred[at] + offsets[np.searchsorted(starts, occurred[at], side="right") - 1]
        day[at], hour[at] = local // DAY, local % DAY // HOUR
        product[at] = np.int32(rows[at, 2]) if rows[at, 2] < products else NO_CODE
        channel[at] = np.int16(rows[at, 3])
        quantity, price = rows[at, 4], rows[at, 5]
        kind[at] = RETURN if quantity < 0 else PURCHASE if quantity > 0 and not price <= 0 else FREE
        returns |= quantity < 0
        money[0, at], money[1, at], money[2, at] = quantity, rows[at, 6], rows[at, 7]
    if returns:
        match_voids(ends, day, recorded, kind, product, money[1], voided)
    return ends, occurred, recorded, voided, day, hour, kind, product, money[0], money[1], money[2], channel


@compiled
def _events(rows, kinds):  # type: ignore[no-untyped-def]
    """The columns of Events: of one instant, those of the lower kind first."""
    count = len(rows)
    occurred, recorded = np.empty(count, np.int64), np.empty(count, np.int64)
    kind = np.empty(count, np.int8)
    for row in range(count):
        at, learned, code = np.int64(rows[row, 0]), np.int64(rows[row, 1]), np.int64(rows[row, 2])
        what = kinds[code] if code < len(kinds) else np.int8(_OTHER)
        learned, place = max(learned, at), row
        while place > 0 and occurred[place - 1] == at and (kind[place - 1], recorded[place - 1]) > (what, learned):
            occurred[place], recorded[place], kind[place] = at, recorded[place - 1], kind[place - 1]
            place -= 1
        occurred[place], recorded[place], kind[place] = at, learned, what
    return np.array([0, count]), occurred, recorded, kind
