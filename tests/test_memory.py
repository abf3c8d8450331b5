"""What a remembered answer was made from: as long as it is the same, the answer holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from histories.clock import DAY
from histories.columns import EVENTS, ORDERS, table
from histories.settings import Settings
from histories.storage.store import Store
from service.memory import made_from

NOW = 1_720_000_000_000_000  # 2024-07-03


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(f"sqlite:///{tmp_path}/regulars.db", Settings())
    lines = [{"customer_id": who, "occurred_at": "2024-01-05T10:00:00Z", "amount": 9.0} for who in ("ann", "bob")]
    views = [{"customer_id": "ann", "occurred_at": "2024-02-01", "kind": "view"}]
    opened.add(table(lines, ORDERS), table(views, EVENTS), now=NOW)
    return opened


def made(store: Store, who: str, as_of: int = NOW) -> int:
    return made_from(store.rows([who])[0], as_of)


def test_it_changes_with_what_is_held_of_the_customer_and_with_nothing_else(store: Store) -> None:
    before, others = made(store, "ann"), made(store, "bob")
    assert made(store, "ann") == before
    line = {"customer_id": "ann", "occurred_at": "2024-03-01T10:00:00Z", "amount": 5.0}
    store.add(table([line], ORDERS), now=NOW)
    after = made(store, "ann")
    assert after != before
    store.set_consent("ann", {"prediction": False})
    assert made(store, "ann") != after
    assert made(store, "bob") == others


def test_it_changes_when_a_line_dated_ahead_falls_due(store: Store) -> None:
    ahead = {"customer_id": "ann", "occurred_at": "2024-07-05T10:00:00Z", "amount": 5.0}
    store.add(table([ahead], ORDERS), now=NOW)
    assert made(store, "ann", NOW) == made(store, "ann", NOW + DAY)
    assert made(store, "ann", NOW) != made(store, "ann", NOW + 3 * DAY)


def test_of_somebody_unknown_it_stays_until_they_are_known(store: Store) -> None:
    before = made(store, "cleo")
    assert made(store, "cleo") == before
    store.add(table([{"customer_id": "cleo", "occurred_at": "2024-03-01", "amount": 5.0}], ORDERS), now=NOW)
    assert made(store, "cleo") != before
