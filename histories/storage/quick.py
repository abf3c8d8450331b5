"""The online path's own connection: rows of some customers in one state of the store, without SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Engine

from histories.storage import sqlite
from histories.storage.database import BUSY_SECONDS, ONE_STATE, READING, marked, wait_at_most
from histories.storage.patience import quick
from histories.storage.sqlite import One

T = TypeVar("T")
_META: Final = "SELECT value FROM meta WHERE name = ?"


class Reader(Protocol):
    """One connection, for one thread at a time. What fails raises an error of the driver's, and leaves it useless."""

    def row(self, text: str, value: str) -> tuple[Any, ...] | None:
        """The first row of a statement with one mark, ?; None without any."""

    def many(self, finders: tuple[str, str], values: Sequence[str], tables: tuple[str, str]) -> list[One | None]:
        """In one state, for each value: the row that the first finder has for it, or else the second; and what each
        table has for the row's first column, its key: (rows, columns) of numbers alone. None where neither has any.
        """

    def changes(self) -> object:
        """Another value than before when somebody else has written since; None where the database does not tell."""

    def close(self) -> None: ...


class Quick:
    """After an error it is closed: a server that went away is asked anew, by another connection."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._version, self._changes = 0, object()
        self.closed = False

    def meta(self, name: str) -> str | None:
        row = self._asked(self._reader.row, _META, name)
        return row[0] if row else None

    def many(self, finders: tuple[str, str], values: Sequence[str], tables: tuple[str, str]) -> list[One | None]:
        return self._asked(self._reader.many, finders, values, tables)

    def version(self) -> int:
        """Of the store. SQLite says whether anybody has written, for less than it takes to look."""
        changes = self._asked(self._reader.changes)
        if changes is None or changes != self._changes:
            self._version, self._changes = int(self.meta("version") or 0), changes
        return self._version

    def close(self) -> None:
        self.closed = True
        self._reader.close()

    def _asked(self, ask: Callable[..., T], *arguments: object) -> T:
        try:
            return ask(*arguments)
        except BaseException:
            self.close()
            raise


def connect(engine: Engine, seconds: float | None) -> Quick:
    """`seconds`: how long it waits for a lock, or for a silent server; None: as long as commands do."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path and not engine.url.query and sqlite.library() is not None:
        return Quick(sqlite.Reader(path, BUSY_SECONDS if seconds is None else seconds, READING))
    return Quick(_Driver(engine, seconds))


class _Driver:
    """Any database that SQLAlchemy knows, through its driver."""

    def __init__(self, engine: Engine, seconds: float | None) -> None:
        is_sqlite = engine.dialect.name == "sqlite"
        self._engine, self._raw = engine, engine.raw_connection()
        self._begin = "BEGIN" if is_sqlite else ONE_STATE
        if seconds is not None:
            (wait_at_most if is_sqlite else quick)(self._raw, seconds)
        self._cursor = self._raw.cursor()

    def row(self, text: str, value: str) -> tuple[Any, ...] | None:
        found = self._first(text, value)
        self._raw.rollback()
        return found

    def many(self, finders: tuple[str, str], values: Sequence[str], tables: tuple[str, str]) -> list[One | None]:
        self._cursor.execute(self._begin)
        found = [self._one(finders, value, tables) for value in values]
        self._raw.rollback()
        return found

    def changes(self) -> None:
        return None

    def close(self) -> None:
        self._raw.invalidate()

    def _one(self, finders: tuple[str, str], value: str, tables: tuple[str, str]) -> One | None:
        found = self._first(finders[0], value) or self._first(finders[1], value)
        if not found:
            return None
        first, second = (self._numbers(text, found[0]) for text in tables)
        return found, first, second

    def _first(self, text: str, value: str) -> tuple[Any, ...] | None:
        self._cursor.execute(marked(self._engine, text), (value,))
        return self._cursor.fetchone()

    def _numbers(self, text: str, key: int) -> NDArray[np.float64]:
        self._cursor.execute(marked(self._engine, text), (key,))
        rows, width = self._cursor.fetchall(), len(self._cursor.description or ())
        return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width).reshape(-1, width)
