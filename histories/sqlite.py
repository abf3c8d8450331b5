"""SQLite's own library, called without the driver: numbers of many rows go straight into an array.

The driver makes a Python object of every value, and numpy a number of that again; so one customer's rows took 115 us,
which take 30 like this. It is the very library that the driver has loaded: a second copy in the same process would
undo the locks of the first.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numpy.typing import NDArray

from histories.compiled import compiled

_OK, _ROW, _DONE = 0, 100, 101  # sqlite.org/rescode.html
_TEXT, _NULL = 3, 5
_EXISTING: Final = 0x2  # never create; and write, or a log that a crash has left could not be recovered
_ONE_THREAD: Final = 0x8000  # at a time; the caller sees to it
_COPY: Final = ctypes.c_void_p(-1)  # SQLITE_TRANSIENT
_PREFIX: Final = "regulars_"  # of the library's functions, where compiled code looks for them
_FIRST_ROOM: Final = 64  # rows

_step: Any = types.ExternalFunction(f"{_PREFIX}sqlite3_step", types.int32(types.intp))
_reset: Any = types.ExternalFunction(f"{_PREFIX}sqlite3_reset", types.int32(types.intp))
_bind: Any = types.ExternalFunction(f"{_PREFIX}sqlite3_bind_int64", types.int32(types.intp, types.int32, types.int64))
_double: Any = types.ExternalFunction(f"{_PREFIX}sqlite3_column_double", types.float64(types.intp, types.int32))
_COMPILED: Final = ("sqlite3_step", "sqlite3_reset", "sqlite3_bind_int64", "sqlite3_column_double")


@cache
def library() -> tuple[Any, Any] | None:
    """The driver's SQLite, to be called without the interpreter's lock, and with it where that is not worth giving up.

    None where it does not show its functions, as when it is part of the interpreter.
    """
    try:
        import _sqlite3

        free, held = ctypes.CDLL(_sqlite3.__file__), ctypes.PyDLL(_sqlite3.__file__)
        for name in _COMPILED:
            llvm.add_symbol(_PREFIX + name, ctypes.cast(getattr(free, name), ctypes.c_void_p).value)
        held.sqlite3_errmsg.restype = held.sqlite3_column_text.restype = ctypes.c_void_p
        held.sqlite3_column_int64.restype = ctypes.c_int64
    except (AttributeError, ImportError, OSError):
        return None
    return free, held


class Reader:
    """One connection that only reads, for one thread at a time. What fails raises the driver's OperationalError."""

    def __init__(self, path: str, seconds: float, pragmas: Sequence[str] = ()) -> None:
        """`seconds`: how long it waits for a lock. A file that is not there is not made."""
        found = library()
        assert found is not None
        self._free, self._held = found
        self._db, self._statements = ctypes.c_void_p(), dict[str, ctypes.c_void_p]()
        self._check(self._free.sqlite3_open_v2(path.encode(), ctypes.byref(self._db), _EXISTING | _ONE_THREAD, None))
        self._held.sqlite3_busy_timeout(self._db, round(seconds * 1000))
        for pragma in pragmas:
            self.row(pragma)

    def begin(self) -> None:
        self.row("BEGIN")

    def end(self) -> None:
        self.row("ROLLBACK")

    def changes(self) -> tuple[Any, ...] | None:
        return self.row("PRAGMA data_version")

    def row(self, text: str, value: str | None = None) -> tuple[Any, ...] | None:
        """The first row of a statement, of whole numbers and texts; `value` is for its only mark."""
        statement = self._prepared(text)
        try:
            if value is not None:
                written = value.encode()
                self._check(self._held.sqlite3_bind_text(statement, 1, written, len(written), _COPY))
            code = self._free.sqlite3_step(statement)
            self._check(code)
            return self._values(statement) if code == _ROW else None
        finally:
            self._held.sqlite3_reset(statement)

    def numbers(self, text: str, key: int) -> NDArray[np.float64]:
        """(rows, columns) of a statement whose only mark is for the key; null is 0."""
        statement = self._prepared(text)
        width = self._held.sqlite3_column_count(statement)
        code, rows = _numbers(statement.value, key, np.empty((_FIRST_ROOM, width)))
        self._check(code)
        return rows

    def close(self) -> None:
        for statement in self._statements.values():
            self._free.sqlite3_finalize(statement)
        self._free.sqlite3_close_v2(self._db)
        self._db, self._statements = ctypes.c_void_p(), {}

    def __del__(self) -> None:
        self.close()

    def _prepared(self, text: str) -> ctypes.c_void_p:
        statement = self._statements.get(text)
        if statement is None:
            statement, written = ctypes.c_void_p(), text.encode()
            self._check(self._free.sqlite3_prepare_v2(self._db, written, len(written), ctypes.byref(statement), None))
            self._statements[text] = statement
        return statement

    def _values(self, statement: ctypes.c_void_p) -> tuple[Any, ...]:
        return tuple(self._value(statement, column) for column in range(self._held.sqlite3_column_count(statement)))

    def _value(self, statement: ctypes.c_void_p, column: int) -> int | str | None:
        kind = self._held.sqlite3_column_type(statement, column)
        if kind == _TEXT:
            text = self._held.sqlite3_column_text(statement, column)
            return ctypes.string_at(text, self._held.sqlite3_column_bytes(statement, column)).decode()
        return None if kind == _NULL else int(self._held.sqlite3_column_int64(statement, column))

    def _check(self, code: int) -> None:
        if code not in (_OK, _ROW, _DONE):
            raise sqlite3.OperationalError(ctypes.string_at(self._held.sqlite3_errmsg(self._db)).decode())


@compiled
def _numbers(statement, key, out):  # type: ignore[no-untyped-def]
    _bind(statement, 1, key)
    rows, code = 0, _step(statement)
    while code == _ROW:
        if rows == len(out):
            wider = np.empty((4 * rows, out.shape[1]))
            wider[:rows] = out
            out = wider
        for column in range(out.shape[1]):
            out[rows, column] = _double(statement, column)
        rows, code = rows + 1, _step(statement)
    _reset(statement)
    return code, out[:rows]
