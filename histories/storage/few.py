"""A few customers' rows as a History: what online calls wait for, so without sorting, pandas or SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from histories.arrays import match_voids
from histories.clock import DAY, HOUR, transitions
from histories.compiled import compiled, piece
from histories.history import EVENT_KINDS, FREE, NEVER, NO_CODE, PURCHASE, RETURN, Events, Lines, column_types

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
NO_LINES, NO_EVENTS = np.empty((0, 8)), np.empty((0, 3))  # as many columns as these select


def lines_of(tables: Sequence[NDArray[np.float64]], zone: str, products: int) -> Lines:
    """Rows of LINES_SQL, a table for each customer, as arrays.sorted_lines would make them.

    `products` are in the catalog that goes with them: one that was added between two looks has no code until the next.
    """
    made = _room(Lines, tables)
    _fill_lines(_joined(tables), *transitions(zone), products, *made)
    return Lines(*made)


def events_of(tables: Sequence[NDArray[np.float64]], kinds: NDArray[np.int8]) -> Events:
    """Rows of EVENTS_SQL, a table for each customer, as arrays.sorted_events would make them.

    `kinds` from the store's codes to EVENT_KINDS; one that was added since these were read is another kind.
    """
    made = _room(Events, tables)
    _fill_events(_joined(tables), kinds, *made)
    return Events(*made)


def _joined(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return tables[0] if len(tables) == 1 else np.concatenate(tables)


def _room(columns: Any, tables: Sequence[NDArray[np.float64]]) -> list[NDArray]:
    """Offsets, and room for the columns of Lines or Events. Compiled code fills it: to hand one back takes longer."""
    first, *others = column_types(columns).values()
    offsets = np.array([0, *accumulate(map(len, tables))], first)
    return [offsets, *(np.empty(offsets[-1], dtype) for dtype in others)]


@compiled
def _fill_lines(  # type: ignore[no-untyped-def]
    rows, starts, shifts, products,
    offsets, occurred, recorded, voided, day, hour, kind, product, quantities, amount, discount, channel,
):  # fmt: skip
    """The columns of Lines, in their order; `starts` and `shifts` are of the zone."""
    voided[:] = NEVER
    returns = False
    for at in range(len(rows)):
        occurred[at] = np.int64(rows[at, 0])
        recorded[at] = max(np.int64(rows[at, 1]), occurred[at])
        local = occurred[at] + shifts[np.searchsorted(starts, occurred[at], side="right") - 1]
        day[at], hour[at] = local // DAY, local % DAY // HOUR
        product[at] = np.int32(rows[at, 2]) if rows[at, 2] < products else NO_CODE
        channel[at] = np.int16(rows[at, 3])
        quantity, price = rows[at, 4], rows[at, 5]
        kind[at] = RETURN if quantity < 0 else PURCHASE if quantity > 0 and not price <= 0 else FREE
        returns |= quantity < 0
        quantities[at], amount[at], discount[at] = quantity, rows[at, 6], rows[at, 7]
    if returns:
        match_voids(offsets, day, recorded, kind, product, amount, voided)


@compiled
def _fill_events(rows, kinds, offsets, occurred, recorded, kind):  # type: ignore[no-untyped-def]
    """The columns of Events, in their order: of one customer and instant, those of the lower kind first."""
    for customer in range(len(offsets) - 1):
        for row in range(offsets[customer], offsets[customer + 1]):
            at, learned, code = np.int64(rows[row, 0]), np.int64(rows[row, 1]), np.int64(rows[row, 2])
            what = kinds[code] if code < len(kinds) else np.int8(_OTHER)
            place = _place(row, offsets[customer], at, max(learned, at), what, occurred, recorded, kind)
            occurred[place], recorded[place], kind[place] = at, max(learned, at), what


@piece
def _place(row, first, at, learned, what, occurred, recorded, kind):  # type: ignore[no-untyped-def]
    """Where the event of a row belongs; those of the customer's that come after it are moved on."""
    place = row
    while place > first and occurred[place - 1] == at and (kind[place - 1], recorded[place - 1]) > (what, learned):
        occurred[place], recorded[place], kind[place] = at, recorded[place - 1], kind[place - 1]
        place -= 1
    return place
