"""What follows orders: returns, cancellations, and lines that are recorded late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.assortment import CATEGORIES, PER_CATEGORY
from simulator.people import CHANNELS, People, draw_rows
from simulator.purchases import Basket, Orders

_CANCELLED = 0.004
_MINUTE = 1 / 1440  # days


@dataclass(frozen=True, slots=True)
class Ledger:
    """Lines as the shop's till wrote them, purchases and returns, sorted by (customer, time)."""

    customer: NDArray[np.int64]
    number: NDArray[np.int64]  # of the order within its customer
    line: NDArray[np.int64]  # unique in the ledger
    occurred_at: NDArray[np.float64]  # days since 1970-01-01 UTC
    recorded_at: NDArray[np.float64]  # a little later, or days later
    product: NDArray[np.int64]
    quantity: NDArray[np.float64]  # negative for returns
    unit_price: NDArray[np.float64]
    discount: NDArray[np.float64]
    channel: NDArray[np.int64]  # code in CHANNELS

    def __len__(self) -> int:
        return len(self.customer)

    def __getitem__(self, rows: NDArray) -> Ledger:
        return Ledger(*(getattr(self, name)[rows] for name in self.__slots__))


def keep_ledger(rng: np.random.Generator, people: People, orders: Orders, basket: Basket) -> Ledger:
    back, quantity, delay = _returns(rng, basket)
    line = np.concatenate([np.arange(len(basket)), back])
    order = basket.order[line]
    delays = np.concatenate([np.zeros(len(basket)), delay])
    occurred_at = orders.at[order] + delays
    channel = draw_rows(rng, people.channel[orders.customer])[order]
    discount = np.where(delays > 0, 0.0, basket.discount[line])
    ledger = Ledger(
        customer=orders.customer[order],
        number=orders.number[order],
        line=np.arange(len(line)),
        occurred_at=occurred_at,
        recorded_at=occurred_at + _recording_delay(rng, channel),
        product=basket.product[line],
        quantity=np.concatenate([basket.quantity, -quantity]),
        unit_price=basket.unit_price[line],
        discount=discount,
        channel=channel,
    )
    return ledger[np.lexsort((ledger.line, ledger.occurred_at, ledger.customer))]


def _returns(
    rng: np.random.Generator, basket: Basket
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Lines sent back, how many pieces, and after how many days; a few are cancelled within the hour."""
    chance = np.array([category.returned for category in CATEGORIES])[basket.product // PER_CATEGORY]
    point = rng.random(len(basket))
    cancelled = point < _CANCELLED
    line = np.flatnonzero(point < _CANCELLED + chance)
    pieces = np.where(
        cancelled[line], basket.quantity[line], rng.integers(1, basket.quantity[line].astype(np.int64) + 1)
    )
    delay = np.where(cancelled[line], rng.uniform(3, 60, len(line)) * _MINUTE, rng.uniform(2, 21, len(line)))
    return line, pieces.astype(np.float64), delay


def _recording_delay(rng: np.random.Generator, channel: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds as a rule; the till of the store uploads some of its lines days later."""
    late = rng.random(len(channel)) < np.where(channel == CHANNELS.index("store"), 0.10, 0.01)
    return np.where(late, rng.uniform(0.5, 9, len(channel)), rng.uniform(0, 90, len(channel)) / 86_400)
