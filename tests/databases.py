"""Copies of SQLite databases that others have open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def copy_database(source: Path | str, target: Path) -> None:
    """Into a file, or a folder under the same name; by SQLite itself.

    A process that opens and closes the file in any other way gives up all its locks on it (POSIX): its own connections
    then read what others are about to write, and call it malformed.
    """
    into = target / Path(source).name if target.is_dir() else target
    with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(into)) as copy:
        held.backup(copy)
