"""Ways into a store's database: transactions for readers and writers, and a quick one for who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from histories.errors import BadInput
from histories.settings import Settings
from histories.storage import writing
from histories.storage.database import never_create, said, wait_at_most
from histories.storage.patience import be_patient
from histories.storage.quick import Quick, connect


class Access:
    """One open database. Reads may come from any thread; each write is one durable transaction."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self._local = threading.local()
        self._read_seconds: float | None = None

    def close(self) -> None:
        if found := getattr(self._local, "quick", None):
            found.close()
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
            raise BadInput(f"the store could not be written and is as before: {said(error)}") from None

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One state of the store, however long it is read; raises BadInput where the database refuses."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise BadInput(f"the store could not be read: {said(error)}") from None

    def _quick(self) -> Quick:
        """This thread's own connection: SQLAlchemy's layers cost more than the read itself."""
        found: Quick | None = getattr(self._local, "quick", None)
        if found is None or found.closed:
            found = self._local.quick = connect(self.engine, self._read_seconds)
        return found

    def _meta(self, name: str) -> str | None:
        return self._quick().meta(name)
