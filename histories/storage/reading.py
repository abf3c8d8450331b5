"""The store's rows read back as histories: everybody, in chunks, or one customer in under a millisecond."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from sqlalchemy.engine import Connection

from histories.arrays import sorted_events, sorted_lines
from histories.columns import PURPOSES
from histories.history import EVENT_KINDS, NO_CODE, Catalog, History

LINE_COLUMNS = (
    ("customer", np.int64),
    ("occurred_at", np.int64),
    ("line_id", np.int64),
    ("recorded_at", np.int64),
    ("product", np.int64),
    ("channel", np.int64),
    ("quantity", np.float64),
    ("unit_price", np.float64),
    ("amount", np.float64),
    ("discount", np.float64),
)
EVENT_COLUMNS = (
    ("customer", np.int64),
    ("occurred_at", np.int64),
    ("event_id", np.int64),
    ("recorded_at", np.int64),
    ("kind", np.int64),
)
LINES_SQL = f"SELECT {', '.join(name for name, _ in LINE_COLUMNS)} FROM lines"
EVENTS_SQL = f"SELECT {', '.join(name for name, _ in EVENT_COLUMNS)} FROM events"
_FETCH = 2_000  # larger slices wake the garbage collector

Spec = Sequence[tuple[str, Any]]
Arrays = dict[str, NDArray]


@contextmanager
def stream(connection: Connection) -> Iterator[Any]:
    """The driver's own cursor, whose rows come as they are asked for: PostgreSQL's would bring all at once."""
    named = {"name": "rows"} if connection.dialect.name == "postgresql" else {}
    cursor: Any = connection.connection.cursor(**named)
    try:
        yield cursor
    finally:
        cursor.close()


def read_arrays(cursor: Any, spec: Spec) -> Arrays:
    """All rows of a DB-API cursor as one array per column, a slice of rows at a time."""
    parts: list[list[NDArray]] = [[] for _ in spec]
    while rows := cursor.fetchmany(_FETCH):
        for part, values, (_, dtype) in zip(parts, zip(*rows, strict=True), spec, strict=True):
            part.append(np.array(values, dtype=dtype))
    return {name: _joined(part, dtype) for part, (name, dtype) in zip(parts, spec, strict=True)}


def _joined(part: list[NDArray], dtype: Any) -> NDArray:
    if len(part) == 1:
        return part[0]
    return np.concatenate(part) if part else np.empty(0, dtype=dtype)


def build(
    ids: Sequence[str],
    attributes: Mapping[str, NDArray],
    lines: Arrays,
    events: Arrays,
    catalog: Catalog,
    labels: Mapping[str, tuple[str, ...]],
    zone: str,
    consent: Mapping[str, NDArray[np.bool_]] | None = None,
) -> History:
    """A History of rows whose `customer` is already a position in ids."""
    kinds = event_kinds(labels["event"])
    events = events | {"kind": kinds[events["kind"]] if len(events["kind"]) else events["kind"]}
    events.pop("event_id", None)
    return History(
        customer_id=np.array(ids, dtype=object),
        lines=sorted_lines(lines, len(ids), zone),
        events=sorted_events(events, len(ids)),
        attributes=attributes,
        catalog=catalog,
        channels=labels["channel"],
        zone=zone,
        consent=consent or {},
    )


def event_kinds(names: Iterable[str]) -> NDArray[np.int8]:
    """Code in EVENT_KINDS of each of the store's own event kinds."""
    other = EVENT_KINDS.index("other")
    codes = [EVENT_KINDS.index(name) if name in EVENT_KINDS else other for name in names]
    return np.array(codes, dtype=np.int8)


def positions(keys: Sequence[int], customer: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each row's customer in keys; -1 for others."""
    known = np.array(keys, dtype=np.int64)
    by = np.argsort(known, kind="stable")
    if not len(known):
        return np.full(len(customer), -1, dtype=np.int64)
    place = by[np.minimum(np.searchsorted(known[by], customer), len(known) - 1)]
    return np.where(known[place] == customer, place, -1)


def attribute_arrays(texts: Sequence[str | None], kinds: Mapping[str, str]) -> dict[str, NDArray]:
    """One array per attribute from the customers' JSON: float64 (nan unknown) or object (None unknown)."""
    rows = [from_json(text) if text else {} for text in texts] if kinds else []
    return {
        name: np.array([row.get(name) for row in rows], dtype=np.float64 if kind == "number" else np.object_)
        for name, kind in kinds.items()
    }


def consent_arrays(texts: Sequence[str | None], default: bool) -> dict[str, NDArray[np.bool_]]:
    """One array per purpose from the customers' JSON; the default where nothing was said."""
    given = np.array([consent_of(text, default) for text in texts], dtype=np.bool_).reshape(-1, len(PURPOSES))
    return dict(zip(PURPOSES, given.T, strict=True))


@lru_cache(maxsize=1_000)  # of many customers, few differ
def consent_of(text: str | None, default: bool) -> tuple[bool, ...]:
    """Of one customer, in the order of PURPOSES."""
    said = from_json(text) if text else {}
    return tuple(bool(said.get(purpose, default)) for purpose in PURPOSES)


def allowed(consent: str | None, purpose: str | None, default: bool) -> bool:
    return purpose is None or consent_of(consent, default)[PURPOSES.index(purpose)]


def catalog_of(rows: Sequence[tuple], categories: tuple[str, ...]) -> Catalog:
    """A Catalog of rows (code, product_id, name, category, price, paid, in_stock, sellable) in order of code."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    listed, paid = np.array(columns[4], dtype=np.float64), np.array(columns[5], dtype=np.float64)
    return Catalog(
        product_id=np.array(columns[1], dtype=object),
        name=np.array([name or "" for name in columns[2]], dtype=object),
        category=np.array([NO_CODE if code is None else code for code in columns[3]], dtype=np.int32),
        categories=categories,
        price=np.where(np.isnan(listed), paid, listed),
        in_stock=np.array(columns[6], dtype=bool),
        sellable=np.array(columns[7], dtype=bool),
        code_of=dict(zip(columns[1], columns[0], strict=True)),
    )
