"""Feature rows and labels of toy histories, with the numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from features.customers import NAMES, customer_features
from features.labels import labels
from features.page import page
from tests.shops import instant, toy_history

ZONE = "Europe/London"
CUPS = {"customer_id": "ann", "product_id": "cup", "unit_price": 4.0, "channel": "web"}
TEA = {"customer_id": "ann", "product_id": "tea", "unit_price": 10.0, "channel": "web"}

# Ann buys on 1 March (Monday), 11 March and 31 March: gaps of 10 and 20 days.
ANN = [
    CUPS | {"occurred_at": "2021-03-01T09:00", "quantity": 2},  # 8.00
    TEA | {"occurred_at": "2021-03-01T21:00"},  # 10.00, the same day and so the same order
    TEA | {"occurred_at": "2021-03-11T09:30", "discount": 2.0},  # 10.00 after 2.00 off
    TEA | {"occurred_at": "2021-03-12T10:00"},  # void: returned in full on its day
    TEA | {"occurred_at": "2021-03-12T11:00", "quantity": -1},
    CUPS | {"occurred_at": "2021-03-20T12:00", "quantity": -1},  # a return: 4.00
    CUPS | {"occurred_at": "2021-03-31T19:00", "quantity": 3, "channel": "app"},  # 12.00
    CUPS | {"occurred_at": "2021-03-25T10:00", "unit_price": 0.0},  # free: never counted
    CUPS | {"occurred_at": "2021-04-04T10:00", "recorded_at": "2021-04-20T10:00"},  # learned of after as_of
    TEA | {"occurred_at": "2021-04-10T10:00"},  # after as_of: 5 days, 10.00
    TEA | {"occurred_at": "2021-04-30T10:00"},  # 25 days
]
AS_OF = instant("2021-04-05T12:00", ZONE)


def ann_row(**options) -> dict[str, float]:
    row = customer_features(toy_history(ANN, zone=ZONE), AS_OF, **options)[0]
    return dict(zip(NAMES, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "purchases": 3,
        "frequency": 2,
        "recency": 30,
        "T": 35,
        "days_since_last_order": 5,
        "spend_total": 40,
        "spend_mean_order": 40 / 3,
        "spend_median_order": 12,
        "spend_first_order": 18,
        "spend_last_order": 12,
        "monetary_value": 11,  # (10 + 12) / 2
        "orders_7d": 1,
        "spend_30d": 22,  # 11 and 31 March; 6 March is the first day inside
        "lines_60d": 4,
        "gap_mean": 15,
        "gap_std": math.sqrt(50),  # sample deviation of 10 and 20
        "gap_last": 20,
        "overdue": 5 / 15,
        "gap_longer_share": 1,
        "products_distinct": 2,
        "repeat_share": 2 / 4,  # tea on the 11th, cup on the 31st
        "lines_mean_order": 4 / 3,
        "units_mean_order": 7 / 3,
        "discount_rate": 2 / 42,
        "discount_share": 1 / 4,
        "returns_lines": 1,
        "returns_share": 4 / 40,
        "days_since_last_return": 16,
        "evening_share": 1 / 3,
        "hour_mode": 9,
        "weekday_last": 2,  # a Wednesday
        "channels_distinct": 2,
        "channel_main_share": 2 / 3,
        "channel_last_is_main": 0,
    }.items(),
)
def test_ann(name, value):
    assert ann_row()[name] == pytest.approx(value, rel=1e-6)


def test_live_rows_know_what_was_recorded_later():
    row = ann_row(live=True)
    assert row["purchases"] == 4
    assert row["days_since_last_order"] == 1


def test_days_begin_in_the_shops_zone():
    history = toy_history([CUPS | {"occurred_at": "2021-07-01T23:30+00:00"}], zone=ZONE)  # 2 July in London
    row = dict(zip(NAMES, customer_features(history, instant("2021-07-02T12:00", ZONE))[0].tolist(), strict=True))
    assert row["days_since_last_order"] == 0
    assert row["hour_last"] == 0


def test_as_of_is_inclusive():
    history = toy_history([CUPS | {"occurred_at": "2021-07-01T10:00"}], zone=ZONE)
    at = instant("2021-07-01T10:00", ZONE)
    assert customer_features(history, at)[0, NAMES.index("purchases")] == 1
    assert customer_features(history, at - 1)[0, NAMES.index("purchases")] == 0


def test_labels_of_ann():
    history = toy_history(ANN, zone=ZONE)
    came = labels(history, AS_OF, 25)
    assert (came.orders[0], came.spend[0], came.next_day[0]) == (2, 20, 5)
    assert labels(history, AS_OF, 24).orders[0] == 1
    assert labels(history, AS_OF, 4).orders[0] == 0
    assert labels(history, AS_OF, 4).next_day[0] == 5  # beyond the window, but in the data
    late = labels(history, instant("2021-04-30T10:00", ZONE), 30)
    assert (late.orders[0], late.spend[0]) == (0, 0)
    assert math.isnan(late.next_day[0])


def test_labels_net_of_returns_and_as_known_at_an_instant():
    history = toy_history(ANN, zone=ZONE)
    march = instant("2021-03-05T12:00", ZONE)
    assert labels(history, march, 26).spend[0] == 22  # 10 on the 11th, 12 on the 31st; the void pair is none
    assert labels(history, march, 26, net=True).spend[0] == 18
    assert labels(history, march, 31).orders[0] == 3  # with 4 April, as learned of on the 20th
    assert labels(history, march, 31, known_at=AS_OF).orders[0] == 2
    between = instant("2021-03-12T10:30", ZONE)  # bought, not yet returned
    assert labels(history, march, 26, known_at=between).orders[0] == 2


def test_the_page_is_current():
    text = (Path(__file__).parents[1] / "docs" / "features.md").read_text(encoding="utf-8")
    assert text == page(), "run: python -m features.page"
