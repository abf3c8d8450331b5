"""Checked tables into the store: sorted by customer, in batches of whole customers, in constant memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from histories.clock import from_local
from histories.importing.ahead import ahead
from histories.importing.mapping import Checked
from histories.storage import writing
from histories.storage.incoming import Gate, Rates, floats
from histories.storage.lines import EventBatch, LineBatch, with_money
from histories.storage.tables import EVENTS, LINES

_BATCH = 100_000
Tell = Callable[[str, int, int], object]


@dataclass(slots=True)
class Tally:
    """What the good lines of a file are, and how many of them the store did not have."""

    lines: int = 0
    new: int = 0
    future: int = 0
    purchases: int = 0
    returns: int = 0
    orders: int = 0
    customers: int = 0
    sales: float = 0.0


def excluded_lines(bench: DuckDBPyConnection, connection: Connection, checked: Checked, gate: Gate) -> int:
    """Gives every admitted customer of the table a key, in {table}_customers; returns the lines of the others."""
    query = f"SELECT DISTINCT customer_id FROM {checked.name} WHERE problem IS NULL"
    ids = [row[0] for row in bench.execute(query).fetchall()]
    _register(bench, f"{checked.name}_customers", writing.customer_keys(connection, gate.admitted(ids)))
    query = f"""SELECT count(*) FROM {checked.name} t WHERE problem IS NULL
        AND NOT EXISTS (SELECT 1 FROM {checked.name}_customers k WHERE k.name = t.customer_id)"""
    return bench.execute(query).fetchall()[0][0] if len(gate.admitted(ids)) < len(ids) else 0


def add_lines(
    bench: DuckDBPyConnection, connection: Connection, checked: Checked, rates: Rates, zone: str, now: int, tell: Tell
) -> Tally:
    _codes_of_products(bench, connection, checked)
    _codes_of_labels(bench, connection, checked, "channel", "channel")
    tally = Tally()
    wanted = ("order_id", "product_id", "quantity", "unit_price", "amount", "discount", "id")
    total = _good(bench, checked)
    sorted_rows = _whole_customers(_sorted(bench, checked, wanted, {"channel": "channel"}, rates))
    with writing.many(connection, LINES) as doubles:
        for batch in ahead(_line_batch(rows, zone) for rows in sorted_rows):
            tally.new += writing.insert(connection, LINES, batch.rows())
            tally.future += writing.note_span(connection, batch.occurred_at, now)
            _count(tally, batch, zone)
            tell("storing lines", tally.lines, total)
    tally.new -= doubles.rows
    _describe_products(bench, connection, checked)
    return tally


def add_events(
    bench: DuckDBPyConnection, connection: Connection, checked: Checked, zone: str, now: int, tell: Tell
) -> Tally:
    _codes_of_products(bench, connection, checked)
    labels = {"kind": "event", "channel": "channel", "campaign": "campaign"}
    for column, domain in labels.items():
        _codes_of_labels(bench, connection, checked, column, domain)
    tally = Tally()
    total = _good(bench, checked)
    wanted = ("product_id", "value", "id")
    sorted_rows = _whole_customers(_sorted(bench, checked, wanted, labels, None))
    with writing.many(connection, EVENTS) as doubles:
        for batch in ahead(_event_batch(rows, zone) for rows in sorted_rows):
            tally.new += writing.insert(connection, EVENTS, batch.rows())
            tally.future += int((batch.occurred_at > now).sum())
            tally.lines += len(batch.customer)
            tell("storing events", tally.lines, total)
    tally.new -= doubles.rows
    return tally


def _line_batch(rows: pa.Table, zone: str) -> LineBatch:
    occurred_at, recorded_at = _instants(rows, zone)
    return with_money(
        LineBatch(
            customer=_ints(rows["customer"]),
            occurred_at=occurred_at,
            recorded_at=recorded_at,
            order_id=rows["order_id"].combine_chunks(),
            product_id=rows["product_id"].combine_chunks(),
            product=_ints(rows["product"]),
            channel=_ints(rows["channel"]),
            quantity=floats(rows["quantity"]),
            unit_price=floats(rows["unit_price"]),
            amount=floats(rows["amount"]),
            discount=floats(rows["discount"]),
            given=rows["id"].combine_chunks(),
        )
    )


def _event_batch(rows: pa.Table, zone: str) -> EventBatch:
    occurred_at, recorded_at = _instants(rows, zone)
    return EventBatch(
        customer=_ints(rows["customer"]),
        occurred_at=occurred_at,
        recorded_at=recorded_at,
        kind=_ints(rows["kind"]),
        product_id=rows["product_id"].combine_chunks(),
        product=_ints(rows["product"]),
        channel=_ints(rows["channel"]),
        campaign=_ints(rows["campaign"]),
        value=floats(rows["value"]),
        given=rows["id"].combine_chunks(),
        kind_name=rows["kind_name"].combine_chunks(),
    )


def _count(tally: Tally, batch: LineBatch, zone: str) -> None:
    bought = batch.purchases
    tally.lines += len(bought)
    tally.purchases += int(bought.sum())
    tally.returns += int((batch.quantity < 0).sum())
    tally.orders += batch.orders(zone)
    tally.customers += len(np.unique(batch.customer[bought]))
    tally.sales += float(batch.amount[bought].sum())


def _sorted(
    bench: DuckDBPyConnection, checked: Checked, wanted: Sequence[str], labels: dict[str, str], rates: Rates | None
) -> Iterator[pa.RecordBatch]:
    """Good lines of admitted customers with their codes, by customer and time."""
    has = checked.columns.keys()
    parts = ["k.code AS customer", "coalesce(p.code, -1) AS product"]
    parts += [_or_null("t", name, has) for name in ("occurred_at", "recorded_at")]
    parts += [f"t.{name}_aware" if name in has else f"NULL AS {name}_aware" for name in ("occurred_at", "recorded_at")]
    parts += [_money(name, has, rates) if rates else _or_null("t", name, has) for name in wanted]
    joins = [f"JOIN {checked.name}_customers k ON k.name = t.customer_id"]
    product = "t.product_id" if "product_id" in has else "NULL"
    joins.append(f"LEFT JOIN {checked.name}_products p ON p.name = {product}")
    for column in labels:
        code = f"coalesce({column}_codes.code, -1)" if column in has else "-1"
        parts.append(f"{code} AS {column}")
        if column in has:
            joins.append(f"LEFT JOIN {checked.name}_{column} {column}_codes ON {column}_codes.name = t.{column}")
    if "kind" in labels:
        parts.append("t.kind AS kind_name")
    query = f"SELECT {', '.join(parts)} FROM {checked.name} t {' '.join(joins)} WHERE t.problem IS NULL"
    yield from bench.sql(f"{query} ORDER BY k.code, t.occurred_at").to_arrow_reader(_BATCH)


_TYPES = {
    "occurred_at": "BIGINT",
    "recorded_at": "BIGINT",
    "order_id": "VARCHAR",
    "product_id": "VARCHAR",
    "id": "VARCHAR",
}


def _or_null(table: str, name: str, has: object) -> str:
    value = f"{table}.{name}" if name in has else "NULL"  # type: ignore[operator]
    return f"CAST({value} AS {_TYPES.get(name, 'DOUBLE')}) AS {name}"


def _money(name: str, has: object, rates: Rates) -> str:
    """Money columns in shop currency."""
    convertible = name in ("unit_price", "amount", "discount") and name in has and "currency" in has  # type: ignore[operator]
    if not convertible or not rates.rates or not rates.currency:
        return _or_null("t", name, has)
    cases = " ".join(f"WHEN '{_letters(code)}' THEN {rate!r}" for code, rate in rates.rates.items())
    return f"t.{name} * CASE upper(t.currency) {cases} ELSE 1 END AS {name}"


def _letters(code: str) -> str:
    return re.sub(r"[^A-Z]", "", code.upper())


def _whole_customers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Cuts the stream so that no customer is split between two tables."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        customer = batch.column("customer").to_numpy(zero_copy_only=False)
        if not len(customer):
            continue
        last = int(np.searchsorted(customer, customer[-1]))
        if last:
            yield pa.Table.from_batches([*held, batch.slice(0, last)])
            held = []
        held.append(batch.slice(last))
        if not last and held[0].column("customer")[0].as_py() != customer[-1]:
            yield pa.Table.from_batches(held[:-1])
            held = held[-1:]
    if held:
        yield pa.Table.from_batches(held)


def _instants(rows: pa.Table, zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    occurred_at = _instant(rows["occurred_at"], rows["occurred_at_aware"], zone)
    said = rows["recorded_at"].is_valid().to_numpy()
    if not said.any():
        return occurred_at, occurred_at
    recorded_at = _instant(rows["recorded_at"], rows["recorded_at_aware"], zone)
    return occurred_at, np.where(said, recorded_at, occurred_at)


def _instant(column: pa.ChunkedArray, aware: pa.ChunkedArray, zone: str) -> NDArray[np.int64]:
    shown = column.fill_null(0).to_numpy()
    is_aware = aware.cast(pa.bool_()).fill_null(False).to_numpy()
    return shown if is_aware.all() else np.where(is_aware, shown, from_local(shown, zone))


def _ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.to_numpy().astype(np.int64, copy=False)


def _good(bench: DuckDBPyConnection, checked: Checked) -> int:
    return bench.execute(f"SELECT count(*) FROM {checked.name} WHERE problem IS NULL").fetchall()[0][0]


def _distinct(bench: DuckDBPyConnection, checked: Checked, column: str) -> list[str]:
    if column not in checked.columns:
        return []
    query = f"SELECT DISTINCT {column} FROM {checked.name} WHERE problem IS NULL AND {column} IS NOT NULL"
    return [row[0] for row in bench.execute(query).fetchall()]


def _codes_of_products(bench: DuckDBPyConnection, connection: Connection, checked: Checked) -> None:
    ids = _distinct(bench, checked, "product_id")
    hidden = re.compile(checked.map.unsellable) if checked.map.unsellable else None
    codes = writing.product_codes(connection, ids, [i for i in ids if hidden and hidden.fullmatch(i)])
    _register(bench, f"{checked.name}_products", codes)


def _codes_of_labels(
    bench: DuckDBPyConnection, connection: Connection, checked: Checked, column: str, domain: str
) -> None:
    names = _distinct(bench, checked, column)
    _register(bench, f"{checked.name}_{column}", writing.label_codes(connection, domain, names) if names else {})


def _register(bench: DuckDBPyConnection, table: str, codes: dict[str, int]) -> None:
    columns = {"name": pa.array(codes.keys(), type=pa.string()), "code": pa.array(codes.values(), type=pa.int64())}
    bench.register(f"{table}_arrow", pa.table(columns))
    bench.execute(f"CREATE TABLE {table} AS SELECT * FROM {table}_arrow")
    bench.unregister(f"{table}_arrow")


def _describe_products(bench: DuckDBPyConnection, connection: Connection, checked: Checked) -> None:
    """Name and category where the store has none, and the latest price paid, from the lines themselves."""
    has = checked.columns.keys()
    if "product_id" not in has:
        return
    name = "max_by(product_name, line)" if "product_name" in has else "NULL"
    category = "max_by(category, line)" if "category" in has else "NULL"
    paid = "max_by(unit_price, occurred_at) FILTER (unit_price > 0)" if "unit_price" in has else "NULL"
    rows = bench.execute(
        f"SELECT p.code, {name}, {category}, {paid} FROM {checked.name} t "
        f"JOIN {checked.name}_products p ON p.name = t.product_id WHERE problem IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    writing.describe_products(connection, rows)
