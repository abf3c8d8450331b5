"""Samples of customers: the same people each time, in whatever pieces they are read."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from histories.history import History
from histories.sample import drawn, hashes
from histories.selection import of_customers
from histories.storage import many as stores
from histories.storage.store import Store
from tests.conftest import Trained
from training import train
from training.examine import fetch
from training.tracking import Tracker


def test_a_sample_is_even_nested_and_of_its_seed() -> None:
    hashed = hashes(f"customer {number}" for number in range(20_000))
    tenth, half, other = drawn(hashed, 0.1, 1), drawn(hashed, 0.5, 1), drawn(hashed, 0.5, 2)
    assert abs(tenth.mean() - 0.1) < 0.01
    assert not (tenth & ~half).any()
    assert abs((half & other).mean() - 0.25) < 0.02
    assert drawn(hashed, 1.0, 1).all()
    assert hashes(["7"]) == hashes(["7", "8"])[:1]


def same(left: History, right: History) -> bool:
    tables = [(left.lines, right.lines), (left.events, right.events)]
    return list(left.customer_id) == list(right.customer_id) and all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name), equal_nan=field.name == "value")
        for one, other in tables
        for field in fields(one)
    )


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_store_reads_the_sample_alone(toy_store: Store, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_SAMPLED_AT_A_TIME", 250)
    monkeypatch.setattr(stores, "_LISTED_AT_A_TIME", 40)
    everybody = toy_store.history(purpose="training")
    wanted = of_customers(everybody, np.flatnonzero(drawn(hashes(everybody.customer_id), share, 5)))
    found = toy_store.sample(share, purpose="training", seed=5)
    assert same(found, wanted)
    assert (len(found) == len(everybody)) is (share == 1.0)
    assert list(found.attributes) == list(wanted.attributes)
    assert np.array_equal(found.consent["prediction"], wanted.consent["prediction"])


def test_training_of_a_big_shop_reads_a_sample(toy_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "MOST_CUSTOMERS", 150)
    history, _, share = train._load(toy_store, None)
    assert share == 150 / toy_store.counts("customers")["customers"]
    assert 100 < len(history) < 200
    again, *_ = train._load(toy_store, None)
    assert list(again.customer_id) == list(history.customer_id)


def test_sizes_of_segments_are_everybodys(trained: Trained) -> None:
    tracker = Tracker(trained.settings.tracking_uri)
    release = tracker.champion()
    assert release is not None
    with tempfile.TemporaryDirectory() as scratch:
        fitted = fetch(tracker, release, Path(scratch))
    sizes = [row["size"] for row in fitted.segments.table]
    assert [row["size"] for row in fitted.of_a_share(0.25).segments.table] == [4 * size for size in sizes]
