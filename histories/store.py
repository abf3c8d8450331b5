"""The history store: one shop's lines, events, customers and products in SQLite or PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Engine

from histories import erasure, incoming, news, one, privacy, reading, writing
from histories.columns import EVENTS, ORDERS, complete, table
from histories.erasure import Erasure
from histories.errors import BadInput
from histories.history import Catalog, History
from histories.incoming import Added
from histories.patience import be_patient, quick
from histories.sample import drawn, hashes
from histories.seal import Seal
from histories.selection import joined
from histories.settings import Settings
from histories.tables import (
    ATTRIBUTES,
    CUSTOMERS,
    LABELS,
    LINES,
    ONE_STATE,
    PENDING,
    PRODUCTS,
    forget_log,
    never_create,
    open_engine,
    wait_at_most,
)

_SAMPLED_AT_A_TIME = 50_000  # customers, of whom some are drawn
_LISTED: Final = "listed"
_LISTED_AT_A_TIME = 500
DOMAINS = ("channel", "category", "event", "campaign")


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all customers share, as of one products_version."""

    version: int
    catalog: Catalog
    labels: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, str]  # name: number or text
    event_kinds: NDArray[np.int8]  # code in EVENT_KINDS of each of the store's own


class Store:
    """Open with Store.open. Reads may come from any thread; each write is one durable transaction."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self._seal = Seal.of(settings)
        self._local = threading.local()
        self._read_seconds: float | None = None
        self._shared_now: _Shared | None = None

    @classmethod
    def open(cls, url: str, settings: Settings) -> Store:
        """Creates what is missing. Raises BadInput for a store of another zone or currency, or none at all."""
        Seal.of(settings)  # a key that is none is refused before anything is opened
        store = cls(open_engine(url), settings)
        for name in ("timezone", "currency"):
            known = store._meta(name)
            if known and name in settings.model_fields_set and getattr(settings, name) not in ("", known):
                store.close()
                raise BadInput(f"{name}: this store was filled with {known}; leave the setting out or import anew")
        return store

    def close(self) -> None:
        if raw := getattr(self._local, "raw", None):
            raw.close()
        self._local = threading.local()
        self.engine.dispose()

    def be_quick(self, *, read_seconds: float, write_seconds: float) -> None:
        """For a service: how long to wait for a lock, where a command waits half a minute, or for a silent server.

        An SQLite file that is gone is not made anew, empty.
        """
        self._read_seconds = read_seconds
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", lambda raw, _: wait_at_most(raw, write_seconds))
            never_create(self.engine)
        else:
            self.engine.update_execution_options(lock_seconds=write_seconds)
            be_patient(self.engine, read_seconds)
        self.reopen()

    def reopen(self) -> None:
        """Forgets all that is remembered: another file took the store's place."""
        self.close()
        self._shared_now = None

    @property
    def zone(self) -> str:
        """IANA name of the shop's zone: fixed by the first import, the settings' until then."""
        return self._meta("timezone") or self.settings.timezone

    @property
    def currency(self) -> str:
        return self._meta("currency") or self.settings.currency

    # Writing

    @contextmanager
    def writing(self, *, news: bool = True) -> Iterator[Connection]:
        """One transaction, durable on leaving; raises BadInput where the database refuses (full, locked, gone).

        Without `news`, version() stays: nothing that a prediction could see is written.
        """
        try:
            with self.engine.execution_options(write=True).begin() as connection:
                yield connection
                if news:
                    writing.bump(connection, "version")
        except (sa.exc.OperationalError, self.engine.dialect.loaded_dbapi.OperationalError) as error:
            raise BadInput(f"the store could not be written and is as before: {_said(error)}") from None

    def add(
        self,
        orders: pa.Table | None = None,
        events: pa.Table | None = None,
        customers: pa.Table | None = None,
        products: pa.Table | None = None,
        *,
        now: int,
    ) -> Added:
        """Canonical tables (columns.py) in one transaction. Without recorded_at, a row was learned of `now` (us)."""
        added = Added()
        with self.writing() as connection:
            gate = incoming.Gate.of(connection, self.settings)
            self.fix_zone(connection)
            if products is not None:
                writing.update_products(connection, products.to_pylist())
            if customers is not None:
                incoming.add_customers(connection, customers.to_pylist(), gate, self.settings)
            if orders is not None:
                rates = incoming.Rates(self.currency, self.settings.rates)
                added += incoming.add_orders(connection, complete(orders, ORDERS), gate, rates, now)
            if events is not None:
                added += incoming.add_events(connection, complete(events, EVENTS), gate, now)
        return added

    def fix_zone(self, connection: Connection, zone: str | None = None, currency: str | None = None) -> None:
        """Keeps the zone (and currency) that the first write uses for all that follow."""
        for name, value in (
            ("timezone", zone or self.settings.timezone),
            ("currency", currency or self.settings.currency),
        ):
            if value and writing.meta(connection, name) is None:
                writing.set_meta(connection, name, value)

    def upsert_products(self, rows: Sequence[Mapping[str, object]]) -> int:
        """Name, category, price and stock of products, by product_id; keys left out keep their value."""
        with self.writing() as connection:
            return writing.update_products(connection, rows)

    # Reading

    def history(self, *, purpose: str | None = None) -> History:
        """Everybody, sorted by customer_id; with a purpose, only those who allow it."""
        with self.snapshot() as connection:
            found = self._customers(connection, purpose)
            return self._history(connection, found, None)

    def between(self, first: str, last: str, *, purpose: str | None = None) -> History:
        """The customers with first <= customer_id <= last."""
        with self.snapshot() as connection:
            found = self._customers(connection, purpose, (first, last))
            return self._history(connection, found, (first, last))

    def of(self, customer_ids: Sequence[str]) -> History:
        """The customers of these ids (sorted), but for those who are not in the store: nobody else's rows are read."""
        slices = range(0, len(customer_ids), _LISTED_AT_A_TIME)
        with self.snapshot() as connection:
            some = [customer_ids[start : start + _LISTED_AT_A_TIME] for start in slices]
            found = [row for ids in some for row in self._customers(connection, None, ids=ids)]
            return self._history(connection, found, _LISTED)

    def chunks(
        self, size: int, *, purpose: str | None = None, first: str | None = None, last: str | None = None
    ) -> Iterator[History]:
        """Everybody in pieces of `size` customers, of one state of the store, in constant memory.

        With first or last (inclusive), the customers between them: processes that take a range of Store.ranges each
        read everybody together.
        """
        with self.snapshot() as connection:
            for between in self._ranges(connection, size, first, last):
                found = self._customers(connection, purpose, between)
                if found:
                    yield self._history(connection, found, between)

    def sample(self, share: float, *, purpose: str | None = None, seed: int = 0) -> History:
        """Those drawn by the hash of their id (histories.sample); nobody else's lines are read."""
        with self.snapshot() as connection:
            parts = []
            for between in self._ranges(connection, _SAMPLED_AT_A_TIME, None, None):
                found = self._customers(connection, purpose, between)
                kept = drawn(hashes(row[1] for row in found), share, seed)
                some = [row for row, keep in zip(found, kept.tolist(), strict=True) if keep]
                parts.append(self._history(connection, some, between if share >= 1 else _LISTED))
        return joined(parts) if parts else self.history(purpose=purpose)

    def ranges(self, size: int) -> list[tuple[str, str]]:
        """First and last customer_id (inclusive) of every `size` customers: disjoint, and all of them."""
        with self.snapshot() as connection:
            return list(self._ranges(connection, size, None, None))

    def learned_since(self, instant: int) -> list[str]:
        """Ids, sorted, of whom a line or an event was recorded at or after an instant (us)."""
        with self.snapshot() as connection:
            return news.learned_since(connection, instant)

    def history_of(self, customer_id: str) -> History | None:
        """One customer by id or alias, None when unknown."""
        return self.known(customer_id)[0]

    def known(self, customer_id: str, *, unchanged: bool = False) -> tuple[History | None, dict[str, bool]]:
        """The history (None when unknown) and consent of one customer, by id or alias: the online path.

        `unchanged`: version() still is what it was when this store was last read, so products are not looked at.
        """
        shared = (self._shared_now if unchanged else None) or self._shared()
        with self._quick() as cursor:
            found = self._find(cursor, customer_id)
            if found is None:
                return None, privacy.full_consent(None, self.settings.consent)
            cursor.execute(self._sql(one.LINES_SQL), (found[0],))
            lines = cursor.fetchall()
            cursor.execute(self._sql(one.EVENTS_SQL), (found[0],))
            events = cursor.fetchall()
        zone = self._fixed_zone()
        history = History(
            customer_id=np.array([found[1]], dtype=object),
            lines=one.lines_of(lines, zone),
            events=one.events_of(events, shared.event_kinds),
            attributes=self._attributes([found], shared),
            catalog=shared.catalog,
            channels=shared.labels["channel"],
            zone=zone,
            consent=reading.consent_arrays([found[3]], self.settings.consent),
        )
        return history, privacy.full_consent(found[3], self.settings.consent)

    def history_from(self, orders: Sequence[Mapping[str, object]]) -> History:
        """Order lines of one request, of nobody in the store, against this store's catalog."""
        shared = self._shared()
        lines = complete(table(orders, ORDERS, self.zone), ORDERS)
        rows = incoming.stateless_rows(lines, shared.catalog.code_of, shared.labels["channel"])
        nobody = reading.attribute_arrays([None], shared.attributes)
        events = {name: np.empty(0, dtype=dtype) for name, dtype in reading.EVENT_COLUMNS}
        return reading.build([""], nobody, rows, events, shared.catalog, shared.labels, self.zone)

    def catalog(self) -> Catalog:
        """All products; remembered until they change."""
        return self._shared().catalog

    def products_version(self) -> int:
        return int(self._meta("products_version") or 0)

    def version(self) -> int:
        """Grows with every committed write, whoever makes it."""
        return int(self._meta("version") or 0)

    def erasures(self) -> int:
        """Grows with every person erased."""
        return int(self._meta("erasures") or 0)

    def span(self, now: int | None = None) -> tuple[int, int] | None:
        """First and newest occurred_at (us) of order lines that are not in the future; None without any."""
        moment = time.time_ns() // 1000 if now is None else now
        known = json.loads(self._meta("span") or "null")
        with self.snapshot() as connection:
            due = sa.select(PENDING.c.occurred_at).where(PENDING.c.occurred_at <= moment)
            instants = [*(known or ()), *connection.execute(due).scalars()]
        return (min(instants), max(instants)) if instants else None

    def newest(self, as_of: int) -> int | None:
        """Newest occurred_at (us) of order lines by `as_of`; None without any. Reads all lines unless as_of is late."""
        span = self.span(as_of)
        if span is None or span[0] > as_of or span[1] <= as_of:
            return None if span is None or span[0] > as_of else span[1]
        newest = sa.select(sa.func.max(LINES.c.occurred_at)).where(LINES.c.occurred_at <= as_of)
        with self.snapshot() as connection:
            return connection.execute(newest).scalar()

    def digest(self) -> str:
        """Hex digest of all lines and events by customer: equal for equal data, however it came."""
        low, high = "{0} & 4294967295", "({0} >> 32) & 4294967295"
        total = hashlib.blake2b(digest_size=16)
        with self.snapshot() as connection:
            for name, key in (("lines", "line_id"), ("events", "event_id")):
                sums = f"SUM({low.format(key)}), SUM({high.format(key)})"
                text = (
                    f"SELECT c.customer_id, COUNT(*), {sums} FROM {name} JOIN customers c ON c.key = customer "
                    "GROUP BY c.customer_id ORDER BY c.customer_id"
                )
                for customer_id, *numbers in connection.exec_driver_sql(text):
                    total.update(f"{name}\x1f{customer_id}\x1f{[int(n) for n in numbers]}\x1e".encode())
        return total.hexdigest()

    def customer_ids(self) -> list[str]:
        with self.snapshot() as connection:
            return list(
                connection.execute(sa.select(CUSTOMERS.c.customer_id).order_by(CUSTOMERS.c.customer_id)).scalars()
            )

    def counts(self, *tables: str) -> dict[str, int]:
        """Rows of each table, or of those named: lines and events are counted one by one."""
        names = tables or ("customers", "lines", "events", "products")
        with self.snapshot() as connection:
            return {name: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one() for name in names}

    # Persons

    def consent(self, customer_id: str) -> dict[str, bool]:
        """What a customer allows, by purpose; the setting's default where nothing was said, and for strangers."""
        with self._quick() as cursor:
            found = self._find(cursor, customer_id)
        return privacy.full_consent(found[3] if found else None, self.settings.consent)

    def set_consent(self, customer_id: str, consent: Mapping[str, bool]) -> bool:
        """False when the customer is unknown."""
        with self.writing() as connection:
            return privacy.set_consent(connection, self.settings, customer_id, consent)

    def export(self, customer_id: str) -> dict[str, Any] | None:
        """All that is held on a person; None when unknown."""
        with self.writing() as connection:
            return privacy.export(connection, self.settings, customer_id)

    def erase(self, customer_id: str) -> Erasure | None:
        """Forgets a person for good, in batch outputs, too; None when unknown. Needs settings.erasure_key."""
        return erasure.erase(self, customer_id)

    def retain(self, days: int, *, now: int) -> int:
        """Deletes lines and events older than `days` before now (us), and who is then empty; returns rows gone."""
        with self.writing() as connection:
            gone = privacy.retain(connection, self.settings, days, now)
        forget_log(self.engine)
        return gone

    # Inside

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise BadInput(f"the store could not be read: {error.orig}") from None

    @contextmanager
    def _quick(self) -> Iterator[Any]:
        """A bare cursor on this thread's own connection: SQLAlchemy's layers cost more than the read itself."""
        raw = getattr(self._local, "raw", None)
        if raw is None:
            raw = self._local.raw = self.engine.raw_connection()
            if self._read_seconds is not None:
                (wait_at_most if self.engine.dialect.name == "sqlite" else quick)(raw, self._read_seconds)
        try:
            cursor = raw.cursor()
            cursor.execute("BEGIN" if self.engine.dialect.name == "sqlite" else ONE_STATE)
            yield cursor
            raw.rollback()
            cursor.close()
        except BaseException:
            self._local.raw = None  # a server that went away is asked anew, by another connection
            raw.invalidate()
            raise

    def _sql(self, text: str) -> str:
        return text if self.engine.dialect.paramstyle == "qmark" else text.replace("?", "%s")

    def _meta(self, name: str) -> str | None:
        with self._quick() as cursor:
            cursor.execute(self._sql("SELECT value FROM meta WHERE name = ?"), (name,))
            row = cursor.fetchone()
        return row[0] if row else None

    def _fixed_zone(self) -> str:
        zone = getattr(self._local, "zone", None)
        if zone is None:
            zone = self._meta("timezone")
            self._local.zone = zone
        return zone or self.settings.timezone

    def _find(self, cursor: Any, customer_id: str) -> tuple | None:
        """Row (key, customer_id, attributes, consent) of an id or alias."""
        columns = "SELECT key, customer_id, attributes, consent FROM customers "
        cursor.execute(self._sql(columns + "WHERE customer_id = ?"), (customer_id,))
        row = cursor.fetchone()
        if row is None:
            by_alias = "WHERE key = (SELECT customer FROM aliases WHERE alias = ?)"
            cursor.execute(self._sql(columns + by_alias), (customer_id,))
            row = cursor.fetchone()
        return row

    def _shared(self) -> _Shared:
        version = self.products_version()
        if self._shared_now is None or self._shared_now.version != version:
            self._shared_now = self._read_shared()
        return self._shared_now

    def _read_shared(self) -> _Shared:
        with self.snapshot() as connection:
            version = int(writing.meta(connection, "products_version") or 0)
            rows = connection.execute(sa.select(PRODUCTS).order_by(PRODUCTS.c.code)).all()
            named = connection.execute(sa.select(LABELS.c.domain, LABELS.c.name).order_by(LABELS.c.code)).all()
            attributes = connection.execute(sa.select(ATTRIBUTES.c.name, ATTRIBUTES.c.kind).order_by(ATTRIBUTES.c.name))
            labels = {domain: tuple(name for where, name in named if where == domain) for domain in DOMAINS}
            catalog = reading.catalog_of([tuple(row) for row in rows], labels["category"])
            kinds = reading.event_kinds(labels["event"])
            return _Shared(version, catalog, labels, dict(attributes.all()), kinds)

    def _ranges(
        self, connection: Connection, size: int, first: str | None, last: str | None
    ) -> Iterator[tuple[str, str]]:
        """(first, last) customer_id of each `size` customers between first and last."""
        which = sa.select(CUSTOMERS.c.customer_id).order_by(CUSTOMERS.c.customer_id).limit(size)
        if last is not None:
            which = which.where(CUSTOMERS.c.customer_id <= last)
        begin = which if first is None else which.where(CUSTOMERS.c.customer_id >= first)
        while ids := connection.execute(begin).scalars().all():
            yield ids[0], ids[-1]
            begin = which.where(CUSTOMERS.c.customer_id > ids[-1])

    def _customers(
        self,
        connection: Connection,
        purpose: str | None,
        between: tuple[str, str] | None = None,
        *,
        ids: Sequence[str] | None = None,
    ) -> list[tuple]:
        which = sa.select(CUSTOMERS.c.key, CUSTOMERS.c.customer_id, CUSTOMERS.c.attributes, CUSTOMERS.c.consent)
        if between:
            which = which.where(CUSTOMERS.c.customer_id >= between[0], CUSTOMERS.c.customer_id <= between[1])
        if ids is not None:
            which = which.where(CUSTOMERS.c.customer_id.in_(ids))
        rows = connection.execute(which.order_by(CUSTOMERS.c.customer_id))
        return [tuple(row) for row in rows if reading.allowed(row[3], purpose, self.settings.consent)]

    def _history(
        self, connection: Connection, found: list[tuple], which: tuple[str, str] | Literal["listed"] | None
    ) -> History:
        """Of the customers found: everybody (None), nearly everybody between two ids, or few, to be listed."""
        shared = self._shared()
        keys, ids = [row[0] for row in found], [row[1] for row in found]
        read = partial(self._rows_of, keys=keys) if which == _LISTED else partial(self._rows, keys=keys, between=which)
        lines = read(connection, reading.LINES_SQL, reading.LINE_COLUMNS)
        events = read(connection, reading.EVENTS_SQL, reading.EVENT_COLUMNS)
        attributes = self._attributes(found, shared)
        consent = reading.consent_arrays([row[3] for row in found], self.settings.consent)
        return reading.build(ids, attributes, lines, events, shared.catalog, shared.labels, self.zone, consent)

    def _attributes(self, found: list[tuple], shared: _Shared) -> dict[str, NDArray]:
        """Of rows (key, customer_id, attributes, consent)."""
        texts = [self._seal.open(row[0], row[2]) for row in found] if shared.attributes else []
        return reading.attribute_arrays(texts, shared.attributes)

    def _rows_of(self, connection: Connection, text: str, spec: reading.Spec, keys: list[int]) -> reading.Arrays:
        parts = []
        for start in range(0, max(len(keys), 1), _LISTED_AT_A_TIME):
            some = keys[start : start + _LISTED_AT_A_TIME]
            marks = ", ".join("?" * len(some)) or "NULL"
            with reading.stream(connection) as cursor:
                cursor.execute(self._sql(f"{text} WHERE customer IN ({marks})"), tuple(some))
                parts.append(reading.read_arrays(cursor, spec))
        rows = {name: np.concatenate([part[name] for part in parts]) for name, _ in spec}
        return rows | {"customer": reading.positions(keys, rows["customer"])}

    def _rows(
        self, connection: Connection, text: str, spec: reading.Spec, keys: list[int], between: tuple[str, str] | None
    ) -> reading.Arrays:
        inside = " WHERE customer IN (SELECT key FROM customers WHERE customer_id BETWEEN ? AND ?)" if between else ""
        with reading.stream(connection) as cursor:
            cursor.execute(self._sql(text + inside), between or ())
            rows = reading.read_arrays(cursor, spec)
        place = reading.positions(keys, rows["customer"])
        if (place < 0).any():  # customers who do not allow this purpose
            rows = {name: values[place >= 0] for name, values in rows.items()}
            place = place[place >= 0]
        return rows | {"customer": place}


def _said(error: Exception) -> str:
    """The driver's own words, in one line."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
