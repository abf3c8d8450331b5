"""Lines and events as they are posted become the store's canonical rows; what cannot be used is named by its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from histories.clock import to_datetime
from histories.columns import EVENTS, ORDERS, as_instant, table
from histories.storage.incoming import Rates
from service.errors import bad_input
from service.schemas import Event, EventsRequest, OrderLine

_LAST_YEAR: Final = 2100
_MONEY: Final = ("unit_price", "amount", "discount")


def to_tables(body: EventsRequest, rates: Rates, zone: str, now: int) -> tuple[pa.Table | None, pa.Table | None]:
    """Orders and events, learned of `now` (us) unless they say when. Raises Problem 400."""
    if not body.orders and not body.events:
        raise bad_input("give orders, events, or both")
    orders = order_rows(body.orders, rates, zone, "orders", now)
    events = [_row(event, zone, f"events[{at}]", now) for at, event in enumerate(body.events)]
    return (table(orders, ORDERS) if orders else None), (table(events, EVENTS) if events else None)


def order_rows(
    lines: Sequence[OrderLine], rates: Rates, zone: str, field: str, now: int | None
) -> list[dict[str, Any]]:
    """Canonical rows in shop currency; without `now`, what says nothing else was learned of when it occurred."""
    rows = []
    for at, line in enumerate(lines):
        row = _row(line, zone, f"{field}[{at}]", now)
        _exchange(row, rates, f"{field}[{at}]")
        rows.append(row)
    return rows


def _row(line: OrderLine | Event, zone: str, place: str, now: int | None) -> dict[str, Any]:
    row = line.model_dump()
    row["occurred_at"] = _instant(line.occurred_at, zone, f"{place}.occurred_at")
    row["recorded_at"] = row["occurred_at"] if now is None else now
    if line.recorded_at is not None:
        row["recorded_at"] = _instant(line.recorded_at, zone, f"{place}.recorded_at")
    return row


def _instant(text: str, zone: str, field: str) -> int:
    try:
        instant = as_instant(text, zone)
        if instant >= 0 and to_datetime(instant).year < _LAST_YEAR:
            return instant
    except OverflowError:
        pass
    except ValueError:
        raise bad_input("must be an ISO 8601 time (2011-09-10T14:05:00)", field) from None
    raise bad_input(f"must lie between 1970 and {_LAST_YEAR}", field)


def _exchange(row: dict[str, Any], rates: Rates, place: str) -> None:
    """Money into shop currency, in place."""
    factor = rates.factor(row.pop("currency"))
    if factor is None:
        raise bad_input("not the shop's currency, and no rate is set for it", f"{place}.currency")
    for name in _MONEY:
        if row[name] is not None:
            row[name] *= factor
