"""How a database of either kind is opened, who waits for whom in it, and what its errors say."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url

from histories.errors import BadInput
from histories.storage.tables import APPEND_ONLY, METADATA

BUSY_SECONDS = 30
READING = ("PRAGMA cache_size = -65536", "PRAGMA mmap_size = 1073741824")
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    *READING,
    "PRAGMA secure_delete = ON",  # what is erased is overwritten
)
ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"  # of the store, seen by all reads of a transaction
_WRITERS = 7_237_085_911  # the advisory lock of PostgreSQL that writers take in turn
_ONE_WRITER = ("SET LOCAL lock_timeout = {:.0f}", f"SELECT pg_advisory_xact_lock({_WRITERS})")


def open_engine(url: str) -> Engine:
    """An engine whose transactions take the write lock at once when marked `write`; creates missing tables."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _prepare_file(parsed.database)
        elif parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(parsed)
        _tune = {"sqlite": _tune_sqlite, "postgresql": _tune_postgresql}.get(engine.dialect.name)
        if _tune is None:
            raise sa.exc.NoSuchModuleError
        _tune(engine)
        create_tables(engine)
    except sa.exc.NoSuchModuleError:
        raise BadInput("store: use sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    except sa.exc.ArgumentError:
        raise BadInput("store: not a URL; use sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    except sa.exc.DBAPIError as error:
        raise BadInput(f"store {parsed.render_as_string()} cannot be opened: {said(error)}") from None
    except ModuleNotFoundError as error:
        raise BadInput(f"store: {error.name} is not installed; install regulars[postgres]") from None
    return engine


def create_tables(engine: Engine) -> None:
    if set(METADATA.tables) <= set(sa.inspect(engine).get_table_names()):
        return
    with engine.execution_options(write=True).begin() as connection:
        METADATA.create_all(connection)
        for statement in APPEND_ONLY[engine.dialect.name]:
            connection.exec_driver_sql(statement)


def forget_log(engine: Engine) -> None:
    """Puts what was deleted out of SQLite's write-ahead log, too, unless somebody reads from it just now."""
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()
        try:
            raw.execute("PRAGMA busy_timeout = 100")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            raw.close()


def _prepare_file(database: str | None) -> None:
    if not database or database == ":memory:":
        raise BadInput("store: SQLite needs a file, as in sqlite:///data/regulars.db")
    path = Path(database)
    if path.is_dir():
        raise BadInput(f"store {database}: is a directory; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"store {database}: {error.strerror}") from None


def _tune_sqlite(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connect(raw, _record):  # type: ignore[no-untyped-def]
        raw.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
        for pragma in _PRAGMAS:
            raw.execute(pragma)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection):  # type: ignore[no-untyped-def]
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def wait_at_most(raw: Any, seconds: float) -> None:
    """How long a connection to SQLite waits for a lock."""
    raw.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")


def _tune_postgresql(engine: Engine) -> None:
    @sa.event.listens_for(engine, "begin")
    def _begin(connection):  # type: ignore[no-untyped-def]
        """Writers in turn: codes, keys and versions are counted up from what is there. A reader sees one state."""
        options = connection.get_execution_options()
        milliseconds = 1000 * options.get("lock_seconds", BUSY_SECONDS)
        for statement in _ONE_WRITER if options.get("write") else (ONE_STATE,):
            connection.exec_driver_sql(statement.format(milliseconds))


def never_create(engine: Engine) -> None:
    """From now on, connections to an SQLite file that is gone fail: the driver would make an empty one."""

    @sa.event.listens_for(engine, "do_connect")
    def _existing(_dialect, _record, _arguments, _options):  # type: ignore[no-untyped-def]
        if not Path(engine.url.database or "").is_file():
            raise sqlite3.OperationalError("the store's file is gone")


def marked(engine: Engine, text: str) -> str:
    """A statement whose values are marked by ?, as the database's driver wants them marked."""
    return text if engine.dialect.paramstyle == "qmark" else text.replace("?", "%s")


def said(error: Exception) -> str:
    """The driver's own words, in one line."""
    return (str(getattr(error, "orig", None) or error).splitlines() or ["no reason given"])[0]
