"""A copy of a store leaves the locks of those who have it open alone."""

from __future__ import annotations

import fcntl
import multiprocessing
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.databases import copy_database

_SHARED = 1_073_741_824 + 2  # where SQLite's readers lock (os_unix.c)


def _is_locked(path: str) -> bool:
    """Whether another process holds a reader's lock on the database."""
    with Path(path).open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, _SHARED)
        except OSError:
            return True
        return False


@pytest.mark.parametrize(("copy", "kept"), [(copy_database, True), (shutil.copy, False)])
def test_a_copy_keeps_the_locks_of_the_process(tmp_path: Path, copy: object, kept: bool) -> None:
    (tmp_path / "copies").mkdir()
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as held, multiprocessing.get_context("spawn").Pool(1) as other:
        held.executescript("PRAGMA journal_mode = WAL; CREATE TABLE lines (x); INSERT INTO lines VALUES (1)")
        held.execute("SELECT * FROM lines").fetchall()
        assert other.apply(_is_locked, (str(path),))
        copy(path, tmp_path / "copies")  # type: ignore[operator]
        assert other.apply(_is_locked, (str(path),)) is kept
        with closing(sqlite3.connect(tmp_path / "copies" / "shop.db")) as copied:
            tables = copied.execute("SELECT name FROM sqlite_master").fetchall()
    if kept:  # a plain copy leaves out what is still in the log
        assert tables == [("lines",)]
