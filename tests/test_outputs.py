"""Whatever batch work leaves on disk, whole or half, an erasure reaches it; or says that it could not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines.features import write_here
from histories.clock import parse_as_of
from histories.columns import EVENTS, ORDERS, table
from histories.errors import BadInput
from histories.storage.erasure import EverErased, noting
from histories.storage.export import write
from histories.storage.locks import held_file
from histories.storage.outputs import lock_of
from histories.storage.snapshot import shop_of, unpack
from histories.storage.store import Store
from service.parts import Parts
from tests.test_snapshot import same

NOW = 1_720_000_000_000_000  # 2024-07-03
PEOPLE = ("ann", "bob", "cat")
SCORES = pa.table({"customer_id": list(PEOPLE), "churn_probability": [0.25, 0.5, 0.75]})
Opened = Callable[..., Store]


@pytest.fixture
def store(open_store: Opened) -> Store:
    store = open_store(erasure_key="secret")
    rows = [{"customer_id": who, "occurred_at": "2024-06-05T12:00:00Z", "product_id": "A", "quantity": 1.0,
             "unit_price": 2.0} for who in PEOPLE]  # fmt: skip
    seen = [{"customer_id": "ann", "kind": "view", "occurred_at": "2024-06-01T00:00:00Z"}]
    store.add(table(rows, ORDERS), table(seen, EVENTS), now=NOW)
    return store


def erase(store: Store, who: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cleared outputs, and those that are left."""
    done = store.erase(who)
    assert done is not None
    return done.outputs, done.outputs_left


@pytest.fixture
def killed(store: Store, tmp_path: Path) -> Iterator[Parts]:
    """What a run that was killed leaves: a part, a part half written, and the output half put together."""
    parts = Parts(tmp_path / ".scores.parquet.parts")
    parts.begin({"as_of": NOW, "live": False}, lambda _: None)
    with noting(store, str(parts.folder), "r1", NOW):
        parts.put(0, SCORES)
        (parts.folder / ".part-00001.parquet.4711").write_bytes(b"ann, and then the light went out")
        pq.write_table(SCORES, parts.folder / "whole")
    return parts


def test_the_parts_of_a_killed_run_are_removed(store: Store, killed: Parts, tmp_path: Path) -> None:
    assert erase(store, "ann") == ((str(killed.folder),), ())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert erase(store, "bob") == ((), ())  # and forgotten


def test_the_parts_of_a_run_at_work_stay_and_are_named(store: Store, killed: Parts) -> None:
    with held_file(lock_of(killed.folder), "score", passing=True):
        assert erase(store, "ann") == ((), (str(killed.folder),))
        assert killed.rows(0) == len(PEOPLE)
    assert erase(store, "bob") == ((str(killed.folder),), ())
    assert not killed.folder.exists()


def test_a_partitioned_folder_is_cleared_with_what_was_half_put_into_it(store: Store, tmp_path: Path) -> None:
    """Every day's file, those of a run of Spark that was killed, and Spark's checksum of the file that was."""
    days = tmp_path / "scores"
    files = [days / "day=1/part-0.parquet", days / "day=2/part-0.parquet", days / ".staging/day=3/part-0.parquet"]
    for file in files:
        file.parent.mkdir(parents=True)
        pq.write_table(SCORES, file, row_group_size=2)
    sum_of_it = days / "day=1/.part-0.parquet.crc"
    sum_of_it.write_bytes(b"crc")
    with noting(store, str(days), "r1", NOW):
        pass
    assert erase(store, "bob") == ((str(days),), ())
    for file in files:
        assert pq.read_table(file, partitioning=None)["customer_id"].to_pylist() == ["ann", "cat"]
        assert pq.ParquetFile(file).num_row_groups == 2
    assert not sum_of_it.exists()


def test_a_snapshot_is_cleared_and_can_still_be_read(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    write(store, str(folder))
    assert erase(store, "bob") == ((str(folder),), ())
    shop = shop_of((folder / "shop.json").read_text(), pq.read_table(folder / "products"))
    same(unpack(pq.read_table(folder / "histories"), shop), store.history())


def test_a_snapshot_of_those_with_news(store: Store, tmp_path: Path) -> None:
    since = parse_as_of("2024-06-30", "UTC")
    late = {"customer_id": "cat", "occurred_at": "2024-06-20T00:00:00Z", "recorded_at": "2024-07-01T00:00:00Z"}
    for each in PEOPLE[:2]:
        store.erase(each)
    assert write(store, f"{tmp_path}/none", since=NOW + 1) == 0
    assert pq.read_table(tmp_path / "none/histories").num_rows == 0
    store.add(table([late | {"product_id": "A"}, late | {"customer_id": "dan"}], ORDERS), now=NOW)
    assert write(store, f"{tmp_path}/some", since=since, chunk=1) == 2


def test_feature_rows_are_cleared_and_half_a_file_is_named(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write_here(store, str(file), "2024-07-01")
    assert erase(store, "ann") == ((str(file),), ())
    assert pq.read_table(file)["customer_id"].to_pylist() == ["bob", "cat"]
    (tmp_path / ".rows.parquet.unfinished").write_bytes(b"half a file")
    assert erase(store, "bob") == ((), (str(file),))


def test_the_erased_are_known_by_their_ids_elsewhere(store: Store, open_store: Opened) -> None:
    assert EverErased.of(store)(["ann", "bob"]) == [False, False]
    store.erase("ann")
    ever = EverErased.of(store)
    assert ever(["ann", "bob", "stranger"]) == [True, False, False]
    assert "secret" not in repr(ever)
    with pytest.raises(BadInput, match="REGULARS_ERASURE_KEY"):
        EverErased.of(open_store(erasure_key=None))
