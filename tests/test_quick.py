"""The online path's own connection: it reads what the driver reads, and what fails is told as the driver tells it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from histories.columns import EVENTS, ORDERS, table
from histories.history import EVENT_KINDS, NO_CODE, History
from histories.settings import Settings
from histories.storage import quick, sqlite
from histories.storage.store import Store
from service.memory import made_from

NOW = 1_720_000_000_000_000  # 2024-07-03
STRANGE = ["plain", "Zoë Ångström", "顧客-7", "quote\"'", "x" * 300]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One with more rows than there is room for at first, one with longer texts, and others with strange ids."""
    opened = Store.open(f"sqlite:///{tmp_path}/regulars.db", Settings())
    orders = [
        {"customer_id": STRANGE[n % 5 if n < 10 else 1], "occurred_at": f"2024-01-{1 + n % 28:02d}T10:00:00Z",
         "product_id": f"P{n % 7}", "quantity": float(n % 3 + 1), "amount": n * 1.25, "order_id": f"o{n}"}
        for n in range(300)
    ]  # fmt: skip
    events = [{"customer_id": STRANGE[2], "kind": "view", "occurred_at": f"2024-02-{n + 1:02d}"} for n in range(9)]
    cities = {STRANGE[3]: "Łódź", STRANGE[4]: "Ł" * 2_000, "unheard of": None}
    customers = pa.Table.from_pylist([{"customer_id": who, "city": city} for who, city in cities.items()])
    opened.add(table(orders, ORDERS), table(events, EVENTS), customers, now=NOW)
    return opened


def same(one: History, other: History) -> None:
    assert {name: each.tolist() for name, each in one.consent.items()} == {
        name: each.tolist() for name, each in other.consent.items()
    }
    for part in ("lines", "events"):
        for name in getattr(one, part).__dataclass_fields__:
            mine, theirs = (getattr(getattr(history, part), name) for history in (one, other))
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
    assert {name: values.tolist() for name, values in one.attributes.items()} == {
        name: values.tolist() for name, values in other.attributes.items()
    }


def made(store: Store, customer: str) -> int:
    """A digest of all that is held."""
    return made_from(store.rows([customer])[0], NOW)


@pytest.mark.skipif(sqlite.library() is None, reason="this interpreter hides SQLite's functions")
def test_the_library_and_the_driver_read_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    direct, held = [store.history_of(customer) for customer in STRANGE], [made(store, customer) for customer in STRANGE]
    monkeypatch.setattr(sqlite, "library", lambda: None)
    driver = Store.open(str(store.engine.url), Settings())
    for mine, customer in zip(direct, STRANGE, strict=True):
        theirs = driver.history_of(customer)
        assert mine is not None
        assert theirs is not None
        same(mine, theirs)
    assert [made(driver, customer) for customer in STRANGE] == held
    assert len(direct[1].lines.amount) > 200
    assert driver.history_of("nobody") is None
    assert driver.version() == 1


@pytest.mark.skipif(sqlite.library() is None, reason="this interpreter hides SQLite's functions")
def test_the_rows_of_one_do_not_keep_those_of_others(store: Store) -> None:
    for customers in (STRANGE, STRANGE[:1]):
        for rows in store.rows(customers):
            assert rows is not None
            for numbers in rows[1:]:
                assert numbers.base is None
                assert numbers.flags.c_contiguous


def test_nobody_and_somebody_without_a_line(store: Store) -> None:
    assert store.history_of("nobody") is None
    found = store.history_of("unheard of")
    assert found is not None
    assert len(found.lines.amount) == 0


def test_what_another_added_since_the_products_were_read_has_no_code_yet(store: Store) -> None:
    assert store.history_of("plain") is not None  # the products are known from here on
    line = {"customer_id": "plain", "occurred_at": "2024-03-01T10:00:00Z", "product_id": "brand new", "amount": 5.0}
    event = {"customer_id": "plain", "occurred_at": "2024-03-01T10:00:00Z", "kind": "brand new"}
    Store.open(str(store.engine.url), Settings()).add(table([line], ORDERS), table([event], EVENTS), now=NOW)
    (rows,) = store.rows(["plain"])
    assert rows is not None
    early = store.made([rows], store.zone)
    assert early.lines.product[-1] == NO_CODE
    assert early.events.kind[-1] == EVENT_KINDS.index("other")
    later = store.history_of("plain")
    assert later is not None
    assert later.catalog.product_id[later.lines.product[-1]] == "brand new"


def test_the_version_follows_writers_of_other_connections(store: Store) -> None:
    before = store.version()
    other = Store.open(str(store.engine.url), Settings())
    assert store.version() == before
    other.upsert_products([{"product_id": "new", "price": 3.0}])
    assert store.version() == before + 1
    store.upsert_products([{"product_id": "new", "price": 4.0}])
    assert store.version() == other.version() == before + 2


def test_a_lock_is_waited_for_and_then_told(store: Store) -> None:
    store.be_quick(read_seconds=0.05, write_seconds=0.05)
    version = store.version()
    with closing(sqlite3.connect(str(store.engine.url.database), isolation_level=None)) as greedy:
        store.close()
        greedy.execute("PRAGMA locking_mode = EXCLUSIVE")
        greedy.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.history_of("plain")
        greedy.execute("ROLLBACK")
    assert store.version() == version
    assert store.history_of("plain") is not None


def test_a_file_that_is_gone_is_told_and_not_made_anew(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/gone.db")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite.Reader(str(tmp_path / "gone.db"), 0.1)
    assert not (tmp_path / "gone.db").exists()
    (tmp_path / "gone.db").write_bytes(b"no database at all, but long enough to look like one" * 40)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        quick.connect(engine, 0.1)
