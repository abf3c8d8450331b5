"""The tables of the history store: one schema for SQLite and PostgreSQL."""

from __future__ import annotations

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

METADATA = MetaData()
_KEY = Text().with_variant(Text(collation="C"), "postgresql")  # bytes decide the order, as in SQLite

META = Table("meta", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
CUSTOMERS = Table(
    "customers",
    METADATA,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("customer_id", _KEY, nullable=False, unique=True),
    Column("attributes", Text),  # JSON object
    Column("consent", Text),  # JSON object, purpose: bool
)
ALIASES = Table(
    "aliases",
    METADATA,
    Column("alias", Text, primary_key=True),
    Column("customer", BigInteger, nullable=False, index=True),
)
ATTRIBUTES = Table(
    "attributes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # number or text: fixed by the first import
)
PRODUCTS = Table(
    "products",
    METADATA,
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
    METADATA,
    Column("domain", Text),  # channel, category, event, campaign
    Column("code", Integer),  # dense within its domain, append-only
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("domain", "code"),
)


def _clustered(name: str, identity: str, *columns: Column) -> Table:
    """A big table, clustered by customer, so that one customer's rows are one read. Instants are us in UTC.

    Ids given by the shop (positive) name a row whatever else changes; derived ones (negative) are unique in their key.
    """
    table = Table(
        name,
        METADATA,
        Column("customer", BigInteger, nullable=False),
        Column("occurred_at", BigInteger, nullable=False),
        Column(identity, BigInteger, nullable=False),  # identity.line_ids
        Column("recorded_at", BigInteger, nullable=False),
        *columns,
        PrimaryKeyConstraint("customer", "occurred_at", identity),
        sqlite_with_rowid=False,
    )
    given = table.c[identity] > 0
    sa.Index(f"{name}_given", table.c[identity], unique=True, sqlite_where=given, postgresql_where=given)
    return table


LINES = _clustered(
    "lines",
    "line_id",
    Column("order_id", Text),
    Column("product", Integer, nullable=False),  # -1 without one
    Column("channel", Integer, nullable=False),  # -1 without one
    Column("quantity", Double, nullable=False),
    Column("unit_price", Double),  # null where only an amount is known
    Column("amount", Double, nullable=False),
    Column("discount", Double, nullable=False),
)
EVENTS = _clustered(
    "events",
    "event_id",
    Column("kind", Integer, nullable=False),  # label
    Column("product", Integer, nullable=False),
    Column("channel", Integer, nullable=False),
    Column("campaign", Integer, nullable=False),
    Column("value", Double),
)
PENDING = Table(  # instants of lines dated in the future when they came
    "pending", METADATA, Column("occurred_at", BigInteger, primary_key=True, autoincrement=False)
)
TOMBSTONES = Table("tombstones", METADATA, Column("hash", Text, primary_key=True))
OUTPUTS = Table(  # files and tables written by batch scoring, see outputs.py
    "outputs",
    METADATA,
    Column("place", Text, primary_key=True),
    Column("release", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("due", Boolean, nullable=False),
)
TRAININGS = Table(  # who a release was trained on, see trainings.py
    "trainings",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("release", Text, nullable=False, unique=True),
    Column("people", LargeBinary, nullable=False),
)
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),  # keyed hash of the person, null for an action on all
)
APPEND_ONLY = {
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
