"""Small made-up histories for tests, from plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from histories.arrays import sorted_events, sorted_lines
from histories.clock import to_instant
from histories.history import EVENT_KINDS, NO_CODE, Catalog, History

Row = Mapping[str, object]


def instant(text: object, zone: str) -> int:
    moment = datetime.fromisoformat(str(text))
    return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


def toy_catalog(products: Iterable[str], categories: Mapping[str, str] | None = None) -> Catalog:
    ids = sorted(set(products))
    named = categories or {}
    names = tuple(sorted(set(named.values())))
    return Catalog(
        product_id=np.array(ids, dtype=object),
        name=np.array(ids, dtype=object),
        category=np.array([names.index(named[i]) if i in named else NO_CODE for i in ids], dtype=np.int32),
        categories=names,
        price=np.full(len(ids), np.nan),
        in_stock=np.ones(len(ids), dtype=bool),
        sellable=np.ones(len(ids), dtype=bool),
        code_of={product: code for code, product in enumerate(ids)},
    )


def toy_history(
    orders: Sequence[Row],
    events: Sequence[Row] = (),
    *,
    customers: Sequence[str] | None = None,
    attributes: Mapping[str, Sequence[object]] | None = None,
    categories: Mapping[str, str] | None = None,
    zone: str = "UTC",
) -> History:
    """A History of rows {customer_id, occurred_at, ...}; quantity 1, unit_price 1.0, no product unless given.

    `attributes` are per customer in sorted order of the ids; a row's `recorded_at` defaults to occurred_at.
    """
    ids = sorted(customers or {str(row["customer_id"]) for row in [*orders, *events]})
    catalog = toy_catalog((str(r["product_id"]) for r in [*orders, *events] if r.get("product_id")), categories)
    channels = tuple(sorted({str(row["channel"]) for row in orders if row.get("channel")}))
    return History(
        customer_id=np.array(ids, dtype=object),
        lines=sorted_lines(_line_columns(orders, ids, catalog, channels, zone), len(ids), zone),
        events=sorted_events(_event_columns(events, ids, catalog, zone), len(ids)),
        attributes={name: np.array(values) for name, values in (attributes or {}).items()},
        catalog=catalog,
        channels=channels,
        zone=zone,
    )


def _common(rows: Sequence[Row], ids: list[str], catalog: Catalog, zone: str) -> dict[str, np.ndarray]:
    occurred = [instant(row["occurred_at"], zone) for row in rows]
    recorded = [
        instant(row["recorded_at"], zone) if "recorded_at" in row else at
        for row, at in zip(rows, occurred, strict=True)
    ]
    return {
        "customer": np.array([ids.index(str(row["customer_id"])) for row in rows], dtype=np.int64),
        "occurred_at": np.array(occurred, dtype=np.int64),
        "recorded_at": np.array(recorded, dtype=np.int64),
        "product": np.array([catalog.code_of.get(str(row.get("product_id")), NO_CODE) for row in rows], dtype=np.int32),
    }


def _line_columns(
    rows: Sequence[Row], ids: list[str], catalog: Catalog, channels: tuple[str, ...], zone: str
) -> dict[str, np.ndarray]:
    def numbers(name: str, default: float) -> np.ndarray:
        return np.array([float(str(row.get(name, default))) for row in rows], dtype=np.float64)

    quantity, price = numbers("quantity", 1.0), numbers("unit_price", 1.0)
    channel = [channels.index(str(row["channel"])) if row.get("channel") else NO_CODE for row in rows]
    return _common(rows, ids, catalog, zone) | {
        "line_id": np.arange(len(rows), dtype=np.int64),
        "channel": np.array(channel, dtype=np.int16),
        "quantity": quantity,
        "unit_price": price,
        "amount": quantity * price,
        "discount": numbers("discount", 0.0),
    }


def _event_columns(rows: Sequence[Row], ids: list[str], catalog: Catalog, zone: str) -> dict[str, np.ndarray]:
    kinds = [EVENT_KINDS.index(str(row["kind"])) for row in rows]
    return _common(rows, ids, catalog, zone) | {
        "kind": np.array(kinds, dtype=np.int8),
    }
