"""Shops that are small or odd, as rows of orders: what a model meets that nobody had in mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

import numpy as np

Rows = list[dict[str, object]]
ENDS = date(2025, 6, 30)


def _orders(
    customers: int, days: int, mean_gap: float, *, seed: int = 1, lines: int = 2, price: float = 20.0
) -> Iterator[dict[str, object]]:
    """Customers who begin at any time, order at their own pace and are lost some day."""
    random = np.random.default_rng(seed)
    for customer in range(customers):
        day, pace = float(random.integers(0, days)), mean_gap * random.gamma(2, 0.5)
        until = day + random.exponential(days / 2)
        while day < min(until, days):
            at = datetime.combine(ENDS, datetime.min.time()) - timedelta(days=days - int(day) - 1, hours=-11)
            for _ in range(int(random.integers(1, lines + 1))):
                yield {
                    "customer_id": f"c{customer:04}",
                    "occurred_at": at.isoformat(),
                    "order_id": f"o{customer}-{day:.0f}",
                    "product_id": f"p{int(random.integers(0, 12)):02}",
                    "quantity": float(random.integers(1, 4)),
                    "unit_price": round(price * random.lognormal(0, 0.5), 2),
                }
            day += random.exponential(pace) + 1


def usual(customers: int = 150, days: int = 500) -> Rows:
    return list(_orders(customers, days, 40))


def thirty_customers() -> Rows:
    return usual(30)


def one_customer() -> Rows:
    return [row for row in _orders(40, 500, 20) if row["customer_id"] == "c0003"]


def one_product() -> Rows:
    return [row | {"product_id": "only"} for row in usual()]


def one_order_each() -> Rows:
    first: dict[object, object] = {}
    return [row for row in usual() if first.setdefault(row["customer_id"], row["order_id"]) == row["order_id"]]


def no_money() -> Rows:
    return [{name: value for name, value in row.items() if name != "unit_price"} for row in usual()]


def no_products() -> Rows:
    return [{name: value for name, value in row.items() if name != "product_id"} for row in usual()]


def prices_of_zero() -> Rows:
    """A third of the lines are gifts."""
    return [row | ({"unit_price": 0.0} if number % 3 == 0 else {}) for number, row in enumerate(usual())]


def eleven_years() -> Rows:
    return list(_orders(120, 11 * 365, 120))


def closed_for_a_summer() -> Rows:
    """Nothing from June to August of the year before the last."""
    return [row for row in usual(250, 900) if not "2024-06" <= str(row["occurred_at"])[:7] <= "2024-08"]


def a_hundred_thousand_lines() -> Rows:
    """A vending machine under one customer's name."""
    begin = datetime.combine(ENDS, datetime.min.time()) - timedelta(days=400)
    many = [
        {
            "customer_id": "machine",
            "occurred_at": (begin + timedelta(minutes=5 * number)).isoformat(),
            "order_id": f"m{number // 10}",
            "product_id": f"p{number % 12:02}",
            "quantity": 1.0,
            "unit_price": 1.5,
        }
        for number in range(100_000)
    ]
    return usual() + many


def a_wholesaler() -> Rows:
    """One customer with half of the revenue."""
    rows = usual()
    total = sum(float(str(row["quantity"])) * float(str(row["unit_price"])) for row in rows)
    own = [row for row in rows if row["customer_id"] == rows[0]["customer_id"]] or rows[:1]
    return rows + [row | {"customer_id": "wholesaler", "quantity": 1.0, "unit_price": total / len(own)} for row in own]


def a_cancelled_giant() -> Rows:
    """An order of 168,470 that is cancelled twelve minutes later."""
    at = datetime.combine(ENDS, datetime.min.time()) - timedelta(days=100, hours=-10)
    giant = {"customer_id": "c0005", "product_id": "p00", "quantity": 74_215.0, "unit_price": 2.27}
    back = giant | {"quantity": -74_215.0, "occurred_at": (at + timedelta(minutes=12)).isoformat(), "order_id": "C1"}
    return [*usual(), giant | {"occurred_at": at.isoformat(), "order_id": "g1"}, back]


SMALL: dict[str, Callable[[], Rows]] = {
    made.__name__: made
    for made in (
        thirty_customers, one_customer, one_product, one_order_each, no_money, no_products, prices_of_zero,
        a_wholesaler, a_cancelled_giant,
    )
}  # fmt: skip
LARGE: dict[str, Callable[[], Rows]] = {
    made.__name__: made for made in (eleven_years, closed_for_a_summer, a_hundred_thousand_lines)
}
