"""A store as Parquet, one customer a row: what is read back is what was there."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from histories.columns import PURPOSES
from histories.errors import BadInput
from histories.history import History
from histories.settings import Settings
from histories.storage.export import write
from histories.storage.snapshot import SCHEMA, pack, shop_of, unpack
from histories.storage.store import Store
from tests.shops import toy_history


def same(one: Any, other: Any) -> None:
    """Two histories, or parts of one, down to the types of their arrays."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        elif hasattr(a, "__dataclass_fields__"):
            same(a, b)
        elif field.name in ("attributes", "consent"):
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        else:
            assert a == b, field.name


def test_the_whole_store_comes_back(toy_store: Store, tmp_path: Path) -> None:
    url = f"{tmp_path}/snapshot"
    assert write(toy_store, url, chunk=50) == len(toy_store.customer_ids())
    assert len(list((tmp_path / "snapshot/histories").iterdir())) == 2  # files of ten chunks
    rows = pq.read_table(f"{url}/histories")
    assert rows.schema.names == SCHEMA.names
    card = Path(url, "shop.json").read_text()
    shop = shop_of(card, pq.read_table(f"{url}/products"))
    everybody = toy_store.history()
    same(unpack(rows, shop), everybody)
    assert not all(values.all() for values in everybody.consent.values())  # some of the simulated say no
    assert (shop.customers, shop.span, shop.digest) == (len(everybody), toy_store.span(), toy_store.digest())


def test_some_rows_are_some_customers(toy_store: Store, tmp_path: Path) -> None:
    everybody = toy_store.history()
    write(toy_store, f"{tmp_path}/s")
    shop = shop_of(Path(tmp_path, "s/shop.json").read_text(), pq.read_table(tmp_path / "s/products"))
    rows = pack(everybody)
    (batch,) = rows.slice(17, 5).combine_chunks().to_batches()
    some = unpack(batch, shop)
    assert some.customer_id.tolist() == everybody.customer_id[17:22].tolist()
    begin, end = everybody.lines.offsets[[17, 22]]
    np.testing.assert_array_equal(some.lines.amount, everybody.lines.amount[begin:end])


def test_attributes_of_both_kinds() -> None:
    history: History = toy_history(
        [{"customer_id": name, "occurred_at": "2024-01-02"} for name in "abc"],
        attributes={"age": [31.0, np.nan, 0.1 + 0.2], "plan": np.array(["x", None, ""], dtype=object)},  # type: ignore[dict-item]
    )
    consented = replace(history, consent={purpose: np.ones(3, dtype=bool) for purpose in PURPOSES})
    texts = pack(consented)["attributes"].to_pylist()
    assert [json.loads(text) for text in texts] == [{"age": 31.0, "plan": "x"}, {}, {"age": 0.1 + 0.2, "plan": ""}]


def test_nothing_is_written_over(toy_store: Store, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(BadInput, match="holds something already"):
        write(toy_store, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_empty_store_is_bad_input(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(BadInput, match="holds nobody yet"):
        write(Store.open(settings.store, settings), f"{tmp_path}/snapshot")
    assert not (tmp_path / "snapshot").exists()


def test_what_fails_half_way_leaves_nothing(toy_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("histories.storage.export.products", full)
    with pytest.raises(BadInput, match="snapshot cannot be written: No space left on device"):
        write(toy_store, f"{tmp_path}/snapshot")
    assert not (tmp_path / "snapshot").exists()
