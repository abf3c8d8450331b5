"""The tables of the history store, and how a database is opened: one schema for SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.engine import Engine, make_url

from histories.errors import BadInput

_METADATA = MetaData()
_KEY = Text().with_variant(Text(collation="C"), "postgresql")  # bytes decide the order, as in SQLite

META = Table("meta", _METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
CUSTOMERS = Table(
    "customers",
    _METADATA,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("customer_id", _KEY, nullable=False, unique=True),
    Column("attributes", Text),  # JSON object
    Column("consent", Text),  # JSON object, purpose: bool
)
ALIASES = Table(
    "aliases",
    _METADATA,
    Column("alias", Text, primary_key=True),
    Column("customer", BigInteger, nullable=False, index=True),
)
ATTRIBUTES = Table(
    "attributes",
    _METADATA,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # number or text: fixed by the first import
)
PRODUCTS = Table(
    "products",
    _METADATA,
    Column("code", Integer, primary_key=True, autoincrement=False),  # dense, append-only
    Column("product_id", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("category", Integer),  # label
    Column("price", Double),  # list price
    Column("paid", Double),  # latest price paid, where no list price is known
    Column("in_stock", Boolean, nullable=False),
    Column("sellable", Boolean, nullable=False),
)
LABELS = Table(
    "labels",
    _METADATA,
    Column("domain", Text),  # channel, category, event, campaign
    Column("code", Integer),  # dense within its domain, append-only
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("domain", "code"),
)
# Both big tables are clustered by customer, so that one customer's rows are one read. Instants are us in UTC.
LINES = Table(
    "lines",
    _METADATA,
    Column("customer", BigInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("line_id", BigInteger, nullable=False),  # identity.line_ids
    Column("recorded_at", BigInteger, nullable=False),
    Column("order_id", Text),
    Column("product", Integer, nullable=False),  # -1 without one
    Column("channel", Integer, nullable=False),  # -1 without one
    Column("quantity", Double, nullable=False),
    Column("unit_price", Double),  # null where only an amount is known
    Column("amount", Double, nullable=False),
    Column("discount", Double, nullable=False),
    PrimaryKeyConstraint("customer", "occurred_at", "line_id"),
    sqlite_with_rowid=False,
)
EVENTS = Table(
    "events",
    _METADATA,
    Column("customer", BigInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("kind", Integer, nullable=False),  # label
    Column("product", Integer, nullable=False),
    Column("channel", Integer, nullable=False),
    Column("campaign", Integer, nullable=False),
    Column("value", Double),
    PrimaryKeyConstraint("customer", "occurred_at", "event_id"),
    sqlite_with_rowid=False,
)
PENDING = Table(  # instants of lines dated in the future when they came
    "pending", _METADATA, Column("occurred_at", BigInteger, primary_key=True, autoincrement=False)
)
TOMBSTONES = Table("tombstones", _METADATA, Column("hash", Text, primary_key=True))
OUTPUTS = Table(  # files and tables written by batch scoring, see outputs.py
    "outputs",
    _METADATA,
    Column("place", Text, primary_key=True),
    Column("release", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("due", Boolean, nullable=False),
)
TRAININGS = Table(  # who a release was trained on, see trainings.py
    "trainings",
    _METADATA,
    Column("seq", Integer, primary_key=True),
    Column("release", Text, nullable=False, unique=True),
    Column("people", LargeBinary, nullable=False),
)
AUDIT = Table(
    "audit",
    _METADATA,
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),  # keyed hash of the person, null for an action on all
)
# Ids given by the shop name a line whatever else changes; derived ones (negative) are unique in their key.
sa.Index(
    "lines_given", LINES.c.line_id, unique=True, sqlite_where=LINES.c.line_id > 0, postgresql_where=LINES.c.line_id > 0
)
sa.Index(
    "events_given",
    EVENTS.c.event_id,
    unique=True,
    sqlite_where=EVENTS.c.event_id > 0,
    postgresql_where=EVENTS.c.event_id > 0,
)

BUSY_SECONDS = 30
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA cache_size = -65536",
    "PRAGMA mmap_size = 1073741824",
    "PRAGMA secure_delete = ON",  # what is erased is overwritten
)
ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"  # of the store, seen by all reads of a transaction
_WRITERS = 7_237_085_911  # the advisory lock of PostgreSQL that writers take in turn
_ONE_WRITER = ("SET LOCAL lock_timeout = {:.0f}", f"SELECT pg_advisory_xact_lock({_WRITERS})")
_APPEND_ONLY = {
    "sqlite": [
        f"""CREATE TRIGGER IF NOT EXISTS audit_{verb} BEFORE {verb} ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit log is append-only' 
        USING ERRCODE = 'integrity_constraint_violation'; END $$""",
        """CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()""",
    ],
}


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
        raise BadInput(f"store {parsed.render_as_string()} cannot be opened: {_first_line(error)}") from None
    except ModuleNotFoundError as error:
        raise BadInput(f"store: {error.name} is not installed; install regulars[postgres]") from None
    return engine


def create_tables(engine: Engine) -> None:
    if set(_METADATA.tables) <= set(sa.inspect(engine).get_table_names()):
        return
    with engine.execution_options(write=True).begin() as connection:
        _METADATA.create_all(connection)
        for statement in _APPEND_ONLY[engine.dialect.name]:
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


def _first_line(error: sa.exc.DBAPIError) -> str:
    return (str(error.orig).splitlines() or ["no reason given"])[0]
