"""Canonical tables into the store inside one transaction: who is let in, which codes they get, what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from histories.errors import BadInput
from histories.history import NO_CODE
from histories.identity import normal_ids
from histories.settings import Settings
from histories.storage import privacy, writing
from histories.storage.lines import EventBatch, LineBatch, with_money
from histories.storage.tables import EVENTS, LINES


@dataclass(frozen=True, slots=True)
class Added:
    """What one write did: rows new to the store, rows it already had, and how many of all lie in the future."""

    accepted: int = 0
    duplicate: int = 0
    future: int = 0
    excluded: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(
            self.accepted + other.accepted,
            self.duplicate + other.duplicate,
            self.future + other.future,
            self.excluded + other.excluded,
        )


@dataclass(frozen=True, slots=True)
class Gate:
    """Keeps out accounts that the shop leaves out (ids or glob patterns) and persons who were erased."""

    patterns: tuple[str, ...]
    key: bytes | None
    erased: frozenset[str]

    @classmethod
    def of(cls, connection: Connection, settings: Settings) -> Gate:
        erased = privacy.tombstones(connection, settings)
        return cls(settings.exclude_customers, privacy.key_of(settings), erased)

    def admits(self, customer_id: str) -> bool:
        if any(fnmatchcase(customer_id, pattern) for pattern in self.patterns):
            return False
        return not self.erased or privacy.keyed_hash(self.key, customer_id) not in self.erased

    def admitted(self, ids: Sequence[str]) -> list[str]:
        if not self.patterns and not self.erased:
            return list(ids)
        return [customer_id for customer_id in ids if self.admits(customer_id)]


@dataclass(frozen=True, slots=True)
class Rates:
    """Factors into the shop's currency."""

    currency: str
    rates: Mapping[str, float]

    def factor(self, currency: str | None) -> float | None:
        """None for a currency without a rate."""
        if not currency or not self.currency or currency == self.currency:
            return 1.0
        return self.rates.get(currency)


def add_orders(connection: Connection, orders: pa.Table, gate: Gate, rates: Rates, now: int) -> Added:
    """Raises BadInput for a line without customer or time, or in a currency without a rate."""
    customer, admitted = _customers(connection, orders["customer_id"], gate)
    factors = _factors(orders["currency"], rates)
    orders, customer, factors = orders.filter(pa.array(admitted)), customer[admitted], factors[admitted]
    product_id = normal_ids(orders["product_id"])
    product = product_column(connection, product_id)
    channel = label_column(connection, "channel", orders["channel"])
    learned = _instants(orders["recorded_at"], now)
    batch = _line_batch(orders, customer, learned, product_id, product, channel, factors)
    known = np.unique(batch.product[batch.product >= 0])
    _name_products(connection, orders, product_id, len(known))
    new = writing.insert(connection, LINES, batch.rows())
    future = writing.note_span(connection, batch.occurred_at, now)
    return Added(new, len(customer) - new, future, int((~admitted).sum()))


def add_events(connection: Connection, events: pa.Table, gate: Gate, now: int) -> Added:
    """Raises BadInput for an event without customer, kind or time."""
    customer, admitted = _customers(connection, events["customer_id"], gate)
    events, customer = events.filter(pa.array(admitted)), customer[admitted]
    if events["kind"].null_count:
        raise BadInput("events: kind is missing")
    product_id = normal_ids(events["product_id"])
    kind = pc.utf8_lower(pc.utf8_trim_whitespace(events["kind"]))
    batch = EventBatch(
        customer=customer,
        occurred_at=_instants(events["occurred_at"], None),
        recorded_at=_instants(events["recorded_at"], now),
        kind=label_column(connection, "event", kind),
        product_id=product_id,
        product=product_column(connection, product_id),
        channel=label_column(connection, "channel", events["channel"]),
        campaign=label_column(connection, "campaign", events["campaign"]),
        value=floats(events["value"]),
        given=normal_ids(events["id"]),
        kind_name=kind,
    )
    new = writing.insert(connection, EVENTS, batch.rows())
    future = int((batch.occurred_at > now).sum())
    return Added(new, len(customer) - new, future, int((~admitted).sum()))


def stateless_rows(orders: pa.Table, code_of: Mapping[str, int], channels: tuple[str, ...]) -> dict[str, NDArray]:
    """Line columns for reading.build of one unnamed customer; products and channels not known are NO_CODE."""
    occurred_at = _instants(orders["occurred_at"], None)
    nobody = np.zeros(len(occurred_at), dtype=np.int64)
    product_id = normal_ids(orders["product_id"])
    product = _codes(product_id, code_of)
    channel = _codes(orders["channel"].combine_chunks(), {name: code for code, name in enumerate(channels)})
    batch = _line_batch(orders, nobody, occurred_at, product_id, product, channel)
    whole, money = (
        ("customer", "occurred_at", "recorded_at", "product", "channel"),
        ("quantity", "unit_price", "amount", "discount"),
    )
    rows = {name: getattr(batch, name) for name in (*whole, *money)}
    return rows | {"line_id": np.arange(len(nobody))}


def _line_batch(
    orders: pa.Table,
    customer: NDArray[np.int64],
    recorded_at: NDArray[np.int64],
    product_id: pa.Array,
    product: NDArray[np.int64],
    channel: NDArray[np.int64],
    factors: NDArray[np.float64] | float = 1.0,
) -> LineBatch:
    """Of a canonical table and what became of its ids; money times `factors`."""
    return with_money(
        LineBatch(
            customer=customer,
            occurred_at=_instants(orders["occurred_at"], None),
            recorded_at=recorded_at,
            order_id=normal_ids(orders["order_id"]),
            product_id=product_id,
            product=product,
            channel=channel,
            quantity=floats(orders["quantity"]),
            unit_price=floats(orders["unit_price"]) * factors,
            amount=floats(orders["amount"]) * factors,
            discount=floats(orders["discount"]) * factors,
            given=normal_ids(orders["id"]),
        )
    )


def product_column(connection: Connection, ids: pa.Array) -> NDArray[np.int64]:
    unique = [name for name in pc.unique(ids).to_pylist() if name is not None]
    return _codes(ids, writing.product_codes(connection, unique))


def label_column(connection: Connection, domain: str, names: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    names = normal_ids(names)
    unique = [name for name in pc.unique(names).to_pylist() if name is not None]
    return _codes(names, writing.label_codes(connection, domain, unique) if unique else {})


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.to_numpy().astype(np.float64, copy=False)


def _codes(names: pa.Array, codes: Mapping[str, int]) -> NDArray[np.int64]:
    encoded = pc.dictionary_encode(names)
    code = np.array([codes.get(name, NO_CODE) for name in encoded.dictionary.to_pylist()] + [NO_CODE], dtype=np.int64)
    return code[encoded.indices.fill_null(len(code) - 1).to_numpy(zero_copy_only=False)]


def _customers(connection: Connection, ids: pa.ChunkedArray, gate: Gate) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Key of each row's customer, and which rows the gate lets in."""
    names = normal_ids(ids)
    if names.null_count:
        raise BadInput("customer_id is missing")
    keys = writing.customer_keys(connection, gate.admitted(pc.unique(names).to_pylist()))
    codes = _codes(names, keys)
    return codes, codes != NO_CODE


def _factors(currencies: pa.ChunkedArray, rates: Rates) -> NDArray[np.float64]:
    if currencies.null_count == len(currencies):
        return np.ones(len(currencies))
    unique = pc.unique(currencies).to_pylist()
    factors = {name: rates.factor(name) for name in unique}
    if None in factors.values():
        raise BadInput(f"currency: the shop's is {rates.currency}; give a rate for others in the setting rates")
    return np.array([factors[name] for name in currencies.to_pylist()], dtype=np.float64)


def _instants(column: pa.ChunkedArray, default: int | None) -> NDArray[np.int64]:
    whole = column.cast(pa.int64())
    if default is not None:
        whole = whole.fill_null(default)
    if whole.null_count:
        raise BadInput("occurred_at is missing")
    return whole.to_numpy()


def _name_products(connection: Connection, orders: pa.Table, ids: pa.Array, known: int) -> None:
    """Names, categories that lines carry, for products that have none yet."""
    if not known or orders["product_name"].null_count + orders["category"].null_count == 2 * len(orders):
        return
    rows = zip(ids.to_pylist(), orders["product_name"].to_pylist(), orders["category"].to_pylist(), strict=True)
    said = {i: {"product_id": i, "name": name, "category": category} for i, name, category in rows if i}
    writing.name_products(connection, list(said.values()))
