"""Histories of many customers read from a store: everybody, in chunks, a range of ids, a list, a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories.history import History
from histories.sample import drawn, hashes
from histories.selection import joined
from histories.storage import reading
from histories.storage.database import marked
from histories.storage.shared import Sharing
from histories.storage.tables import CUSTOMERS

_SAMPLED_AT_A_TIME = 50_000  # customers, of whom some are drawn
_LISTED: Final = "listed"
_LISTED_AT_A_TIME = 500


class Many(Sharing):
    """Every method reads one state of the store; customers come sorted by customer_id."""

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

    def _rows_of(self, connection: Connection, text: str, spec: reading.Spec, keys: list[int]) -> reading.Arrays:
        parts = []
        for start in range(0, max(len(keys), 1), _LISTED_AT_A_TIME):
            some = keys[start : start + _LISTED_AT_A_TIME]
            marks = ", ".join("?" * len(some)) or "NULL"
            with reading.stream(connection) as cursor:
                cursor.execute(marked(self.engine, f"{text} WHERE customer IN ({marks})"), tuple(some))
                parts.append(reading.read_arrays(cursor, spec))
        rows = {name: np.concatenate([part[name] for part in parts]) for name, _ in spec}
        return rows | {"customer": reading.positions(keys, rows["customer"])}

    def _rows(
        self, connection: Connection, text: str, spec: reading.Spec, keys: list[int], between: tuple[str, str] | None
    ) -> reading.Arrays:
        inside = " WHERE customer IN (SELECT key FROM customers WHERE customer_id BETWEEN ? AND ?)" if between else ""
        with reading.stream(connection) as cursor:
            cursor.execute(marked(self.engine, text + inside), between or ())
            rows = reading.read_arrays(cursor, spec)
        place = reading.positions(keys, rows["customer"])
        if (place < 0).any():  # customers who do not allow this purpose
            rows = {name: values[place >= 0] for name, values in rows.items()}
            place = place[place >= 0]
        return rows | {"customer": place}
