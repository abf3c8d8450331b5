"""Churn and customer value speak of one distribution: nobody who is likely gone has a likely spend."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pytest

from features.attributes import AttributeEncoder
from histories.clock import end_of_day
from histories.history import History
from models.churn import Churn
from models.customer_value import CustomerValue, Value
from models.frame import rows, training_frame
from tests.shops import toy_history

AS_OF = end_of_day(date(2022, 6, 30), "UTC")
END = datetime(2022, 6, 30, 12)  # noqa: DTZ001


def lasting(customers: int, *, returns: float = 0.0) -> History:
    """Customers who buy at rates of their own until they are lost, over 600 days; a share of them send half back."""
    rng = np.random.default_rng(customers)
    lines: list[dict[str, object]] = []
    for customer in range(customers):
        rate, price = rng.gamma(1.5, 1 / 40), rng.lognormal(3, 0.6)
        day, last = rng.uniform(0, 600), rng.exponential(400)
        end = min(day + last, 600)
        while day < end:
            row = {"customer_id": f"c{customer:04}", "occurred_at": (END - timedelta(days=600 - day)).isoformat()}
            lines.append(row | {"unit_price": price * rng.lognormal(0, 0.4)})
            if customer < returns * customers:
                lines.append(row | {"unit_price": float(str(lines[-1]["unit_price"])), "quantity": -0.5})
            day += 1 + rng.exponential(1 / rate)
    return toy_history(lines)


class Answers(NamedTuple):
    churn: np.ndarray
    value: Value
    newcomer: tuple[float, Value]


def answers(history: History, *, net: bool = False) -> Answers:
    encoder = AttributeEncoder.fit(history)
    frame = training_frame(history, AS_OF, 90, encoder, net=net)
    churn = Churn.fit(frame)
    value = CustomerValue.fit(frame, churn)
    X = rows(history, AS_OF, encoder)[0]
    newcomer = churn.fallback(AS_OF), value.fallback(AS_OF)
    return Answers(churn.predict(X, AS_OF), value.predict(X, AS_OF), newcomer)


@pytest.fixture(scope="module")
def asked() -> Answers:
    return answers(lasting(900))


@pytest.mark.parametrize("customers", [2, 40, 900])
def test_the_median_is_zero_exactly_where_churn_is_likelier_than_not(customers: int, asked: Answers) -> None:
    made = asked if customers == 900 else answers(lasting(customers))
    np.testing.assert_array_equal(made.value.median == 0, made.churn >= 0.5)
    chance, newcomer = made.newcomer
    assert (newcomer.median == 0) == (chance >= 0.5)


def test_the_interval_starts_at_zero_where_a_tenth_is_lost(asked: Answers) -> None:
    value = asked.value
    np.testing.assert_array_equal(value.low == 0, asked.churn >= 0.1)
    np.testing.assert_array_equal(value.high == 0, asked.churn >= 0.8)
    assert ((value.low <= value.median) & (value.median <= value.high)).all()


def test_the_mean_is_that_of_the_distribution_served(asked: Answers) -> None:
    """A buyer's spend lies around mean / P(buys): half of the buyers below it, within what is usual for spend."""
    come = asked.churn < 0.1
    buyer = asked.value.mean[come] / (1 - asked.churn[come])
    assert ((asked.value.low[come] < buyer) & (buyer < asked.value.high[come])).mean() > 0.95
    assert asked.value.median[come].sum() == pytest.approx(buyer.sum(), rel=0.5)
    assert asked.value.mean.sum() == pytest.approx((asked.value.orders * 25).sum(), rel=0.5)


def test_net_spend_is_learned_net() -> None:
    """Half of every second customer's purchases comes back: a quarter of the money, all of it theirs."""
    history = lasting(600, returns=0.5)
    gross, net = answers(history), answers(history, net=True)
    assert net.value.mean.sum() / gross.value.mean.sum() == pytest.approx(0.75, abs=0.08)
    np.testing.assert_array_equal(net.churn, gross.churn)
