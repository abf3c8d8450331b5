"""Features of products and of customers with products, by hand."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from features.baskets import Baskets, visible_baskets
from features.items import COUNT, DECAY_50, FIRST, LAST, PREVIOUS, UNITS, item_table, own_items
from histories.clock import end_of_day
from histories.history import History
from tests.pieces import from_python
from tests.shops import toy_history

own_items = from_python(own_items)

DAY = (date(2024, 3, 1) - date(1970, 1, 1)).days
AS_OF = end_of_day(date(2024, 3, 1), "UTC")


def shop(*rows: tuple[str, str, str], **extra: object) -> History:
    return toy_history([{"customer_id": c, "occurred_at": at, "product_id": p, **extra} for c, at, p in rows])


def seen(history: History, as_of: int = AS_OF, *, live: bool = False) -> Baskets:
    return visible_baskets(history.lines, as_of, np.arange(len(history.catalog), dtype=np.int32), live=live)


def test_a_basket_is_a_day_and_holds_each_product_once() -> None:
    history = shop(("a", "2024-02-01T09:00", "tea"), ("a", "2024-02-01T18:00", "tea"), ("a", "2024-02-03", "milk"))
    baskets = seen(history)
    assert baskets.start.tolist() == [0, 2]
    assert np.diff(baskets.day).tolist() == [2]
    assert baskets.units.tolist() == [2.0, 1.0]


def test_what_is_not_known_yet_is_not_in_a_basket() -> None:
    rows = [
        {"customer_id": "a", "occurred_at": "2024-02-01", "product_id": "tea"},
        {"customer_id": "a", "occurred_at": "2024-02-02", "recorded_at": "2024-03-09", "product_id": "tea"},
        {"customer_id": "a", "occurred_at": "2024-03-02", "product_id": "tea"},
    ]
    history = toy_history(rows)
    assert len(seen(history).day) == 1
    assert len(seen(history, live=True).day) == 2


def test_returns_and_voided_lines_are_no_purchases() -> None:
    line = {"customer_id": "a", "product_id": "tea"}
    rows = [
        {**line, "occurred_at": "2024-02-01T09:00", "quantity": 3},
        {**line, "occurred_at": "2024-02-01T10:00", "quantity": -3},
        {**line, "occurred_at": "2024-02-05"},
    ]
    assert seen(toy_history(rows)).units.tolist() == [1.0]


def test_tallies_of_a_product() -> None:
    history = shop(*(("a", f"2024-02-{day}", p) for day, p in (("01", "tea"), ("05", "tea"), ("09", "milk"))))
    baskets = seen(history)
    items, tallies = own_items(baskets, 0, 3, DAY, np.ones(3, np.float32))
    tea = tallies[items.tolist().index(history.catalog.code_of["tea"])]
    assert tea[[COUNT, FIRST, LAST, PREVIOUS, UNITS]].tolist() == [2, 0, 1, 0, 2]
    assert tea[DECAY_50] == pytest.approx(0.5 + 0.25)


def test_the_table_of_products_counts_buyers_and_baskets() -> None:
    history = shop(("a", "2024-02-01", "tea"), ("a", "2024-02-05", "tea"), ("b", "2024-02-05", "milk"))
    table = item_table(seen(history), 2, DAY)
    milk, tea = history.catalog.code_of["milk"], history.catalog.code_of["tea"]
    assert table[tea, 0] == pytest.approx(2 / 3)
    assert table[[milk, tea], 3].tolist() == [0.5, 0.5]
    assert table[tea, 4] > table[milk, 4]  # bought again


def test_a_product_nobody_bought_has_no_numbers_of_time() -> None:
    table = item_table(seen(shop(("a", "2024-02-01", "tea"))), 2, DAY)
    assert np.isnan(table[1, 8:]).all()
    assert table[1, 0] == 0
