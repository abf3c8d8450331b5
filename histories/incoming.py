"""Canonical tables into the store inside one transaction: who is let in, which codes they get, what is new."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from histories import privacy, writing
from histories.columns import CONSENT_COLUMNS
from histories.errors import BadInput
from histories.history import NO_CODE
from histories.identity import normal_id, normal_ids
from histories.lines import EventBatch, LineBatch, with_money
from histories.seal import Seal
from histories.settings import Settings
from histories.tables import ALIASES, ATTRIBUTES, CUSTOMERS, EVENTS, LINES


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
    batch = with_money(
        LineBatch(
            customer=customer,
            occurred_at=_instants(orders["occurred_at"], None),
            recorded_at=_instants(orders["recorded_at"], now),
            order_id=normal_ids(orders["order_id"]),
            product_id=product_id,
            product=product_column(connection, product_id),
            channel=label_column(connection, "channel", orders["channel"]),
            quantity=floats(orders["quantity"]),
            unit_price=floats(orders["unit_price"]) * factors,
            amount=floats(orders["amount"]) * factors,
            discount=floats(orders["discount"]) * factors,
            given=normal_ids(orders["id"]),
        )
    )
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


def add_customers(connection: Connection, rows: Sequence[Mapping[str, Any]], gate: Gate, settings: Settings) -> int:
    """Customers with attributes (every column that is not consent or aliases); later values replace earlier ones."""
    seal, default = Seal.of(settings), settings.consent
    people = {normal_id(str(row["customer_id"])): row for row in rows}
    keys = writing.customer_keys(connection, gate.admitted(list(people)))
    kinds = _attribute_kinds(connection, people.values())
    held = writing.customers_by_key(connection, sorted(keys.values()))
    changed: list[dict[str, Any]] = []
    objecting: list[str] = []  # or agreeing anew
    for customer_id, key in keys.items():
        row = people[customer_id]
        attributes = {name: _typed(name, row[name], kind) for name, kind in kinds.items() if row.get(name) is not None}
        consent = {purpose: bool(row[name]) for name, purpose in CONSENT_COLUMNS.items() if row.get(name) is not None}
        known = held[key]
        text = _merged(seal.open(key, known.attributes), attributes)
        merged = {"new_attributes": seal.close(key, text), "new_consent": _merged(known.consent, consent)}
        changed.append({"which": key, **merged})
        before, after = (privacy.full_consent(said, default) for said in (known.consent, merged["new_consent"]))
        objecting += [customer_id] if before != after else []
    writing.update_customers(connection, changed)
    privacy.log(connection, settings, "consent", *objecting)
    said = {alias: keys[person] for person in keys for alias in _aliases(people[person].get("aliases"))}
    for alias, key in said.items():
        if gate.admits(alias) and keys.get(alias) != key:
            _set_alias(connection, alias, key)
    writing.bump(connection, "products_version")
    return len(keys)


def _attribute_kinds(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """number or text by attribute: as it was, or by the first value of a new one."""
    kinds = dict(connection.execute(sa.select(ATTRIBUTES.c.name, ATTRIBUTES.c.kind)).all())
    reserved = {"customer_id", "aliases", *CONSENT_COLUMNS}
    new: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None and name not in kinds and name not in new and name not in reserved:
                new[name] = "number" if isinstance(value, bool | int | float) else "text"
    writing.insert(connection, ATTRIBUTES, list(new.items()))
    return kinds | new


def _merged(held: str | None, said: Mapping[str, object]) -> str | None:
    if not said:
        return held
    return json.dumps((json.loads(held) if held else {}) | dict(said), ensure_ascii=False, sort_keys=True)


def stateless_rows(orders: pa.Table, code_of: Mapping[str, int], channels: tuple[str, ...]) -> dict[str, NDArray]:
    """Line columns for reading.build of one unnamed customer; products and channels not known are NO_CODE."""
    occurred_at = _instants(orders["occurred_at"], None)
    count = len(occurred_at)
    product_id = normal_ids(orders["product_id"])
    channel_of = {name: code for code, name in enumerate(channels)}
    batch = with_money(
        LineBatch(
            customer=np.zeros(count, dtype=np.int64),
            occurred_at=occurred_at,
            recorded_at=occurred_at,
            order_id=normal_ids(orders["order_id"]),
            product_id=product_id,
            product=_codes(product_id, code_of),
            channel=_codes(orders["channel"].combine_chunks(), channel_of),
            quantity=floats(orders["quantity"]),
            unit_price=floats(orders["unit_price"]),
            amount=floats(orders["amount"]),
            discount=floats(orders["discount"]),
            given=normal_ids(orders["id"]),
        )
    )
    columns = (
        "customer",
        "occurred_at",
        "recorded_at",
        "product",
        "channel",
        "quantity",
        "unit_price",
        "amount",
        "discount",
    )
    rows = {name: getattr(batch, name) for name in columns}
    order_id = np.array(batch.order_id.to_pylist(), dtype=object)
    return rows | {"line_id": np.arange(count), "order_id": order_id}


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


def _typed(name: str, value: Any, kind: str) -> float | str:
    if kind == "text":
        return str(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadInput(f"customers: attribute {name} held numbers so far; text does not fit") from None


def _aliases(said: Any) -> list[str]:
    parts = said.split(";") if isinstance(said, str) else list(said) if said is not None else []
    return [alias for alias in (normal_id(str(part)) for part in parts) if alias]


def _set_alias(connection: Connection, alias: str, key: int) -> None:
    """From now on `alias` is this customer; what was known under it moves to them."""
    known = connection.execute(sa.select(CUSTOMERS.c.key).where(CUSTOMERS.c.customer_id == alias)).scalar()
    if known is not None and known != key:
        writing.move_customer(connection, known, key)
    held = connection.execute(sa.select(ALIASES.c.customer).where(ALIASES.c.alias == alias)).scalar()
    if held is None:
        writing.insert(connection, ALIASES, [(alias, key)])
    elif held != key:
        raise BadInput("customers: an alias belongs to two customers")
