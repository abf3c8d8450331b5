"""Customers into the store inside one transaction: their attributes, what they consent to, their other ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories.columns import CONSENT_COLUMNS
from histories.errors import BadInput
from histories.identity import normal_id
from histories.settings import Settings
from histories.storage import privacy, writing
from histories.storage.incoming import Gate
from histories.storage.seal import Seal
from histories.storage.tables import ALIASES, ATTRIBUTES, CUSTOMERS


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
