"""Writes inside one transaction of the store: external ids become codes, lines and events become rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from histories.storage.tables import ALIASES, CUSTOMERS, EVENTS, LABELS, LINES, META, PENDING, PRODUCTS

_FEW = 2_000  # up to here single look-ups are cheaper than reading a whole table
_SLICE = 500  # parameters of one IN (...)


def meta(connection: Connection, name: str) -> str | None:
    return connection.execute(sa.select(META.c.value).where(META.c.name == name)).scalar()


def set_meta(connection: Connection, name: str, value: str) -> None:
    changed = connection.execute(sa.update(META).where(META.c.name == name).values(value=value)).rowcount
    if not changed:
        connection.execute(sa.insert(META).values(name=name, value=value))


def bump(connection: Connection, name: str) -> None:
    set_meta(connection, name, str(int(meta(connection, name) or 0) + 1))


def customer_keys(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Keys of distinct external ids; an alias has its customer's key, and who is unknown is added."""
    keys = _known(connection, CUSTOMERS.c.customer_id, CUSTOMERS.c.key, ids)
    keys |= _known(connection, ALIASES.c.alias, ALIASES.c.customer, [i for i in ids if i not in keys])
    new = sorted(set(ids) - keys.keys())
    first = 1 + (connection.execute(sa.select(sa.func.max(CUSTOMERS.c.key))).scalar() or 0)
    added = dict(zip(new, range(first, first + len(new)), strict=True))
    insert(connection, CUSTOMERS, [(key, name, None, None) for name, key in added.items()])
    return keys | added


def product_codes(connection: Connection, ids: Sequence[str], hidden: Iterable[str] = ()) -> dict[str, int]:
    """Codes of distinct product ids; unknown ones are added, in stock, and sellable unless `hidden`."""
    codes = _known(connection, PRODUCTS.c.product_id, PRODUCTS.c.code, ids)
    new = sorted(set(ids) - codes.keys())
    if not new:
        return codes
    first = connection.execute(sa.select(sa.func.count()).select_from(PRODUCTS)).scalar_one()
    added = dict(zip(new, range(first, first + len(new)), strict=True))
    unsellable = set(hidden)
    rows = [(code, name, None, None, None, None, True, name not in unsellable) for name, code in added.items()]
    insert(connection, PRODUCTS, rows)
    bump(connection, "products_version")
    return codes | added


def label_codes(connection: Connection, domain: str, names: Iterable[str]) -> dict[str, int]:
    """Dense append-only codes of channels, categories, event kinds and campaigns."""
    named = sa.select(LABELS.c.name, LABELS.c.code).where(LABELS.c.domain == domain)
    codes = dict(connection.execute(named).all())
    new = sorted(set(names) - codes.keys())
    added = {name: len(codes) + place for place, name in enumerate(new)}
    if added:
        insert(connection, LABELS, [(domain, code, name) for name, code in added.items()])
        bump(connection, "products_version")
    return codes | added


def insert(connection: Connection, table: sa.Table, rows: Iterable[tuple]) -> int:
    """Rows that were not there before, in the order of the table's columns; returns how many."""
    cursor: Any = connection.connection.cursor()  # the driver's own takes an iterator
    try:
        if connection.dialect.name == "postgresql":
            return _copied(cursor, table.name, rows)
        marks = ", ".join("?" * len(table.columns))
        cursor.executemany(f"INSERT INTO {table.name} VALUES ({marks}) ON CONFLICT DO NOTHING", rows)
        return max(cursor.rowcount, 0)
    finally:
        cursor.close()


def _copied(cursor: Any, table: str, rows: Iterable[tuple]) -> int:
    """By way of a table of this transaction: COPY is PostgreSQL's quick way in, but knows no ON CONFLICT."""
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS new_{table} (LIKE {table}) ON COMMIT DROP")
    with cursor.copy(f"COPY new_{table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(f"INSERT INTO {table} SELECT * FROM new_{table} ON CONFLICT DO NOTHING")
    new = cursor.rowcount
    cursor.execute(f"TRUNCATE new_{table}")
    return int(new)


@dataclass(slots=True)
class Doubles:
    """Rows that were written and taken back, since another with the same given id came before them."""

    rows: int = 0


@contextmanager
def many(connection: Connection, table: sa.Table) -> Iterator[Doubles]:
    """For the first rows of an empty table: given ids are compared at the end, by sorting, not one by one.

    Looked up one by one, in an index larger than the cache, each would cost a read of the disk.
    """
    doubles = Doubles()
    if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
        yield doubles
        return
    index = next(iter(table.indexes))
    index.drop(connection)
    yield doubles
    try:
        with connection.begin_nested():
            index.create(connection)
    except sa.exc.IntegrityError:
        doubles.rows = _without_doubles(connection, table)
        index.create(connection)


def _without_doubles(connection: Connection, table: sa.Table) -> int:
    """Of rows with the same given id the first in the order of the key stays; returns how many went."""
    identity = list(table.primary_key.columns)[-1].name
    connection.exec_driver_sql(f"CREATE INDEX {table.name}_doubles ON {table.name} ({identity}) WHERE {identity} > 0")
    gone = connection.exec_driver_sql(f"""
        DELETE FROM {table.name} WHERE {identity} > 0 AND EXISTS (SELECT 1 FROM {table.name} AS other
            WHERE other.{identity} > 0 AND other.{identity} = {table.name}.{identity}
            AND (other.customer, other.occurred_at) < ({table.name}.customer, {table.name}.occurred_at))
    """).rowcount
    connection.exec_driver_sql(f"DROP INDEX {table.name}_doubles")
    return gone


def note_span(connection: Connection, occurred_at: NDArray[np.int64], now: int) -> int:
    """Keeps the first and newest instant of the data; returns how many lie in the future."""
    due, future = occurred_at[occurred_at <= now], occurred_at[occurred_at > now]
    if len(due):
        widen_span(connection, int(due.min()), int(due.max()))
    insert(connection, PENDING, [(instant,) for instant in np.unique(future).tolist()])
    return len(future)


def widen_span(connection: Connection, first: int, newest: int) -> None:
    known = json.loads(meta(connection, "span") or "null")  # null, too, after the only customer was erased
    if known:
        low, high = known
        first, newest = min(first, low), max(newest, high)
    set_meta(connection, "span", json.dumps([first, newest]))


def update_products(connection: Connection, rows: Sequence[Mapping[str, object]]) -> int:
    """Sets what each row says about its product (name, category, price, in_stock, sellable); adds unknown ones."""
    codes = product_codes(connection, sorted({str(row["product_id"]) for row in rows}))
    names = {str(row["category"]) for row in rows if row.get("category")}
    categories = label_codes(connection, "category", names) if names else {}
    for row in rows:
        said = {name: row[name] for name in ("name", "price", "in_stock", "sellable") if row.get(name) is not None}
        if row.get("category"):
            said["category"] = categories[str(row["category"])]
        if said:
            which = PRODUCTS.c.code == codes[str(row["product_id"])]
            connection.execute(sa.update(PRODUCTS).where(which).values(**said))
    bump(connection, "products_version")
    return len(rows)


def move_customer(connection: Connection, source: int, target: int) -> None:
    """Gives all lines, events and aliases of one key to another; lines both had are kept once."""
    for table in (LINES, EVENTS):
        rows = connection.execute(sa.select(table).where(table.c.customer == source)).all()
        connection.execute(sa.delete(table).where(table.c.customer == source))
        insert(connection, table, [(target, *row[1:]) for row in rows])
    connection.execute(sa.update(ALIASES).where(ALIASES.c.customer == source).values(customer=target))
    connection.execute(sa.delete(CUSTOMERS).where(CUSTOMERS.c.key == source))


def _known(connection: Connection, name: sa.Column, code: sa.Column, ids: Sequence[str]) -> dict[str, int]:
    if len(ids) > _FEW:
        wanted = set(ids)
        return {key: value for key, value in connection.execute(sa.select(name, code)) if key in wanted}
    found: dict[str, int] = {}
    for start in range(0, len(ids), _SLICE):
        rows = connection.execute(sa.select(name, code).where(name.in_(ids[start : start + _SLICE])))
        found |= dict(rows.all())
    return found


def customers_by_key(connection: Connection, keys: Sequence[int]) -> dict[int, sa.Row]:
    found: dict[int, sa.Row] = {}
    for start in range(0, len(keys), _SLICE):
        which = sa.select(CUSTOMERS).where(CUSTOMERS.c.key.in_(keys[start : start + _SLICE]))
        found |= {row.key: row for row in connection.execute(which)}
    return found


def update_customers(connection: Connection, changed: Sequence[Mapping[str, object]]) -> None:
    """Rows of which (key), new_attributes and new_consent (JSON)."""
    if changed:
        new: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in ("attributes", "consent")}
        connection.execute(sa.update(CUSTOMERS).where(CUSTOMERS.c.key == sa.bindparam("which")).values(**new), changed)


def name_products(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Gives names, categories and latest paid prices to products that have none (rows of product_id, name, ...)."""
    ids = [str(row["product_id"]) for row in rows]
    known = {row.product_id: row for row in _products(connection, ids)}
    fresh = []
    for row in rows:
        held = known[str(row["product_id"])]._mapping
        said = {n: row[n] for n in ("name", "category") if row.get(n) is not None and held[n] is None}
        if said:
            fresh.append({"product_id": row["product_id"], **said})
    if fresh:
        update_products(connection, fresh)


def _products(connection: Connection, ids: Sequence[str]) -> list[sa.Row]:
    found: list[sa.Row] = []
    for start in range(0, len(ids), _SLICE):
        which = sa.select(PRODUCTS).where(PRODUCTS.c.product_id.in_(ids[start : start + _SLICE]))
        found += connection.execute(which).all()
    return found


def describe_products(connection: Connection, rows: Sequence[tuple[int, str | None, str | None, float | None]]) -> None:
    """Rows of (code, name, category, paid): names and categories where there are none, and the latest price paid."""
    categories = label_codes(connection, "category", {row[2] for row in rows if row[2]})
    product = sa.update(PRODUCTS).where(PRODUCTS.c.code == sa.bindparam("which"))
    held = {name: sa.func.coalesce(PRODUCTS.c[name], sa.bindparam(f"new_{name}")) for name in ("name", "category")}
    paid: sa.ColumnElement = sa.func.coalesce(sa.bindparam("new_paid"), PRODUCTS.c.paid)
    said = [
        {"which": code, "new_name": name, "new_category": categories.get(category or ""), "new_paid": price}
        for code, name, category, price in rows
    ]
    if said:
        connection.execute(product.values(**held, paid=paid), said)
        bump(connection, "products_version")
