"""SQLite's own library, called without the driver: numbers of many rows go straight into an array.

The driver makes a Python object of every value, and numpy a number of that again, and it takes several statements to
find one customer: here they are one compiled call. It is the very library that the driver has loaded: a second copy in
the same process would undo the locks of the first.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numpy.typing import NDArray

from histories.compiled import compiled, piece

_OK, _ROW, _DONE = 0, 100, 101  # sqlite.org/rescode.html
_TEXT, _NULL = 3, 5
_EXISTING: Final = 0x2  # never create; and write, or a log that a crash has left could not be recovered
_ONE_THREAD: Final = 0x8000  # at a time; the caller sees to it
_PREFIX: Final = "regulars_"  # of the library's functions, where compiled code looks for them
_ROOM: Final = 64  # rows at first
_CELLS: Final = 16  # columns of a row that is not of numbers alone
_LETTERS: Final = 1024  # of its texts at first

# A row (key, ...) and rows of numbers that belong to the key.
One = tuple[tuple[Any, ...], NDArray[np.float64], NDArray[np.float64]]


def _function(name: str, *kinds: Any) -> Any:
    """One of the library's, for compiled code; the kind of its answer comes first. Pointers are whole numbers."""
    return types.ExternalFunction(_PREFIX + name, kinds[0](*kinds[1:]))


_i32, _i64, _f64, _at = types.int32, types.int64, types.float64, types.intp
_step = _function("sqlite3_step", _i32, _at)
_reset = _function("sqlite3_reset", _i32, _at)
_bind_number = _function("sqlite3_bind_int64", _i32, _at, _i32, _i64)
_bind_text = _function("sqlite3_bind_text", _i32, _at, _i32, _at, _i32, _at)
_marks = _function("sqlite3_bind_parameter_count", _i32, _at)
_width = _function("sqlite3_column_count", _i32, _at)
_kind = _function("sqlite3_column_type", _i32, _at, _i32)
_integer = _function("sqlite3_column_int64", _i64, _at, _i32)
_double = _function("sqlite3_column_double", _f64, _at, _i32)
_text = _function("sqlite3_column_text", _at, _at, _i32)
_length = _function("sqlite3_column_bytes", _i32, _at, _i32)
_COMPILED: Final = (_step, _reset, _bind_number, _bind_text, _marks, _width, _kind, _integer, _double, _text, _length)
_copy: Any = types.ExternalFunction("memcpy", _at(_at, _at, _at))


@cache
def library() -> Any:
    """The driver's SQLite, called without the interpreter's lock.

    None where it does not show its functions, as when it is part of the interpreter.
    """
    try:
        import _sqlite3

        found = ctypes.CDLL(_sqlite3.__file__)
        for function in _COMPILED:
            name = function.symbol
            llvm.add_symbol(name, ctypes.cast(getattr(found, name.removeprefix(_PREFIX)), ctypes.c_void_p).value)
        found.sqlite3_errmsg.restype = ctypes.c_void_p
    except (AttributeError, ImportError, OSError):
        return None
    return found


class Reader:
    """One connection that only reads, for one thread at a time. What fails raises the driver's OperationalError."""

    def __init__(self, path: str, seconds: float, pragmas: Sequence[str] = ()) -> None:
        """`seconds`: how long it waits for a lock. A file that is not there is not made."""
        self._library = library()
        assert self._library is not None
        self._db, self._statements = ctypes.c_void_p(), dict[str, int]()
        opened = self._library.sqlite3_open_v2(path.encode(), ctypes.byref(self._db), _EXISTING | _ONE_THREAD, None)
        self._check(opened)
        self._library.sqlite3_busy_timeout(self._db, round(seconds * 1000))
        for pragma in pragmas:
            self.row(pragma)

    def row(self, text: str, value: str = "") -> tuple[Any, ...] | None:
        """The first row of a statement, of whole numbers and texts; `value` is for its mark, if it has one."""
        cells, letters = _room(1)
        code, letters = _row(self._prepared(text), *_letters_of([value]), cells, letters)
        self._check(code)
        return _values(cells, letters)[0]

    def many(self, finders: tuple[str, str], values: Sequence[str], tables: tuple[str, str]) -> list[One | None]:
        """All in one state of the database; null among numbers is 0."""
        statements = tuple(map(self._prepared, ("BEGIN", *finders, *tables, "ROLLBACK")))
        cells, letters = _room(len(values))
        code, letters, some, some_ends, more, more_ends = _many(statements, *_letters_of(values), cells, letters)
        self._check(code)
        found = zip(_values(cells, letters), _divided(some, some_ends), _divided(more, more_ends), strict=True)
        return [None if row is None else (row, first, second) for row, first, second in found]

    def changes(self) -> int:
        code, number = _number(self._prepared("PRAGMA data_version"))
        self._check(code)
        return int(number)

    def close(self) -> None:
        for statement in self._statements.values():
            self._library.sqlite3_finalize(ctypes.c_void_p(statement))
        self._library.sqlite3_close_v2(self._db)
        self._db, self._statements = ctypes.c_void_p(), {}

    def __del__(self) -> None:
        self.close()

    def _prepared(self, text: str) -> int:
        statement = self._statements.get(text)
        if statement is None:
            made, written = ctypes.c_void_p(), text.encode()
            self._check(self._library.sqlite3_prepare_v2(self._db, written, len(written), ctypes.byref(made), None))
            statement = self._statements[text] = int(made.value or 0)
        return statement

    def _check(self, code: int) -> None:
        if code not in (_OK, _ROW, _DONE):
            raise sqlite3.OperationalError(ctypes.string_at(self._library.sqlite3_errmsg(self._db)).decode())


def _letters_of(values: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All in turn, and where each begins and the last ends; then a zero, so that there is an address also of none."""
    written = [value.encode() for value in values]
    return np.frombuffer(b"".join(written) + b"\0", np.uint8), np.array([0, *accumulate(map(len, written))], np.int64)


def _room(rows: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """For cells (kind, whole number or where the letters begin, how many) and letters; kind 0 where there is none."""
    return np.zeros((rows, _CELLS, 3), np.int64), np.empty(_LETTERS, np.uint8)


def _values(cells: NDArray[np.int64], letters: NDArray[np.uint8]) -> list[tuple[Any, ...] | None]:
    """Of each row; None where none was found."""
    written = letters.tobytes()
    return [tuple(_value(cell, written) for cell in row if cell[0]) or None for row in cells.tolist()]


def _value(cell: list[int], written: bytes) -> Any:
    kind, number, size = cell
    return written[number : number + size].decode() if kind == _TEXT else None if kind == _NULL else number


def _divided(rows: NDArray[np.float64], ends: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Of each key, apart: what is remembered of one must not keep the rows of all others in memory."""
    bounds = [0, *ends.tolist()]
    return [rows[first:end].copy() for first, end in pairwise(bounds)]


@compiled
def _row(statement, asked, starts, cells, letters):  # type: ignore[no-untyped-def]
    code, letters, _ = _first(statement, asked, starts, 0, cells, letters, 0)
    return code, letters


@compiled
def _number(statement):  # type: ignore[no-untyped-def]
    code = _step(statement)
    number = _integer(statement, 0)
    _reset(statement)
    return code, number


@compiled
def _many(statements, asked, starts, cells, letters):  # type: ignore[no-untyped-def]
    """(code, letters, rows of the first table, where each key's end, the same of the second).

    Where it fails, the transaction is left as it is: the connection is of no use any more.
    """
    begin, by, else_by, first, second, end = statements
    some, more = np.empty((_ROOM * len(cells), _width(first))), np.empty((_ROOM * len(cells), _width(second)))
    some_ends, more_ends = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.int64)
    some_rows, more_rows, used = 0, 0, 0
    code = _done(begin)
    for row in range(len(cells)):
        if code == _DONE:
            code, letters, used = _first(by, asked, starts, row, cells, letters, used)
        if code == _DONE:
            code, letters, used = _first(else_by, asked, starts, row, cells, letters, used)
        if code == _ROW:
            code, some, some_rows = _numbers(first, cells[row, 0, 1], some, some_rows)
            if code == _DONE:
                code, more, more_rows = _numbers(second, cells[row, 0, 1], more, more_rows)
        some_ends[row], more_ends[row] = some_rows, more_rows
    if code == _DONE:
        code = _done(end)
    return code, letters, some, some_ends, more, more_ends


@piece
def _done(statement):  # type: ignore[no-untyped-def]
    code = _step(statement)
    _reset(statement)
    return code


@piece
def _first(statement, asked, starts, row, cells, letters, used):  # type: ignore[no-untyped-def]
    """(code, letters, used): the statement's first row in the row's cells, and in letters behind those in use."""
    if _marks(statement):
        _bind_text(statement, 1, np.intp(asked.ctypes.data) + starts[row], starts[row + 1] - starts[row], 0)
    code = _step(statement)
    if code == _ROW:
        for column in range(min(_width(statement), cells.shape[1])):
            kind, number, size = _kind(statement, column), _integer(statement, column), 0
            if kind == _TEXT:
                text, number, size = _text(statement, column), used, _length(statement, column)
                letters = _with_room(letters, used, size)
                _copy(np.intp(letters.ctypes.data) + used, text, size)
                used += size
            cells[row, column, 0], cells[row, column, 1], cells[row, column, 2] = kind, number, size
    _reset(statement)
    return code, letters, used


@piece
def _with_room(letters, used, more):  # type: ignore[no-untyped-def]
    """The letters, or a longer copy of those used, with room for more."""
    if used + more <= len(letters):
        return letters
    wider = np.empty(2 * (used + more), np.uint8)
    _copy(np.intp(wider.ctypes.data), np.intp(letters.ctypes.data), used)
    return wider


@piece
def _numbers(statement, key, out, rows):  # type: ignore[no-untyped-def]
    """(code, out, rows): all rows of a statement whose only mark is for the key, behind those that are there."""
    _bind_number(statement, 1, key)
    code = _step(statement)
    while code == _ROW:
        if rows == len(out):
            out = _resized(out, rows, 4 * rows)
        for column in range(out.shape[1]):
            out[rows, column] = _double(statement, column)
        rows, code = rows + 1, _step(statement)
    _reset(statement)
    return code, out, rows


@piece
def _resized(out, rows, room):  # type: ignore[no-untyped-def]
    """A copy of the first rows, with room for so many."""
    other = np.empty((room, out.shape[1]))
    _copy(np.intp(other.ctypes.data), np.intp(out.ctypes.data), 8 * rows * out.shape[1])
    return other
