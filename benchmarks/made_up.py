"""A made-up history of any size, in memory, for the speed of computations (the simulator makes truthful shops)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.arrays import sorted_events, sorted_lines
from histories.clock import DAY, HOUR
from histories.history import EVENT_KINDS, NO_CODE, Catalog, History

DAYS = 1_095
START = 18_262 * DAY  # 2020-01-01
AS_OF = START + 1_000 * DAY  # later lines are there to be left out
PRODUCTS, CATEGORIES, CHANNELS = 5_000, 40, 3


def made_up_history(customers: int, lines: int, seed: int = 7, products: int = PRODUCTS) -> History:
    """Lognormal numbers of orders per customer, Zipf-like products, returns, discounts, late and future lines."""
    rng = np.random.default_rng(seed)
    rows = _lines(rng, customers, lines, products)
    return History(
        customer_id=np.array([f"c{i}" for i in range(customers)], dtype=object),
        lines=sorted_lines(rows, customers, "UTC"),
        events=sorted_events(_events(rng, customers, lines // 4), customers),
        attributes={},
        catalog=_catalog(rng, products),
        channels=tuple(f"channel {i}" for i in range(CHANNELS)),
        zone="UTC",
    )


def _lines(rng: np.random.Generator, customers: int, lines: int, products: int) -> dict[str, NDArray]:
    weight = rng.lognormal(0, 1.1, customers)
    orders = max(lines // 4, 1)
    owner = rng.choice(customers, orders, p=weight / weight.sum())
    opened = START + (rng.random(orders) * DAYS).astype(np.int64) * DAY + (8 + rng.gamma(4, 1.6, orders)) % 24 * HOUR
    size = rng.multinomial(lines, rng.dirichlet(np.ones(orders) * 1.5))
    order = np.repeat(np.arange(orders), size)
    price = np.round(rng.lognormal(1.5, 0.8, lines), 2) + 0.01
    quantity = rng.integers(1, 8, lines).astype(np.float64) * np.where(rng.random(lines) < 0.02, -1, 1)
    occurred_at = opened.astype(np.int64)[order]
    late = (rng.random(lines) < 0.01) * rng.integers(0, 30, lines) * DAY
    return {
        "customer": owner[order], "line_id": np.arange(lines), "occurred_at": occurred_at,
        "recorded_at": occurred_at + late, "product": _products(rng, lines, products),
        "channel": rng.integers(0, CHANNELS, orders)[order],
        "quantity": quantity, "unit_price": price, "amount": quantity * price,
        "discount": np.where(rng.random(lines) < 0.2, np.round(price * 0.1, 2), 0.0),
    }  # fmt: skip


def _products(rng: np.random.Generator, size: int, products: int) -> NDArray[np.int64]:
    return (products * rng.random(size) ** 3).astype(np.int64)


def _events(rng: np.random.Generator, customers: int, events: int) -> dict[str, NDArray]:
    occurred_at = START + (rng.random(events) * DAYS * DAY).astype(np.int64)
    return {
        "customer": rng.integers(0, customers, events), "occurred_at": occurred_at, "recorded_at": occurred_at,
        "kind": rng.integers(0, len(EVENT_KINDS), events),
    }  # fmt: skip


def _catalog(rng: np.random.Generator, products: int) -> Catalog:
    ids = np.array([f"p{i}" for i in range(products)], dtype=object)
    known = np.ones(products, dtype=bool)
    category = rng.integers(NO_CODE, CATEGORIES, products).astype(np.int32)
    names = tuple(f"category {i}" for i in range(CATEGORIES))
    code_of = {product: code for code, product in enumerate(ids)}
    return Catalog(ids, ids, category, names, np.full(products, np.nan), known, known, code_of)
