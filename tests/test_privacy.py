"""Consent, export, erasure with tombstones, retention and the log of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from histories.clock import DAY
from histories.columns import EVENTS, ORDERS, table
from histories.errors import BadInput
from histories.settings import Settings
from histories.store import Store

NOW = 1_720_000_000_000_000  # 2024-07-03
ROWS = [
    {
        "customer_id": customer,
        "occurred_at": f"2024-0{month}-05T12:00:00Z",
        "product_id": "A",
        "quantity": 1.0,
        "unit_price": 2.0,
    }
    for customer in ("ann", "bob")
    for month in (1, 6)
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(f"sqlite:///{tmp_path}/shop.db", Settings(erasure_key="secret"))
    events = table([{"customer_id": "ann", "kind": "view", "occurred_at": "2024-06-01"}], EVENTS)
    import pyarrow as pa

    people = pa.Table.from_pylist([{"customer_id": "ann", "city": "Ulm", "aliases": ["card1"]}])
    store.add(table(ROWS, ORDERS), events, people, now=NOW)
    return store


def test_consent(store: Store) -> None:
    assert store.consent("ann") == {"prediction": True, "recommendation": True, "training": True}
    assert store.set_consent("card1", {"training": False})
    assert not store.consent("ann")["training"]
    assert not store.set_consent("nobody", {"training": False})
    assert store.history(purpose="training").customer_id.tolist() == ["bob"]
    with pytest.raises(BadInput, match="'spam' is no purpose"):
        store.set_consent("ann", {"spam": True})


def test_export_holds_everything(store: Store) -> None:
    held = store.export("ann")
    assert held is not None
    assert (held["aliases"], held["attributes"], len(held["orders"]), len(held["events"])) == (
        ["card1"],
        {"city": "Ulm"},
        2,
        1,
    )
    assert held["orders"][0]["product_id"] == "A"
    assert store.export("nobody") is None


def test_the_erased_do_not_come_back(store: Store) -> None:
    assert store.erase("card1")
    assert not store.erase("ann")
    for name in ("ann", "card1"):
        assert store.history_of(name) is None
        assert store.add(table([ROWS[0] | {"customer_id": name}], ORDERS), now=NOW).excluded == 1
    assert store.customer_ids() == ["bob"]
    text = Path(str(store.engine.url.database)).read_bytes()
    assert store.counts()["events"] == 0
    assert text


def test_erasure_needs_its_key(store: Store) -> None:
    url = str(store.engine.url)
    with pytest.raises(BadInput, match="REGULARS_ERASURE_KEY"):
        Store.open(url, Settings(erasure_key=None)).erase("ann")
    store.erase("ann")
    with pytest.raises(BadInput, match="not the key"):
        Store.open(url, Settings(erasure_key="other")).add(table(ROWS, ORDERS), now=NOW)


def test_retention(store: Store) -> None:
    assert store.retain(60, now=NOW) == 2
    span = store.span(NOW)
    assert span is not None
    assert span[0] > NOW - 60 * DAY
    assert store.retain(1, now=NOW) == 3
    assert store.customer_ids() == []


def test_the_log_names_nobody_and_only_grows(store: Store) -> None:
    store.export("ann")
    store.set_consent("ann", {"training": False})
    store.erase("ann")
    with store.snapshot() as connection:
        rows = connection.exec_driver_sql("SELECT action, subject FROM audit ORDER BY seq").all()
    assert [row[0] for row in rows] == ["export", "consent", "erase"]
    assert len({row[1] for row in rows}) == 1
    assert "ann" not in str(rows)
    with pytest.raises(sa.exc.IntegrityError), store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM audit")
