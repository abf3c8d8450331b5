"""Leaks are planted here, and seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.customers import NAMES, customer_features
from histories.clock import DAY, end_of_day, parse_as_of
from histories.errors import Refused
from histories.history import History
from tests.shops import toy_history
from training.gates import (
    Labelled,
    no_telling_attribute,
    nothing_from_the_future,
    scramble,
    windows_inside,
)

CUT = parse_as_of("2020-03-31", "Europe/London")
Table = tuple[np.ndarray, tuple[str, ...]]


def shop() -> History:
    random = np.random.default_rng(3)
    orders = [
        {
            "customer_id": f"c{random.integers(0, 20):02}",
            "occurred_at": str(np.datetime64("2020-01-01T10:00") + np.timedelta64(int(random.integers(0, 180)), "D")),
            "product_id": f"p{random.integers(0, 9)}",
            "quantity": float(random.integers(1, 5)) * (-1 if random.random() < 0.1 else 1),
            "channel": "web",
        }
        for _ in range(300)
    ]
    late = {"customer_id": "c00", "occurred_at": "2020-03-20T12:00", "recorded_at": "2020-04-20T12:00", "quantity": 50}
    events = [{"customer_id": "c01", "kind": "view", "occurred_at": "2020-05-01T12:00"}]
    return toy_history([*orders, late], events, zone="Europe/London")


def honest(history: History, as_of: int) -> Table:
    return customer_features(history, as_of), NAMES


def peeking(history: History, as_of: int) -> Table:
    """A column that sums all of a customer's lines, those after as_of too."""
    total = np.add.reduceat(history.lines.amount, history.lines.offsets[:-1])
    return np.column_stack([customer_features(history, as_of), total]).astype(np.float32), (*NAMES, "total_ever")


def forgetful(history: History, as_of: int) -> Table:
    """Features that cut on occurred_at alone, as if every line had been known at once."""
    return customer_features(history, as_of, live=True), NAMES


def test_honest_features_pass() -> None:
    nothing_from_the_future(shop(), CUT, honest)


def test_a_column_of_the_future_is_refused() -> None:
    with pytest.raises(Refused, match=r"total_ever looks past 2020-03-31T22:59:59Z.*of 20 customers"):
        nothing_from_the_future(shop(), CUT, peeking)


def test_a_line_recorded_later_is_not_known() -> None:
    with pytest.raises(Refused, match=r"looks past .* changed it for \d+ of 20 customers"):
        nothing_from_the_future(shop(), CUT, forgetful)


def test_scrambling_leaves_what_was_known() -> None:
    history = shop()
    after = scramble(history, CUT)
    known = (history.lines.occurred_at <= CUT) & (history.lines.recorded_at <= CUT)
    assert (after.lines.amount[known] == history.lines.amount[known]).all()
    assert (after.lines.amount[~known] != history.lines.amount[~known]).all()
    owner = np.repeat(np.arange(20), np.diff(after.lines.offsets))
    assert (np.lexsort((after.lines.occurred_at, owner)) == np.arange(len(owner))).all()
    assert (after.lines.recorded_at >= after.lines.occurred_at).all()


def test_label_windows_end_inside_the_data() -> None:
    until = parse_as_of("2020-06-29", "UTC")
    inside = np.array([until - 90 * DAY, until - 120 * DAY])
    windows_inside(inside, until, 90, "UTC")
    with pytest.raises(Refused, match="need 1 days after 2020-06-29"):
        windows_inside(inside + DAY, until, 90, "UTC")
    windows_inside(inside[:0], until, 90, "UTC")


def labelled(attribute: np.ndarray, orders: np.ndarray, *, days: np.ndarray | None = None) -> Labelled:
    random = np.random.default_rng(1)
    quiet = random.normal(size=len(orders)) if days is None else days
    X = np.column_stack([quiet, random.normal(size=len(orders)), attribute]).astype(np.float32)
    names = ("days_since_last_order", "spend_total", "attr_loyalty_card")
    return Labelled(X, names, np.full(len(orders), end_of_day(np.datetime64("2020-03-31").item(), "UTC")), orders)


def people(n: int = 1000) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Days since the last order, orders to come that depend on them, and chance."""
    random = np.random.default_rng(5)
    days = random.exponential(60, n)
    return days, (random.random(n) < np.exp(-days / 60)).astype(float), random


def test_an_attribute_that_copies_the_label_is_refused() -> None:
    days, orders, random = people()
    copy = np.where(random.random(len(orders)) < 0.95, orders, 1 - orders)
    rows = labelled(copy, orders, days=days)
    with pytest.raises(Refused, match=r"attribute loyalty_card tells the outcome: \d+% of the gain .* allowed_attr"):
        no_telling_attribute(rows, ("attr_loyalty_card",), ())
    assert no_telling_attribute(rows, ("attr_loyalty_card",), ("loyalty_card",)) != []  # named, so only told


def test_an_attribute_that_lifts_beyond_belief_is_refused_below_half_of_the_gain() -> None:
    days, orders, random = people(4000)
    telling = np.where((orders > 0) & (random.random(len(orders)) < 0.5), 1.0, np.nan)
    rows = labelled(telling, orders, days=days)
    with pytest.raises(Refused, match="loyalty_card"):
        no_telling_attribute(rows, ("attr_loyalty_card",), ())


def test_a_harmless_attribute_passes_and_a_leading_feature_is_told() -> None:
    days, orders, random = people()
    warnings = no_telling_attribute(labelled(random.normal(size=1000), orders, days=days), ("attr_loyalty_card",), ())
    assert len(warnings) == 1
    assert warnings[0].startswith("feature days_since_last_order carries")


def test_too_few_rows_say_nothing() -> None:
    rows = labelled(np.ones(30), np.ones(30))
    assert no_telling_attribute(rows, ("attr_loyalty_card",), ()) == []
    nobody = replace(rows, X=rows.X[:0], as_of=rows.as_of[:0], orders=rows.orders[:0])
    assert no_telling_attribute(nobody, ("attr_loyalty_card",), ()) == []
