"""Consent, export, erasure with tombstones, retention and the log of it."""

from __future__ import annotations

import base64
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from histories.clock import DAY, to_instant
from histories.columns import EVENTS, ORDERS, table
from histories.errors import BadInput
from histories.storage.erasure import masked_rows, note_output, note_training
from histories.storage.store import Store

NOW = 1_720_000_000_000_000  # 2024-07-03
Opened = Callable[..., Store]
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
def store(open_store: Opened) -> Store:
    store = open_store(erasure_key="secret")
    events = table([{"customer_id": "ann", "kind": "view", "occurred_at": "2024-06-01"}], EVENTS)
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
    assert store.counts()["events"] == 0


def test_erasure_needs_its_key(store: Store, open_store: Opened) -> None:
    with pytest.raises(BadInput, match="REGULARS_ERASURE_KEY"):
        open_store(erasure_key=None).erase("ann")
    store.erase("ann")
    with pytest.raises(BadInput, match="not the key"):
        open_store(erasure_key="other").add(table(ROWS, ORDERS), now=NOW)


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


def disk(store: Store) -> bytes:
    """All that is on disk of an SQLite store."""
    if store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's own files are its vacuum's affair")
    database = Path(str(store.engine.url.database))
    return b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*") if path.is_file())


def test_nothing_of_the_erased_stays_on_the_disk(store: Store) -> None:
    secret = {"customer_id": "petra@example.org", "order_id": "petra-order", "product_id": "A"}
    store.add(table([ROWS[0] | secret], ORDERS), now=NOW)
    assert b"petra" in disk(store)
    assert store.erase("petra@example.org")
    assert b"petra" not in disk(store)


def test_the_span_ends_with_the_last_who_stays(store: Store) -> None:
    later = to_instant(datetime(2024, 6, 20, tzinfo=UTC))
    store.add(table([ROWS[0] | {"customer_id": "eve", "occurred_at": later}], ORDERS), now=NOW)
    store.add(table([ROWS[0] | {"customer_id": "eve", "occurred_at": NOW + DAY}], ORDERS), now=NOW)
    before = store.span(NOW + 2 * DAY)
    assert before is not None
    assert before[1] == NOW + DAY
    store.erase("eve")
    after = store.span(NOW + 2 * DAY)
    assert after is not None
    assert after[1] == to_instant(datetime(2024, 6, 5, 12, tzinfo=UTC))


SCORES = pa.table({"customer_id": ["ann", "bob"], "churn_probability": [0.25, 0.5], "products": [["A"], ["A", "B"]]})


def put_scores(folder: Path) -> list[str]:
    """The same scores as a file, as a folder of files, as CSV and as a table; their places."""
    (folder / "days" / "day=1").mkdir(parents=True)
    for place in ("s.parquet", "days/day=1/part.parquet"):
        pq.write_table(SCORES, folder / place)
    (folder / "s.csv").write_text('"customer_id","note"\n"ann","two\nlines"\n"bob","one"\n')
    with sqlite3.connect(folder / "s.db") as database:
        database.execute("CREATE TABLE scores (customer_id, churn_probability)")
        database.executemany("INSERT INTO scores VALUES (?, ?)", [("ann", 0.25), ("bob", 0.5)])
    return [f"{folder}/{name}" for name in ("s.parquet", "days", "s.csv")] + [f"sqlite:///{folder}/s.db#scores"]


def test_erasure_reaches_batch_outputs(store: Store, tmp_path: Path) -> None:
    places = put_scores(tmp_path)
    version = store.version()
    for place in (*places, f"{tmp_path}/gone.parquet"):
        note_output(store, place, "r1", NOW, began=NOW)
    assert store.version() == version
    done = store.erase("ann")
    assert done is not None
    assert (sorted(done.outputs), done.outputs_left) == (sorted([*places, f"{tmp_path}/gone.parquet"]), ())
    stays = SCORES.slice(1)
    assert pq.read_table(tmp_path / "s.parquet").equals(stays)
    assert pq.read_table(tmp_path / "days/day=1/part.parquet").equals(stays)
    assert (tmp_path / "s.csv").read_text() == '"customer_id","note"\n"bob","one"\n'
    with sqlite3.connect(tmp_path / "s.db") as database:
        assert database.execute("SELECT * FROM scores").fetchall() == [("bob", 0.5)]
    assert not list(tmp_path.glob(".*"))


def test_an_output_that_cannot_be_rewritten_is_named_and_tried_again(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "s.parquet"
    place.write_bytes(b"half a file")
    note_output(store, str(place), "r1", NOW, began=NOW)
    done = store.erase("ann")
    assert done is not None
    assert (done.outputs, done.outputs_left) == ((), (str(place),))
    pq.write_table(SCORES, place)
    again = store.erase("bob")
    assert again is not None
    assert again.outputs == (str(place),)
    assert pq.read_table(place).num_rows == 0


def test_scores_written_while_a_person_was_erased_are_cleared_when_they_come(store: Store, tmp_path: Path) -> None:
    began = time.time_ns() // 1000
    store.erase("ann")
    place = put_scores(tmp_path)[0]
    note_output(store, place, "r1", NOW, began=began)
    assert pq.read_table(place)["customer_id"].to_pylist() == ["bob"]


def test_erasure_tells_which_releases_were_trained_on_the_person(store: Store) -> None:
    note_training(store, "r1", ["ann", "bob"], np.array([-1, 5], dtype=np.int32))
    note_training(store, "r2", ["bob"], np.array([3], dtype=np.int32))
    done = store.erase("bob")
    assert done is not None
    assert done.releases == ("r1", "r2")
    assert (masked_rows(store, "r1").tolist(), masked_rows(store, "r2").tolist()) == ([5], [3])
    assert b"bob" not in disk(store)


KEY = base64.b64encode(bytes(range(32))).decode()
PERSON = pa.Table.from_pylist([{"customer_id": "cat", "income_band": "gold-plated", "age": 44.0}])


def test_sealed_attributes_are_read_with_the_key_alone(open_store: Opened) -> None:
    store = open_store(attributes_key=KEY)
    store.add(table([ROWS[0] | {"customer_id": "cat"}], ORDERS), customers=PERSON, now=NOW)
    held, alone = store.export("cat"), store.history_of("cat")
    assert held is not None
    assert alone is not None
    assert held["attributes"] == {"income_band": "gold-plated", "age": 44.0}
    assert store.history().attributes["age"].tolist() == alone.attributes["age"].tolist() == [44.0]
    with store.snapshot() as connection:
        assert "gold" not in str(connection.exec_driver_sql("SELECT attributes FROM customers").all())
    for other in (None, base64.b64encode(bytes(32)).decode()):
        with pytest.raises(BadInput, match="REGULARS_ATTRIBUTES_KEY is needed"):
            open_store(attributes_key=other).history_of("cat")
    with pytest.raises(BadInput, match="32 random bytes"):
        open_store(attributes_key="short")


def test_attributes_from_before_the_key_are_sealed_when_they_change(open_store: Opened) -> None:
    open_store().add(customers=PERSON, now=NOW)
    store = open_store(attributes_key=KEY)
    assert store.history().attributes["income_band"].tolist() == ["gold-plated"]
    store.add(customers=pa.Table.from_pylist([{"customer_id": "cat", "age": 45.0}]), now=NOW)
    with store.snapshot() as connection:
        assert "gold" not in str(connection.exec_driver_sql("SELECT attributes FROM customers").all())
    assert store.history().attributes["age"].tolist() == [45.0]


def test_a_change_of_consent_by_import_is_logged(store: Store) -> None:
    people = [{"customer_id": "ann", "consent_training": False}, {"customer_id": "bob", "consent_training": True}]
    for _ in range(2):
        store.add(customers=pa.Table.from_pylist(people), now=NOW)
    with store.snapshot() as connection:
        rows = connection.exec_driver_sql("SELECT action, subject FROM audit").all()
    assert [row[0] for row in rows] == ["consent"]
    assert len(rows[0][1]) == 64


def test_a_shop_goes_on_after_its_only_customers_were_erased(store: Store) -> None:
    for customer in ("ann", "bob"):
        assert store.erase(customer)
    assert store.span(NOW) is None
    store.add(table([ROWS[0] | {"customer_id": "cleo"}], ORDERS), now=NOW)
    assert store.span(NOW) is not None
