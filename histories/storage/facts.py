"""What a store says of itself: its zone and currency, its versions, the time it spans, what it counts."""

from __future__ import annotations

import hashlib
import json
import time

import sqlalchemy as sa

from histories.storage.access import Access
from histories.storage.tables import CUSTOMERS, EVENTS, LINES, PENDING


class Facts(Access):
    """Small answers about the whole store; those that look at every row say so."""

    @property
    def zone(self) -> str:
        """IANA name of the shop's zone: fixed by the first import, the settings' until then."""
        return self._meta("timezone") or self.settings.timezone

    @property
    def currency(self) -> str:
        return self._meta("currency") or self.settings.currency

    def version(self) -> int:
        """Grows with every committed write, whoever makes it."""
        return self._quick().version()

    def products_version(self) -> int:
        return int(self._meta("products_version") or 0)

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
        """Hex digest of all lines and events by customer: equal for equal data, however it came. Reads them all."""
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

    def counts(self, *tables: str) -> dict[str, int]:
        """Rows of each table, or of those named: lines and events are counted one by one."""
        names = tables or ("customers", "lines", "events", "products")
        with self.snapshot() as connection:
            return {name: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one() for name in names}

    def customer_ids(self) -> list[str]:
        """All of them, sorted."""
        every = sa.select(CUSTOMERS.c.customer_id).order_by(CUSTOMERS.c.customer_id)
        with self.snapshot() as connection:
            return list(connection.execute(every).scalars())

    def learned_since(self, instant: int) -> list[str]:
        """Ids, sorted, of customers of whom a line or an event was recorded at or after an instant (us).

        The database looks at recorded_at of every row, and only ids leave it. An index would spare it that, but has to
        be kept by every import: dearer than what it gives one job a night.
        """
        news = [
            sa.exists().where(table.c.customer == CUSTOMERS.c.key, table.c.recorded_at >= instant)
            for table in (LINES, EVENTS)
        ]
        which = sa.select(CUSTOMERS.c.customer_id).where(sa.or_(*news)).order_by(CUSTOMERS.c.customer_id)
        with self.snapshot() as connection:
            return list(connection.execute(which).scalars())
