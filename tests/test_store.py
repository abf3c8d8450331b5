"""The store: identity, idempotence, reading back, spans and versions."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories.clock import DAY, from_local, local_time, to_instant
from histories.columns import EVENTS, ORDERS, table
from histories.errors import BadInput
from histories.identity import normal_id, ordinals
from histories.importing.importer import import_files
from histories.selection import of_customers
from histories.settings import Settings
from histories.storage.store import Store

NOW = 1_720_000_000_000_000  # 2024-07-03


Opened = Callable[..., Store]


def line(customer: str = "c1", day: int = 1, **more: object) -> dict[str, object]:
    row = {"customer_id": customer, "occurred_at": f"2024-01-{day:02d}T12:00:00Z", "product_id": "A"}
    return row | {"quantity": 1.0, "unit_price": 2.0} | more


DATES = (datetime(1990, 1, 1), datetime(2090, 1, 1))  # noqa: DTZ001 (hypothesis wants them naive)
LINES = st.lists(
    st.builds(
        line,
        customer=st.sampled_from(["c1", "c2", " c1 ", "7.0", "7"]),
        day=st.integers(1, 4),
        order_id=st.sampled_from([None, "o1", "o2"]),
        product_id=st.sampled_from([None, "A", "B"]),
        quantity=st.sampled_from([-1.0, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=8, deadline=None)
@given(LINES)
def test_adding_again_or_by_file_adds_nothing_and_repeats_are_kept(rows: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/shop.db", Settings())
        lines = table(rows, ORDERS)
        assert store.add(lines, now=NOW).accepted == len(rows)
        digest = store.digest()
        assert store.add(lines, now=NOW).duplicate == len(rows)
        lines.select(
            ["customer_id", "occurred_at", "order_id", "product_id", "quantity", "unit_price"]
        ).to_pandas().to_csv(Path(folder, "o.csv"), index=False)
        assert import_files(store, store.settings, orders=f"{folder}/o.csv").orders.new == 0
        assert store.digest() == digest
        assert sum(len(part.lines.amount) for part in store.chunks(1)) == len(rows)
        store.close()


def test_a_whole_order_in_an_overlapping_export_adds_only_what_is_new(open_store: Opened) -> None:
    store = open_store()
    first, second = [line(order_id="o1")] * 2, [line(day=2, order_id="o2")]
    assert store.add(table(first, ORDERS), now=NOW).accepted == 2
    added = store.add(table(first + second, ORDERS), now=NOW)
    assert (added.accepted, added.duplicate) == (1, 2)


def test_a_given_id_names_a_line_whatever_else_changes(open_store: Opened) -> None:
    store = open_store()
    store.add(table([line(id="x1")], ORDERS), now=NOW)
    assert store.add(table([line(customer="c2", day=3, id="x1")], ORDERS), now=NOW).duplicate == 1


def test_a_line_with_an_id_does_not_change_who_its_equals_are(open_store: Opened) -> None:
    store = open_store()
    store.add(table([line()], ORDERS), now=NOW)
    added = store.add(table([line(id="x1"), line()], ORDERS), now=NOW)
    assert (added.accepted, added.duplicate) == (1, 1)


def test_the_identity_of_a_line_never_changes_between_versions(open_store: Opened) -> None:
    store = open_store()
    store.add(table([line(order_id="o1"), line(order_id="o1"), line(id="x1")], ORDERS), now=NOW)
    assert store.digest() == "ccceb0665417532fe3079daec9ab8ab7"


def test_normal_ids() -> None:
    assert [normal_id(text) for text in (" 13085.0 ", "007", "85123A", "1.50", "a.0")] == [
        "13085",
        "007",
        "85123A",
        "1.50",
        "a.0",
    ]


def test_ordinals_count_equal_rows_in_the_order_they_come() -> None:
    group, digest = np.array([1, 1, 2, 1, 2]), np.array([5, 5, 5, 6, 5], dtype=np.uint64)
    assert ordinals(group, digest).tolist() == [0, 1, 0, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.datetimes(*DATES))
def test_local_times_as_datetime_has_them(moment: datetime) -> None:
    shown = to_instant(moment.replace(tzinfo=UTC))
    expected = to_instant(moment.replace(tzinfo=ZoneInfo("Europe/London")))
    assert int(from_local(np.array([shown]), "Europe/London")[0]) == expected


def test_history_of_one_is_its_part_of_everybody(open_store: Opened) -> None:
    store = open_store(timezone="Europe/London")
    rows = [line("b", 1), line("a", 2, order_id="o"), line("a", 1, quantity=-1.0, channel="web"), line("c", 3)]
    events = table([{"customer_id": "a", "kind": "view", "occurred_at": "2024-01-01"}], EVENTS)
    store.add(table(rows, ORDERS), events, now=NOW)
    everybody, one = store.history(), store.history_of("a")
    assert everybody.customer_id.tolist() == ["a", "b", "c"]
    assert one is not None
    for name in ("occurred_at", "recorded_at", "kind", "amount", "product", "channel"):
        assert getattr(one.lines, name).tolist() == getattr(everybody.lines, name)[:2].tolist()
    assert one.events.kind.tolist() == [0]
    assert store.history_of("nobody") is None
    assert local_time(one.lines.occurred_at, "Europe/London")[0] // DAY == one.lines.local_day[0]


def test_a_stateless_history_speaks_the_store_s_codes(open_store: Opened) -> None:
    store = open_store()
    store.add(table([line(product_id="A"), line(product_id="B")], ORDERS), now=NOW)
    history = store.history_from([line(product_id="B"), line(product_id="new")])
    assert history.catalog.product_id[history.lines.product[0]] == "B"
    assert history.lines.product[1] == -1


def test_future_lines_wait_until_due(open_store: Opened) -> None:
    store = open_store()
    day = NOW + 3 * DAY
    assert store.add(table([line(), line() | {"occurred_at": day}], ORDERS), now=NOW).future == 1
    early, late = store.span(NOW), store.span(day)
    assert early is not None
    assert late is not None
    assert early[1] < NOW < late[1] == day
    assert store.newest(NOW) == early[1]


def test_another_process_sees_a_write(open_store: Opened) -> None:
    store, other = open_store(), open_store()
    version = other.version()
    store.add(table([line()], ORDERS), now=NOW)
    assert other.version() > version
    assert other.history_of("c1") is not None
    store.upsert_products([{"product_id": "A", "in_stock": False, "price": 9.0}])
    assert not other.catalog().in_stock[0]


def test_writers_in_many_threads_lose_nothing(open_store: Opened) -> None:
    store = open_store()
    parts = [[line(f"c{writer}", day) for day in range(1, 20)] for writer in range(4)]
    threads = [threading.Thread(target=store.add, args=(table(part, ORDERS),), kwargs={"now": NOW}) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.counts()["lines"] == 4 * 19
    assert len({int(code) for code in store.history().lines.product}) == 1


def test_the_zone_is_fixed_by_the_first_write(open_store: Opened) -> None:
    open_store(timezone="Europe/London").add(table([line()], ORDERS), now=NOW)
    assert open_store().zone == "Europe/London"
    with pytest.raises(BadInput, match="this store was filled with Europe/London"):
        open_store(timezone="Asia/Tokyo")


def test_lines_without_customer_or_time_or_in_another_currency_are_refused(open_store: Opened) -> None:
    store = open_store(currency="EUR")
    for bad in ({"customer_id": " "}, {"occurred_at": None}, {"currency": "JPY"}):
        with pytest.raises(BadInput):
            store.add(table([line() | bad], ORDERS), now=NOW)
    assert store.counts()["lines"] == 0


def test_ranges_are_read_apart_and_are_everybody_together(open_store: Opened) -> None:
    store = open_store()
    people = [f"c{number}" for number in range(7)]
    store.add(table([line(customer) for customer in people], ORDERS), now=NOW)
    ranges = store.ranges(3)
    assert ranges == [("c0", "c2"), ("c3", "c5"), ("c6", "c6")]
    parts = [part for first, last in ranges for part in store.chunks(2, first=first, last=last)]
    assert [len(part) for part in parts] == [2, 1, 2, 1, 1]
    assert [name for part in parts for name in part.customer_id] == people
    assert [name for first, last in ranges for name in store.between(first, last).customer_id] == people


def test_consent_comes_with_a_history(open_store: Opened) -> None:
    store = open_store()
    store.add(table([line("c1"), line("c2")], ORDERS), now=NOW)
    store.set_consent("c2", {"prediction": False})
    for history in (store.history(), *store.chunks(2)):
        assert history.consent["prediction"].tolist() == [True, False]
        assert history.consent["training"].tolist() == [True, True]
        assert of_customers(history, np.array([1])).consent["prediction"].tolist() == [False]
    alone = store.history_of("c2")
    assert alone is not None
    assert alone.consent["prediction"].tolist() == [False]


def test_a_given_id_that_comes_twice_in_the_first_import_is_one_line(open_store: Opened, tmp_path: Path) -> None:
    store = open_store()
    rows = [line("c1", 2, id="x1"), line("c2", 1, id="x1"), line("c2", 3, id="x2"), line("c3", 1)]
    table(rows, ORDERS).to_pandas().to_csv(tmp_path / "o.csv", index=False)
    first = import_files(store, store.settings, orders=f"{tmp_path}/o.csv")
    assert (first.orders.lines, first.orders.new) == (4, 3)
    assert [len(part.lines.amount) for part in store.chunks(1)] == [1, 1, 1]
    assert store.add(table([line("c9", 9, id="x2")], ORDERS), now=NOW).duplicate == 1


def test_who_has_news_is_told_by_when_it_was_recorded(open_store: Opened) -> None:
    """A line of long ago that came late is news; a customer of whom there are only events counts as well."""
    store = open_store()
    late = [line("late", recorded_at="2024-05-01T00:00:00Z"), line("early", recorded_at="2024-01-02T00:00:00Z")]
    seen = {"customer_id": "viewer", "kind": "view", "occurred_at": "2024-05-01", "recorded_at": "2024-05-02"}
    store.add(table(late, ORDERS), table([seen], EVENTS), now=NOW)
    first_of_may = to_instant(datetime(2024, 5, 1, tzinfo=UTC))
    assert store.learned_since(first_of_may) == ["late", "viewer"]
    assert store.learned_since(first_of_may + 1) == ["viewer"]
    found = store.of(["late", "nobody", "viewer"])
    assert (found.customer_id.tolist(), len(found.lines.amount), len(found.events.kind)) == (["late", "viewer"], 1, 1)
    assert len(store.of([])) == 0
