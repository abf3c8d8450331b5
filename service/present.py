"""What the store holds now, as one worker knows it: looked up again whenever any process has written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.nobody import nobody
from histories.clock import HOUR
from histories.history import History
from histories.incoming import Rates
from histories.store import Store
from service.clock import Clock
from service.incoming import order_rows
from service.schemas import HistoryLine

_MOST_REMEMBERED: Final = 5_000  # customers
_STALE_SECONDS: Final = 5.0  # lines dated ahead fall due without a write
_COVERAGE_SECONDS: Final = 60.0  # between two scans of all lines

Known = tuple[History, dict[str, bool]]  # a customer's history and consent


class Present:
    def __init__(self, store: Store, clock: Clock) -> None:
        self.zone = store.zone
        self._store = store
        self._clock = clock
        self._version: int | None = None
        self._read_at = 0.0
        self._newest: int | None = None
        self._coverage = _Coverage(store)
        self._customers: dict[str, Known] = {}

    def refresh(self) -> None:
        """To be called at the start of every answer: what was committed before, by any process, is seen in it."""
        version, now = self._store.version(), time.monotonic()
        if version != self._version:
            self._customers.clear()
            self.zone = self._store.zone
        if version != self._version or now - self._read_at > _STALE_SECONDS:
            span = self._store.span(self._clock.due())
            self._newest = span[1] if span else None
            self._version, self._read_at = version, now

    def newest(self, as_of: int | None = None) -> int | None:
        """Instant of the newest line, or of the newest by `as_of` (to the hour); None without any."""
        if as_of is None or self._newest is None or as_of >= self._newest:
            return self._newest
        return self._coverage.newest(as_of)

    def customer(self, customer: str) -> Known:
        """A customer's history and consent; an empty history for an unknown one."""
        known = self._customers.get(customer)
        if known is None:
            history = self._store.history_of(customer)
            known = (self._nobody(customer) if history is None else history, self._store.consent(customer))
            if len(self._customers) >= _MOST_REMEMBERED:
                del self._customers[next(iter(self._customers))]
            self._customers[customer] = known
        return known

    def sent_along(self, lines: Sequence[HistoryLine]) -> History:
        return self._store.history_from(order_rows(lines, self.rates(), self.zone, "history", None))

    def anybody(self) -> History:
        return self._nobody("")

    def rates(self) -> Rates:
        return Rates(self._store.currency, self._store.settings.rates)

    def _nobody(self, customer: str) -> History:
        empty = nobody(self.zone)
        return replace(empty, customer_id=np.array([customer], dtype=object), catalog=self._store.catalog())


class _Coverage:
    """The newest line of every hour: what an answer as of the past could have known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._scanned_at = -_COVERAGE_SECONDS

    def newest(self, as_of: int) -> int | None:
        if time.monotonic() - self._scanned_at >= _COVERAGE_SECONDS:
            self._scan()
        by = int(np.searchsorted(self._newest, as_of, side="right"))
        return int(self._newest[by - 1]) if by else None

    def _scan(self) -> None:
        text = f"SELECT MAX(occurred_at) FROM lines GROUP BY occurred_at / {HOUR}"
        with self._store.engine.connect() as connection:
            found = connection.exec_driver_sql(text).scalars().all()
        self._newest = np.sort(np.array(found, dtype=np.int64))
        self._scanned_at = time.monotonic()
