"""PostgreSQL within bounds: a server that has stopped keeps its sockets open and never says so.

No time-out of the server's and no keep-alive notices it, since its kernel still answers for it: whoever waits must give
up. An event loop above all, where everybody waits with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

_SILENT_SECONDS: Final = 5.0  # a statement of a write, or any in an event loop
_CONNECT_SECONDS: Final = 5


def be_patient(engine: Engine, read_seconds: float) -> None:
    """From now on, connections give up a server that says nothing for so long, and raise OperationalError.

    `read_seconds` is for what is marked `quick`, and for connecting in an event loop. Reads elsewhere are not bounded:
    some scan all lines.
    """
    from psycopg import Connection as Plain
    from psycopg import OperationalError

    class Patient(Plain[Any]):
        most: float | None = None  # seconds of silence

        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            most = self.most or (_SILENT_SECONDS if _in_event_loop() else None)
            if most is None:
                return super().wait(gen, *arguments, **options)
            try:
                return super().wait(_bounded(gen, most), min(most / 4, 0.1))
            except TimeoutError:
                self.close()
                raise OperationalError("the database has said nothing for too long") from None

    background = _Background(read_seconds, OperationalError)

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        connect = partial(Patient.connect, *arguments, **{"connect_timeout": _CONNECT_SECONDS} | options)
        return background.take(connect) if _in_event_loop() else connect()

    def _begin(connection: Connection) -> None:
        options, raw = connection.get_execution_options(), connection.connection.driver_connection
        quick, write = options.get("quick"), options.get("write")
        raw.most = read_seconds if quick else _SILENT_SECONDS if write else None  # type: ignore[union-attr]

    sa.event.listen(engine, "begin", _begin, insert=True)  # before the statements that begin it


def quick(raw: Any, seconds: float) -> None:
    """A bare connection of such an engine gives up a server, or a lock, after so long."""
    raw.driver_connection.most = seconds
    raw.cursor().execute(f"SET lock_timeout = {max(1, round(seconds * 1000))}")
    raw.commit()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _bounded(waited: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """What psycopg waits for, until nothing has come for so long: then TimeoutError."""
    until, ready = time.monotonic() + seconds, None
    while True:
        try:
            wanted = waited.send(ready)
        except StopIteration as done:
            return done.value
        ready = yield wanted
        now = time.monotonic()
        if ready:
            until = now + seconds
        elif now >= until:
            raise TimeoutError


class _Background:
    """Connects in a thread. An event loop waits a moment; if it takes longer, it is connected at a later try."""

    def __init__(self, seconds: float, error: type[Exception]) -> None:
        self._seconds = seconds
        self._error = error
        self._thread = ThreadPoolExecutor(1, "connecting")
        self._attempt: Future[Any] | None = None

    def take(self, connect: Callable[[], Any]) -> Any:
        """Raises the driver's own error, or that it is not connected yet."""
        patience = 0.0
        if self._attempt is None:
            self._attempt, patience = self._thread.submit(connect), self._seconds
        try:
            made = self._attempt.result(patience)
        except TimeoutError:
            raise self._error("the database does not take the connection") from None
        except BaseException:
            self._attempt = None
            raise
        self._attempt = None
        return made
