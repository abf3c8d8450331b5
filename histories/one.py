"""One customer's rows as a History of one: what an online call waits for, so without sorting, pandas or SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from histories.arrays import match_voids, sorted_lines
from histories.clock import DAY, HOUR, transitions
from histories.compiled import compiled
from histories.history import FREE, NEVER, PURCHASE, RETURN, Events, Lines

# Both tables are clustered in this order, so that nothing is sorted. Instants fit a double until the year 2255.
LINES_SQL: Final = (
    "SELECT occurred_at, recorded_at, product, channel, quantity, unit_price, amount, discount, order_id FROM lines "
    "WHERE customer = ? ORDER BY occurred_at, line_id"
)
EVENTS_SQL: Final = (
    "SELECT occurred_at, recorded_at, kind, product, value FROM events "
    "WHERE customer = ? ORDER BY occurred_at, event_id"
)
_MONEY: Final = ("quantity", "unit_price", "amount", "discount")


def lines_of(rows: Sequence[tuple[Any, ...]], zone: str) -> Lines:
    """Rows of LINES_SQL as arrays.sorted_lines would make them."""
    *numbers, order_ids = zip(*rows, strict=True) if rows else [()] * 9
    if not rows or None in order_ids:
        return _sorted(numbers, order_ids, zone)
    table = np.array(numbers, dtype=np.float64)
    seen: dict[str, int] = {}
    order = np.array([seen.setdefault(name, len(seen)) for name in order_ids], dtype=np.int32)
    starts, offsets = transitions(zone)
    when, day, hour, kind, codes = _fill(table, starts, offsets)
    ends = np.array([0, len(rows)], dtype=np.int64)
    if (kind == RETURN).any():
        match_voids(ends, day, when[1], kind, codes[0], table[6], when[2])
    return Lines(
        ends, when[0], when[1], when[2], day, hour, kind, order, codes[0], table[4], table[6], table[7],
        codes[1].astype(np.int16),
    )  # fmt: skip


def events_of(rows: Sequence[tuple[Any, ...]], kinds: NDArray[np.int8]) -> Events:
    """Rows of EVENTS_SQL as arrays.sorted_events would make them; `kinds` from the store's codes to EVENT_KINDS."""
    table = np.array(list(zip(*rows, strict=True)) if rows else [()] * 5, dtype=np.float64)
    whole = table[:4].astype(np.int64)
    kind = kinds[whole[2]] if rows else np.empty(0, dtype=np.int8)
    by = np.lexsort((whole[3], kind, whole[0]))
    occurred_at = whole[0][by]
    return Events(
        offsets=np.array([0, len(rows)], dtype=np.int64),
        occurred_at=occurred_at,
        recorded_at=np.maximum(whole[1][by], occurred_at),
        kind=kind[by],
        product=whole[3][by].astype(np.int32),
        value=table[4][by],
    )


def _sorted(numbers: Sequence[Sequence[Any]], order_ids: Sequence[str | None], zone: str) -> Lines:
    """The general way, for lines without an order id, of which a day is one order."""
    occurred_at, recorded_at, product, channel, *money = numbers
    whole = {"occurred_at": occurred_at, "recorded_at": recorded_at, "product": product, "channel": channel}
    count = len(order_ids)
    columns = {name: np.array(values, dtype=np.int64) for name, values in whole.items()}
    columns |= {name: np.array(values, dtype=np.float64) for name, values in zip(_MONEY, money, strict=True)}
    columns |= {"customer": np.zeros(count, dtype=np.int64), "line_id": np.arange(count)}
    return sorted_lines(columns | {"order_id": np.array(order_ids, dtype=object)}, 1, zone)


@compiled
def _fill(table, starts, offsets):  # type: ignore[no-untyped-def]
    """(3, n) occurred, recorded, voided; day; hour; kind; (2, n) product, channel."""
    count = table.shape[1]
    when, day, hour = np.empty((3, count), np.int64), np.empty(count, np.int32), np.empty(count, np.int8)
    kind, codes = np.empty(count, np.int8), np.empty((2, count), np.int32)
    for at in range(count):
        when[0, at] = np.int64(table[0, at])
        when[1, at] = max(np.int64(table[1, at]), when[0, at])
        when[2, at] = NEVER
        local = when[0, at] + offsets[np.searchsorted(starts, when[0, at], side="right") - 1]
        day[at], hour[at] = local // DAY, local % DAY // HOUR
        paid = table[4, at] > 0 and not table[5, at] <= 0
        kind[at] = RETURN if table[4, at] < 0 else PURCHASE if paid else FREE
        codes[0, at], codes[1, at] = np.int32(table[2, at]), np.int32(table[3, at])
    return when, day, hour, kind, codes
