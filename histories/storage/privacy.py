"""What persons may ask of the store: consent, a copy of all that is held, to be forgotten; and a log of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence, Set
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories.clock import DAY, to_text
from histories.columns import PURPOSES
from histories.errors import BadInput
from histories.settings import Settings
from histories.storage import reading, writing
from histories.storage.seal import Seal
from histories.storage.tables import ALIASES, AUDIT, CUSTOMERS, EVENTS, LABELS, LINES, PENDING, PRODUCTS, TOMBSTONES

_KEY_CHECK = "erasure_key_check"
_AHEAD = sa.select(PENDING.c.occurred_at)
_SPAN = sa.select(sa.func.min(LINES.c.occurred_at), sa.func.max(LINES.c.occurred_at))


def key_of(settings: Settings) -> bytes | None:
    return settings.erasure_key.get_secret_value().encode() if settings.erasure_key else None


def keyed_hash(key: bytes | None, customer_id: str) -> str:
    """HMAC-SHA256 of an id, hex: stands for a person where the id must not be kept."""
    if not key:
        raise BadInput("set REGULARS_ERASURE_KEY: without it a person cannot be told from another after erasure")
    return hmac.new(key, customer_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def tombstones(connection: Connection, settings: Settings) -> frozenset[str]:
    """Keyed hashes of the erased. Raises BadInput when there are some and the key is missing or another."""
    hashes = erased(connection)
    if hashes:
        _check_key(connection, settings)
    return hashes


def erased(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(sa.select(TOMBSTONES.c.hash)).scalars())


def full_consent(said: str | None, default: bool) -> dict[str, bool]:
    return dict(zip(PURPOSES, reading.consent_of(said, default), strict=True))


def set_consent(connection: Connection, settings: Settings, customer_id: str, consent: Mapping[str, bool]) -> bool:
    """Raises BadInput for a purpose that is none."""
    if unknown := sorted(consent.keys() - set(PURPOSES)):
        raise BadInput(f"consent: {unknown[0]!r} is no purpose; use {', '.join(PURPOSES)}")
    person = _person(connection, customer_id)
    if person is None:
        return False
    merge_consent(connection, person.key, consent)
    log(connection, settings, "consent", person.customer_id)
    return True


def merge_consent(connection: Connection, key: int, consent: Mapping[str, bool]) -> None:
    held = connection.execute(sa.select(CUSTOMERS.c.consent).where(CUSTOMERS.c.key == key)).scalar()
    merged = (json.loads(held) if held else {}) | {name: bool(value) for name, value in consent.items()}
    text = json.dumps(merged, sort_keys=True)
    connection.execute(sa.update(CUSTOMERS).where(CUSTOMERS.c.key == key).values(consent=text))


def export(connection: Connection, settings: Settings, customer_id: str) -> dict[str, Any] | None:
    """Everything the store holds on a person, in plain words; the access is logged."""
    person = _person(connection, customer_id)
    if person is None:
        return None
    log(connection, settings, "export", person.customer_id)
    aliases = sa.select(ALIASES.c.alias).where(ALIASES.c.customer == person.key).order_by(ALIASES.c.alias)
    return {
        "customer_id": person.customer_id,
        "aliases": list(connection.execute(aliases).scalars()),
        "attributes": json.loads(Seal.of(settings).open(person.key, person.attributes) or "{}"),
        "consent": full_consent(person.consent, settings.consent),
        "orders": _orders(connection, person.key),
        "events": _events(connection, person.key),
    }


def erase(connection: Connection, settings: Settings, customer_id: str) -> list[str]:
    """Deletes a person and leaves keyed tombstones of id and aliases, so that no import brings them back.

    Returns id and aliases; none when unknown.
    """
    key = key_of(settings)
    keyed_hash(key, customer_id)
    person = _person(connection, customer_id)
    if person is None:
        return []
    _check_key(connection, settings)
    aliases = connection.execute(sa.select(ALIASES.c.alias).where(ALIASES.c.customer == person.key)).scalars()
    names = [person.customer_id, *aliases]
    writing.insert(connection, TOMBSTONES, [(value,) for value in sorted({keyed_hash(key, name) for name in names})])
    bounds = connection.execute(_SPAN.where(LINES.c.customer == person.key)).one()
    future = sa.select(LINES.c.occurred_at).where(LINES.c.customer == person.key, LINES.c.occurred_at.in_(_AHEAD))
    ahead = set(connection.execute(future).scalars())
    for table, column in ((LINES, LINES.c.customer), (EVENTS, EVENTS.c.customer), (ALIASES, ALIASES.c.customer)):
        connection.execute(sa.delete(table).where(column == person.key))
    connection.execute(sa.delete(CUSTOMERS).where(CUSTOMERS.c.key == person.key))
    writing.bump(connection, "erasures")
    if ahead:
        _forget_ahead(connection, ahead)
    if bounds[0] is not None:
        _shrink_span(connection, bounds)
    log(connection, settings, "erase", person.customer_id)
    return names


def retain(connection: Connection, settings: Settings, days: int, now: int) -> int:
    if days < 1:
        raise BadInput("retain: days must be at least 1")
    before = now - days * DAY
    gone = sum(
        connection.execute(sa.delete(table).where(table.c.occurred_at < before)).rowcount for table in (LINES, EVENTS)
    )
    held = sa.union(sa.select(LINES.c.customer), sa.select(EVENTS.c.customer))
    empty = CUSTOMERS.c.key.not_in(held) if gone else sa.false()
    connection.execute(sa.delete(ALIASES).where(ALIASES.c.customer.in_(sa.select(CUSTOMERS.c.key).where(empty))))
    connection.execute(sa.delete(CUSTOMERS).where(empty))
    _find_span(connection, now)
    connection.execute(sa.insert(AUDIT).values(at=time.time_ns() // 1000, action=f"retain {days}"))
    return gone


def log(connection: Connection, settings: Settings, action: str, *customer_ids: str) -> None:
    """A row of the audit log for each person; without a key the persons are left out of it."""
    key, now = key_of(settings), time.time_ns() // 1000
    rows = [{"at": now, "action": action, "subject": keyed_hash(key, who) if key else None} for who in customer_ids]
    if rows:
        connection.execute(sa.insert(AUDIT), rows)


def _check_key(connection: Connection, settings: Settings) -> None:
    check = keyed_hash(key_of(settings), _KEY_CHECK)
    known = writing.meta(connection, _KEY_CHECK)
    if known is None:
        writing.set_meta(connection, _KEY_CHECK, check)
    elif not hmac.compare_digest(known, check):
        raise BadInput("REGULARS_ERASURE_KEY is not the key that this store's erasures were made with")


def _person(connection: Connection, customer_id: str) -> Any:
    columns = sa.select(CUSTOMERS.c.key, CUSTOMERS.c.customer_id, CUSTOMERS.c.attributes, CUSTOMERS.c.consent)
    found = connection.execute(columns.where(CUSTOMERS.c.customer_id == customer_id)).first()
    if found is not None:
        return found
    key = sa.select(ALIASES.c.customer).where(ALIASES.c.alias == customer_id).scalar_subquery()
    return connection.execute(columns.where(CUSTOMERS.c.key == key)).first()


def _orders(connection: Connection, key: int) -> list[dict[str, Any]]:
    label = _names(connection, "channel")
    which = (
        sa.select(LINES, PRODUCTS.c.product_id)
        .join(PRODUCTS, PRODUCTS.c.code == LINES.c.product, isouter=True)
        .where(LINES.c.customer == key)
        .order_by(LINES.c.occurred_at, LINES.c.line_id)
    )
    plain = ("order_id", "product_id", "quantity", "unit_price", "amount", "discount")
    return [
        _times(row) | {name: row[name] for name in plain} | {"channel": label.get(row["channel"])}
        for row in connection.execute(which).mappings()
    ]


def _events(connection: Connection, key: int) -> list[dict[str, Any]]:
    labels = {domain: _names(connection, domain) for domain in ("event", "channel", "campaign")}
    which = (
        sa.select(EVENTS, PRODUCTS.c.product_id)
        .join(PRODUCTS, PRODUCTS.c.code == EVENTS.c.product, isouter=True)
        .where(EVENTS.c.customer == key)
        .order_by(EVENTS.c.occurred_at, EVENTS.c.event_id)
    )
    return [
        _times(row)
        | {"kind": labels["event"].get(row["kind"]), "product_id": row["product_id"], "value": row["value"]}
        | {domain: labels[domain].get(row[domain]) for domain in ("channel", "campaign")}
        for row in connection.execute(which).mappings()
    ]


def _times(row: sa.RowMapping) -> dict[str, Any]:
    return {name: to_text(row[name]) for name in ("occurred_at", "recorded_at")}


def _names(connection: Connection, domain: str) -> dict[int, str]:
    named = sa.select(LABELS.c.code, LABELS.c.name).where(LABELS.c.domain == domain)
    return dict(connection.execute(named).all())


def _forget_ahead(connection: Connection, instants: Set[int]) -> None:
    """Future instants at which no line is left fall due no more."""
    others = sa.select(LINES.c.occurred_at).where(LINES.c.occurred_at.in_(instants)).distinct()
    gone = instants - set(connection.execute(others).scalars())
    connection.execute(sa.delete(PENDING).where(PENDING.c.occurred_at.in_(gone)))


def _shrink_span(connection: Connection, gone: Sequence[int]) -> None:
    """After lines from gone[0] to gone[1] were deleted: only at an end of the span can they have made it."""
    span = json.loads(writing.meta(connection, "span") or "null")
    if span and (gone[0] <= span[0] or gone[1] >= span[1]):
        _find_span(connection, span[1])


def _find_span(connection: Connection, now: int) -> None:
    first, newest = connection.execute(_SPAN.where(LINES.c.occurred_at <= now)).one()
    writing.set_meta(connection, "span", json.dumps(None if first is None else [first, newest]))
