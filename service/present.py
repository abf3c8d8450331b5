"""What the store holds now, as one worker knows it: looked up again whenever any process has written.

When the store cannot be read (locked, gone, broken), what was known stays known and is called stale.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.nobody import nobody
from histories.clock import HOUR
from histories.history import History
from histories.storage.erasure import masked_rows
from histories.storage.incoming import Rates
from histories.storage.lookup import STRANGER, Rows
from histories.storage.store import Store
from service.clock import Clock
from service.errors import of_database
from service.incoming import order_rows
from service.metrics import Metrics
from service.release import Release
from service.schemas import HistoryLine

_MOST_REMEMBERED: Final = 5_000  # customers
_LOOK_SECONDS: Final = 5.0  # lines dated ahead fall due without a write
_RETRY_SECONDS: Final = 0.5  # between two attempts to reach a store that failed
_FILE_SECONDS: Final = 0.2  # between two looks at the store's file
_COVERAGE_SECONDS: Final = 60.0  # between two scans of all lines
_NEVER: Final = (-1, None)  # edition and rows of who was never looked up
_FIRST_SCAN_SECONDS: Final = 5.0  # that a request waits for the first, before the worker is ready

_log = logging.getLogger("regulars")


class Present:
    def __init__(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        self.zone = store.zone
        self.stale = False  # what is known may be old: the store could not be read
        self.edition = 0  # grows whenever what is known may have changed
        self.shared_edition = 0  # grows whenever what concerns every answer may have: products, erasures, the zone
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._version: int | None = None
        self._read_at = 0.0
        self._newest: int | None = None
        self._erasures = 0
        self._masked: tuple[str, int] | None = None  # the release, and the erasures that are masked in it
        self._catalog = store.catalog()
        self._coverage = _Coverage(store)
        self._file = _File(store.settings.store)
        self._customers: OrderedDict[str, tuple[int, Rows | None]] = OrderedDict()

    @property
    def warm(self) -> bool:
        """Whether no request has to wait for a scan of all lines."""
        return self._coverage.known

    def refresh(self) -> None:
        """To be called at the start of every answer: what was committed before, by any process, is seen in it."""
        now = time.monotonic()
        if self.stale and now - self._read_at < _RETRY_SECONDS:
            return
        try:
            self._check_file(now)
            version = self._store.version()
            if version != self._version or now - self._read_at > _LOOK_SECONDS:
                self._look(version, now)
            self._recovered()
        except Exception as error:  # noqa: BLE001 - drivers have no error in common; _failed tells
            self._failed(error)

    def mask(self, release: Release) -> None:
        """Nothing of who was erased since the release was trained goes into an answer."""
        if self._masked == (release.id, self._erasures) or self.stale:
            return
        try:
            release.next_purchase.forget(masked_rows(self._store, release.id))
            self._masked = (release.id, self._erasures)
        except Exception as error:  # noqa: BLE001 - drivers have no error in common; _failed tells
            self._failed(error)

    def newest(self, as_of: int | None = None) -> int | None:
        """Instant of the newest line, or of the newest by `as_of` (to the hour); None without any."""
        if as_of is None or self._newest is None or as_of >= self._newest:
            return self._newest
        return self._coverage.newest(as_of)

    def customers(self, customers: Sequence[str]) -> History:
        """Their histories, with what they consent to; empty ones of the unknown."""
        return self._store.made([rows or STRANGER for rows in self.rows(customers)], self.zone)

    def rows(self, customers: Sequence[str]) -> list[Rows | None]:
        """All that is held of each customer, None of an unknown one."""
        if not self.stale:
            self._read([customer for customer in customers if self._known(customer)[0] != self.edition])
        return [self._known(customer)[1] for customer in customers]

    def _known(self, customer: str) -> tuple[int, Rows | None]:
        return self._customers.get(customer, _NEVER)

    def _read(self, customers: Sequence[str]) -> None:
        """What is known of them afterwards is of now, if the store can be read."""
        try:
            found = self._store.rows(customers) if customers else []
        except Exception as error:  # noqa: BLE001 - drivers have no error in common; _failed tells
            self._failed(error)
            return
        for customer, rows in zip(customers, found, strict=True):
            self._customers[customer] = (self.edition, rows)
            self._customers.move_to_end(customer)
            if len(self._customers) > _MOST_REMEMBERED:
                self._customers.popitem(last=False)

    def sent_along(self, lines: Sequence[HistoryLine]) -> History:
        return self._store.history_from(order_rows(lines, self.rates(), self.zone, "history", None))

    def anybody(self) -> History:
        """Of somebody who has never done anything."""
        return replace(nobody(self.zone), catalog=self._catalog)

    def rates(self) -> Rates:
        return Rates(self._store.currency, self._store.settings.rates)

    def check(self) -> None:
        """To be called before a write: raises StoreGone while the store cannot be read, so that nobody waits for it."""
        if self.stale:
            raise StoreGone
        self.check_file()

    def check_file(self) -> None:
        """To be called after a write: raises StoreGone where it was in vain."""
        self._file.check()

    def forget(self, customer: str) -> None:
        """Whoever was erased is not remembered for want of a store either."""
        self._customers.pop(customer, None)

    def _check_file(self, now: float) -> None:
        """A removed SQLite file can still be read, and written to in vain, by whoever has it open."""
        if self._file.replaced(now):
            self._store.reopen()
            self._version = None

    def _look(self, version: int, now: float) -> None:
        span = self._store.span(self._clock.due())
        newest = span[1] if span else None
        if self._version is None:
            self._customers.clear()  # rows of another file: its codes mean nothing in this one
        if version != self._version:
            shared = self._store.zone, self._store.catalog(), self._store.erasures()
            if shared[0] != self.zone or shared[1] is not self._catalog or shared[2] != self._erasures:
                self.shared_edition += 1
            self.zone, self._catalog, self._erasures = shared
        if version != self._version or newest != self._newest:
            self.edition += 1
        self._newest, self._version, self._read_at = newest, version, now

    def _failed(self, error: Exception) -> None:
        """Raises what is no failure of the store."""
        if not of_database(error):
            raise error
        if not self.stale:
            _log.error(json.dumps({"event": "store_unreachable", "error": type(error).__name__}))
            self._metrics.stale(True)
        self.stale, self._read_at = True, time.monotonic()
        self._store.close()  # a connection that broke is not mended: the next attempt opens another

    def _recovered(self) -> None:
        if self.stale:
            _log.info(json.dumps({"event": "store_reached_again"}))
            self._metrics.stale(False)
        self.stale = False


class StoreGone(sa.exc.SQLAlchemyError):
    """The store's file is not where it was, or its server does not answer."""


class _File:
    """The file of an SQLite store: whether it is still the one that was opened."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        self._path = parsed.database if parsed.get_backend_name() == "sqlite" else None
        self._opened = self._identity()
        self._looked_at = 0.0

    def replaced(self, now: float) -> bool:
        """Whether another file took its place since the last look. Raises StoreGone while there is none."""
        if now - self._looked_at < _FILE_SECONDS:
            return False
        found = self._identity()
        if self._path is not None and found is None:
            raise StoreGone
        self._looked_at, before, self._opened = now, self._opened, found
        return found != before

    def check(self) -> None:
        """Raises StoreGone when the file is not the one that was opened."""
        if self._path is not None and self._identity() != self._opened:
            raise StoreGone

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path or "")  # noqa: PTH116 - ten times as quick as Path
        except OSError:
            return None
        return status.st_dev, status.st_ino


class _Coverage:
    """The newest line of every hour: what an answer as of the past could have known."""

    def __init__(self, store: Store) -> None:
        """Reading all lines takes a second or more: it begins with the worker, beside the loading of a release."""
        self._store = store
        self._newest: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._known = threading.Event()  # a scan has ended
        self._begin()

    def newest(self, as_of: int) -> int | None:
        if not self._scanning and time.monotonic() - self._scanned_at >= _COVERAGE_SECONDS:
            self._begin()
        self._known.wait(_FIRST_SCAN_SECONDS)
        by = int(np.searchsorted(self._newest, as_of, side="right"))
        return int(self._newest[by - 1]) if by else None

    @property
    def known(self) -> bool:
        return self._known.is_set()

    def _begin(self) -> None:
        self._scanning = True
        threading.Thread(target=self._scan, name="coverage", daemon=True).start()

    def _scan(self) -> None:
        text = f"SELECT MAX(occurred_at) FROM lines GROUP BY occurred_at / {HOUR}"
        try:
            with self._store.engine.connect() as connection:
                found = connection.exec_driver_sql(text).scalars().all()
            self._newest = np.sort(np.array(found, dtype=np.int64))
        except Exception as error:
            if not of_database(error):
                raise
        finally:
            self._scanned_at, self._scanning = time.monotonic(), False
            self._known.set()
